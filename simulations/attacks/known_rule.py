"""What an adversary that knows the strategy's rule can compute with it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.masked.graph import cohorts
from fedtrade.settings import Component
from simulations.attacks.round_view import AggregateRule
from strategies.round_rule import RoundRule, round_rule
from strategies.trust.grouping import n_liars_rounded_up

__all__ = ["known_rule"]

_SALT = 0xF0E


def known_rule(
    strategy: Component, seed: int = 0, group_size: int | None = None
) -> AggregateRule | None:
    """The rule of a strategy's settings as a function of a round's updates, or None.

    It counts everybody alike and knows neither what the rule remembers of earlier rounds nor what
    it draws; where the rule sees means of random groups, some groups of that size stand for those
    of the round. None for a strategy without a setting `rule`, and for a rule that needs public
    rows, which only the server has.

    Raises
    ------
    ConfigurationError, ValueError
        As `round_rule`.
    """
    options = strategy.options
    if "rule" not in options:
        return None
    rule = round_rule(options["rule"])
    if rule.needs_anchors:
        return None
    return _Known(rule, options, seed, group_size)


class _Known:
    def __init__(
        self, rule: RoundRule, options: dict[str, Any], seed: int, group_size: int | None
    ) -> None:
        self._rule = rule
        self._n_byzantine: int | None = options.get("n_byzantine")
        self._share = float(options.get("byzantine_share") or 0.0)
        self._seed = seed
        self._group_size = group_size

    def __call__(self, updates: NDArray[np.float32]) -> NDArray[np.float32]:
        """The aggregate; not a number where the rule refuses: such a round is skipped."""
        n_byzantine = self._n_byzantine
        if n_byzantine is None:
            n_byzantine = math.floor(self._share * len(updates) + 1e-9)
            if self._group_size is not None:
                n_byzantine = n_liars_rounded_up(self._share, len(updates))
        rng = np.random.default_rng([_SALT, self._seed])
        if self._group_size is not None:
            groups = cohorts(rng.permutation(len(updates)), self._group_size)
            updates = np.array([updates[group].mean(axis=0) for group in groups])
            n_byzantine = min(n_byzantine, len(updates))
        try:
            return self._rule(updates, n_byzantine=n_byzantine, rng=rng).update
        except ValueError:
            return np.full(updates.shape[1], np.nan, dtype=np.float32)
