"""Paillier: exact sums of a few values, with several of them in one plaintext.

Paillier (1999), "Public-key cryptosystems based on composite degree residuosity classes", by way
of the library `phe`. Values stand beside each other in one plaintext of `key_bits`, in as many
bits each as the layout's modulus has, which leaves room for all members' additions and weights.

Cost with 3072 bits, without gmpy2: 0.25 s for a ciphertext of 48 values of 62 bits, 0.07 s to
decrypt it, 768 bytes (4x float32). So 10,000 values take a member 52 s: it is for scalars and
short vectors. With gmpy2 installed phe is several times faster.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.secure.encrypted import scheme
from fedtrade.secure.encrypted.checks import check_size
from fedtrade.secure.encrypted.pads import WidePads
from fedtrade.secure.encrypted.scheme import KeyPair, OpenedSum, Security

__all__ = ["Paillier", "load_phe"]

MOST_ENTRY_BITS = 62
"""Entries are signed integers of 64 bits, and sums of two entries must be."""


def load_phe() -> Any:
    """The module `phe`.

    Raises
    ------
    ConfigurationError
        If it is not installed.
    """
    try:
        return importlib.import_module("phe")
    except ImportError as error:
        raise ConfigurationError(
            f"aggregation.scheme: paillier needs phe; install fedtrade[paillier] ({error})."
        ) from error


@dataclass(frozen=True)
class Paillier:
    """Parameters of packed Paillier.

    Attributes
    ----------
    n_members : int
        The most contributions to a sum.
    weighted : bool
        Whether each is multiplied by a weight of up to `MAX_WEIGHT`.
    key_bits : int
        Of the public modulus.
    least_modulus : int
        That the layout needs.
    """

    n_members: int
    weighted: bool
    key_bits: int
    least_modulus: int = 2**MOST_ENTRY_BITS

    name: ClassVar[str] = "paillier"
    is_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 2 <= self.entry_bits <= MOST_ENTRY_BITS:
            raise ConfigurationError(
                f"paillier: a modulus of {self.least_modulus} is asked for, and entries have 2 to "
                f"{MOST_ENTRY_BITS} bits; take coarser resolutions or fewer members."
            )
        if self.entries < 1 or self.key_bits % 8:
            raise ConfigurationError(
                f"paillier: key_bits={self.key_bits} must be a multiple of 8 and hold at least "
                f"two entries of {self.entry_bits} bits."
            )

    @property
    def entry_bits(self) -> int:
        """Bits of an entry in the plaintext."""
        return (self.least_modulus - 1).bit_length()

    @property
    def modulus(self) -> int:
        """A power of two."""
        return int(2**self.entry_bits)

    @property
    def entries(self) -> int:
        """Values beside the count; the last bits are for the sign and a modulus that is short."""
        return (self.key_bits - 2) // self.entry_bits - 1

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
        """By the strength of factoring keys."""
        bits = 128 if self.key_bits >= 3072 else 112 if self.key_bits >= 2048 else 80
        source = "NIST SP 800-57 part 1 revision 5, table 2"
        return Security(bits, f"a modulus of {self.key_bits} bits", source)

    def fields(self) -> Mapping[str, str | int]:
        """The parameters, for `scheme_from`."""
        return {
            "scheme": self.name,
            "n_members": self.n_members,
            "weighted": int(self.weighted),
            "key_bits": self.key_bits,
            "least_modulus": self.least_modulus,
        }

    def generate(self) -> KeyPair:
        """A fresh pair of keys."""
        public, secret = load_phe().generate_paillier_keypair(n_length=self.key_bits)
        size = self.key_bits // 8
        primes = secret.p.to_bytes(size, "big") + secret.q.to_bytes(size, "big")
        return KeyPair(public.n.to_bytes(size, "big"), primes)

    def public_key(self, public: bytes) -> Any:
        """Phe's public key."""
        self.check_public(public)
        return load_phe().PaillierPublicKey(int.from_bytes(public, "big"))

    def pads(self, public: bytes) -> WidePads:
        """Uniform modulo the public key, so over all slots at once and what is beyond them."""
        return WidePads(int(self.public_key(public).n))

    def encryptor(self, public: bytes) -> "PaillierEncryptor":
        """Of a public key."""
        return PaillierEncryptor(self, self.public_key(public))

    def decryptor(self, secret: bytes) -> "PaillierDecryptor":
        """Of a secret key."""
        size = self.key_bits // 8
        if len(secret) != 2 * size:
            raise ProtocolError(f"a secret key has {2 * size} bytes, got {len(secret)}.")
        p, q = int.from_bytes(secret[:size], "big"), int.from_bytes(secret[size:], "big")
        phe = load_phe()
        try:
            key = phe.PaillierPrivateKey(phe.PaillierPublicKey(p * q), p, q)
        except (ValueError, ZeroDivisionError) as error:
            raise ProtocolError(f"the secret key cannot be read: {error}.") from None
        return PaillierDecryptor(self, key)

    def accumulator(self, public: bytes) -> "PaillierAccumulator":
        """An empty sum."""
        return PaillierAccumulator(self, self.public_key(public))

    def check_public(self, public: bytes) -> None:
        """An odd number of `key_bits`."""
        check_size("a public key", public, self.key_bits // 8)
        number = int.from_bytes(public, "big")
        if number.bit_length() != self.key_bits or number % 2 == 0:
            raise ProtocolError(f"the public key is no odd number of {self.key_bits} bits.")

    def check_fresh(self, chunk: bytes) -> None:
        """Its size."""
        check_size("a ciphertext", chunk, self.key_bits // 4)
        if len(chunk) != self.key_bits // 4:
            raise ProtocolError(f"a ciphertext has {self.key_bits // 4} bytes, got {len(chunk)}.")

    def check_sum(self, chunk: bytes) -> None:
        """As `check_fresh`: adding changes no size."""
        self.check_fresh(chunk)

    def load(self, key: Any, chunk: bytes) -> int:
        """A ciphertext, a unit modulo the square of the public modulus.

        Raises
        ------
        ProtocolError
            If it is none.
        """
        self.check_fresh(chunk)
        number = int.from_bytes(chunk, "big")
        if not 0 < number < key.nsquare or math.gcd(number, key.n) != 1:
            raise ProtocolError("the ciphertext is no unit modulo the square of the public key.")
        return number

    def dump(self, number: int) -> bytes:
        """The inverse of `load`."""
        return number.to_bytes(self.key_bits // 4, "big")

    def error(self, n_contributors: int) -> float:
        """Zero."""
        return 0.0 * n_contributors


def pack(values: NDArray[np.int64], bits: int) -> int:
    """The integer whose digits to the base 2^bits are `values`, which may be negative."""
    found = 0
    for value in reversed(values.tolist()):
        found = (found << bits) + value
    return found


def unpack(packed: int, bits: int, n_values: int) -> list[int]:
    """The inverse of `pack` for digits from -2^(bits - 1) to below 2^(bits - 1)."""
    half, found = 1 << (bits - 1), []
    for _ in range(n_values):
        digit = ((packed + half) & (2 * half - 1)) - half
        found.append(digit)
        packed = (packed - digit) >> bits
    return found


class PaillierEncryptor:
    """Encrypts under a public key."""

    def __init__(self, parameters: Paillier, key: Any) -> None:
        self._parameters, self._key = parameters, key

    def encrypt(self, values: NDArray[np.int64], pad_key: bytes | None = None) -> list[bytes]:
        """One ciphertext for each `entries` values."""
        parameters, modulus = self._parameters, self._key.n
        scheme.check_values(values, parameters.bound)
        rows = scheme.split(values, parameters.entries, 1)
        plain = [pack(row, parameters.entry_bits) for row in rows]
        if pad_key is not None:
            pads = WidePads(modulus).total([(pad_key, 1)], len(plain))
            plain = [number + _number(pad) for number, pad in zip(plain, pads, strict=True)]
        return [parameters.dump(int(self._key.raw_encrypt(each % modulus))) for each in plain]


class PaillierDecryptor:
    """Decrypts with a secret key."""

    def __init__(self, parameters: Paillier, key: Any) -> None:
        self._parameters, self._key = parameters, key

    def decrypt(self, chunks: Sequence[bytes], size: int, pads: Sequence[bytes] = ()) -> OpenedSum:
        """The centred digits."""
        parameters, modulus = self._parameters, self._key.public_key.n
        n_slots, bits = parameters.entries + 1, parameters.entry_bits
        rows, beyond = np.empty((len(chunks), n_slots), dtype=np.int64), 0.0
        for place, (row, chunk) in enumerate(zip(rows, chunks, strict=True)):
            plain = int(self._key.raw_decrypt(parameters.load(self._key.public_key, chunk)))
            plain = (plain - _number(pads[place]) if pads else plain) % modulus
            centred = plain - modulus if plain > modulus // 2 else plain
            row[:] = unpack(centred, bits, n_slots)
            beyond = max(beyond, float(pack(row, bits) != centred))
        values = rows[:, 1:].reshape(-1)
        found, rest = values[:size], values[size:]
        return OpenedSum(
            found,
            rows[:, 0].astype(np.float64),
            scheme.largest(found),
            max(beyond, scheme.largest(rest)),
        )


def _number(pad: bytes) -> int:
    return int.from_bytes(pad, "big")


class PaillierAccumulator:
    """Adds under a public key."""

    def __init__(self, parameters: Paillier, key: Any) -> None:
        self._parameters, self._key = parameters, key
        self._total: list[int] = []

    def add(self, chunks: Sequence[bytes], weight: int) -> None:
        """Add `weight` times a contribution."""
        square = self._key.nsquare
        numbers = [self._parameters.load(self._key, chunk) for chunk in chunks]
        powers = [pow(number, weight, square) for number in numbers]
        before = self._total or [1] * len(powers)
        self._total = [a * b % square for a, b in zip(before, powers, strict=True)]

    def restore(self, chunks: Sequence[bytes]) -> None:
        """Go on from an earlier total."""
        self._total = [self._parameters.load(self._key, chunk) for chunk in chunks]

    def total(self) -> list[bytes]:
        """The chunks of the sum so far."""
        return [self._parameters.dump(number) for number in self._total]
