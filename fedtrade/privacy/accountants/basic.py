"""Basic composition: epsilons and deltas add up."""

from dataclasses import replace
from math import inf

from fedtrade.privacy.accountants.search import delta_by_search
from fedtrade.privacy.analytic_gaussian import gaussian_epsilon
from fedtrade.privacy.checks import check_delta, check_epsilon
from fedtrade.privacy.events import (
    Approximate,
    BoundedRange,
    Event,
    Gaussian,
    GroupGaussian,
    Laplace,
    Pure,
)
from fedtrade.privacy.groups import together

__all__ = ["SumAccountant"]


class SumAccountant:
    """The sum of what each event costs alone (Dwork et al. 2006), which anybody can redo by hand.

    What events with a delta of their own leave of delta is divided evenly among those that are
    (epsilon, delta)-DP for every delta. What sampling gains is not counted. It has a bound for
    every event, and one that grows with the number of events where others grow with its root.
    """

    name = "sum"

    def __init__(self) -> None:
        self._epsilon = 0.0
        self._delta = 0.0
        self._flexible: dict[Event, int] = {}

    def compose(self, event: Event) -> None:
        """See `Accountant`."""
        match event:
            case Laplace():
                self._epsilon += event.count / event.noise_multiplier
            case Pure() | BoundedRange():
                self._epsilon += event.count * event.epsilon
            case Approximate():
                self._epsilon += event.count * event.epsilon
                self._delta += event.count * event.delta
            case _:
                one = replace(event, count=1)
                self._flexible[one] = self._flexible.get(one, 0) + event.count

    def epsilon(self, delta: float) -> float:
        """See `Accountant`."""
        check_delta(delta)
        left = delta - self._delta
        n_shares = sum(self._flexible.values())
        if left < 0.0 or (n_shares and left <= 0.0):
            return inf
        alone = (n * _alone(event, left / n_shares) for event, n in self._flexible.items())
        return self._epsilon + sum(alone)

    def delta(self, epsilon: float) -> float:
        """See `Accountant`."""
        check_epsilon(epsilon)
        if self._flexible:
            return delta_by_search(self.epsilon, epsilon)
        return min(self._delta, 1.0) if self._epsilon <= epsilon else 1.0


def _alone(event: Event, delta: float) -> float:
    if isinstance(event, GroupGaussian):
        event = together(event)
    if isinstance(event, Gaussian):
        return gaussian_epsilon(delta, event.noise_multiplier)
    from fedtrade.privacy.accountants.rdp import RDPAccountant

    moments = RDPAccountant()
    moments.compose(event)
    return moments.epsilon(delta)
