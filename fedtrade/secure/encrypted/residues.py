"""Ciphertexts as arrays of residues: read from what TenSEAL writes, and written for it to read.

Whoever only adds ciphertexts needs no more of them than that: the sum of two is that of their
residues, modulo each prime. So what a peer sends is unpacked from its frame of Zstandard to a
length known beforehand, compared with what must stand in front of the residues, and never parsed.

SEAL stores (`serialization.h`, `ciphertext.cpp`, `dynarray.h` of SEAL 4) the parameters' name,
whether the polynomials are transformed, their number, their coefficients, primes, the scale, a
correction factor that only BGV has; and, behind a header of their own, the residues.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ProtocolError
from fedtrade.secure.encrypted.checks import (
    SEAL_HEADER,
    SEAL_MAGIC,
    SEAL_VERSION,
    ZSTANDARD,
    check_tenseal_vector,
    scale_bytes,
    varint_bytes,
)

__all__ = ["Residues"]

PARTS = 2
UNCOMPRESSED = 0
KIND = struct.Struct("<4QBQQQdQ")
COUNT = struct.Struct("<Q")
WORD_BYTES = 8
CODEC = "zstd"


@dataclass(frozen=True)
class Residues:
    """How ciphertexts of given parameters are stored.

    Attributes
    ----------
    primes : tuple of int
        Of a ciphertext's modulus.
    degree : int
    n_slots : int
        As TenSEAL counts them.
    parms_id : tuple of four int
        SEAL's name of the parameters.
    minor : int
        SEAL's minor version, which both sides must have.
    scale : float or None
        Of CKKS, whose polynomials are stored as their values; None for BFV.
    """

    primes: tuple[int, ...]
    degree: int
    n_slots: int
    parms_id: tuple[int, ...]
    minor: int
    scale: float | None = None

    @classmethod
    def of(cls, context: Any, sealapi: Any, n_slots: int, scale: float | None = None) -> Self:
        """Of fresh ciphertexts under a context of TenSEAL's, whose module `sealapi` is given."""
        seal = context.seal_context().data
        parameters = seal.first_context_data().parms()
        return cls(
            primes=tuple(prime.value() for prime in parameters.coeff_modulus()),
            degree=parameters.poly_modulus_degree(),
            n_slots=n_slots,
            parms_id=tuple(seal.first_parms_id()),
            minor=int(sealapi.Serialization.SEALHeader().version_minor),
            scale=scale,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Polynomials, primes and coefficients of a ciphertext."""
        return PARTS, len(self.primes), self.degree

    def read(self, chunk: bytes) -> NDArray[np.uint64]:
        """The residues of a ciphertext, of `shape`; the framing of `chunk` is checked, too.

        Raises
        ------
        ProtocolError
            If it is not one of these parameters, or hides nothing.
        """
        content = len(self._front) + self._n_residue_bytes
        frame = check_tenseal_vector(chunk, n_slots=self.n_slots, content=content, scale=self.scale)
        import pyarrow  # which participants without ciphertexts need not load

        try:
            # Arrow's own pool reserves more addresses than the process may have.
            pool = pyarrow.system_memory_pool()
            unpacked = pyarrow.decompress(frame, content, codec=CODEC, memory_pool=pool)
        except (OSError, ValueError) as error:
            raise ProtocolError(f"the ciphertext cannot be unpacked: {error}.") from None
        if unpacked.slice(0, len(self._front)).to_pybytes() != self._front:
            raise ProtocolError(
                "the ciphertext is of other parameters, or of another size, form or scale."
            )
        words = np.frombuffer(unpacked, np.uint8, offset=len(self._front)).copy()  # aligned
        residues = words.view("<u8").reshape(self.shape)
        if (residues.max(axis=2) >= self._moduli).any():
            raise ProtocolError("the ciphertext has a residue that is not below its prime.")
        if not residues[1].any():
            raise ProtocolError("the ciphertext hides nothing: its second polynomial is zero.")
        return residues

    def write(self, residues: NDArray[np.uint64], *, is_compressed: bool = True) -> bytes:
        """TenSEAL's bytes of a ciphertext; `read` takes compressed ones only."""
        content = self._front + residues.astype("<u8").tobytes()
        mode = UNCOMPRESSED
        if is_compressed:
            import pyarrow

            pool = pyarrow.system_memory_pool()
            packed = pyarrow.compress(content, codec=CODEC, memory_pool=pool)
            content, mode = packed.to_pybytes(), ZSTANDARD
        body = _header(len(content), mode, self.minor) + content
        slots = varint_bytes(self.n_slots)
        head = b"\x0a" + varint_bytes(len(slots)) + slots + b"\x12" + varint_bytes(len(body))
        return head + body + scale_bytes(self.scale)

    @property
    def _n_residue_bytes(self) -> int:
        return int(np.prod(self.shape)) * WORD_BYTES

    @cached_property
    def _moduli(self) -> NDArray[np.uint64]:
        return np.array(self.primes, np.uint64)

    @cached_property
    def _front(self) -> bytes:
        """All that stands in front of the residues."""
        scale, is_transformed = self.scale or 1.0, self.scale is not None
        kind = KIND.pack(
            *self.parms_id, is_transformed, PARTS, self.degree, len(self.primes), scale, 1
        )
        n_bytes = COUNT.size + self._n_residue_bytes
        n_residues = COUNT.pack(self._n_residue_bytes // WORD_BYTES)
        return kind + _header(n_bytes, UNCOMPRESSED, self.minor) + n_residues


def _header(n_bytes: int, mode: int, minor: int) -> bytes:
    """SEAL's, of an object of so many bytes behind it."""
    size = SEAL_HEADER.size + n_bytes
    return SEAL_HEADER.pack(SEAL_MAGIC, SEAL_HEADER.size, SEAL_VERSION, minor, mode, 0, size)
