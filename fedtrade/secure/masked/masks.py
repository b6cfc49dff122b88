"""Masks: key streams of AES-256 in counter mode, read as words of the layout's ring."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from fedtrade.secure.masked.contexts import context
from fedtrade.secure.masked.keys import derive

__all__ = ["add_masks", "key_stream", "pair_key", "self_key"]

BLOCK_BYTES: Final = 16
FIRST_COUNTER: Final = bytes(BLOCK_BYTES)


def pair_key(
    secret: bytes, run: bytes, session: int, first: int, second: int, subject: bytes
) -> bytes:
    """The key of two members' common mask from what they agreed on; their order is no matter."""
    pair = sorted((first, second))
    return derive(secret, context("pair mask", run, session, *pair) + subject)


def self_key(seed: bytes, run: bytes, session: int, number: int, subject: bytes) -> bytes:
    """The key of a member's own mask from its seed of 32 bytes."""
    return derive(seed, context("self mask", run, session, number) + subject)


def key_stream(key: bytes, size: int, counter: bytes = FIRST_COUNTER) -> bytes:
    """AES-256-CTR (NIST SP 800-38A), so many bytes; a key serves one stream."""
    return Cipher(AES(key), CTR(counter)).encryptor().update(bytes(size))


def add_masks(words: NDArray[Any], keys: Iterable[tuple[bytes, bool]]) -> None:
    """Add masks to words in place, or take them off, modulo the words' ring.

    Parameters
    ----------
    words : uint32 or uint64 of shape (size,)
    keys : pairs of a key of 32 bytes and whether its mask is added
    """
    unsigned = words.dtype.newbyteorder("<")
    zeros = bytes(words.nbytes)
    stream = bytearray(len(zeros) + BLOCK_BYTES - 1)
    mask = np.frombuffer(stream, dtype=unsigned, count=len(words))
    start = CTR(FIRST_COUNTER)
    for key, is_added in keys:
        Cipher(AES(key), start).encryptor().update_into(zeros, stream)
        if is_added:
            np.add(words, mask, out=words)
        else:
            np.subtract(words, mask, out=words)
