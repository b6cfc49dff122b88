"""CKKS: approximate sums, flooded by the key holder before anyone sees them.

Cheon, Kim, Kim and Song (2017), https://eprint.iacr.org/2016/421, in SEAL by way of TenSEAL. One
ciphertext holds 4096 reals. Integers v of the layout's ring travel as v * 2^-43, so that the
largest sum is 2^18: at a scale of 2^40 that is the most that a modulus of 60 bits holds, and at a
scale of 2^80 one of 100 bits. Unweighted sums take the former, primes of [60, 60] bits, which are
cheaper; sums with weights the latter, [60, 40, 60] bits, where noise that weights have made larger
is still far below the rounding of float64. (Weights are integers, so no product, which would need
the middle prime for its scale, takes place.)

A sum has an error of about `CKKS.noise` in each entry: unweighted 5e-15 * sqrt(n) of the largest
sum, weighted 2e-16.
It depends on the secret key: from the exact decryption of one ciphertext that one knows the
plaintext of, the key follows by linear algebra (Li and Micciancio 2021, "On the security of
homomorphic encryption on approximate numbers", https://eprint.iacr.org/2020/1533). So the key
holder adds Gaussian noise of deviation

    sigma = sqrt(12 * n_decryptions) * 2^(flooding_bits / 2) * E

to what it opens (Li, Micciancio, Schultz and Sorrell 2022, "Securing approximate homomorphic
encryption using differential privacy", https://eprint.iacr.org/2022/816, theorem 2 with the
constant of its corollary), E a bound of the error's Euclidean norm over a ciphertext's slots and
n_decryptions the ciphertexts opened under one key. E has the rounding of float64 in it too: of
what the decoder rounds it cannot be told how far it depends on the key. OpenFHE takes E per
coefficient; the norm is larger by sqrt(4096), and what the divergence of two Gaussians in 4096
dimensions asks for.

Reals have no room for a pad that hides them. It is added to the ciphertext instead, to the first of
its two polynomials, uniform modulo each prime: with q their product, a ciphertext (c0, c1) of p
decrypts to c0 + c1 s = p mod q, and (c0 + r, c1) to p + r mod q. Sums with integer weights are
taken modulo q and never rescaled, so that the pads' sum comes off as they went on, without noise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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

__all__ = ["CKKS", "flooding_deviation", "to_ring"]

SLOTS = DEGREE // 2
LARGEST_BITS = 18
MODULUS_BITS = 62
UNIT = 2.0 ** (LARGEST_BITS - (MODULUS_BITS - 1))
"""The real number that stands for 1."""

FLOAT_ROUNDING = 2.0 ** (LARGEST_BITS - 52)
"""A bound of the deviation that float64 causes in a slot; half of it was measured at most, with
sums that take the whole range."""

MARGIN = 1.5
"""Of the error's norm, which over 4096 slots strays from its mean by a few percent only."""


@dataclass(frozen=True)
class CKKS:
    """Parameters of CKKS.

    Attributes
    ----------
    n_members : int
        The most contributions to a sum.
    weighted : bool
        Whether each is multiplied by a weight of up to `MAX_WEIGHT`.
    """

    n_members: int
    weighted: bool

    name: ClassVar[str] = "ckks"
    entries: ClassVar[int] = SLOTS - 1
    modulus: ClassVar[int] = 2**MODULUS_BITS
    is_exact: ClassVar[bool] = False

    @property
    def prime_bits(self) -> tuple[int, ...]:
        """Sizes of the primes; the last is not part of ciphertexts."""
        return (60, 40, 60) if self.weighted else (60, 60)

    @cached_property
    def primes(self) -> list[int]:
        """Of the coefficient modulus."""
        sealapi = load_tenseal().sealapi
        return [p.value() for p in sealapi.CoeffModulus.Create(DEGREE, list(self.prime_bits))]

    @property
    def layout_members(self) -> int:
        """Members times the largest weight, and a sixteenth for the noise that floods."""
        n = self.n_members + self.n_members // 16 + 1
        return n * scheme.max_weight(self.weighted)

    @property
    def bound(self) -> int:
        """The largest entry of a member."""
        return scheme.bound(self.modulus, self.n_members * scheme.max_weight(self.weighted))

    @property
    def scale(self) -> float:
        """What a real number is multiplied by before it is rounded."""
        return math.ldexp(1.0, sum(self.prime_bits[:-1]) - 2 - LARGEST_BITS)

    @property
    def security(self) -> Security:
        """By the homomorphic encryption standard; of decrypted sums see the module."""
        return lattice_security(self.prime_bits)

    @property
    def most_public_bytes(self) -> int:
        """A public key is two polynomials modulo all primes."""
        return ciphertext_content(len(self.prime_bits)) + 4096

    def fields(self) -> Mapping[str, str | int]:
        """The parameters, for `scheme_from`."""
        weighted = int(self.weighted)
        return {"scheme": self.name, "n_members": self.n_members, "weighted": weighted}

    def generate(self) -> KeyPair:
        """A fresh pair of keys."""
        tenseal = load_tenseal()
        context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=list(self.prime_bits), n_threads=1
        )
        return lattice_keys(context)

    def context(self, key: bytes, *, is_secret: bool) -> Any:
        """TenSEAL's context of either half of a key."""
        context = open_context(
            key, self.primes, 0, is_secret=is_secret, most=self.most_public_bytes
        )
        context.global_scale = self.scale
        return context

    def load(self, context: Any, chunk: bytes) -> Any:
        """TenSEAL's vector of a chunk."""
        read, n_primes = load_tenseal().ckks_vector_from, len(self.prime_bits) - 1
        return load_vector(read, context, chunk, n_primes=n_primes, is_ntt=True, scale=self.scale)

    @property
    def word_pads(self) -> WordPads:
        """Uniform modulo each prime of a ciphertext."""
        return WordPads(tuple(self.primes[:-1]), DEGREE)

    def pads(self, public: bytes) -> WordPads:
        """The same under each key."""
        return self.word_pads

    def residues(self, context: Any) -> Residues:
        """How ciphertexts are stored."""
        return Residues.of(context, load_tenseal().sealapi, SLOTS, self.scale)

    def pad_vector(self, context: Any, pad: bytes) -> Any:
        """A pad r as TenSEAL's vector (r, 0), which hides nothing, to be added to another."""
        words = self.word_pads.words(pad)
        data = self.residues(context).write(
            np.stack([words, np.zeros_like(words)]), is_compressed=False
        )
        return load_tenseal().ckks_vector_from(context, data)

    def encryptor(self, public: bytes) -> "CKKSEncryptor":
        """Of a public key."""
        return CKKSEncryptor(self, self.context(public, is_secret=False))

    def decryptor(self, secret: bytes) -> "CKKSDecryptor":
        """Of a secret key."""
        return CKKSDecryptor(self, self.context(secret, is_secret=True))

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
        check_tenseal_vector(chunk, n_slots=SLOTS, content=content, scale=self.scale)

    def check_sum(self, chunk: bytes) -> None:
        """As `check_fresh`: adding changes no size."""
        self.check_fresh(chunk)

    def noise(self, n_contributors: int) -> float:
        """Standard deviation of an entry's error, in units of the layout.

        A slot is a sum of 8192 coefficients with factors of size one, of which its real part has
        half of the variance. The key's own value there is a factor, so that some slots stray three
        times as far as this. All weights are taken for the largest.
        """
        slot = rounding_deviation() * math.sqrt(SLOTS * n_contributors)
        slot *= scheme.max_weight(self.weighted) / self.scale
        return math.hypot(slot, FLOAT_ROUNDING) / UNIT

    def error(self, n_contributors: int) -> float:
        """As `noise`."""
        return self.noise(n_contributors)


def flooding_deviation(
    parameters: CKKS, n_contributors: int, n_decryptions: int, flooding_bits: int
) -> float:
    """Deviation of the noise that hides the error of opened sums, in units of the layout.

    See the formula above.

    Parameters
    ----------
    n_contributors : int
        Contributions to the sum.
    n_decryptions : int
        Ciphertexts that are opened under one key, over its life.
    flooding_bits : int
        Whoever sees them all has an advantage of at most 2^-flooding_bits from them.
    """
    norm = MARGIN * math.sqrt(SLOTS) * parameters.noise(n_contributors)
    return math.sqrt(12.0 * n_decryptions) * math.pow(2.0, flooding_bits / 2) * norm


def to_ring(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nearest integers of the centred range; what is beyond it goes to its end."""
    most = CKKS.modulus // 2 - 1
    # As a real number the end would round to one beyond it.
    integers = np.clip(np.rint(values), -2.0 * most, 2.0 * most).astype(np.int64)
    return np.clip(integers, -most, most)


class CKKSEncryptor:
    """Encrypts under a public context."""

    def __init__(self, parameters: CKKS, context: Any) -> None:
        self._parameters, self._context = parameters, context

    def encrypt(self, values: NDArray[np.int64], pad_key: bytes | None = None) -> list[bytes]:
        """One ciphertext for each 4095 values."""
        parameters = self._parameters
        scheme.check_values(values, parameters.bound)
        rows = scheme.split(values, parameters.entries, parameters.bound) * UNIT
        vectors = [load_tenseal().ckks_vector(self._context, row.tolist()) for row in rows]
        if pad_key is not None:
            pads = parameters.word_pads.total([(pad_key, 1)], len(vectors))
            for vector, pad in zip(vectors, pads, strict=True):
                vector.add_(parameters.pad_vector(self._context, pad))
        return [vector.serialize() for vector in vectors]


class CKKSDecryptor:
    """Decrypts with a secret context."""

    def __init__(self, parameters: CKKS, context: Any) -> None:
        self._parameters, self._context = parameters, context

    def decrypt(self, chunks: Sequence[bytes], size: int, pads: Sequence[bytes] = ()) -> OpenedSum:
        """The nearest integers, not flooded: for the key holder's eyes only."""
        parameters = self._parameters
        rows = np.empty((len(chunks), SLOTS))
        for place, (row, chunk) in enumerate(zip(rows, chunks, strict=True)):
            parameters.check_sum(chunk)
            vector = parameters.load(self._context, chunk)
            if pads:
                vector.sub_(parameters.pad_vector(self._context, pads[place]))
            row[:] = vector.decrypt()
        rows /= UNIT
        # Not clipped: at the limit, garbage would count as all members, or as their largest sum.
        counts = rows[:, 0] / parameters.bound
        values = rows[:, 1:].reshape(-1)
        found, rest = values[:size], values[size:]
        return OpenedSum(to_ring(found), counts, scheme.largest(found), scheme.largest(rest))
