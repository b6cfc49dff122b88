"""Noise of OpenDP: exact sampling from its own cryptographic source, which has no seed.

Everything here is in whole numbers; the loss that OpenDP proves for a mechanism is what is claimed.
"""

from collections.abc import Callable
from functools import lru_cache
from math import inf, nextafter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import PrivacyError

__all__ = ["laplace_noised", "noisy_argmax", "private_quantile"]


def laplace_noised(
    total: NDArray[np.int64], sensitivity: int, epsilon: float
) -> tuple[NDArray[np.int64], float]:
    """Whole numbers (n_params,) with discrete Laplace noise, and the proven epsilon."""
    measurement, proven = _laplace(sensitivity, epsilon)
    return np.array(measurement(total.tolist()), dtype=np.int64), proven


def noisy_argmax(
    scores: NDArray[np.int64],
    sensitivity: int,
    epsilon: float,
    noise: Literal["exponential", "gumbel"],
) -> int:
    """The place of the largest score with noise, epsilon-DP.

    Parameters
    ----------
    scores : int64 of shape (n_options,)
        One unit raises each by 0 to `sensitivity`, or lowers each.

    Raises
    ------
    PrivacyError
        If there is no option.
    """
    if not len(scores):
        raise PrivacyError(
            "scores have no column, and so there is no option to choose: give an array of shape "
            "(n_units, n_options) with one column an option."
        )
    return int(_noisy_max(sensitivity, epsilon, noise)(scores.tolist()))


def private_quantile(
    values: NDArray[np.float64], candidates: NDArray[np.float64], share: float, epsilon: float
) -> tuple[float, float]:
    """The candidate that lies nearest to a quantile, with noise, and the proven epsilon."""
    measurement, proven = _quantile(tuple(candidates.tolist()), share, epsilon)
    return float(measurement(values.tolist())), proven


# To build and to prove one takes longer than to use it.
@lru_cache(maxsize=32)
def _laplace(sensitivity: int, epsilon: float) -> tuple[Any, float]:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    return _least_noise(
        lambda scale: dp.m.make_laplace(*space, scale=scale),
        sensitivity / epsilon,
        sensitivity,
        epsilon,
    )


@lru_cache(maxsize=32)
def _noisy_max(sensitivity: int, epsilon: float, noise: str) -> Any:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.linf_distance(T="i64", monotonic=True)
    if noise == "exponential":
        measure, loss = dp.max_divergence(), epsilon
    else:
        # What is epsilon-DP by its bounded range is (epsilon^2 / 8)-zCDP, as OpenDP proves it.
        measure, loss = dp.zero_concentrated_divergence(), epsilon**2 / 8.0
    measurement, _ = _least_noise(
        lambda scale: dp.m.make_noisy_max(*space, measure, scale=scale),
        sensitivity / epsilon,
        sensitivity,
        loss,
    )
    return measurement


@lru_cache(maxsize=8)
def _quantile(candidates: tuple[float, ...], share: float, epsilon: float) -> tuple[Any, float]:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.symmetric_distance()

    def make(scale: float) -> Any:
        return dp.m.make_private_quantile(
            *space, dp.max_divergence(), candidates=list(candidates), alpha=share, scale=scale
        )

    return _least_noise(make, float(make(1.0).map(1)) / epsilon, 1, epsilon)


def _least_noise(
    make: Callable[[float], Any], scale: float, sensitivity: int, loss: float
) -> tuple[Any, float]:
    """The mechanism and its proven loss, at most so much; the scale is right but for rounding."""
    measurement = make(scale)
    while (proven := float(measurement.map(sensitivity))) > loss:
        scale = nextafter(scale, inf) * (1.0 + 1e-15)
        measurement = make(scale)
    return measurement, proven


def _opendp() -> Any:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    return dp
