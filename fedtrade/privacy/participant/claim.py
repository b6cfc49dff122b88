"""What a run promises each participant, computed by every party from the run's settings."""

from dataclasses import dataclass

from fedtrade.privacy.accountant import spent
from fedtrade.privacy.events import Event
from fedtrade.privacy.participant.vectors import NoisyVectors

__all__ = ["Claim"]

NEVER_COVERED = (
    "which bars a participant holds, how many assets, and when it takes part",
    "scores of its forecasts",
)
WHETHER = "whether it can compute its part of a federated sum"


@dataclass(frozen=True, slots=True)
class Claim:
    """Of (epsilon, delta)-differential privacy for all that one participant contributes.

    Attributes
    ----------
    epsilon : float
        Of the whole run.
    model_epsilon : float
        Of one of its models alone.
    delta : float
    n_models : int
    events : tuple of Event
        What the whole run costs a participant.
    covers, excludes : tuple of str
        What the promise is about, and what it is not.
    """

    epsilon: float
    model_epsilon: float
    delta: float
    n_models: int
    events: tuple[Event, ...]
    covers: tuple[str, ...]
    excludes: tuple[str, ...]

    @classmethod
    def of(cls, noise: NoisyVectors) -> "Claim":
        """The claim of a run with this noise."""
        plan = noise.plan
        delta, accountant = plan.level.delta, plan.level.accountant
        covers, excludes = [], list(NEVER_COVERED)
        if plan.n_rounds:
            covers.append("its updates")
        if plan.n_sums:
            covers.append("its parts of federated sums")
            excludes.append(WHETHER)
        else:
            excludes.append("its parts of federated sums")
        return cls(
            epsilon=spent(plan.events(), delta, accountant),
            model_epsilon=spent(plan.model_events(), delta, accountant),
            delta=delta,
            n_models=plan.n_models,
            events=plan.events(),
            covers=tuple(covers),
            excludes=tuple(excludes),
        )
