"""The noise of one run, as each party computes it from the run's settings."""

from fedtrade.errors import ConfigurationError
from fedtrade.privacy.participant.adders import adders
from fedtrade.privacy.participant.plan import ReleasePlan
from fedtrade.privacy.participant.vectors import NoisyVectors
from fedtrade.settings import Settings
from fedtrade.tasks.task import Task

__all__ = ["n_models", "noisy_vectors"]


def noisy_vectors(settings: Settings, task: Task) -> NoisyVectors | None:
    """What noise is on which sums; None without `privacy.participant`.

    Raises
    ------
    ConfigurationError
        If the settings leave open how much is released, or to whom noise must be a secret.
    """
    level, federation = settings.privacy.participant, settings.federation
    if level is None:
        return None
    if "scores" not in level.exclude:
        raise ConfigurationError(
            "sums of scores have no noise yet, so privacy.participant cannot cover them: name "
            "scores in privacy.participant.exclude."
        )
    if federation.n_participants is None:
        raise ConfigurationError(
            "privacy.participant reckons with a number of participants that everybody knows: set "
            "federation.n_participants."
        )
    n_sums = 0 if "sums" in level.exclude else len(task.sums)
    plan = ReleasePlan(level, n_models(settings), federation.rounds, n_sums)
    return NoisyVectors(plan, adders(settings.aggregation, federation.n_participants))


def n_models(settings: Settings) -> int:
    """Models that a run trains: one for each origin and fold, and the final one.

    Raises
    ------
    ConfigurationError
        If only the data tell.
    """
    n_origins = settings.evaluation.n_origins
    if n_origins is None:
        raise ConfigurationError(
            "privacy.participant must know how many models are trained: set evaluation.n_origins "
            "to a number."
        )
    return n_origins * settings.federation.n_folds + 1
