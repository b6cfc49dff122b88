"""A participant's own rules: what a run asks for is held against them before anything is done.

Each check refuses by a `LimitError` that names the limit, its value and what the run asks for. What
a run may do within the limits is in the documentation; the limits hold whatever the server sends,
as long as this installation answers (`code=installed`) and not the code that comes with a run.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from fedtrade.errors import ConfigurationError, LimitError
from fedtrade.nodes.settings import ClientSettings
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PrivateAggregation
from fedtrade.settings import BY_PARTICIPANT, Component, Settings

__all__ = ["CHECKS", "effective"]

OWN_PARTITION: Final = "fedtrade.market.partition.Own"
TARGET: Final = "_target_"


def effective(settings: Settings, local: ClientSettings) -> Settings:
    """The settings by which this machine takes part: the run's, where its own have nothing to say.

    Its own prices, keys and what it shows take the place of the run's.

    Raises
    ------
    LimitError
        If the run asks for what is not allowed here.
    """
    for check in CHECKS:
        check(settings, local)
    values = settings.to_mapping()
    if local.data is not None:
        values["data"] = local.data.model_dump(mode="json", by_alias=True)
        values["partition"] = {TARGET: OWN_PARTITION}
    identities = _identities(settings, local)
    if identities is not None:
        values["aggregation"]["identities"] = identities
    evaluation = values["evaluation"]
    evaluation["show_path"] = evaluation["show_path"] and local.allow.show_path
    return Settings.from_mapping(values)


def _identities(settings: Settings, local: ClientSettings) -> str | None:
    """The machine's own list of public keys that belongs to the run's trust mode."""
    match settings.aggregation:
        case MaskedAggregation():
            return local.identities
        case EncryptedAggregation():
            return local.identities_encrypted
        case _:
            return None


def _check_targets(settings: Settings, local: ClientSettings) -> None:
    """First of all, since whatever a run names is imported."""
    allow = local.allow
    # The strategy, the runtime and an attack are the server's: nothing of them is built here.
    built = ("task", "model") if local.data is not None else ("task", "model", "data", "partition")
    for key in built:
        component: Component = getattr(settings, key)
        named = component.model_dump(mode="json", by_alias=True)
        for target in _targets(named):
            if not target.startswith(allow.targets):
                raise LimitError(
                    f"the run names {key}={target}, and this participant allows code of "
                    f"{', '.join(allow.targets)} alone (allow.targets)."
                )
            _check_home(target, allow.targets)


def _check_mode(settings: Settings, local: ClientSettings) -> None:
    allow, mode = local.allow, settings.aggregation.mode
    if mode not in allow.modes:
        raise LimitError(
            f"the run has aggregation={mode}, and this participant allows "
            f"{', '.join(allow.modes)} (allow.modes)."
        )


def _check_contributors(settings: Settings, local: ClientSettings) -> None:
    allow, aggregation = local.allow, settings.aggregation
    if not isinstance(aggregation, PrivateAggregation):
        return
    if aggregation.min_contributors < allow.min_contributors:
        raise LimitError(
            f"the run opens sums of {aggregation.min_contributors} "
            "(aggregation.min_contributors), and this participant none of fewer than "
            f"{allow.min_contributors} (allow.min_contributors)."
        )
    size = getattr(aggregation, "group_size", None)
    if size is not None and size < allow.min_contributors:
        raise LimitError(
            f"the run opens sums of groups of {size} (aggregation.group_size), and this "
            f"participant none of fewer than {allow.min_contributors} (allow.min_contributors)."
        )


def _check_scores(settings: Settings, local: ClientSettings) -> None:
    if settings.scores == BY_PARTICIPANT and not local.allow.shows_scores:
        raise LimitError(
            "the run asks for each participant's scores (evaluation.scores=by_participant), and "
            "this participant adds its own to a sum alone (allow.scores=summed)."
        )


def _check_task(settings: Settings, local: ClientSettings) -> None:
    allow = local.allow
    name = getattr(_resolved(settings.task.target), "name", settings.task.target)
    if name not in allow.tasks:
        raise LimitError(
            f"the run has the task {name}, and this participant allows "
            f"{', '.join(allow.tasks)} (allow.tasks)."
        )


def _check_work(settings: Settings, local: ClientSettings) -> None:
    allow, federation = local.allow, settings.federation
    for asked, most, key, limit in (
        (federation.rounds, allow.most_rounds, "federation.rounds", "most_rounds"),
        (
            federation.longest_history_bars,
            allow.most_history_bars,
            "federation.history_bars",
            "most_history_bars",
        ),
    ):
        if most is not None and asked > most:
            raise LimitError(
                f"the run has {key}={asked}, and this participant allows {most} (allow.{limit})."
            )


CHECKS: Final[tuple[Callable[[Settings, ClientSettings], None], ...]] = (
    _check_targets,
    _check_mode,
    _check_contributors,
    _check_scores,
    _check_task,
    _check_work,
)
"""In order; a privacy budget is one more."""


def _targets(values: Any) -> Iterator[str]:
    """Every import path that is named anywhere in a component."""
    if isinstance(values, dict):
        if TARGET in values:
            yield str(values[TARGET])
        for value in values.values():
            yield from _targets(value)
    elif isinstance(values, list):
        for value in values:
            yield from _targets(value)


def _check_home(target: str, prefixes: tuple[str, ...]) -> None:
    """Refuse what is merely within reach of an allowed module, such as what it imports."""
    found = _resolved(target)
    home = getattr(found, "__module__", None)
    if not isinstance(home, str) or not f"{home}.".startswith(prefixes):
        raise LimitError(
            f"the run names {target}, which is not defined in {', '.join(prefixes)} "
            "(allow.targets)."
        )


@lru_cache(maxsize=256)
def _resolved(target: str) -> Any:
    """What an import path means: an attribute of a module, and of nothing else."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{TARGET}={target} cannot be found here ({error}).") from None
