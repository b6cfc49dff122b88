"""Report-noisy-max: the option whose score is largest with noise (Dwork and Roth 2014)."""

from numpy.typing import ArrayLike

from fedtrade.privacy.checks import check_clip, check_spend
from fedtrade.privacy.events import Pure
from fedtrade.privacy.mechanisms.contributions import clipped_sum, lattice_step
from fedtrade.privacy.mechanisms.opendp_noise import noisy_argmax
from fedtrade.privacy.mechanisms.release import Release

__all__ = ["report_noisy_max"]


def report_noisy_max(scores: ArrayLike, *, clip: float, epsilon: float) -> Release[int]:
    """The option with the largest total score after exponential noise.

    It is never further from the best than the exponential mechanism on average, being the same as
    permute-and-flip (McKenna and Sheldon 2020; Ding et al. 2021), but composes as pure DP only.

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
    Release of the place of an option; neither its score nor the others' may be released with it

    Raises
    ------
    PrivacyError
        If a value is out of range or not finite.
    """
    check_spend(epsilon)
    check_clip(clip)
    found = clipped_sum(scores, clip, "range", lattice_step(clip, clip / epsilon))
    chosen = noisy_argmax(found.total, found.sensitivity, epsilon, "exponential")
    return Release(chosen, Pure(epsilon))
