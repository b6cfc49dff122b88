"""Statistics and choices with noise: sums, histograms, quantiles, the best of several options.

Each mechanism takes what every unit contributes, one row a unit, clips it, and returns a noisy
value with the event to account. Units are added or removed; that there is one more is hidden too.
No mechanism adds floating-point noise: outcomes lie on a lattice that is public.
"""

from fedtrade.privacy.mechanisms.discrete_gaussian import discrete_gaussian
from fedtrade.privacy.mechanisms.discrete_laplace import discrete_laplace
from fedtrade.privacy.mechanisms.exponential import exponential
from fedtrade.privacy.mechanisms.gaussian import gaussian
from fedtrade.privacy.mechanisms.histogram import histogram
from fedtrade.privacy.mechanisms.laplace import laplace
from fedtrade.privacy.mechanisms.noisy_max import report_noisy_max
from fedtrade.privacy.mechanisms.quantile import quantile
from fedtrade.privacy.mechanisms.release import Release
from fedtrade.privacy.mechanisms.sensitivity_class import EpsilonShares, SensitivityClass
from fedtrade.privacy.mechanisms.sparse_vector import AboveThreshold

__all__ = [
    "AboveThreshold",
    "EpsilonShares",
    "Release",
    "SensitivityClass",
    "discrete_gaussian",
    "discrete_laplace",
    "exponential",
    "gaussian",
    "histogram",
    "laplace",
    "quantile",
    "report_noisy_max",
]
