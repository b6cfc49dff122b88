"""The seed of the graph against plain hashes, and against a server that wants another one."""

import hashlib

import numpy as np
import pytest

from fedtrade.errors import SignatureError
from fedtrade.secure.masked.beacon import check_openings, commitment, seed, view_digest
from fedtrade.secure.masked.contexts import context

RUN = bytes(range(32))
NUMBERS = np.array([2, 5, 700], dtype=np.int64)
NONCES = np.arange(48, dtype=np.uint8).reshape(3, 16)
NOBODY = np.zeros(0, dtype=np.int64), np.zeros((0, 16), dtype=np.uint8)


def _rows(numbers: np.ndarray, nonces: np.ndarray) -> np.ndarray:
    rows = [
        commitment(RUN, 4, n, x.tobytes()) for n, x in zip(numbers.tolist(), nonces, strict=True)
    ]
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, 16)


def _view() -> bytes:
    return view_digest(RUN, 4, NUMBERS, _rows(NUMBERS, NONCES).tobytes())


def test_plain_hashes_agree() -> None:
    prefix = b"fedtrade masked sum 2" + b"nonce".ljust(16, b"\0") + RUN + b"\4" + bytes(7)
    assert context("nonce", RUN, 4) == prefix
    expected = hashlib.sha256(prefix + b"\xbc\2\0\0" + bytes(range(32, 48))).digest()[:16]
    assert commitment(RUN, 4, 700, bytes(range(32, 48))) == expected
    packed = b"\2\0\0\0\5\0\0\0\xbc\2\0\0"
    start = prefix.replace(b"nonce", b"seed\0")
    assert (
        seed(RUN, 4, NUMBERS, NONCES.tobytes())
        == hashlib.sha256(start + packed + bytes(range(48))).digest()
    )


def test_all_who_pledged_may_open_or_be_silent() -> None:
    expected = seed(RUN, 4, NUMBERS, NONCES.tobytes())
    assert check_openings(RUN, 4, _view(), (NUMBERS, NONCES), NOBODY) == expected
    silent = NUMBERS[1:2], _rows(NUMBERS[1:2], NONCES[1:2])
    left = NUMBERS[[0, 2]], NONCES[[0, 2]]
    assert check_openings(RUN, 4, _view(), left, silent) == seed(RUN, 4, left[0], left[1].tobytes())


def _changed() -> np.ndarray:
    nonces = NONCES.copy()
    nonces[2, 15] ^= 1
    return nonces


@pytest.mark.parametrize(
    ("opened", "silent"),
    [
        ((NUMBERS, _changed()), NOBODY),
        ((NUMBERS[:2], NONCES[:2]), NOBODY),
        ((NUMBERS, NONCES), (np.array([9]), np.zeros((1, 16), dtype=np.uint8))),
        ((np.array([2, 5, 701]), NONCES), NOBODY),
        ((NUMBERS, NONCES[::-1]), NOBODY),
    ],
    ids=["a nonce changed", "one left out", "one added", "another member", "swapped"],
)
def test_another_seed_is_refused(opened: tuple, silent: tuple) -> None:
    with pytest.raises(SignatureError, match="not those that were pledged"):
        check_openings(RUN, 4, _view(), opened, silent)


def test_a_pledge_is_good_for_one_sum_of_one_run() -> None:
    nonce = bytes(16)
    found = {
        commitment(RUN, 4, 1, nonce),
        commitment(RUN, 5, 1, nonce),
        commitment(RUN[::-1], 4, 1, nonce),
        commitment(RUN, 4, 2, nonce),
    }
    assert len(found) == 4


def test_contexts_never_collide() -> None:
    assert len(context("a", RUN, 1, 2, 3)) == len(context("abcdefgh", RUN, 2**40, 0, 2**32 - 1))
    with pytest.raises(ValueError, match="16 characters"):
        context("a" * 17, RUN, 0)
    with pytest.raises(ValueError, match="32 bytes"):
        context("a", RUN[:15], 0)
