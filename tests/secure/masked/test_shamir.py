"""Shared secrets: by hand, against Python's integers, secrecy by counting, wrong shares."""

from collections import Counter
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import ProtocolError, ThresholdError
from fedtrade.secure.masked.shamir import (
    N_LIMBS,
    SHARE_BYTES,
    are_shares,
    decode,
    odd_shares,
    pack,
    reconstruct,
    split,
    unpack,
)

PRIME = 65537
SECRETS = st.binary(min_size=32, max_size=32)


def _draw(seed: int) -> Callable[[int], bytes]:
    return np.random.default_rng(seed).bytes


def _limbs(secret: bytes) -> list[int]:
    return [int.from_bytes(secret[2 * i : 2 * i + 2], "little") for i in range(16)]


def _at_zero(points: list[tuple[int, int]]) -> int:
    """Lagrange's formula in Python's integers."""
    total = 0
    for i, (x, y) in enumerate(points):
        above = below = 1
        for j, (other, _) in enumerate(points):
            if i != j:
                above, below = above * -other % PRIME, below * (x - other) % PRIME
        total += y * above * pow(below, -1, PRIME)
    return total % PRIME


def _words(*words: int) -> Callable[[int], bytes]:
    """Gives these 32-bit words, then zeros."""
    waiting = list(words)

    def draw(size: int) -> bytes:
        drawn = [waiting.pop(0) if waiting else 0 for _ in range(size // 4)]
        return np.array(drawn, dtype="<u4").tobytes()

    return draw


def test_by_hand() -> None:
    """The limbs 1, 2, 0, ... with the slopes 10, 65536, 0, ...: at x they are 1 + 10x, 2 - x."""
    secret = bytes([1, 0, 2, 0]) + bytes(28)
    shares = split([secret], [1, 2, 3], 2, random_bytes=_words(10, 65536))
    assert shares.dtype == np.uint32
    assert shares.shape == (3, 1, 16)
    assert shares[:, 0, :3].tolist() == [[11, 1, 0], [21, 0, 0], [31, 65536, 0]]


def test_a_word_beyond_the_last_multiple_of_the_prime_is_drawn_again() -> None:
    """2**32 - 1 = 65535 * 65537 itself is the first number that would favour an element."""
    assert 65535 * PRIME == 2**32 - 1
    drawn = _words(2**32 - 1, 7, *[0] * 14, 2**32 - 1, 9)
    shares = split([bytes(32)], [1, 2], 2, random_bytes=drawn)
    assert shares[0, 0, :2].tolist() == [9, 7]


@given(st.data())
def test_any_shares_that_reach_the_threshold_give_the_secrets(data: st.DataObject) -> None:
    secrets = data.draw(st.lists(SECRETS, min_size=1, max_size=3))
    n_shares = data.draw(st.integers(1, 12))
    threshold = data.draw(st.integers(1, n_shares))
    xs = data.draw(
        st.lists(st.integers(1, 65536), min_size=n_shares, max_size=n_shares, unique=True)
    )
    shares = split(secrets, xs, threshold, random_bytes=_draw(data.draw(st.integers(0, 99))))
    chosen = data.draw(st.permutations(range(n_shares)))[:threshold]
    picked = np.array(xs)[chosen]
    batch = shares[chosen].transpose(1, 0, 2)
    assert reconstruct(batch, np.tile(picked, (len(secrets), 1)), threshold) == secrets
    for place, secret in enumerate(secrets):
        for limb, expected in enumerate(_limbs(secret)):
            points = [(int(xs[i]), int(shares[i, place, limb])) for i in chosen]
            assert _at_zero(points) == expected


def test_many_secrets_with_points_of_their_own() -> None:
    """More than one block of them; each row has other holders in another order."""
    rng = np.random.default_rng(0)
    secrets = [rng.bytes(32) for _ in range(300)]
    shares = split(secrets, range(1, 121), 80)
    xs = np.stack([rng.permutation(120)[:90] + 1 for _ in secrets])
    batch = np.stack([shares[row - 1, place] for place, row in enumerate(xs)])
    assert reconstruct(batch, xs, 80) == secrets


@given(SECRETS, st.integers(2, 8), st.integers(0, 99))
def test_fewer_shares_fit_every_secret(other: bytes, threshold: int, seed: int) -> None:
    """With one made-up share more, the shares of one secret are those of any other one."""
    xs = list(range(1, threshold + 1))
    shares = split([bytes(range(32))], xs, threshold, random_bytes=_draw(seed))[:, 0]
    # The last share that makes the limbs of `other`: y = (other - sum of the rest) / own weight.
    made_up = shares.copy()
    for limb, wanted in enumerate(_limbs(other)):
        rest = [(x, int(y)) for x, y in zip(xs, shares[:, limb], strict=True)]
        rest[-1] = (xs[-1], 0)
        unit = [(x, 0) for x in xs[:-1]] + [(xs[-1], 1)]
        made_up[-1, limb] = (wanted - _at_zero(rest)) * pow(_at_zero(unit), -1, PRIME) % PRIME
    assert reconstruct(made_up[None], np.array([xs]), threshold) == [other]


def test_fewer_shares_are_uniform_whatever_the_secret() -> None:
    """Every slope of a line gives the share at 3 another value: counted over all of them."""
    for limb in (0, 1, 65535):
        secret = np.full(16, limb, dtype="<u2").tobytes()
        seen = set[int]()
        for start in range(0, PRIME, 16):
            slopes = [slope % PRIME for slope in range(start, start + 16)]
            shares = split([secret], [3, 4], 2, random_bytes=_words(*slopes))
            seen.update(shares[0, 0].tolist())
        assert seen == set(range(PRIME))


def test_shares_of_fresh_randomness_spread_evenly() -> None:
    """Chi-square of the top four bits of 64,000 entries: 15 degrees of freedom, 1e-6 at 57."""
    shares = split([bytes(32)] * 2000, [1, 2], 2)[0].ravel()
    counts = Counter((shares[shares < 65536] >> 12).tolist())
    expected = sum(counts.values()) / 16
    assert sum((counts[k] - expected) ** 2 / expected for k in range(16)) < 57


def test_an_entry_that_no_secret_has_is_no_secret() -> None:
    shares = np.full((2, 1, 16), 65536, dtype=np.uint32)
    shares[1] = 5
    assert reconstruct(shares, np.array([[1], [1]]), 1) == [None, bytes([5, 0] * 16)]
    with pytest.raises(ThresholdError, match="do not fit each other"):
        decode(shares[0], [1], 1)


@pytest.mark.parametrize(("n_shares", "threshold"), [(1, 1), (4, 4), (5, 3), (12, 6), (40, 21)])
def test_wrong_shares_are_named(n_shares: int, threshold: int) -> None:
    """As many as can be found, wrong in all limbs or in one."""
    rng = np.random.default_rng(n_shares)
    secret = rng.bytes(32)
    most = (n_shares - threshold) // 2
    for n_wrong in range(most + 1):
        shares = split([secret], range(1, n_shares + 1), threshold)[:, 0]
        wrong = sorted(rng.choice(n_shares, n_wrong, replace=False).tolist())
        for number, place in enumerate(wrong):
            limbs = slice(None) if number % 2 else int(rng.integers(16))
            shares[place, limbs] = (shares[place, limbs] + rng.integers(1, PRIME)) % PRIME
        assert decode(shares, range(1, n_shares + 1), threshold) == (secret, tuple(wrong))


def test_shares_are_wrong_that_are_not_where_others_lie() -> None:
    shares = split([bytes(32)], [3, 5, 9, 8, 7], 3)[:, 0]
    assert odd_shares(shares, [3, 5, 9, 8, 7], np.array([1, 2, 4]), 3).tolist() == []
    shares[[0, 3], [7, 15]] = (shares[[0, 3], [7, 15]] + 1) % PRIME
    assert odd_shares(shares, [3, 5, 9, 8, 7], np.array([1, 2, 4]), 3).tolist() == [0, 3]
    assert odd_shares(shares[:3], [3, 5, 9], np.arange(3), 3).tolist() == []


def test_one_wrong_share_of_every_three_by_trying_all_subsets() -> None:
    rng = np.random.default_rng(5)
    xs = [3, 9, 27, 81, 243, 729]
    secret = rng.bytes(32)
    shares = split([secret], xs, 2)[:, 0]
    shares[[1, 4]] = rng.integers(PRIME, size=(2, 16))
    votes = Counter(
        tuple(_at_zero([(xs[i], int(shares[i, limb])) for i in pair]) for limb in range(16))
        for pair in combinations(range(6), 2)
    )
    assert votes.most_common(1)[0] == (tuple(_limbs(secret)), 6)
    assert decode(shares, xs, 2) == (secret, (1, 4))


def test_too_many_wrong_shares_are_noticed() -> None:
    rng = np.random.default_rng(1)
    shares = split([bytes(32)], range(1, 11), 5)[:, 0]
    shares[:3] = rng.integers(PRIME, size=(3, 16))
    with pytest.raises(ThresholdError, match=r"of 10 shares at threshold 5 .* = 2 may be wrong"):
        decode(shares, range(1, 11), 5)


def test_each_limb_could_be_decoded_but_all_together_too_many_are_wrong() -> None:
    """Of seven shares of threshold 1 three are wrong in one limb, a fourth in another."""
    shares = split([bytes(32)], range(1, 8), 1)[:, 0]
    shares[:3, 0] = 1, 2, 3
    assert decode(shares, range(1, 8), 1) == (bytes(32), (0, 1, 2))
    shares[3, 1] = 1
    with pytest.raises(ThresholdError, match="= 3 may be wrong"):
        decode(shares, range(1, 8), 1)


def test_errors_spread_over_the_limbs_count_together() -> None:
    """Two wrong holders are one too many for five shares of threshold 3, if in different limbs."""
    shares = split([bytes(32)], range(1, 6), 3)[:, 0]
    shares[0, 0] = (shares[0, 0] + 1) % PRIME
    shares[1, 1] = (shares[1, 1] + 1) % PRIME
    with pytest.raises(ThresholdError, match="do not fit each other"):
        decode(shares, range(1, 6), 3)


@given(st.data())
def test_packing_keeps_every_entry(data: st.DataObject) -> None:
    entries = st.sampled_from([0, 1, 255, 256, 65535, 65536]) | st.integers(0, 65536)
    n_secrets = data.draw(st.integers(1, 3))
    flat = data.draw(st.lists(entries, min_size=16 * n_secrets, max_size=16 * n_secrets))
    shares = np.array(flat, dtype=np.uint32).reshape(n_secrets, 16)
    packed = pack(shares)
    assert packed.shape == (n_secrets, SHARE_BYTES)
    assert unpack(packed.tobytes(), n_secrets).tolist() == shares.tolist()


def test_packed_by_hand() -> None:
    share = np.array([0x1234, 65536, *[0] * 13, 65536], dtype=np.uint32)
    expected = bytes([0x34, 0x12]) + bytes(30) + bytes([0b10, 0b10000000])
    assert pack(share).tobytes() == expected


def test_bytes_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ProtocolError, match="shares of 2 secrets take 68 bytes, got 67"):
        unpack(bytes(67), 2)
    with pytest.raises(ProtocolError, match="above 65536"):
        unpack(bytes([1]) + bytes(31) + bytes([1, 0]), 1)


@pytest.mark.parametrize(
    ("xs", "threshold", "error", "message"),
    [
        ([1, 2], 3, ThresholdError, "threshold 3 cannot be split among 2 holders"),
        ([1, 2], 0, ThresholdError, "threshold 0 cannot be split among 2 holders"),
        ([1, 1], 1, ValueError, "must be distinct"),
        ([0, 1], 1, ValueError, "points must be 1 to 65536, got 0 to 1"),
        ([1, 65537], 1, ValueError, "points must be 1 to 65536, got 1 to 65537"),
        ([1.5, 2.0], 1, ValueError, "points must be integers, got float64"),
    ],
)
def test_holders_that_cannot_be(
    xs: list[float], threshold: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        split([bytes(32)], xs, threshold)


def test_other_bad_arguments() -> None:
    shares = split([bytes(32)], [1, 2, 3], 2)[:, 0]
    with pytest.raises(ValueError, match="a secret must have 32 bytes, got 31"):
        split([bytes(31)], [1], 1)
    with pytest.raises(ThresholdError, match="threshold 4 needs so many shares, not 3"):
        reconstruct(shares[None], np.array([[1, 2, 3]]), 4)
    with pytest.raises(ThresholdError, match="threshold 4 needs so many shares, not 3"):
        decode(shares, [1, 2, 3], 4)
    with pytest.raises(ThresholdError, match="at least 1, got 0"):
        decode(shares, [1, 2, 3], 0)
    with pytest.raises(ValueError, match=r"got \(3, 16\) and \(3,\)"):
        reconstruct(shares, np.array([1, 2, 3]), 2)
    with pytest.raises(ValueError, match="must be distinct"):
        reconstruct(shares[None], np.array([[1, 1, 3]]), 2)
    with pytest.raises(ValueError, match=r"2 points need shares of shape \(2, 16\)"):
        decode(shares, [1, 2], 2)


def test_rows_that_are_no_shares_are_told_from_those_that_are() -> None:
    """A limb is below 65537: with its 17th bit set all others are zero."""
    rows = pack(split([bytes(32)] * 3, np.arange(1, 3), 2))[0]
    rows[:, 2 * N_LIMBS :] = 0
    rows[1, 2 * N_LIMBS] = 1  # the first limb's
    rows[1, :2] = 0, 0
    rows[2, 2 * N_LIMBS] = 1
    rows[2, :2] = 1, 0
    assert are_shares(rows).tolist() == [True, True, False]
    assert are_shares(rows[:0]).tolist() == []
    assert unpack(rows[1], 1)[0, 0] == 65536
    with pytest.raises(ProtocolError, match="above 65536"):
        unpack(rows[2], 1)
