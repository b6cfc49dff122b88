"""BFV: exact sums of integers.

Fan and Vercauteren (2012), "Somewhat practical fully homomorphic encryption",
https://eprint.iacr.org/2012/144, in SEAL by way of TenSEAL. One ciphertext holds 8192 integers
modulo a prime t = 1 mod 16384. With a coefficient modulus q, a sum of n fresh ciphertexts with
integer weights up to w comes out exactly if

    w * (12 * s * sqrt(n) + n / 2) < q / (2 t)

where s = 21.4 is the deviation of a coefficient's noise (`rounding_deviation`); twelve deviations
are passed with a probability below 2^-90 in one of 8192 coefficients. t is the largest prime that
fits, of up to 59 bits.

Pads are uniform modulo t in each of the 8192 slots: sums of plaintexts wrap there, and so do the
ciphertexts', without more noise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ConfigurationError
from fedtrade.secure.encrypted import scheme
from fedtrade.secure.encrypted.checks import check_size, check_tenseal_vector
from fedtrade.secure.encrypted.lattice import (
    DEGREE,
    LatticeAccumulator,
    ciphertext_content,
    lattice_keys,
    lattice_security,
    load_tenseal,
    load_vector,
    open_context,
    rounding_deviation,
)
from fedtrade.secure.encrypted.pads import WordPads
from fedtrade.secure.encrypted.residues import Residues
from fedtrade.secure.encrypted.scheme import KeyPair, OpenedSum, Security

__all__ = ["BFV", "bfv"]

PRIME_BITS = ((60, 60), (40, 40, 40), (55, 45, 55))
"""Sizes of primes from the cheapest on; the last is not part of ciphertexts."""

DEVIATIONS = 12.0
MOST_PLAIN_BITS = 59
"""SEAL allows 60, and TenSEAL's signed integers want one to spare."""


def bfv(n_members: int, *, weighted: bool, least_modulus: int = 0) -> "BFV":
    """The cheapest parameters for these sums.

    Parameters
    ----------
    n_members : int
        The most contributions to a sum.
    weighted : bool
        Whether each is multiplied by a weight of up to `MAX_WEIGHT`.
    least_modulus : int
        That the layout needs; without one, that of the cheapest parameters with 2^30 steps for
        each member's entry.

    Raises
    ------
    ConfigurationError
        If no parameters have so large a plain modulus.
    """
    wanted = least_modulus or (n_members * scheme.max_weight(weighted)) << 30
    for prime_bits in PRIME_BITS:
        bits = plain_bits(prime_bits, n_members, weighted)
        if 2 ** (bits - 1) >= wanted:
            return BFV(n_members, weighted, prime_bits, bits)
    raise ConfigurationError(
        f"bfv: {n_members} members{' with weights' if weighted else ''} need a plain modulus of "
        f"at least {wanted}, and {2 ** (bits - 1)} is the most that leaves the noise room; take "
        "coarser resolutions or fewer members."
    )


def plain_bits(prime_bits: Sequence[int], n_members: int, weighted: bool) -> int:
    """Bits of the largest plain modulus that leaves the noise room."""
    noise = DEVIATIONS * rounding_deviation() * math.sqrt(n_members) + n_members / 2
    noise *= scheme.max_weight(weighted)
    # Primes are a little below the power of two that they are named by.
    room = sum(prime_bits[:-1]) - 1e-3 - 1.0 - math.log2(noise)
    return min(MOST_PLAIN_BITS, math.floor(room))


@dataclass(frozen=True)
class BFV:
    """Parameters of BFV; see `bfv`."""

    n_members: int
    weighted: bool
    prime_bits: tuple[int, ...]
    plain_bits: int

    name: ClassVar[str] = "bfv"
    entries: ClassVar[int] = DEGREE - 1
    is_exact: ClassVar[bool] = True

    @cached_property
    def modulus(self) -> int:
        """The plain modulus t, a prime."""
        sealapi = load_tenseal().sealapi
        return int(sealapi.PlainModulus.Batching(DEGREE, self.plain_bits).value())

    @cached_property
    def primes(self) -> list[int]:
        """Of the coefficient modulus."""
        sealapi = load_tenseal().sealapi
        return [p.value() for p in sealapi.CoeffModulus.Create(DEGREE, list(self.prime_bits))]

    @property
    def layout_members(self) -> int:
        """Members times the largest weight."""
        return self.n_members * scheme.max_weight(self.weighted)

    @property
    def bound(self) -> int:
        """The largest entry of a member."""
        return scheme.bound(self.modulus, self.layout_members)

    @property
    def security(self) -> Security:
        """By the homomorphic encryption standard."""
        return lattice_security(self.prime_bits)

    @property
    def most_public_bytes(self) -> int:
        """A public key is two polynomials modulo all primes."""
        return ciphertext_content(len(self.prime_bits)) + 4096

    def fields(self) -> Mapping[str, str | int]:
        """The parameters, for `scheme_from`."""
        return {
            "scheme": self.name,
            "n_members": self.n_members,
            "weighted": int(self.weighted),
            "least_modulus": 2 ** (self.plain_bits - 1),
        }

    def generate(self) -> KeyPair:
        """A fresh pair of keys."""
        tenseal = load_tenseal()
        context = tenseal.context(
            tenseal.SCHEME_TYPE.BFV,
            DEGREE,
            self.modulus,
            coeff_mod_bit_sizes=list(self.prime_bits),
            n_threads=1,
        )
        return lattice_keys(context)

    def context(self, key: bytes, *, is_secret: bool) -> Any:
        """TenSEAL's context of either half of a key."""
        return open_context(
            key, self.primes, self.modulus, is_secret=is_secret, most=self.most_public_bytes
        )

    def load(self, context: Any, chunk: bytes) -> Any:
        """TenSEAL's vector of a chunk."""
        read = load_tenseal().bfv_vector_from
        return load_vector(read, context, chunk, n_primes=len(self.prime_bits) - 1, is_ntt=False)

    def residues(self, context: Any) -> Residues:
        """How ciphertexts are stored."""
        return Residues.of(context, load_tenseal().sealapi, DEGREE)

    @property
    def word_pads(self) -> WordPads:
        """Uniform modulo t in each slot."""
        return WordPads((self.modulus,), DEGREE)

    def pads(self, public: bytes) -> WordPads:
        """The same under each key."""
        return self.word_pads

    def encryptor(self, public: bytes) -> "BFVEncryptor":
        """Of a public key."""
        return BFVEncryptor(self, self.context(public, is_secret=False))

    def decryptor(self, secret: bytes) -> "BFVDecryptor":
        """Of a secret key."""
        return BFVDecryptor(self, self.context(secret, is_secret=True))

    def accumulator(self, public: bytes) -> LatticeAccumulator:
        """An empty sum."""
        return LatticeAccumulator(self, self.context(public, is_secret=False))

    def check_public(self, public: bytes) -> None:
        """Its size."""
        check_size("a public key", public, self.most_public_bytes)

    def check_fresh(self, chunk: bytes) -> None:
        """The framing of TenSEAL and SEAL."""
        content = ciphertext_content(len(self.prime_bits) - 1)
        check_size("a ciphertext", chunk, content + 1024)
        check_tenseal_vector(chunk, n_slots=DEGREE, content=content)

    def check_sum(self, chunk: bytes) -> None:
        """As `check_fresh`: adding changes no size."""
        self.check_fresh(chunk)

    def error(self, n_contributors: int) -> float:
        """Zero."""
        return 0.0 * n_contributors


class BFVEncryptor:
    """Encrypts under a public context."""

    def __init__(self, parameters: BFV, context: Any) -> None:
        self._parameters, self._context = parameters, context

    def encrypt(self, values: NDArray[np.int64], pad_key: bytes | None = None) -> list[bytes]:
        """One ciphertext for each 8191 values."""
        parameters = self._parameters
        scheme.check_values(values, parameters.bound)
        rows = scheme.split(values, parameters.entries, 1)
        if pad_key is not None:
            pads = parameters.word_pads
            rows += _words(pads, pads.total([(pad_key, 1)], len(rows)))
        vector = load_tenseal().bfv_vector
        centred = _centred(rows, parameters.modulus)
        return [vector(self._context, row.tolist()).serialize() for row in centred]


class BFVDecryptor:
    """Decrypts with a secret context."""

    def __init__(self, parameters: BFV, context: Any) -> None:
        self._parameters, self._context = parameters, context

    def decrypt(self, chunks: Sequence[bytes], size: int, pads: Sequence[bytes] = ()) -> OpenedSum:
        """The centred residues."""
        parameters = self._parameters
        rows = np.empty((len(chunks), DEGREE), dtype=np.int64)
        for row, chunk in zip(rows, chunks, strict=True):
            parameters.check_sum(chunk)
            row[:] = parameters.load(self._context, chunk).decrypt()
        if pads:
            rows -= _words(parameters.word_pads, pads)
        rows = _centred(rows, parameters.modulus)
        values = rows[:, 1:].reshape(-1)
        found, rest = values[:size], values[size:]
        counts = rows[:, 0].astype(np.float64)
        return OpenedSum(found, counts, scheme.largest(found), scheme.largest(rest))


def _words(pads: WordPads, total: Sequence[bytes]) -> NDArray[np.int64]:
    """One row of residues for each chunk."""
    return np.concatenate([pads.words(pad) for pad in total]).astype(np.int64)


def _centred(rows: NDArray[np.int64], modulus: int) -> NDArray[np.int64]:
    """The residues around zero."""
    residues = rows % modulus
    residues[residues > modulus // 2] -= modulus
    return residues
