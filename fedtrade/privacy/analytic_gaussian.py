"""The exact privacy of Gaussian noise in closed form.

Balle and Wang, Improving the Gaussian mechanism for differential privacy (ICML 2018), theorem 8.
"""

from collections.abc import Callable
from math import exp, inf

__all__ = ["gaussian_delta", "gaussian_epsilon", "gaussian_noise_multiplier"]


def gaussian_delta(epsilon: float, noise_multiplier: float) -> float:
    """The least delta of Gaussian noise so many L2 sensitivities wide."""
    from scipy.special import log_ndtr, ndtr

    half, shift = 0.5 / noise_multiplier, epsilon * noise_multiplier
    # exp(epsilon) overflows where the other factor vanishes.
    subtrahend = exp(min(epsilon + float(log_ndtr(-half - shift)), 0.0))
    return max(float(ndtr(half - shift)) - subtrahend, 0.0)


def gaussian_epsilon(delta: float, noise_multiplier: float) -> float:
    """The least epsilon at `delta`, rounded up; 0 where delta alone covers it."""
    return _least(lambda epsilon: gaussian_delta(epsilon, noise_multiplier) <= delta, 0.0)


def gaussian_noise_multiplier(epsilon: float, delta: float) -> float:
    """The least noise, in L2 sensitivities, that is (epsilon, delta)-DP, rounded up."""
    return _least(lambda noise: gaussian_delta(epsilon, noise) <= delta, 1e-9)


def _least(holds: Callable[[float], bool], low: float) -> float:
    """The least value from which on it holds, by bisection to twelve digits; never too small."""
    if holds(low):
        return low
    high = max(2.0 * low, 1.0)
    while not holds(high):
        low, high = high, 2.0 * high
        if high > 1e12:
            return inf
    while high - low > 1e-12 * high:
        middle = (low + high) / 2.0
        if not low < middle < high:
            break
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
