"""Secrets of 32 bytes split among holders so that a threshold of them can put them together.

Shamir (1979), "How to share a secret", over the field of 65537 elements: a secret is 16 limbs of
16 bits, little-endian; limb by limb it is the constant of a random polynomial of degree
threshold - 1, and a share is the polynomials' values at the holder's point. Fewer shares than the
threshold are uniform whatever the secret is.

A packed share is 34 bytes: 16 little-endian words with the low 16 bits of the entries, then one
word whose bit i is set where entry i is 65536.
"""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.errors import ProtocolError, ThresholdError
from fedtrade.secure.masked.field import PRIME, from_log, log_products, matmul, power
from fedtrade.secure.masked.polynomials import decode_polynomial, evaluate

__all__ = [
    "N_LIMBS",
    "SECRET_BYTES",
    "SHARE_BYTES",
    "are_shares",
    "decode",
    "odd_shares",
    "pack",
    "reconstruct",
    "split",
    "unpack",
]

SECRET_BYTES: Final = 32
N_LIMBS: Final = 16
SHARE_BYTES: Final = 34

RandomBytes = Callable[[int], bytes]
BLOCK_ELEMENTS: Final = 1 << 20


def split(
    secrets: Sequence[bytes],
    xs: ArrayLike,
    threshold: int,
    *,
    random_bytes: RandomBytes = os.urandom,
) -> NDArray[np.uint32]:
    """One share of each secret for each holder.

    Parameters
    ----------
    secrets : sequence of n_secrets times 32 bytes
    xs : integers of shape (n_shares,)
        The holders' points, distinct and of 1 to 65536.
    threshold : int
        How many shares are needed.
    random_bytes : callable
        From a number of bytes to as many, which nobody can guess.

    Returns
    -------
    uint32 of shape (n_shares, n_secrets, 16)

    Raises
    ------
    ThresholdError
        If there are fewer holders than the threshold, or the threshold is below 1.
    ValueError
        If a secret or point is not of this kind.
    """
    points = _points(np.asarray(xs)[None])[0]
    if not 1 <= threshold <= len(points):
        raise ThresholdError(
            f"a secret of threshold {threshold} cannot be split among {len(points)} holders: the "
            f"threshold must be 1 to {len(points)}."
        )
    for secret in secrets:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a secret must have {SECRET_BYTES} bytes, got {len(secret)}.")
    limbs = np.frombuffer(b"".join(secrets), dtype="<u2")
    coefficients = np.empty((threshold, limbs.size), dtype=np.uint32)
    coefficients[0] = limbs
    coefficients[1:] = _uniform((threshold - 1) * limbs.size, random_bytes).reshape(
        threshold - 1, limbs.size
    )
    shares = matmul(_vandermonde(points.tobytes(), threshold), coefficients)
    return shares.reshape(len(points), len(secrets), N_LIMBS)


def reconstruct(shares: NDArray[np.integer], xs: ArrayLike, threshold: int) -> list[bytes | None]:
    """Many secrets at once, each from its first `threshold` shares.

    Wrong shares are not noticed: compare the secrets with what is known of them, and `decode`
    those that do not fit.

    Parameters
    ----------
    shares : (n_secrets, n_shares, 16)
    xs : integers of shape (n_secrets, n_shares)
        The points of the shares, distinct within a secret.
    threshold : int
        How many shares each was split to need.

    Returns
    -------
    The secrets; None for one whose shares are those of no 32 bytes.

    Raises
    ------
    ThresholdError
        If there are fewer shares than the threshold.
    ValueError
        If the shapes do not fit each other, or the points are not distinct or not 1 to 65536.
    """
    points = np.asarray(xs)
    if points.ndim != 2 or shares.shape != (*points.shape, N_LIMBS):
        raise ValueError(
            f"shares of shape (n_secrets, n_shares, {N_LIMBS}) need points of shape (n_secrets, "
            f"n_shares), got {shares.shape} and {points.shape}."
        )
    _enough(points.shape[1], threshold)
    points = _points(points[:, :threshold])
    height = max(1, BLOCK_ELEMENTS // threshold**2)
    secrets: list[bytes | None] = []
    for start in range(0, len(points), height):
        part = slice(start, start + height)
        weights = _weights(points[part], np.zeros(1, dtype=np.int32))
        limbs = matmul(weights, shares[part, :threshold])[:, 0]
        secrets.extend(_secret(row) for row in limbs)
    return secrets


def decode(
    shares: NDArray[np.integer], xs: ArrayLike, threshold: int
) -> tuple[bytes, tuple[int, ...]]:
    """A secret in spite of wrong shares, and which these are.

    Up to (n_shares - threshold) // 2 wrong shares are found. If there are more, it fails or, if
    they conspire, gives another secret: compare it with what is known of it.

    Parameters
    ----------
    shares : (n_shares, 16)
    xs : integers of shape (n_shares,)
        Their points, distinct.
    threshold : int
        How many shares the secret was split to need.

    Returns
    -------
    secret : 32 bytes
    wrong : indices of the wrong shares, ascending

    Raises
    ------
    ThresholdError
        If there are fewer shares than the threshold, or more of them are wrong than can be found.
    ValueError
        If the shapes do not fit, or the points are not distinct or not 1 to 65536.
    """
    points = _points(np.asarray(xs)[None])[0]
    if shares.shape != (len(points), N_LIMBS):
        raise ValueError(
            f"{len(points)} points need shares of shape ({len(points)}, {N_LIMBS}), got "
            f"{shares.shape}."
        )
    _enough(len(points), threshold)
    most_wrong = (len(points) - threshold) // 2
    right = np.arange(len(points))
    while (odd := _odd_limb(shares[right], points[right], threshold)) is not None:
        polynomial = decode_polynomial(points[right], shares[right, odd], threshold)
        if polynomial is None:
            raise _too_many_wrong(len(points), threshold, most_wrong)
        right = right[evaluate(polynomial, points[right]) == shares[right, odd]]
        if len(points) - len(right) > most_wrong:
            raise _too_many_wrong(len(points), threshold, most_wrong)
    secret = reconstruct(shares[None, right], points[None, right], threshold)[0]
    if secret is None:
        raise _too_many_wrong(len(points), threshold, most_wrong)
    return secret, tuple(np.setdiff1d(np.arange(len(points)), right).tolist())


def odd_shares(
    shares: NDArray[np.integer], xs: ArrayLike, right: NDArray[np.integer], threshold: int
) -> NDArray[np.int64]:
    """Which shares, of shape (n_shares, 16), are wrong if those of `threshold` indices are right.

    Raises
    ------
    ValueError
        If a point is not of this kind.
    """
    points = _points(np.asarray(xs)[None])[0]
    others = np.setdiff1d(np.arange(len(points)), right)
    weights = _weights(points[None, right[:threshold]], points[others])[0]
    is_odd = (matmul(weights, shares[right[:threshold]]) != shares[others]).any(axis=1)
    return np.asarray(others[is_odd])


def pack(shares: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Shares of shape (..., 16) as bytes of shape (..., 34)."""
    packed = np.empty((*shares.shape[:-1], SHARE_BYTES), dtype=np.uint8)
    low = (shares & 0xFFFF).astype("<u2")
    packed[..., : 2 * N_LIMBS] = low.view(np.uint8)
    packed[..., 2 * N_LIMBS :] = np.packbits(shares == PRIME - 1, axis=-1, bitorder="little")
    return packed


def unpack(packed: bytes | NDArray[np.uint8], n_secrets: int) -> NDArray[np.uint32]:
    """One holder's shares, shape (n_secrets, 16).

    Raises
    ------
    ProtocolError
        If these are not the bytes that `pack` makes of so many shares.
    """
    data = np.frombuffer(bytes(packed), dtype=np.uint8)
    if data.size != n_secrets * SHARE_BYTES:
        raise ProtocolError(
            f"shares of {n_secrets} secrets take {n_secrets * SHARE_BYTES} bytes, got {data.size}."
        )
    low, high = _halves(data.reshape(n_secrets, SHARE_BYTES))
    if _is_above(low, high).any():
        raise ProtocolError("an entry of a share is above 65536, which no element of the field is.")
    return np.asarray(low | (high.astype(np.uint32) << 16), dtype=np.uint32)


def are_shares(packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows of shape (n, 34) are bytes that `pack` makes of a share, shape (n,)."""
    return np.asarray(~_is_above(*_halves(packed)).any(axis=1))


def _halves(data: NDArray[np.uint8]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """The low 16 bits and the highest one of each limb, both of shape (n, 16)."""
    low = np.ascontiguousarray(data[:, : 2 * N_LIMBS]).view("<u2").astype(np.uint32)
    return low, np.unpackbits(data[:, 2 * N_LIMBS :], axis=-1, bitorder="little")


def _is_above(low: NDArray[np.uint32], high: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which limbs are no elements of the field."""
    return np.asarray((high == 1) & (low != 0))


def _points(xs: NDArray[np.integer]) -> NDArray[np.int32]:
    """Points of shape (n_secrets, n_shares), checked."""
    if not np.issubdtype(xs.dtype, np.integer):
        raise ValueError(f"points must be integers, got {xs.dtype}.")
    ordered = np.sort(xs, axis=1)
    if xs.size and (ordered[:, 0].min() < 1 or ordered[:, -1].max() >= PRIME):
        raise ValueError(
            f"points must be 1 to {PRIME - 1}, got {ordered.min()} to {ordered.max()}."
        )
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ValueError("the points of a secret's shares must be distinct.")
    return xs.astype(np.int32)


def _enough(n_shares: int, threshold: int) -> None:
    if threshold < 1:
        raise ThresholdError(f"a threshold must be at least 1, got {threshold}.")
    if n_shares < threshold:
        raise ThresholdError(
            f"a secret of threshold {threshold} needs so many shares, not {n_shares}."
        )


def _too_many_wrong(n_shares: int, threshold: int, most_wrong: int) -> ThresholdError:
    return ThresholdError(
        f"the shares do not fit each other: of {n_shares} shares at threshold {threshold} at most "
        f"({n_shares} - {threshold}) // 2 = {most_wrong} may be wrong."
    )


def _uniform(size: int, random_bytes: RandomBytes) -> NDArray[np.uint32]:
    """Field elements, each as likely as any other.

    2**32 - 1 is a multiple of 65537, so only the largest 32-bit word must be drawn again.
    """
    words = np.frombuffer(random_bytes(4 * size), dtype="<u4").astype(np.uint32)
    while (again := words == 0xFFFFFFFF).any():
        words[again] = np.frombuffer(random_bytes(4 * int(again.sum())), dtype="<u4")
    return words % np.uint32(PRIME)


@lru_cache(maxsize=16)
def _vandermonde(points: bytes, threshold: int) -> NDArray[np.float64]:
    """Powers 0 to threshold - 1 of each point: holders mostly have the points 1, 2, ..."""
    bases = np.frombuffer(points, dtype=np.int32)[:, None]
    powers = power(bases, np.arange(threshold)).astype(np.float64)
    powers.setflags(write=False)
    return powers


def _weights(points: NDArray[np.int32], targets: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Lagrange's weights of values at points (n_secrets, t) for those at targets (n_targets,).

    Shape (n_secrets, n_targets, t); no target may be one of the points.
    """
    # weight_i = prod_{j != i} (target - x_j) / (x_i - x_j)
    to_target = targets[None, :, None] - points[:, None, :]
    whole = log_products(to_target, axis=2)
    within = log_products(points[:, :, None] - points[:, None, :], axis=2)
    own = log_products(to_target[..., None], axis=3)
    return from_log(whole[:, :, None] - own - within[:, None, :])


def _odd_limb(shares: NDArray[np.integer], points: NDArray[np.int32], threshold: int) -> int | None:
    """A limb whose shares do not all lie on one polynomial."""
    weights = _weights(points[None, :threshold], points[threshold:])[0]
    odd = (matmul(weights, shares[:threshold]) != shares[threshold:]).any(axis=0)
    return int(np.argmax(odd)) if odd.any() else None


def _secret(limbs: NDArray[np.uint32]) -> bytes | None:
    return None if limbs.max() >= PRIME - 1 else limbs.astype("<u2").tobytes()
