"""Decoding of polynomials over the field of 65537 elements that are wrong at some points.

Polynomials are arrays of coefficients, the constant first, without zeros at the end.
"""

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.masked.field import PRIME, inverse, matmul, mul, power

__all__ = ["decode_polynomial", "evaluate"]

Polynomial = NDArray[np.uint32]


def evaluate(polynomial: Polynomial, xs: NDArray[np.integer]) -> NDArray[np.uint32]:
    """Values at points that are not zero, shape (n_points,)."""
    if not polynomial.size:
        return np.zeros(len(xs), dtype=np.uint32)
    vandermonde = power(np.asarray(xs)[:, None], np.arange(len(polynomial)))
    return matmul(vandermonde, polynomial[:, None])[:, 0]


def decode_polynomial(
    xs: NDArray[np.integer], ys: NDArray[np.integer], n_coefficients: int
) -> Polynomial | None:
    """The polynomial that goes through all but at most (n_points - n_coefficients) // 2 points.

    Gao (2003), "A new algorithm for decoding Reed-Solomon codes", algorithm 1: the extended
    Euclidean algorithm on the product of (x - x_i) and the polynomial through all points stops at
    the sought polynomial times the one whose roots are the wrong points.

    Parameters
    ----------
    xs : (n_points,), distinct and not zero
    ys : (n_points,)
    n_coefficients : int
        One more than the largest degree.

    Returns
    -------
    coefficients, at most `n_coefficients`, or None if there is no such polynomial.
    """
    n_points = len(xs)
    newton, through = _interpolate(xs, ys)
    upper, lower = newton, through
    upper_factor, lower_factor = np.zeros(0, dtype=np.uint32), np.ones(1, dtype=np.uint32)
    while 2 * (len(lower) - 1) >= n_points + n_coefficients:
        quotient, remainder = _divide(upper, lower)
        upper, lower = lower, remainder
        next_factor = _subtract(upper_factor, _multiply(quotient, lower_factor))
        upper_factor, lower_factor = lower_factor, next_factor
    found, remainder = _divide(lower, lower_factor)
    # A point that the quotient misses is a root of the factor, so there are few enough of them.
    return None if remainder.size or len(found) > n_coefficients else found


def _interpolate(xs: NDArray[np.integer], ys: NDArray[np.integer]) -> tuple[Polynomial, Polynomial]:
    """The product of (x - x_i), and the polynomial of a lower degree through all points."""
    points = np.asarray(xs, dtype=np.int64)
    differences = np.asarray(ys, dtype=np.int64).copy()
    for order in range(1, len(points)):
        steps = (points[order:] - points[:-order]) % PRIME
        rises = (differences[order:] - differences[order - 1 : -1]) % PRIME
        differences[order:] = mul(rises, inverse(steps))
    product, through = np.ones(1, dtype=np.uint32), np.zeros(0, dtype=np.uint32)
    for point, coefficient in zip(points, differences, strict=True):
        through = _subtract(through, mul(product, PRIME - coefficient))
        product = _subtract(np.concatenate(([0], product)), mul(product, point))
    return product, through


def _trimmed(values: NDArray[np.integer]) -> Polynomial:
    used = np.flatnonzero(values)
    return values[: used[-1] + 1 if used.size else 0].astype(np.uint32)


def _subtract(left: NDArray[np.integer], right: NDArray[np.integer]) -> Polynomial:
    difference = np.zeros(max(len(left), len(right)), dtype=np.int64)
    difference[: len(left)] = left
    difference[: len(right)] -= right
    return _trimmed(difference % PRIME)


def _multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    product = np.zeros(max(len(left) + len(right) - 1, 0), dtype=np.int64)
    for place, coefficient in enumerate(left):
        product[place : place + len(right)] += mul(right, coefficient)
    return _trimmed(product % PRIME)


def _divide(dividend: Polynomial, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
    rest = dividend.astype(np.int64)
    quotient = np.zeros(max(len(dividend) - len(divisor) + 1, 0), dtype=np.uint32)
    scale = inverse(divisor[-1])
    for place in reversed(range(len(quotient))):
        quotient[place] = mul(rest[place + len(divisor) - 1], scale)
        window = slice(place, place + len(divisor))
        rest[window] = (rest[window] - mul(divisor, quotient[place])) % PRIME
    return _trimmed(quotient), _trimmed(rest)
