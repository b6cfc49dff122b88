"""Quantiles of one value a unit (Smith 2011)."""

import numpy as np
from numpy.typing import ArrayLike

from fedtrade.errors import PrivacyError
from fedtrade.privacy.checks import check_spend
from fedtrade.privacy.events import Pure
from fedtrade.privacy.mechanisms.opendp_noise import private_quantile
from fedtrade.privacy.mechanisms.release import Release

__all__ = ["quantile"]


def quantile(
    values: ArrayLike, share: float, candidates: ArrayLike, *, epsilon: float
) -> Release[float]:
    """The candidate below which about such a share of the values lies.

    Each candidate's score is how far the number of values below it is from what it should be; the
    best with exponential noise is released. Its value is one of the candidates, whatever the data.

    Parameters
    ----------
    values : array of shape (n_units,)
        One a unit.
    share : float
        0.5 for the median.
    candidates : array of shape (n_candidates,)
        Public, and rising.
    epsilon : float
        Against adding or removing one unit.

    Raises
    ------
    PrivacyError
        If a value is not finite, candidates do not rise, or `share` is not in [0, 1].
    """
    check_spend(epsilon)
    given = np.asarray(values, dtype=np.float64)
    choices = np.asarray(candidates, dtype=np.float64)
    if not 0.0 <= share <= 1.0:
        raise PrivacyError(f"share={share} of a quantile must lie in [0, 1].")
    if choices.ndim != 1 or not len(choices) or not np.isfinite(choices).all():
        raise PrivacyError("candidates of a quantile must be finite numbers.")
    if not np.all(np.diff(choices) > 0.0):
        raise PrivacyError("candidates of a quantile must rise.")
    if given.ndim != 1 or not np.all(np.isfinite(given)):
        raise PrivacyError("values of a quantile must be one finite number a unit.")
    found, proven = private_quantile(given, choices, share, epsilon)
    return Release(found, Pure(proven))
