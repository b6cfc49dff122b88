"""What a release costs a group: several units that must be protected together.

One day of returns is in many overlapping windows, one person may have many accounts. What is
promised to each unit says too little about them all.
"""

from dataclasses import replace
from math import expm1, inf
from typing import Final

from fedtrade.errors import AccountingError
from fedtrade.privacy.checks import check_epsilon
from fedtrade.privacy.events import (
    Approximate,
    BoundedRange,
    Concentrated,
    DiscreteGaussian,
    Event,
    Gaussian,
    GroupGaussian,
    Laplace,
    Pure,
    Skellam,
)

__all__ = ["CHANGED", "group_event", "group_privacy", "together"]

CHANGED: Final = 2
"""A record that is gone changes a contribution to another one: by twice the most that a
contribution is, as if one participant had left and another come (Bun and Steinke 2016,
proposition 27)."""


def group_privacy(epsilon: float, delta: float, group_size: int) -> tuple[float, float]:
    """The (epsilon, delta) of a group under a mechanism that is (epsilon, delta)-DP for each.

    Epsilon grows by a factor of k, delta by 1 + e^epsilon + ... + e^((k - 1) epsilon): a path of k
    changes (Dwork and Roth 2014, theorem 2.2; Vadhan 2017, lemma 2.2).

    Raises
    ------
    AccountingError
        If `epsilon` is negative, `delta` not in [0, 1], or the group is empty.
    """
    check_epsilon(epsilon)
    _check_size(group_size)
    if not 0.0 <= delta <= 1.0:
        raise AccountingError(f"delta={delta} must lie in [0, 1].")
    whole = group_size * epsilon
    if epsilon == 0.0 or delta == 0.0:
        return whole, min(1.0, group_size * delta)
    factor = expm1(whole) / expm1(epsilon) if whole < 700.0 else inf
    return whole, min(1.0, delta * factor)


def group_event(event: Event, group_size: int) -> Event:
    """What the event costs a group of so many units, as an event of its own.

    Noise protects a group like one unit of so many times the sensitivity, which is much better
    than `group_privacy` of the outcome: with Gaussian noise, the group's delta grows no faster.
    With sampling, the number of those that take part is binomial (Ganesh, Tight group-level DP
    guarantees for DP-SGD with sampling via mixture of Gaussians mechanisms, 2024).

    Raises
    ------
    AccountingError
        If the group is empty, or so large that nothing is left of the promise.
    """
    _check_size(group_size)
    k = group_size
    if k == 1:
        return event
    match event:
        case Gaussian(sampling_probability=1.0) | Laplace():
            return replace(event, noise_multiplier=event.noise_multiplier / k)
        case Gaussian(noise, probability, count):
            return GroupGaussian(noise, probability, k, count)
        case GroupGaussian():
            return replace(event, group_size=k * event.group_size)
        case DiscreteGaussian() | Skellam():
            l2, l1 = k * event.l2_sensitivity, k * event.l1_sensitivity
            return replace(event, l2_sensitivity=l2, l1_sensitivity=l1)
        case Pure() | BoundedRange():
            return replace(event, epsilon=k * event.epsilon)
        case Concentrated():
            # Bun and Steinke 2016, proposition 27.
            return replace(event, rho=k**2 * event.rho)
        case Approximate():
            epsilon, delta = group_privacy(event.epsilon, event.delta, k)
            if delta >= 1.0:
                raise AccountingError(
                    f"nothing is left of {event} for a group of {k}: choose a smaller delta."
                )
            return replace(event, epsilon=epsilon, delta=delta)


def together(event: GroupGaussian) -> Gaussian:
    """A looser bound without a mixture: all of the group take part whenever any does.

    The divergence of a mixture is at most that of its worst part (joint convexity).
    """
    k, q = event.group_size, event.sampling_probability
    return Gaussian(event.noise_multiplier / k, 1.0 - (1.0 - q) ** k, event.count)


def _check_size(group_size: int) -> None:
    if type(group_size) is not int or group_size < 1:
        raise AccountingError(f"group_size={group_size!r} must be a whole number from 1.")
