"""A ciphertext that hides nothing, (p, 0): adding it adds the polynomial p to another's first half.

SEAL has no call to add raw residues to a ciphertext, but reads one from its bytes
(`serialization.h` and `ciphertext.cpp` of SEAL 4): a header; the parameters' name, whether it is
transformed, how many polynomials, coefficients and primes, the scale, a correction factor that only
BGV has; and the residues, in a header of their own. They are this process's own, never a peer's.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.encrypted.checks import SEAL_HEADER, SEAL_MAGIC, SEAL_VERSION, varint_bytes

__all__ = ["open_ciphertext"]

PARTS = 2
UNCOMPRESSED = 0
KIND = struct.Struct("<4QBQQQdQ")
COUNT = struct.Struct("<Q")


def open_ciphertext(sealapi: Any, like: Any, words: NDArray[np.uint64], n_slots: int) -> bytes:
    """TenSEAL's bytes of a vector (p, 0) of CKKS.

    Parameters
    ----------
    sealapi : module
        TenSEAL's.
    like : SEAL's ciphertext
        To which it is to be added.
    words : uint64 of shape (primes, degree)
        The residues of p in the form of `like`.
    n_slots : int
    """
    minor = int(sealapi.Serialization.SEALHeader().version_minor)
    residues = np.concatenate([words, np.zeros_like(words)]).astype("<u8")
    kind = KIND.pack(
        *like.parms_id(), like.is_ntt_form(), PARTS, words.shape[1], words.shape[0], like.scale, 1
    )
    data = _with_header(COUNT.pack(residues.size) + residues.tobytes(), minor)
    ciphertext = _with_header(kind + data, minor)
    slots = varint_bytes(n_slots)
    head = b"\x0a" + varint_bytes(len(slots)) + slots + b"\x12" + varint_bytes(len(ciphertext))
    return head + ciphertext + b"\x19" + struct.pack("<d", like.scale)


def _with_header(content: bytes, minor: int) -> bytes:
    size = SEAL_HEADER.size + len(content)
    header = SEAL_HEADER.pack(
        SEAL_MAGIC, SEAL_HEADER.size, SEAL_VERSION, minor, UNCOMPRESSED, 0, size
    )
    return header + content
