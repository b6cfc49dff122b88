"""Updates and parts of sums as integers, and the noise on what they add up to.

The same for all trust modes: in `plain` the server does all of it, in `masked` a participant puts
its vector on the lattice and adds its part of the noise before it is masked, in `encrypted` it puts
it on the lattice, and the key holder adds the noise to the sum that it opens.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import PrivacyError
from fedtrade.privacy.lattice_noise import discrete_gaussian
from fedtrade.privacy.participant.adders import Adders
from fedtrade.privacy.participant.lattice import QUANTA, headroom, on_lattice
from fedtrade.privacy.participant.plan import ReleasePlan
from fedtrade.secure.layout import Layout, Segment
from fedtrade.secure.payload import SUM, UPDATE

__all__ = ["NoisyMean", "NoisyVectors", "add_noise"]

WITHIN = "within"
LEAST_DEVIATION = 8.0
"""Steps. From there on a sum of discrete Gaussians is one but for a factor within 1e-270, which is
nothing beside the rounding of rho: proposition 12 of https://arxiv.org/abs/2102.06387."""


class NoisyMean(NamedTuple):
    """What follows from a noisy sum of updates.

    Attributes
    ----------
    update : float32 of shape (n_values,)
        The mean.
    share_within : float or None
        Of the updates whose norm was within the clip, with noise; None if the clip is fixed.
    """

    update: NDArray[np.float32]
    share_within: float | None


@dataclass(frozen=True, slots=True)
class NoisyVectors:
    """The vectors of one run.

    Attributes
    ----------
    plan : ReleasePlan
    adders : Adders

    Raises
    ------
    PrivacyError
        If an adder's noise is too small beside a step of the lattice to be reckoned as Gaussian.
    """

    plan: ReleasePlan
    adders: Adders

    def __post_init__(self) -> None:
        """Refuse noise that the accounting does not hold for."""
        for name, each in self._each().items():
            if each < LEAST_DEVIATION:
                raise PrivacyError(
                    f"the noise on a {name} of each adder has a deviation of {each:.3g} steps, and "
                    f"at least {LEAST_DEVIATION:g} are needed: lower privacy.participant.epsilon."
                )

    @property
    def covers_sums(self) -> bool:
        """Whether federated sums have noise, apart from those of scores."""
        return self.plan.n_sums > 0

    def agreed(self) -> dict[str, Any]:
        """What all parties of a run must have alike, as plain values."""
        plan = self.plan
        return {
            **plan.level.to_mapping(),
            "n_models": plan.n_models,
            "n_rounds": plan.n_rounds,
            "n_sums": plan.n_sums,
            "who_adds": self.adders.who,
            "n_honest": self.adders.n_honest,
            "n_contributors": self.adders.n_contributors,
        }

    # --- updates --------------------------------------------------------------------------------

    def update_segments(self, n_values: int) -> tuple[Segment, ...]:
        """How `update_values` stand in the words of a sum."""
        segments = [self._segment(UPDATE, n_values, QUANTA, self.plan.update_noise)]
        if self.plan.count_noise is not None:
            segments.append(self._segment(WITHIN, 1, QUANTA // 2, self.plan.count_noise))
        return tuple(segments)

    def n_values(self, size: int) -> int:
        """Length of an update in a contribution of so many entries.

        Raises
        ------
        PrivacyError
            If there is no room for one.
        """
        n_values = size if self.plan.count_noise is None else size - 1
        if n_values < 1:
            raise PrivacyError(f"a sum of {size} entries has no update in it.")
        return n_values

    def update_values(
        self, update: NDArray[np.floating], clip: float
    ) -> dict[str, NDArray[np.int64]]:
        """What a participant contributes, without noise: of one without examples all is zero.

        Whether it has examples is its secret as all else, so it contributes in any case.
        """
        values = {UPDATE: on_lattice(update, clip)}
        if self.plan.count_noise is not None:
            norm = float(np.linalg.norm(update.astype(np.float64)))
            half = QUANTA // 2
            values[WITHIN] = np.array([half if norm <= clip else -half])
        return values

    def update_noise(self, n_values: int) -> dict[str, NDArray[np.int64]]:
        """One adder's noise on a sum of updates."""
        noise = {UPDATE: self._drawn(n_values, self.plan.update_noise)}
        if self.plan.count_noise is not None:
            noise[WITHIN] = self._drawn(1, self.plan.count_noise)
        return noise

    def mean(self, total: Mapping[str, NDArray[Any]], n_members: int, clip: float) -> NoisyMean:
        """What follows from the total of so many, with its noise."""
        update = total[UPDATE].astype(np.float64) * (clip / (QUANTA * n_members))
        within = None
        if WITHIN in total:
            within = 0.5 + float(total[WITHIN][0]) / (QUANTA * n_members)
        return NoisyMean(update.astype(np.float32), within)

    # --- federated sums -------------------------------------------------------------------------

    def sum_segments(self, size: int) -> tuple[Segment, ...]:
        """How `sum_values` stand in the words of a sum."""
        return (self._segment(SUM, size, QUANTA, self.plan.sum_noise),)

    def sum_values(self, values: NDArray[np.floating]) -> dict[str, NDArray[np.int64]]:
        """A part of a federated sum, without noise."""
        return {SUM: on_lattice(values.ravel(), self.plan.level.sum_clip)}

    def sum_noise(self, size: int) -> dict[str, NDArray[np.int64]]:
        """One adder's noise on a federated sum."""
        return {SUM: self._drawn(size, self.plan.sum_noise)}

    def total(self, total: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """The sum in units of its entries, from the total with its noise."""
        scaled: NDArray[np.float64] = total[SUM].astype(np.float64)
        return scaled * (self.plan.level.sum_clip / QUANTA)

    def check_sum(self, name: str, size: int, n_participants: int) -> None:
        """Refuse a sum that could tell nothing, for all its noise.

        Raises
        ------
        PrivacyError
            With the number of participants from which on it could.
        """
        least = math.ceil(self.plan.sum_noise * math.sqrt(size))
        if n_participants < least:
            raise PrivacyError(
                f"the noise on the {size} numbers of the federated sum {name!r} is larger than the "
                f"parts of all {n_participants} participants together: that takes {least} of them, "
                "or a larger privacy.participant.epsilon; or leave such sums without noise and "
                "outside of the promise by privacy.participant.exclude=[scores,sums]."
            )

    # --- noise ----------------------------------------------------------------------------------

    def _each(self) -> dict[str, float]:
        """Deviations of one adder's noise, in steps."""
        plan, found = self.plan, {}
        if plan.n_rounds:
            found["sum of updates"] = self._deviation(plan.update_noise)
        if plan.n_rounds and plan.count_noise is not None:
            found["count"] = self._deviation(plan.count_noise)
        if plan.n_sums:
            found["federated sum"] = self._deviation(plan.sum_noise)
        return found

    def _deviation(self, noise: float) -> float:
        """Of one adder's part, in steps."""
        return noise * QUANTA / math.sqrt(self.adders.n_honest)

    def _segment(self, name: str, size: int, most: int, noise: float) -> Segment:
        """With room for the noise: of n members' noise sqrt(n) deviations, of another's one."""
        fewest = self.adders.n_contributors
        shared_by = math.sqrt(fewest) if self.adders.by_members else fewest
        room = headroom(self._deviation(noise)) / shared_by
        return Segment(name, size, float(most + math.ceil(room)), 1.0)

    def _drawn(self, size: int, noise: float) -> NDArray[np.int64]:
        return discrete_gaussian(size, self._deviation(noise), os.urandom)


def add_noise(words: NDArray[Any], layout: Layout, noise: Mapping[str, NDArray[np.int64]]) -> None:
    """Add noise to words of a layout in place, in its ring: what wraps tells nothing more."""
    segments = zip(layout.segments, layout.steps, strict=True)
    steps = np.concatenate([noise[each.name] * round(1.0 / step) for each, step in segments])
    layout.add(words, steps.astype(layout.dtype))
