"""Aggregation rules that bear liars, on updates of shape (n_clients, n_params).

Rules are made of steps of two kinds (see `step`): Gram steps, which see only inner products, and
coordinate steps. `aggregate` runs one by name, `build_rule` makes one to keep.
"""

from fedtrade.robust.aggregation import Aggregation
from fedtrade.robust.gram import Gram
from fedtrade.robust.registry import RULES, aggregate, build_rule
from fedtrade.robust.rule import Rule
from fedtrade.robust.sketch import Sketch
from fedtrade.robust.state import RuleState
from fedtrade.robust.step import CoordinateStep, GramStep, Kept, Step

__all__ = [
    "RULES",
    "Aggregation",
    "CoordinateStep",
    "Gram",
    "GramStep",
    "Kept",
    "Rule",
    "RuleState",
    "Sketch",
    "Step",
    "aggregate",
    "build_rule",
]
