"""Privacy loss distributions by dp-accounting: the tightest, for mechanisms known exactly."""

from dataclasses import replace
from math import ceil, sqrt
from typing import Any, TypeAlias

from dp_accounting.pld import common, privacy_loss_distribution
from scipy.stats import binom

from fedtrade.privacy.accountants.profile import dominating_distribution
from fedtrade.privacy.accountants.rdp import RDPAccountant
from fedtrade.privacy.analytic_gaussian import gaussian_delta, gaussian_epsilon
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

__all__ = ["PLDAccountant"]

_Exact: TypeAlias = Gaussian | GroupGaussian | Laplace | Pure | Approximate

_INTERVAL = 1e-4
_GROUPS_INTERVAL = 2e-3
_GROUPS_ERROR = 5e-4
"""Of epsilon, as reckoned from the square of the interval and the number of events."""
_MOST_POINTS = 500_000
"""Of the grid on one side of zero; it is coarser where losses exceed it."""


class PLDAccountant:
    """Composition of privacy loss distributions (Koskela et al. 2020; Doroshenko et al. 2022).

    Losses are rounded up to multiples of 1e-4, or coarser where they exceed 50 (which promises
    nothing), so that the bound is tight but never too small; where a group is sampled to multiples
    of at most 0.002, as each takes long there. Gaussians without sampling are added up in closed
    form. Of noise on the lattice only moments are bounded: of those events together it takes the
    bound of `rdp`, as a distribution where there are events of other kinds. A group of sampled
    units is a mixture of Gaussians (Ganesh 2024). Wherever `rdp` is lower, it is taken.
    """

    name = "pld"

    def __init__(self) -> None:
        self._precision = 0.0
        """Sum of 1 / noise_multiplier^2: Gaussians together are one of 1 / sqrt of it."""
        self._exact: dict[_Exact, int] = {}
        self._bounded = RDPAccountant()
        """Events of which moments are known."""
        self._has_bounded = False
        self._all = RDPAccountant()
        self._total: Any = None

    def compose(self, event: Event) -> None:
        """See `Accountant`."""
        self._total = None
        self._all.compose(event)
        match event:
            case Gaussian(sampling_probability=1.0):
                self._precision += event.count / event.noise_multiplier**2
            case GroupGaussian(sampling_probability=1.0):
                self._precision += event.count * (event.group_size / event.noise_multiplier) ** 2
            case BoundedRange():
                self._add(Pure(event.epsilon), event.count)
            case Gaussian() | GroupGaussian() | Laplace() | Pure() | Approximate():
                self._add(replace(event, count=1), event.count)
            case _:
                self._bounded.compose(event)
                self._has_bounded = True

    def epsilon(self, delta: float) -> float:
        """See `Accountant`."""
        check_delta(delta)
        if not self._exact and not self._has_bounded:
            return gaussian_epsilon(delta, self._noise()) if self._precision else 0.0
        if self._is_bounded_only():
            return self._bounded.epsilon(delta)
        found = float(self._distribution().get_epsilon_for_delta(delta))
        return min(found, self._all.epsilon(delta))

    def delta(self, epsilon: float) -> float:
        """See `Accountant`."""
        check_epsilon(epsilon)
        if not self._exact and not self._has_bounded:
            return gaussian_delta(epsilon, self._noise()) if self._precision else 0.0
        if self._is_bounded_only():
            return self._bounded.delta(epsilon)
        found = float(self._distribution().get_delta_for_epsilon(epsilon))
        return min(found, self._all.delta(epsilon))

    def _add(self, one: _Exact, count: int) -> None:
        self._exact[one] = self._exact.get(one, 0) + count

    def _noise(self) -> float:
        return 1.0 / sqrt(self._precision)

    def _is_bounded_only(self) -> bool:
        return self._has_bounded and not self._exact and not self._precision

    def _distribution(self) -> Any:
        if self._total is None:
            interval = self._interval()
            parts = [_distribution(e, interval).self_compose(n) for e, n in self._exact.items()]
            if self._precision:
                parts.append(_distribution(Gaussian(self._noise()), interval))
            if self._has_bounded:
                parts.append(dominating_distribution(self._bounded, interval))
            total = parts[0]
            for part in parts[1:]:
                total = total.compose(part)
            self._total = total
        return self._total

    def _interval(self) -> float:
        """Of the grid: 1e-4 unless that would take too long or not fit into memory."""
        interval = _INTERVAL
        if any(isinstance(event, GroupGaussian) for event in self._exact):
            allowed = sqrt(_GROUPS_ERROR / sum(self._exact.values()))
            interval = min(max(interval, allowed), _GROUPS_INTERVAL)
        mean = self._all.first_moment()
        largest = max([mean + 10.0 * sqrt(2.0 * mean), *map(_loss, self._exact)])
        return interval * max(1, ceil(largest / interval / _MOST_POINTS))


def _loss(event: _Exact) -> float:
    """The largest loss of one event that is not utterly improbable."""
    if isinstance(event, GroupGaussian):
        event = together(event)
    match event:
        case Gaussian(noise):
            return float(0.5 / noise**2 + 10.0 / noise)
        case Laplace(noise):
            return float(1.0 / noise)
    return event.epsilon


def _distribution(event: _Exact, interval: float) -> Any:
    match event:
        case Gaussian(noise, probability):
            return privacy_loss_distribution.from_gaussian_mechanism(
                noise, sampling_prob=probability, value_discretization_interval=interval
            )
        case GroupGaussian(noise, probability, size):
            return privacy_loss_distribution.from_mixture_gaussian_mechanism(
                noise,
                list(range(size + 1)),
                [float(binom.pmf(k, size, probability)) for k in range(size + 1)],
                value_discretization_interval=interval,
            )
        case Laplace(noise):
            return privacy_loss_distribution.from_laplace_mechanism(
                noise, value_discretization_interval=interval
            )
    delta = event.delta if isinstance(event, Approximate) else 0.0
    return privacy_loss_distribution.from_privacy_parameters(
        common.DifferentialPrivacyParameters(event.epsilon, delta),
        value_discretization_interval=interval,
    )
