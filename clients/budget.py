"""A Flower mod by which a participant tells no more of its data than its own budget covers.

What an answer costs is set aside in the participant's ledger before anything is computed, and is
consumed before the reply leaves. If the node dies in between it is spent; only what was refused
before anything could leave is given back, and what a participant keeps out of by its bars alone. A
budget that is in the ledger alone demands of a run what one in the settings does. Where a node has
no settings of its own, as in a simulation, it does nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from logging import WARNING
from pathlib import Path
from typing import Any, Final

from flwr.app import ConfigRecord, Context, Message, MessageType
from flwr.supercore import log

from clients.contributed import kind_of
from clients.costs import Costs, costs_of, is_training
from clients.discretion import keeps_out
from clients.local_rules import local_settings_of
from clients.participant import Participant
from fedtrade.errors import BudgetError, FedtradeError, LimitError
from fedtrade.nodes.privacy_check import check_privacy
from fedtrade.nodes.privacy_settings import Cap
from fedtrade.nodes.settings import ClientSettings
from fedtrade.privacy.ledger import Account, Charge, Ledger, Limits
from fedtrade.privacy.units import PROTECTED, REMEDIES, UNITS, Unit
from fedtrade.wire import CONFIG, ROUND_NUMBER, SUM

__all__ = ["within_budget"]

EPISODE: Final = "episode"
NEW: Final = (
    "the privacy ledger %s is new, so that nothing counts as spent: if this participant has "
    "answered runs before, stop it and put back the file that it had."
)

Call = Callable[[Message, Context], Message]


def within_budget(message: Message, context: Context, call_next: Call) -> Message:
    """Answer if the budget covers it.

    Raises
    ------
    BudgetError
        If it does not; with what is asked and what is left it becomes an error reply, and costs the
        server this participant.
    LimitError
        If what is asked would leave without the noise that a budget in the ledger demands.
    LedgerError
        If the ledger cannot be written: then no reply leaves.
    """
    local = local_settings_of(context)
    if local is None or local.role == "key_holder" or not _tells_of_data(message):
        return call_next(message, context)
    costs = costs_of(message, context)
    path = Path(local.state) / local.privacy.ledger
    if not costs and not path.exists():
        return call_next(message, context)
    if not path.exists() and _caps(local):
        log(WARNING, NEW, path.name)
    with Ledger(path, create=True) as ledger:
        _put_in_force(ledger, local, context.run_id)
        _refuse_unbounded(ledger, local, message, costs)
        _refuse_unprotected(ledger, local, context)
        if not costs:
            return call_next(message, context)
        operations = ledger.allocate(
            list(_charges(costs, local, context.run_id)), _purpose(message, context)
        )
        try:
            reply = call_next(message, context)
        except FedtradeError:  # our own refusals, which come before there is a reply
            ledger.release(operations)
            raise
        if keeps_out(reply):
            ledger.release(operations)
        else:
            ledger.consume(operations)
        return reply


def _tells_of_data(message: Message) -> bool:
    return is_training(message) or kind_of(message) in (SUM, MessageType.EVALUATE)


def _account(local: ClientSettings, unit: Unit, run_id: int | None = None) -> Account:
    """Of all runs, or of what one of them may spend."""
    data = local.privacy.dataset
    return Account(local.name, data if run_id is None else f"{data} in run {run_id}", unit)


def _charges(costs: Costs, local: ClientSettings, run_id: int) -> Iterator[Charge]:
    caps = _caps(local)
    for unit, events in costs.items():
        yield Charge(_account(local, unit), events)
        cap = caps.get(unit)
        if cap is not None and cap.run_epsilon is not None:
            yield Charge(_account(local, unit, run_id), events)


def _put_in_force(ledger: Ledger, local: ClientSettings, run_id: int) -> None:
    """Hold budgets within the participant's settings; what is set by hand and stricter stays."""
    for unit, cap in _caps(local).items():
        limits = Limits(cap.epsilon, cap.delta, cap.renews_days, cap.accountant, cap.units)
        ledger.keep_within(_account(local, unit), limits)
        if cap.run_epsilon is not None:
            delta = cap.run_delta or cap.delta
            limits = Limits(cap.run_epsilon, delta, None, cap.accountant, cap.units)
            ledger.keep_within(_account(local, unit, run_id), limits)


def _caps(local: ClientSettings) -> Mapping[Unit, Cap]:
    caps = ((unit, local.privacy.cap(unit)) for unit in UNITS)
    return {unit: cap for unit, cap in caps if cap is not None}


def _refuse_unbounded(
    ledger: Ledger, local: ClientSettings, message: Message, costs: Costs
) -> None:
    """Refuse an update whose noise does not protect what a budget is for."""
    if not is_training(message):
        return
    for unit in UNITS:
        account = _account(local, unit)
        if unit in costs or ledger.budget(account) is None:
            continue
        standing = ledger.standing(account)
        if standing is not None and standing.budget is not None:
            raise BudgetError(
                f"the privacy budget of {standing.account} does not cover what is asked: the run "
                f"adds no noise that protects {PROTECTED[unit]}, so that nothing bounds the "
                f"epsilon that is requested, remaining {standing.remaining:.4g} of "
                f"{standing.budget.epsilon:g}; set {REMEDIES[unit]}."
            )


def _refuse_unprotected(ledger: Ledger, local: ClientSettings, context: Context) -> None:
    """Hold the run against the budgets of the ledger, as it was against those of the settings."""
    found = ((unit, ledger.budget(_account(local, unit))) for unit in UNITS)
    alone: dict[str, Cap] = {
        unit: Cap(epsilon=budget.epsilon)
        for unit, budget in found
        if budget is not None and local.privacy.cap(unit) is None
    }
    if not alone:
        return
    try:
        check_privacy(Participant.of(context).privacy, local.privacy.model_copy(update=alone))
    except LimitError as error:
        raise LimitError(
            f"{error} A budget in the participant's ledger demands it ({', '.join(alone)})."
        ) from None


def _purpose(message: Message, context: Context) -> dict[str, Any]:
    config = message.content.config_records.get(CONFIG, ConfigRecord())
    asked = {"episode": config.get(EPISODE), "round": config.get(ROUND_NUMBER)}
    given = {key: value for key, value in asked.items() if type(value) is int}
    return {"run": context.run_id, "asked": kind_of(message), **given}
