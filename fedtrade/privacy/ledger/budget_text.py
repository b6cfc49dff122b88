"""A budget as JSON."""

import json
from dataclasses import asdict
from math import inf

from fedtrade.privacy.ledger.budget import Budget

__all__ = ["budget_from_json", "budget_to_json"]


def budget_to_json(budget: Budget) -> str:
    """As `budget_from_json` takes it; no end is null, as JSON has no infinity."""
    values = asdict(budget)
    values["ends"] = None if budget.ends == inf else budget.ends
    return json.dumps(values)


def budget_from_json(text: str | None) -> Budget | None:
    """Read back what `budget_to_json` wrote; None is no budget."""
    if text is None:
        return None
    values = json.loads(text)
    ends = values.pop("ends")
    return Budget(**values, ends=inf if ends is None else ends)
