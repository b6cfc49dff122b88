"""Refuse a strategy that cannot work in a run, before anything of an earlier run is replaced."""

import inspect
import math

from fedtrade.components import build
from fedtrade.corrections import ClientCorrection
from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.holdings import Holdings, build_task
from fedtrade.secure import MaskedAggregation, PrivateAggregation
from fedtrade.settings import Settings
from fedtrade.summed_scores import check_summed_scores
from fedtrade.tasks.record_training import TrainsOnRecords
from fedtrade.tasks.task import Task
from strategies.membership import Membership
from strategies.round_strategy import RoundStrategy
from strategies.trust import trust_mode

__all__ = ["check_ahead", "check_data", "check_joined", "check_strategy"]

OWN = "fedtrade.market.sources.own"


def check_ahead(settings: Settings) -> None:
    """Check what can be known before anybody has come, if the settings say how many there are.

    Raises
    ------
    FedtradeError
        As `check_strategy`.
    """
    n_participants = settings.federation.n_participants
    if n_participants is None:
        return
    strategy = build(settings.strategy, "strategy", seed=settings.seed)
    strategy.trust_mode = trust_mode(
        settings.aggregation, n_participants, brought=settings.digest()
    )
    check_strategy(strategy, settings, build_task(settings), n_participants)


def check_joined(
    strategy: RoundStrategy, settings: Settings, task: Task, members: Membership
) -> None:
    """Check the strategy with those who have come, and say who was left out if they are too few.

    Raises
    ------
    FedtradeError
        As `check_strategy`.
    """
    try:
        check_strategy(strategy, settings, task, len(members.participants))
    except FedtradeError as error:
        raise type(error)(f"{error}{members.left_out}") from None


def check_data(settings: Settings) -> None:
    """Check that the server has the data, if it needs any, and knows how many hold them.

    Raises
    ------
    ConfigurationError
        Naming what needs them and the remedy.
    """
    federation, evaluation = settings.federation, settings.evaluation
    if settings.data.target == OWN and federation.n_participants is None:
        raise ConfigurationError(
            "data=own leaves open how many participants there are: set federation.n_participants "
            "to the number of all of them."
        )
    needs = ["evaluation.pooled=true"] if evaluation.pooled else []
    if evaluation.public_bars:
        needs.append(f"evaluation.public_bars={evaluation.public_bars}")
    if not needs:
        return
    try:
        Holdings.of(settings)
    except FedtradeError as error:
        raise ConfigurationError(
            f"{' and '.join(needs)} would train on everybody's data in one place, and the server "
            f"does not have them ({str(error).rstrip('.')}): set evaluation.pooled=false "
            "evaluation.public_bars=0."
        ) from error


def check_strategy(
    strategy: RoundStrategy, settings: Settings, task: Task, n_participants: int
) -> None:
    """Check that the task, the data and the participants are what the strategy needs.

    Raises
    ------
    ConfigurationError
        Naming what is missing and the remedy.
    ThresholdError
        If so few cannot add up in private as the settings want it.
    """
    _check_record_level(strategy, settings, task)
    strategy.check(n_participants)
    _check_quorum(strategy, settings, n_participants)
    check_summed_scores(settings, settings.federation.n_participants or n_participants)
    if strategy.needs_root and not settings.evaluation.public_bars:
        raise ConfigurationError(
            "strategy.rule compares updates with one of a public sample, and there is none: "
            "evaluation.public_bars=0. Set it to the number of first bars that everybody may see, "
            "such as evaluation.public_bars=250."
        )
    if strategy.client_correction != ClientCorrection():
        _check_corrected(settings, task)


def _check_corrected(settings: Settings, task: Task) -> None:
    """Refuse to correct training where the task, or participants in private modes, would refuse."""
    accepted = inspect.signature(task.train).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    if not (takes_any or "correction" in accepted):
        raise ConfigurationError(
            f"the task {task.name} cannot correct its training: its train() has no keyword "
            "`correction`. Add it (see fedtrade.corrections), or leave out "
            "strategy.client_correction."
        )
    is_private = isinstance(settings.aggregation, PrivateAggregation)
    if is_private and not settings.strategy.options.get("client_correction"):
        raise ConfigurationError(
            f"{settings.strategy.target} corrects local training and the settings do not say so, "
            f"and with aggregation={settings.aggregation.mode} participants refuse a correction "
            "that theirs do not name: let the strategy take it as an argument, and give it in the "
            "settings, such as strategy.client_correction._target_=fedtrade.corrections.fed_prox."
        )


def _check_record_level(strategy: RoundStrategy, settings: Settings, task: Task) -> None:
    """Refuse what no participant can answer with its records kept private."""
    if settings.privacy.record is None:
        return
    settings.count_models()
    if not isinstance(task, TrainsOnRecords):
        raise ConfigurationError(
            f"the task {task.name} cannot be trained with privacy.record: it has no "
            "record_training(); see docs/privacy/record.md, or set privacy.record=null."
        )
    if strategy.client_correction.uses_variates:
        raise ConfigurationError(
            "strategy.client_correction: control variates show gradients without noise; with "
            "privacy.record use another correction, or none."
        )


def _check_quorum(strategy: RoundStrategy, settings: Settings, n_participants: int) -> None:
    """Refuse a quorum with which rounds would be closed too early to be of use."""
    quorum, aggregation = settings.federation.quorum, settings.aggregation
    if quorum is None:
        return
    n_asked, n_of_rule = strategy.n_needed(n_participants)
    needs = [(n_of_rule, "strategy.rule (or least_replies) needs")]
    if isinstance(aggregation, PrivateAggregation):
        needs.append((aggregation.min_contributors, "aggregation.min_contributors needs"))
    if isinstance(aggregation, MaskedAggregation):
        n_lost = math.floor(aggregation.dropout_share * n_asked + 1e-9)
        needs.append((n_asked - n_lost, "with aggregation.dropout_share the sum needs"))
    n_needed, why = max(needs)
    n_quorum = settings.federation.n_quorum(n_asked)
    if n_quorum < n_needed:
        raise ConfigurationError(
            f"federation.quorum={quorum:g} closes a round with {n_quorum} replies of {n_asked}, "
            f"and {why} {n_needed}: raise the quorum to {n_needed / n_asked:.2g} or leave it out."
        )
