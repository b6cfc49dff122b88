"""How much noise a run needs, and how often it may release something.

Everybody computes the same plan from the run's settings: the server, each participant and a key
holder. One participant's part of an update or of a sum has norm 1 at most (`lattice`), and a
participant that takes no part is one whose part is zero; so noise of deviation z makes one
release rho-zCDP with rho = 1 / (2 z^2), and releases add up (Bun and Steinke 2016,
https://arxiv.org/abs/1605.02065). The total rho is the largest that is (epsilon, delta)-DP by
the accountant.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from fedtrade.errors import ConfigurationError
from fedtrade.privacy.calibration import least_noise
from fedtrade.privacy.events import Concentrated, Event, times
from fedtrade.privacy.settings import ParticipantLevel

__all__ = ["ReleasePlan"]

COUNT_SENSITIVITY = 0.5
"""Of the number of updates within the clip: each participant adds a half, or takes it off."""


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """The releases of a run, and the noise on each.

    Attributes
    ----------
    level : ParticipantLevel
    n_models : int
        That a run trains, one an episode.
    n_rounds : int
        Of training, for each.
    n_sums : int
        Federated sums with noise, for each; 0 if they are excluded.

    Raises
    ------
    ConfigurationError
        If nothing is released that noise could be on, or the noise of the count takes it all.
    """

    level: ParticipantLevel
    n_models: int
    n_rounds: int
    n_sums: int

    def __post_init__(self) -> None:
        """Refuse a plan that protects nothing or cannot be kept."""
        if not self.n_rounds and not self.n_sums:
            raise ConfigurationError(
                "privacy.participant covers nothing in this run: it has no round of training "
                "(federation.rounds=0) and no federated sum that privacy.participant.exclude "
                "leaves in; set privacy=none."
            )
        if self.n_rounds:
            _ = self.update_noise

    @property
    def rho(self) -> float:
        """Of all releases that `scope` names together."""
        return 0.5 / _total_noise(self.level.epsilon, self.level.delta, self.level.accountant) ** 2

    @property
    def n_scopes(self) -> int:
        """How many models the promised epsilon is for."""
        return self.n_models if self.level.scope == "run" else 1

    @property
    def round_rho(self) -> float:
        """Of one round of training; 0 if there is none."""
        share = 1.0 - self.level.sum_share if self.n_sums else 1.0
        return share * self.rho / (self.n_scopes * self.n_rounds) if self.n_rounds else 0.0

    @property
    def sum_rho(self) -> float:
        """Of one federated sum; 0 if there is none with noise."""
        share = self.level.sum_share if self.n_rounds else 1.0
        return share * self.rho / (self.n_scopes * self.n_sums) if self.n_sums else 0.0

    @property
    def round_event(self) -> Event:
        """What one round of training costs a participant; there must be one."""
        return Concentrated(self.round_rho)

    @property
    def sum_event(self) -> Event:
        """What one federated sum costs a participant; there must be one with noise."""
        return Concentrated(self.sum_rho)

    @property
    def update_noise(self) -> float:
        """Deviation of the noise on a sum of updates, in clips.

        With adaptive clipping a part of a round's rho goes to the count: Andrew et al. (2021),
        theorem 1, https://arxiv.org/abs/1905.03871.

        Raises
        ------
        ConfigurationError
            If nothing is left for updates.
        """
        left = self.round_rho
        if self.count_noise is not None:
            spent = 0.5 * (COUNT_SENSITIVITY / self.count_noise) ** 2
            if not spent < left:
                raise ConfigurationError(
                    f"privacy.participant.adaptive.count_noise={self.count_noise:g} takes the "
                    f"whole privacy of a round; it must be above "
                    f"{COUNT_SENSITIVITY / math.sqrt(2.0 * left):.3g}."
                )
            left -= spent
        return math.sqrt(0.5 / left)

    @property
    def count_noise(self) -> float | None:
        """Deviation of the noise on the count of updates within the clip; None if fixed."""
        adaptive = self.level.adaptive
        return None if adaptive is None else adaptive.count_noise

    @property
    def sum_noise(self) -> float:
        """Deviation of the noise on a federated sum, in clips of sums."""
        return math.sqrt(0.5 / self.sum_rho)

    @property
    def most_rounds(self) -> int:
        """Rounds that a participant contributes to in a run."""
        return self.n_models * self.n_rounds

    @property
    def most_sums(self) -> int:
        """Federated sums with noise that a participant contributes to in a run."""
        return self.n_models * self.n_sums

    def events(self) -> tuple[Event, ...]:
        """What the whole run costs one participant, for an accountant."""
        return self._events(self.n_models)

    def model_events(self) -> tuple[Event, ...]:
        """What one model costs one participant."""
        return self._events(1)

    def _events(self, n_models: int) -> tuple[Event, ...]:
        found = []
        if self.n_rounds:
            found.append(times(self.round_event, n_models * self.n_rounds))
        if self.n_sums:
            found.append(times(self.sum_event, n_models * self.n_sums))
        return tuple(found)


@lru_cache(maxsize=64)
def _total_noise(epsilon: float, delta: float, accountant: str) -> float:
    """Deviation of the noise with which one release of sensitivity 1 reaches the target."""
    return least_noise(lambda noise: Concentrated(0.5 / noise**2), epsilon, delta, accountant)
