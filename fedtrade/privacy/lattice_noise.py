"""Integers from a discrete Gaussian, many at a time and exact.

The probability of k is proportional to exp(-k^2 / (2 sigma^2)). Canonne, Kamath and Steinke (2020),
https://arxiv.org/abs/2004.00010, algorithm 3: propose from a discrete Laplace distribution, accept
some. Its coins are comparisons of a uniform number with a function of the proposal. They are made
in float64 where the outcome is beyond doubt, and with 80 decimal digits and 256 more bits of the
uniform number where it is not, so that no rounding has a say in which integer comes out, but for a
probability below 2^-200 in each. What remains is the assumption that the random bytes are uniform:
they are the stream of ChaCha20 under a fresh key.

How long it takes depends on the draws; whoever can time a party to the microsecond learns how many
proposals it refused, and nothing of which.
"""

import math
from collections.abc import Callable, Iterator
from decimal import Context as DecimalContext
from decimal import Decimal
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from fedtrade.errors import PrivacyError

__all__ = ["LARGEST_SIGMA", "discrete_gaussian"]

LARGEST_SIGMA: Final = 2.0**32
"""Beyond it float64 would leave too much in doubt."""

DOUBT: Final = 1e-12
"""Far above the rounding errors of a comparison of probabilities in float64."""
ROUNDING: Final = 4e-15
"""Far above the relative error of a logarithm times a number in float64."""

ACCEPTED: Final = 0.7
"""Of proposals: at least 0.75 where sigma is 1 or more, half if it is tiny."""

DECIMAL: Final = DecimalContext(prec=80)
MORE_BITS: Final = 256
KEY_BYTES, NONCE_BYTES = 32, 16

RandomBytes = Callable[[int], bytes]


def discrete_gaussian(size: int, sigma: float, random_bytes: RandomBytes) -> NDArray[np.int64]:
    """Independent integers, each discrete Gaussian around zero.

    Parameters
    ----------
    sigma : float
        Its parameter, which is the standard deviation but for less than 1e-6 where it is 1 or more;
        positive and at most `LARGEST_SIGMA`.
    random_bytes : callable
        Gives so many bytes from a cryptographic source, such as `os.urandom`; it is asked for 48.

    Returns
    -------
    int64 of shape (size,)

    Raises
    ------
    PrivacyError
        If `sigma` is out of range.
    """
    if not 0.0 < sigma <= LARGEST_SIGMA:
        raise PrivacyError(f"sigma must be positive and at most 2^32, got {sigma!r}.")
    stream = _Stream(random_bytes(KEY_BYTES + NONCE_BYTES))
    found: list[NDArray[np.int64]] = []
    missing = size
    while missing > 0:
        found.append(_proposals(int(missing / ACCEPTED) + 16, sigma, stream, DOUBT)[:missing])
        missing -= len(found[-1])
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


class _Stream:
    """Random words that a key of ChaCha20 expands to."""

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(ChaCha20(key[:KEY_BYTES], key[KEY_BYTES:]), mode=None)
        self._encryptor = cipher.encryptor()

    def words(self, size: int) -> NDArray[np.uint64]:
        """So many of 64 bits."""
        stream = self._encryptor.update(bytes(8 * size))
        words: NDArray[np.uint64] = np.frombuffer(stream, dtype="<u8")
        return words

    def more(self, word: int) -> Decimal:
        """The uniform number in (0, 1) whose first 64 bits are a word."""
        rest = int.from_bytes(self._encryptor.update(bytes(MORE_BITS // 8)), "little")
        whole = (word << MORE_BITS) + rest
        half = DECIMAL.add(Decimal(whole), Decimal("0.5"))
        return DECIMAL.divide(half, Decimal(1 << (64 + MORE_BITS)))


def _proposals(size: int, sigma: float, stream: _Stream, doubt: float) -> NDArray[np.int64]:
    """Those of so many proposals that are accepted; beyond doubt by float64, else exactly."""
    scale = math.floor(sigma) + 1
    signs, sizes, coins = stream.words(size), stream.words(size), stream.words(size)
    magnitude = _geometric(sizes, scale, stream, doubt)
    is_negative = (signs & np.uint64(1)).astype(bool)
    centre = sigma * sigma / scale
    exponent = np.square((magnitude - centre) / sigma) / 2.0
    chance, coin = np.exp(-exponent), _floats(coins)
    is_accepted = coin < chance
    for place in _doubtful(np.abs(coin - chance) <= doubt):
        is_accepted[place] = _accepts(stream.more(int(coins[place])), int(magnitude[place]), sigma)
    is_accepted &= ~(is_negative & (magnitude == 0))  # zero has one sign only
    kept: NDArray[np.int64] = np.where(is_negative, -magnitude, magnitude)[is_accepted]
    return kept


def _geometric(
    words: NDArray[np.uint64], scale: int, stream: _Stream, doubt: float
) -> NDArray[np.int64]:
    """K with probability proportional to exp(-k / scale): floor(-scale * log(U)), U uniform."""
    uniform = _floats(words)
    found = -scale * np.log(uniform)
    # Rounding moves it by parts of itself and of the scale, bits that a word lacks by 2^-64 / U.
    reach = doubt + ROUNDING * (found + scale) + scale * 2.0**-63 / uniform
    magnitude: NDArray[np.int64] = np.floor(found).astype(np.int64)
    for place in _doubtful(np.abs(found - np.rint(found)) <= reach):
        exact = DECIMAL.multiply(stream.more(int(words[place])).ln(DECIMAL), Decimal(-scale))
        magnitude[place] = math.floor(exact)
    return magnitude


def _accepts(coin: Decimal, magnitude: int, sigma: float) -> bool:
    """Whether the coin is below exp(-(magnitude - sigma^2 / t)^2 / (2 sigma^2)), t the scale."""
    square = DECIMAL.multiply(Decimal(sigma), Decimal(sigma))
    centre = DECIMAL.divide(square, Decimal(math.floor(sigma) + 1))
    off = DECIMAL.subtract(Decimal(magnitude), centre)
    exponent = DECIMAL.divide(DECIMAL.multiply(off, off), DECIMAL.multiply(square, Decimal(2)))
    return coin < DECIMAL.exp(DECIMAL.minus(exponent))


def _floats(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """In (0, 1)."""
    return (words.astype(np.float64) + 0.5) * 2.0**-64


def _doubtful(is_near: NDArray[np.bool_]) -> Iterator[int]:
    return iter(np.flatnonzero(is_near).tolist())
