"""What BFV and CKKS share: TenSEAL's contexts, and how safe their parameters are.

Public-key encryption of both rests on ring learning with errors with a ternary secret. Only the
degree and the coefficient modulus (with the prime that SEAL drops from ciphertexts) matter to it.
A ciphertext is two polynomials. SEAL can store half of a *symmetric* ciphertext as a seed; that
needs the secret key, which members do not have: both halves of theirs depend on the public key.
"""

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.secure.encrypted.checks import check_size
from fedtrade.secure.encrypted.residue_sum import ResidueSum
from fedtrade.secure.encrypted.residues import Residues
from fedtrade.secure.encrypted.scheme import KeyPair, Security

__all__ = [
    "DEGREE",
    "LatticeAccumulator",
    "ciphertext_content",
    "lattice_keys",
    "lattice_security",
    "load_tenseal",
    "load_vector",
    "open_context",
    "rounding_deviation",
]

DEGREE = 8192
MOST_BITS = 218
METADATA_BYTES = 97
SECRET_CONTEXT_BYTES = 1 << 20

STANDARD = (
    "Albrecht et al. (2018), Homomorphic encryption standard, table 1, "
    "https://eprint.iacr.org/2019/939"
)


def load_tenseal() -> Any:
    """The module `tenseal`.

    Raises
    ------
    ConfigurationError
        If it is not installed.
    """
    try:
        importlib.import_module("tenseal.sealapi")
        return importlib.import_module("tenseal")
    except ImportError as error:
        raise ConfigurationError(
            f"aggregation.scheme: bfv and ckks need TenSEAL; install tenseal ({error})."
        ) from error


def lattice_security(prime_bits: tuple[int, ...]) -> Security:
    """128 bits or more: at degree 8192 with ternary secrets the modulus may have 218 bits."""
    total = sum(prime_bits)
    if total > MOST_BITS:
        raise ValueError(f"a modulus of {total} bits is beyond {MOST_BITS} at degree {DEGREE}.")
    statement = f"degree {DEGREE}, coefficient modulus of {total} bits (at most {MOST_BITS})"
    return Security(128, statement, STANDARD)


def ciphertext_content(n_primes: int) -> int:
    """Bytes of a ciphertext of two polynomials before compression."""
    return 2 * n_primes * DEGREE * 8 + METADATA_BYTES


def rounding_deviation() -> float:
    """Standard deviation of a coefficient's noise in a fresh ciphertext, about 21.

    SEAL encrypts zero modulo one more prime and divides by that prime, so what is left is the
    rounding of both polynomials: uniform of variance 1/12, one of them times the secret, whose
    coefficients are zero, one or minus one with the same probability.
    """
    return float(((DEGREE * 2 / 3 + 1) / 12) ** 0.5)


def lattice_keys(context: Any) -> KeyPair:
    """Both halves of a new context, without the keys of rotations and products."""
    rest = {"save_galois_keys": False, "save_relin_keys": False}
    public = context.serialize(save_public_key=True, save_secret_key=False, **rest)
    secret = context.serialize(save_public_key=False, save_secret_key=True, **rest)
    return KeyPair(public, secret)


def open_context(
    data: bytes, primes: list[int], plain_modulus: int, *, is_secret: bool, most: int
) -> Any:
    """A context from its bytes, with just the parameters that are agreed.

    Raises
    ------
    ProtocolError
        If it is none, has other parameters or the wrong half of the key.
    """
    check_size("a key", data, SECRET_CONTEXT_BYTES if is_secret else most)
    try:
        context = load_tenseal().context_from(data, n_threads=1)
        parameters = context.seal_context().data.key_context_data().parms()
        found = [prime.value() for prime in parameters.coeff_modulus()]
        plain, degree = parameters.plain_modulus().value(), parameters.poly_modulus_degree()
        has_secret, has_public = context.has_secret_key(), context.has_public_key()
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        raise ProtocolError(f"the key cannot be read: {error}.") from None
    if (found, plain, degree) != (primes, plain_modulus, DEGREE):
        raise ProtocolError(
            f"the key is for degree {degree}, primes {found} and plain modulus {plain}; degree "
            f"{DEGREE}, primes {primes} and plain modulus {plain_modulus} are agreed."
        )
    if has_secret != is_secret or (not is_secret and not has_public):
        raise ProtocolError(f"the key is not {'secret' if is_secret else 'public'}.")
    return context


def load_vector(
    read: Any, context: Any, chunk: bytes, *, n_primes: int, is_ntt: bool, scale: float = 1.0
) -> Any:
    """A vector of TenSEAL that is one ciphertext of two polynomials.

    Of another kind it would not decrypt to what was added up.

    Parameters
    ----------
    read : callable
        TenSEAL's own reader.
    n_primes : int
        Of the ciphertext's modulus.
    is_ntt : bool
        Whether its polynomials are stored as their values.
    scale : float
        That the ciphertext itself must have, besides what TenSEAL says of it.

    Raises
    ------
    ProtocolError
        If SEAL refuses it or it is of another kind.
    """
    try:
        vector = read(context, chunk)
        parts = vector.ciphertext()
        kinds = [(p.size(), p.coeff_modulus_size(), p.is_ntt_form(), p.scale) for p in parts]
        hides = not any(part.is_transparent() for part in parts)
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        raise ProtocolError(f"SEAL refuses the ciphertext: {error}.") from None
    if kinds != [(2, n_primes, is_ntt, scale)]:
        raise ProtocolError(
            f"the ciphertext is of the kind {kinds}; {[(2, n_primes, is_ntt, scale)]} is expected "
            "(polynomials, primes, transformed, scale)."
        )
    if not hides:
        raise ProtocolError("the ciphertext hides nothing: its second polynomial is zero.")
    return vector


class LatticeScheme(Protocol):
    """What an accumulator needs of BFV or CKKS."""

    def residues(self, context: Any) -> Residues:
        """How its ciphertexts are stored."""


class LatticeAccumulator:
    """Adds the residues of ciphertexts; weights are integers, so nothing else is multiplied.

    Peers' ciphertexts are unpacked and compared, and neither TenSEAL nor SEAL reads them.
    """

    def __init__(self, parameters: LatticeScheme, context: Any) -> None:
        self._form = parameters.residues(context)
        self._sum: ResidueSum | None = None

    def add(self, chunks: Sequence[bytes], weight: int) -> None:
        """Add `weight` times a contribution."""
        arrays = [self._form.read(chunk) for chunk in chunks]
        if self._sum is None:
            self._sum = ResidueSum(self._form.primes, (len(chunks), *self._form.shape))
        self._sum.add(arrays, weight)

    def restore(self, chunks: Sequence[bytes]) -> None:
        """Go on from an earlier total."""
        self._sum = None
        self.add(chunks, 1)

    def total(self) -> list[bytes]:
        """The chunks of the sum so far."""
        return [] if self._sum is None else [self._form.write(row) for row in self._sum.total()]
