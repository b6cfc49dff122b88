"""A distribution that dominates whatever has certain moments."""

from math import sqrt

import numpy as np
import pytest

from fedtrade.privacy import Concentrated
from fedtrade.privacy.accountants.profile import _convex_hull, dominating_distribution
from fedtrade.privacy.accountants.rdp import RDPAccountant
from fedtrade.privacy.analytic_gaussian import gaussian_delta

INTERVAL = 1e-3


def bounded(rho: float) -> RDPAccountant:
    moments = RDPAccountant()
    moments.compose(Concentrated(rho))
    return moments


@pytest.mark.parametrize("rho", [0.001, 0.1, 2.0])
def test_it_has_the_deltas_of_the_bound(rho: float) -> None:
    """Up to the straight lines between its points, and never less where those are."""
    moments = bounded(rho)
    found = dominating_distribution(moments, INTERVAL)
    for delta in (1e-3, 1e-6, 1e-9):
        expected = moments.epsilon(delta)
        assert expected * (1 - 1e-6) <= found.get_epsilon_for_delta(delta) <= 1.01 * expected


@pytest.mark.parametrize("rho", [0.001, 0.1, 2.0])
@pytest.mark.parametrize("n_times", [1, 3])
def test_it_costs_more_than_any_mechanism_with_these_moments(rho: float, n_times: int) -> None:
    """Gaussian noise is one, alone or composed with itself."""
    found = dominating_distribution(bounded(rho), INTERVAL).self_compose(n_times)
    noise = 1.0 / sqrt(2.0 * rho * n_times)
    for epsilon in (0.0, 0.01, 0.1, 0.5, 2.0, 5.0, 10.0):
        assert found.get_delta_for_epsilon(epsilon) >= gaussian_delta(epsilon, noise)


def test_a_hull_cuts_corners_that_stick_out() -> None:
    """Between (0, 1) and (2, 0) a point at (1, 0.8) lies above the line, one at (1, 0.2) below."""
    x = np.array([1.0, 2.0, 3.0])
    assert _convex_hull(x, np.array([0.8, 0.0, 0.0])).tolist() == [0.5, 0.0, 0.0]
    assert _convex_hull(x, np.array([0.2, 0.0, 0.0])).tolist() == [0.2, 0.0, 0.0]
