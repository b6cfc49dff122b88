"""A budget as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import inf
from typing import Any

from fedtrade.privacy.ledger.budget import Budget

__all__ = ["budget_from_json", "budget_to_json", "budgets_from_json"]


def budget_to_json(budget: Budget) -> str:
    """As `budget_from_json` takes it; no end is null, as JSON has no infinity."""
    values = asdict(budget)
    values["ends"] = None if budget.ends == inf else budget.ends
    return json.dumps(values)


def budget_from_json(text: str | None) -> Budget | None:
    """Read back what `budget_to_json` wrote; None is no budget."""
    return budgets_from_json([text])[0]


def budgets_from_json(texts: Sequence[str | None]) -> list[Budget | None]:
    """Read back many at once, which takes a fraction of the time of as many one by one."""
    listed = json.loads(f"[{','.join('null' if text is None else text for text in texts)}]")
    return [None if values is None else _budget(values) for values in listed]


def _budget(values: dict[str, Any]) -> Budget:
    if values["ends"] is None:
        values["ends"] = inf
    return Budget(**values)
