"""Bounds on the moments of noise on the lattice, and what concentrated DP means for delta."""

from math import exp, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from fedtrade.privacy.events import DiscreteGaussian, Skellam

__all__ = ["discrete_gaussian_rho", "skellam_rdp"]


def discrete_gaussian_rho(event: DiscreteGaussian) -> float:
    """The rho for which one release of a sum of discrete Gaussians is rho-zCDP.

    Kairouz, Liu and Steinke, The distributed discrete Gaussian mechanism (ICML 2021),
    proposition 14, the second and third terms; of a single discrete Gaussian it is that of the
    continuous one (Canonne, Kamath and Steinke 2020, theorem 4).
    """
    width = sqrt(event.n_summands) * event.stddev
    l2, l1 = event.l2_sensitivity / width, event.l1_sensitivity / width
    tau = _distance(event.stddev, event.n_summands)
    with_l1 = l2**2 + 2.0 * l1 * tau + tau**2 * event.n_params
    with_l2 = (l2 + tau * sqrt(event.n_params)) ** 2
    return min(with_l1, with_l2) / 2.0


def skellam_rdp(event: Skellam, orders: NDArray[np.float64]) -> NDArray[np.float64]:
    """Renyi divergences of one release with Skellam noise, of the shape of `orders`.

    Agarwal, Kairouz and Liu, The Skellam mechanism for differentially private federated learning
    (NeurIPS 2021), corollary 3.6, which is for whole orders; others are rounded up.
    """
    a, mu = np.ceil(orders), event.variance
    l2, l1 = event.l2_sensitivity, event.l1_sensitivity
    near_gaussian = ((2.0 * a - 1.0) * l2**2 + 6.0 * l1) / (4.0 * mu**2)
    return a * l2**2 / (2.0 * mu) + np.minimum(near_gaussian, 3.0 * l1 / (2.0 * mu))


def _distance(stddev: float, n_summands: int) -> float:
    """The paper's tau: how far a sum of discrete Gaussians may be from one."""
    return 10.0 * sum(exp(-2.0 * (pi * stddev) ** 2 * k / (k + 1)) for k in range(1, n_summands))
