"""Choice of an option by the exponential mechanism (McSherry and Talwar 2007)."""

from numpy.typing import ArrayLike

from fedtrade.privacy.checks import check_clip, check_spend
from fedtrade.privacy.events import BoundedRange
from fedtrade.privacy.mechanisms.contributions import clipped_sum, lattice_step
from fedtrade.privacy.mechanisms.opendp_noise import noisy_argmax
from fedtrade.privacy.mechanisms.release import Release

__all__ = ["exponential"]


def exponential(scores: ArrayLike, *, clip: float, epsilon: float) -> Release[int]:
    """An option, with a probability proportional to exp(epsilon * total score / clip).

    Each unit gives every option a score from 0 up, and so can only raise totals: half the noise of
    the general mechanism is enough. Noise is Gumbel's, added and compared exactly.

    Parameters
    ----------
    scores : array of shape (n_units, n_options)
        One row a unit, each number cut to [0, `clip`].
    clip : float
        Largest score.
    epsilon : float
        Against adding or removing one unit.

    Returns
    -------
    Release of the place of an option

    Raises
    ------
    PrivacyError
        If a value is out of range or not finite.
    """
    check_spend(epsilon)
    check_clip(clip)
    found = clipped_sum(scores, clip, "range", lattice_step(clip, clip / epsilon))
    chosen = noisy_argmax(found.total, found.sensitivity, epsilon, "gumbel")
    return Release(chosen, BoundedRange(epsilon))
