"""The sparse vector technique: many questions, of which only the first "yes" costs anything."""

from math import floor

import numpy as np
from numpy.typing import ArrayLike

from fedtrade.errors import PrivacyError
from fedtrade.privacy.checks import check_clip, check_spend
from fedtrade.privacy.events import Pure
from fedtrade.privacy.mechanisms.contributions import clipped_sum, lattice_step
from fedtrade.privacy.mechanisms.opendp_noise import laplace_noised

__all__ = ["AboveThreshold"]


class AboveThreshold:
    """Says for sums, one after the other, whether they are above a threshold, until one is.

    Dwork and Roth (2014), algorithm 1: half of epsilon is for the noise on the threshold, which is
    drawn once, half for that on each sum. (Lyu, Su and Li 2017 list variants that are not private,
    such as those that report a sum or go on.) All of epsilon is spent at the start.

    Parameters
    ----------
    threshold : float
        Public.
    clip : float
        Each unit contributes between 0 and so much to a sum.
    epsilon : float
        Against adding or removing one unit, for all questions together.

    Raises
    ------
    PrivacyError
        If a value is out of range.
    """

    def __init__(self, threshold: float, *, clip: float, epsilon: float) -> None:
        check_spend(epsilon)
        check_clip(clip)
        if not np.isfinite(threshold):
            raise PrivacyError(f"threshold={threshold} must be a finite number.")
        self._clip, self._epsilon = clip, epsilon
        self._step = lattice_step(clip, clip / epsilon)
        if abs(threshold) / self._step >= 2**61:
            raise PrivacyError(f"threshold={threshold} is too large beside clip={clip}.")
        sensitivity = floor(clip / self._step)
        start = np.array([round(threshold / self._step)])
        noised, _ = laplace_noised(start, sensitivity, epsilon / 2.0)
        self._threshold = int(noised[0])
        self._is_open = True
        self.event = Pure(epsilon)

    def ask(self, rows: ArrayLike) -> bool:
        """Whether the sum of units' contributions (n_units,) is above the threshold, about.

        Raises
        ------
        PrivacyError
            If the answer to an earlier question was yes, or a number is not finite.
        """
        if not self._is_open:
            raise PrivacyError("an answer was yes before: start anew, at the price of an epsilon.")
        found = clipped_sum(rows, self._clip, "range", self._step)
        if len(found.total) != 1:
            raise PrivacyError(f"ask about one number, not {len(found.total)}.")
        # Noise of four sensitivities over epsilon: half of epsilon for twice the sensitivity.
        noised, _ = laplace_noised(found.total, 2 * found.sensitivity, self._epsilon / 2.0)
        is_above = int(noised[0]) >= self._threshold
        self._is_open = not is_above
        return is_above
