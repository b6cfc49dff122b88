"""Renyi differential privacy by dp-accounting: moments, for whatever has bounded ones."""

from math import exp, expm1, inf, log1p

import numpy as np
from dp_accounting import dp_event
from dp_accounting.rdp import RdpAccountant
from numpy.typing import NDArray

from fedtrade.privacy.checks import check_delta, check_epsilon
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
from fedtrade.privacy.groups import together
from fedtrade.privacy.zcdp import discrete_gaussian_rho, skellam_rdp

__all__ = ["RDPAccountant"]

_ORDERS = (
    *(1.0 + x / 10.0 for x in range(1, 50)),
    *(6.0 + x / 5.0 for x in range(30)),
    *range(12, 64),
    *(64, 80, 96, 128, 192, 256, 384, 512, 768, 1024),
)


class RDPAccountant:
    """Moments of the privacy loss at many orders (Mironov 2017; Mironov, Talwar and Zhang 2019).

    It has a bound for every event and costs hardly any time. Its epsilon is up to about 15 % above
    that of `pld`, which no finer orders and no better conversion would mend, and more below 0.01,
    as the largest order is 1024. An (epsilon, delta) event is taken for one that fails altogether
    with probability delta (Kairouz, Oh and Viswanath 2015).
    """

    name = "rdp"

    def __init__(self) -> None:
        self._moments = _Moments()
        self._log_sound = 0.0
        """Logarithm of the probability that no event failed altogether."""

    def compose(self, event: Event) -> None:
        """See `Accountant`."""
        match event:
            case Gaussian(sampling_probability=1.0):
                one = dp_event.GaussianDpEvent(event.noise_multiplier)
                self._moments.compose(one, event.count)
            case Gaussian():
                self._moments.add(event.count * _sampled_gaussian(event))
            case GroupGaussian():
                self.compose(together(event))
            case Laplace():
                one = dp_event.LaplaceDpEvent(event.noise_multiplier)
                self._moments.compose(one, event.count)
            case Concentrated():
                self._moments.compose(dp_event.ZCDpEvent(event.rho), event.count)
            case DiscreteGaussian():
                one = dp_event.ZCDpEvent(discrete_gaussian_rho(event))
                self._moments.compose(one, event.count)
            case Skellam():
                self._moments.add(event.count * skellam_rdp(event, np.array(_ORDERS)))
            case Pure():
                self._moments.add(event.count * _randomised_response(event.epsilon))
            case BoundedRange():
                concentrated = np.array(_ORDERS) * event.epsilon**2 / 8.0
                pure = _randomised_response(event.epsilon)
                self._moments.add(event.count * np.minimum(concentrated, pure))
            case Approximate():
                self._moments.add(event.count * _randomised_response(event.epsilon))
                self._log_sound += event.count * log1p(-event.delta)

    def epsilon(self, delta: float) -> float:
        """See `Accountant`."""
        check_delta(delta)
        failed = -expm1(self._log_sound)
        if failed >= delta:
            return inf
        return float(self._moments.get_epsilon((delta - failed) / exp(self._log_sound)))

    def delta(self, epsilon: float) -> float:
        """See `Accountant`."""
        check_epsilon(epsilon)
        sound = exp(self._log_sound)
        return float(min(1.0, 1.0 - sound + sound * self._moments.get_delta(epsilon)))

    def first_moment(self) -> float:
        """A bound on the expected loss: the divergence of the lowest order."""
        return float(self._moments.rdp[0])


class _Moments(RdpAccountant):  # type: ignore[misc]  # dp-accounting has no types
    """With a way to add moments that dp-accounting has no event for."""

    _rdp: NDArray[np.float64]

    def __init__(self) -> None:
        super().__init__(_ORDERS)

    def add(self, moments: NDArray[np.float64]) -> None:
        self._rdp = self._rdp + moments


def _sampled_gaussian(event: Gaussian) -> NDArray[np.float64]:
    """Moments from order 2 on; for lower ones, whose series may diverge, that of order 2."""
    lower = [order for order in _ORDERS if order < 2.0]
    own = RdpAccountant(_ORDERS[len(lower) :])
    one = dp_event.GaussianDpEvent(event.noise_multiplier)
    own.compose(dp_event.PoissonSampledDpEvent(event.sampling_probability, one))
    return np.concatenate([np.full(len(lower), own.rdp[0]), own.rdp])


def _randomised_response(epsilon: float) -> NDArray[np.float64]:
    """Moments of the worst mechanism that is epsilon-DP (Mironov 2017, proposition 5)."""
    orders = np.array(_ORDERS)
    keep, flip = -np.logaddexp(0.0, -epsilon), -np.logaddexp(0.0, epsilon)
    total = np.logaddexp(orders * keep + (1 - orders) * flip, orders * flip + (1 - orders) * keep)
    # Rounding must not take anything away.
    return np.asarray(np.maximum(total / (orders - 1.0), 0.0) + 1e-14)
