"""A party's own rules: what a run asks for is held against them before anything is done.

Each check refuses by a `LimitError` that names the limit, its value and what the run asks for. What
a run may do within the limits is in the documentation; the limits hold whatever the server sends,
as long as this installation answers (`code=installed`) and not the code that comes with a run.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

from fedtrade.errors import ConfigurationError, LimitError
from fedtrade.nodes.privacy_check import check_privacy
from fedtrade.nodes.settings import ClientSettings
from fedtrade.secure import (
    EncryptedAggregation,
    MaskedAggregation,
    PlainAggregation,
    PrivateAggregation,
)
from fedtrade.settings import BY_PARTICIPANT, Component, Settings

__all__ = ["CHECKS", "KEY_HOLDER_CHECKS", "Check", "check_round", "effective"]

Check: TypeAlias = Callable[[Settings, ClientSettings], None]
"""Raises a LimitError if a run's settings ask for more than a party's own allow."""

OWN_PARTITION: Final = "fedtrade.market.partition.Own"
TARGET: Final = "_target_"
ENCRYPTED: Final = "identities_encrypted"


def effective(settings: Settings, local: ClientSettings) -> Settings:
    """The settings by which this machine takes part: the run's, where its own have nothing to say.

    Its own prices, keys and what it shows take the place of the run's.

    Raises
    ------
    LimitError
        If the run asks for what is not allowed here.
    ConfigurationError
        If the run names code that is not there.
    """
    is_key_holder = local.role == "key_holder"
    for check in KEY_HOLDER_CHECKS if is_key_holder else CHECKS:
        check(settings, local)
    values = settings.to_mapping()
    if local.data is not None and not is_key_holder:
        values["data"] = local.data.model_dump(mode="json", by_alias=True)
        values["partition"] = {TARGET: OWN_PARTITION}
    if isinstance(settings.aggregation, PrivateAggregation):
        values["aggregation"]["identities"] = _identities(settings, local)
    evaluation = values["evaluation"]
    evaluation["show_path"] = evaluation["show_path"] and local.allow.show_path
    return Settings.from_mapping(values)


def check_round(number: object, most: int) -> None:
    """Refuse a round of training that the run's settings, which were checked, do not have.

    Parameters
    ----------
    number : object
        As it stands in the message.
    most : int
        `federation.rounds`.

    Raises
    ------
    LimitError
    """
    if type(number) is not int or not 1 <= number <= most:
        raise LimitError(
            f"the server asks for round {number!r} of an episode, and the run's settings have "
            f"federation.rounds={most}: this participant trains in no other."
        )


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
    prefixes = local.allow.targets
    # The strategy, the runtime and an attack are the server's: nothing of them is built here.
    built = ("task", "model") if local.data is not None else ("task", "model", "data", "partition")
    named = [(key, target) for key in built for target in _targets(_values(settings, key))]
    for key, target in named:
        if not target.startswith(prefixes):
            raise LimitError(
                f"the run names {key}={target}, and this participant allows code of "
                f"{', '.join(prefixes)} alone (allow.targets)."
            )
    if "" not in prefixes:
        for _, target in named:
            _check_home(target, prefixes)


def _values(settings: Settings, key: str) -> dict[str, Any]:
    component: Component = getattr(settings, key)
    return component.model_dump(mode="json", by_alias=True)


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


def _check_identities(settings: Settings, local: ClientSettings) -> None:
    """A list that the run names is the server's, and one that is missing is no list."""
    named = getattr(settings.aggregation, "identities", None)
    if named is not None and _identities(settings, local) is None:
        key = "identities" if isinstance(settings.aggregation, MaskedAggregation) else ENCRYPTED
        raise LimitError(
            f"the run goes by a list of public keys (aggregation.identities={named}), and this "
            f"participant trusts its own alone and has none; name it with {key}=FILE."
        )


def _check_scores(settings: Settings, local: ClientSettings) -> None:
    if local.allow.shows_scores:
        return
    if settings.scores == BY_PARTICIPANT:
        raise LimitError(
            "the run asks for each participant's scores (evaluation.scores=by_participant), and "
            "this participant adds its own to a sum alone (allow.scores=summed)."
        )
    if isinstance(settings.aggregation, PlainAggregation):
        raise LimitError(
            "the run adds scores up in the clear (aggregation=plain), where the server sees each "
            "part, and this participant shows its scores in a sum alone (allow.scores=summed)."
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


def _check_privacy(settings: Settings, local: ClientSettings) -> None:
    check_privacy(settings.privacy, local.privacy)


CHECKS: Final[tuple[Check, ...]] = (
    _check_targets,
    _check_mode,
    _check_contributors,
    _check_identities,
    _check_scores,
    _check_privacy,
    _check_task,
    _check_work,
)
"""Those of a participant, in order. Its privacy budget is seen with each message."""

KEY_HOLDER_CHECKS: Final[tuple[Check, ...]] = (_check_mode, _check_contributors, _check_identities)
"""Those of a key holder, who has no data and builds nothing that a run names."""


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
    """Refuse what is merely within reach of an allowed module, or not meant for others to use."""
    found = _resolved(target)
    home, name = getattr(found, "__module__", None), getattr(found, "__name__", None)
    if (
        not isinstance(home, str)
        or not isinstance(name, str)
        or not f"{home}.".startswith(prefixes)
        or not _is_public(found, home, name)
    ):
        raise LimitError(
            f"the run names {target}, which is not a public class or function that is defined in "
            f"{', '.join(prefixes)} (allow.targets)."
        )


def _is_public(found: object, home: str, name: str) -> bool:
    """Whether a module has an object under this name, for everybody."""
    module = sys.modules.get(home)
    named = getattr(module, "__all__", None)
    is_listed = not name.startswith("_") if named is None else name in named
    return is_listed and callable(found) and getattr(module, name, None) is found


@lru_cache(maxsize=256)
def _resolved(target: str) -> Any:
    """What an import path means: an attribute of a module, and of nothing else."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{TARGET}={target} cannot be found here ({error}).") from None
