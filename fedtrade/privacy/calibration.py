"""How much noise reaches a target."""

from collections.abc import Callable
from math import exp, isfinite, log, sqrt
from typing import Final

from fedtrade.errors import AccountingError
from fedtrade.privacy.accountant import spent
from fedtrade.privacy.analytic_gaussian import gaussian_noise_multiplier
from fedtrade.privacy.checks import check_target
from fedtrade.privacy.events import Event, Gaussian
from fedtrade.privacy.groups import group_event

__all__ = ["least_noise", "noise_multiplier"]

_TOLERANCE: Final = 0.002
"""Share of epsilon that may be left over."""
_MOST_NOISE: Final = 1e7
_LEAST_STEP: Final = 1e-9


def noise_multiplier(
    epsilon: float,
    delta: float,
    n_steps: int,
    sampling_probability: float = 1.0,
    accountant: str = "pld",
    group_size: int = 1,
) -> float:
    """The least noise with which so many Gaussian releases are (epsilon, delta)-DP together.

    Parameters
    ----------
    n_steps : int
        Releases, each with fresh noise.
    sampling_probability : float
        With which a unit is in one, by Poisson sampling.
    group_size : int
        Units that are protected together, each sampled by itself.

    Returns
    -------
    float
        Standard deviation over the L2 sensitivity to one unit. What it reaches, by the same
        accountant, is at most 0.2 % below `epsilon`, and never above.

    Raises
    ------
    AccountingError
        If a value is out of range, or no noise reaches the target.
    """
    check_target(epsilon, delta)

    def event(noise: float) -> Event:
        return group_event(Gaussian(noise, sampling_probability, n_steps), group_size)

    event(1.0)  # checks the other values
    unsampled = gaussian_noise_multiplier(epsilon, delta) * sqrt(n_steps) * group_size
    if accountant == "pld" and sampling_probability == 1.0:
        # The factor covers the rounding of the products.
        return unsampled * (1.0 + 1e-11)
    if accountant == "pld" and group_size > 1:
        # As many as take part on average, for want of a better guess.
        start = unsampled * sampling_probability
    elif accountant == "rdp":
        start = 1.0
    else:
        try:
            start = least_noise(event, epsilon, delta, "rdp")
        except AccountingError:
            start = 1.0
    return least_noise(event, epsilon, delta, accountant, start)


def least_noise(
    event: Callable[[float], Event],
    epsilon: float,
    delta: float,
    accountant: str = "pld",
    start: float = 1.0,
) -> float:
    """The least noise with which an event is (epsilon, delta)-DP.

    Parameters
    ----------
    event : callable
        Makes the event from the noise, a positive number; it must cost less the larger that is.
    start : float
        Where to begin to search; a good guess saves time.

    Returns
    -------
    float
        What it reaches is at most 0.2 % below `epsilon`, unless the cost jumps, and never above.

    Raises
    ------
    AccountingError
        If a value is out of range, or no noise reaches the target.
    """
    check_target(epsilon, delta)

    def excess(log_noise: float) -> float:
        """Logarithm of the cost over the target, and of the middle of what is tolerated."""
        cost = spent([event(exp(log_noise))], delta, accountant)
        return log(cost / epsilon) if cost > 0.0 else -log(_MOST_NOISE)

    return exp(_least(excess, log(start)))


def _least(excess: Callable[[float], float], start: float) -> float:
    """Where a falling function is within the tolerance below 0: by regula falsi (Illinois)."""
    low, above, high, below = _bracket(excess, start)
    aim, side, reached = log(1.0 - _TOLERANCE / 2.0), 0, below
    while reached < log(1.0 - _TOLERANCE) and high - low > _LEAST_STEP:
        share = (above - aim) / (above - below) if isfinite(above) else 0.5
        middle = low + (high - low) * min(max(share, 0.01), 0.99)
        found = excess(middle)
        if found <= 0.0:
            # The other end counts half if this one moves again, lest it stays for ever.
            above = aim + (above - aim) / 2.0 if side < 0 else above
            high, below, side, reached = middle, found, -1, found
        else:
            below = aim + (below - aim) / 2.0 if side > 0 else below
            low, above, side = middle, found, 1
    return high


def _bracket(excess: Callable[[float], float], start: float) -> tuple[float, float, float, float]:
    """Too little noise with its positive excess, and enough noise with its own."""
    step = log(1.25)
    found = excess(start)
    if found <= 0.0:
        high, below = start, found
        while (found := excess(high - step)) <= 0.0:
            high, below, step = high - step, found, 2.0 * step
            if high < -log(_MOST_NOISE):
                break
        return high - step, found, high, below
    low, above = start, found
    while (found := excess(low + step)) > 0.0:
        low, above, step = low + step, found, 2.0 * step
        if low > log(_MOST_NOISE):
            raise AccountingError(
                "no noise reaches that epsilon: ask for a larger epsilon or delta, or choose the "
                "accountant pld."
            )
    return low, above, low + step, found
