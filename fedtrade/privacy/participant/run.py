"""The noise of one run, as each party computes it from the run's settings."""

from fedtrade.errors import ConfigurationError
from fedtrade.privacy.participant.adders import adders
from fedtrade.privacy.participant.plan import ReleasePlan
from fedtrade.privacy.participant.vectors import NoisyVectors
from fedtrade.settings import Settings
from fedtrade.tasks.task import Task

__all__ = ["noisy_vectors"]


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
    plan = ReleasePlan(level, settings.count_models(), federation.rounds, n_sums)
    return NoisyVectors(plan, adders(settings.aggregation, federation.n_participants))
