"""Standings and histories as plain values, as `--json` prints them."""

from datetime import UTC, datetime
from math import inf
from typing import Any

from fedtrade.privacy.ledger.account import Account
from fedtrade.privacy.ledger.budget import Budget
from fedtrade.privacy.ledger.history import Entry
from fedtrade.privacy.ledger.standing import Standing

__all__ = ["entry_values", "standing_values"]


def standing_values(standing: Standing) -> dict[str, Any]:
    """A standing; what is infinite or not set is None, and times are ISO 8601 in UTC."""
    return {
        **_account(standing.account),
        "budget": None if standing.budget is None else _budget(standing.budget),
        "window": {"start": _iso(standing.window.start), "end": _iso(standing.window.end)},
        "at": _iso(standing.at),
        "delta": standing.delta,
        "spent": _finite(standing.spent),
        "remaining": _finite(standing.remaining),
    }


def entry_values(entry: Entry) -> dict[str, Any]:
    """An entry of a history."""
    return {
        "number": entry.number,
        "time": _iso(entry.time),
        **_account(entry.account),
        "action": entry.action,
        "operation": entry.operation,
        "detail": dict(entry.detail),
    }


def _account(account: Account) -> dict[str, str]:
    return {
        "participant": account.participant,
        "dataset": account.dataset,
        "unit": account.unit,
    }


def _budget(budget: Budget) -> dict[str, Any]:
    return {
        "epsilon": budget.epsilon,
        "delta": budget.delta,
        "accountant": budget.accountant,
        "starts": _iso(budget.starts),
        "ends": _iso(budget.ends),
        "renews_days": budget.renews_days,
        "units": budget.units,
    }


def _finite(value: float) -> float | None:
    return value if abs(value) < inf else None


def _iso(at: float) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat() if abs(at) < inf else None
