"""What members sign, and what binds the shares that they deal, in one place for both sides."""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.masked.contexts import context
from fedtrade.secure.masked.packing import pack_numbers
from fedtrade.secure.masked.shamir import SHARE_BYTES

__all__ = [
    "ADVERT_BYTES",
    "CIPHERTEXT_BYTES",
    "GROUPED",
    "WHOLE",
    "advert_statement",
    "pledge_statement",
    "self_seed_commitment",
    "survivors_digest",
    "survivors_statement",
]

ADVERT_BYTES: Final = 32 + 32 + 64
"""A member's public mask key, public channel key, and signature."""

GROUPED: Final = b"\0"
WHOLE: Final = b"\1"
"""Whether a sum has the groups of the settings, or none."""

TAG_BYTES: Final = 16
CIPHERTEXT_BYTES: Final = 2 * SHARE_BYTES + TAG_BYTES
"""A share of the mask's private key and one of the own mask's seed, encrypted."""


def pledge_statement(run: bytes, session: int, number: int, commitment: bytes) -> bytes:
    """Signed by a member that pledges a nonce."""
    return context("pledge", run, session, number) + commitment


def advert_statement(
    run: bytes, session: int, number: int, view: bytes, nonce: bytes, keys: bytes
) -> bytes:
    """Signed by a member that opens its nonce and shows its public keys.

    The view of all commitments is part of it: members that were shown different ones are no
    neighbours of each other.
    """
    return context("advert", run, session, number) + view + nonce + keys


def survivors_digest(
    run: bytes,
    session: int,
    seed: bytes,
    cohort: int,
    survivors: NDArray[np.int64],
    subject: bytes,
) -> bytes:
    """32 bytes for the members of a cohort whose words are in its total, ascending."""
    prefix = context("survivors", run, session, cohort)
    return hashlib.sha256(prefix + seed + subject + pack_numbers(survivors)).digest()


def survivors_statement(run: bytes, session: int, number: int, digest: bytes) -> bytes:
    """Signed by a member of the committee."""
    return context("check", run, session, number) + digest


def self_seed_commitment(run: bytes, session: int, number: int, self_seed: bytes) -> bytes:
    """32 bytes that show whether a seed was put together rightly."""
    return hashlib.sha256(context("self seed", run, session, number) + self_seed).digest()
