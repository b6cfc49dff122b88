"""A seed that everybody has a part in: numbers pledged by their hashes, then opened.

The graph of masks is drawn from it. Whoever opens last may still choose whether to open, so a
malicious server with many members can try many seeds: that is what `grinding_bits` reckon with.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import SignatureError
from fedtrade.secure.masked.contexts import context
from fedtrade.secure.masked.packing import pack_numbers

__all__ = [
    "COMMITMENT_BYTES",
    "NONCE_BYTES",
    "check_openings",
    "commitment",
    "seed",
    "view_digest",
    "whole_seed",
]

NONCE_BYTES: Final = 16
COMMITMENT_BYTES: Final = 16


def commitment(run: bytes, session: int, number: int, nonce: bytes) -> bytes:
    """The first 16 bytes of SHA-256(context, number, nonce)."""
    return commitments(run, session, [(number, nonce)])[0]


def commitments(run: bytes, session: int, openings: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """Each member's `commitment`."""
    prefix = context("nonce", run, session)
    return [
        hashlib.sha256(prefix + number.to_bytes(4, "little") + nonce).digest()[:COMMITMENT_BYTES]
        for number, nonce in openings
    ]


def view_digest(run: bytes, session: int, numbers: NDArray[np.int64], pledged: bytes) -> bytes:
    """32 bytes for all commitments of a sum, members in ascending order."""
    return hashlib.sha256(
        context("commitments", run, session) + pack_numbers(numbers) + pledged
    ).digest()


def seed(run: bytes, session: int, numbers: NDArray[np.int64], nonces: bytes) -> bytes:
    """32 bytes from the nonces that were opened, members in ascending order."""
    return hashlib.sha256(context("seed", run, session) + pack_numbers(numbers) + nonces).digest()


def whole_seed(drawn: bytes) -> bytes:
    """The seed of a sum without groups in a run with groups.

    Another one, so that members who were told different things cannot work together.
    """
    return hashlib.sha256(b"fedtrade/secure/masked/whole/1" + drawn).digest()


def check_openings(
    run: bytes,
    session: int,
    view: bytes,
    opened: tuple[NDArray[np.int64], NDArray[np.uint8]],
    silent: tuple[NDArray[np.int64], NDArray[np.uint8]],
) -> bytes:
    """The seed, if each nonce is the one that was pledged.

    Parameters
    ----------
    view : 32 bytes
        The `view_digest` of all commitments, kept from before any nonce was open.
    opened, silent : members' numbers (n,) with nonces or else commitments (n, 16)
        Those who opened, and those who pledged and did not.

    Raises
    ------
    SignatureError
        If a nonce is another one, or a member was added or left out.
    """
    numbers, nonces = opened
    rows = nonces.tobytes()
    cut = range(0, len(rows), NONCE_BYTES)
    pairs = zip(numbers.tolist(), (rows[at : at + NONCE_BYTES] for at in cut), strict=True)
    found = np.frombuffer(b"".join(commitments(run, session, pairs)), dtype=np.uint8)
    everybody = np.concatenate((numbers, silent[0]))
    pledged = np.concatenate((found.reshape(-1, COMMITMENT_BYTES), silent[1]))
    order = np.argsort(everybody, kind="stable")
    if view_digest(run, session, everybody[order], pledged[order].tobytes()) != view:
        raise SignatureError(
            f"the {len(numbers)} nonces opened for sum {session} are not those that were pledged: "
            "one was changed, added or left out."
        )
    return seed(run, session, numbers, rows)
