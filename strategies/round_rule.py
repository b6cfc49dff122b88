"""The aggregation rule of a strategy, from whatever the configuration names."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedtrade.components import as_component, factory
from fedtrade.errors import ConfigurationError
from fedtrade.robust import Aggregation, Rule, RuleState, build_rule

__all__ = ["RoundRule", "UserFunction", "UserRule", "round_rule"]

UserFunction: TypeAlias = Callable[
    [NDArray[np.float32], NDArray[np.float64]], "NDArray[np.float32] | Aggregation"
]
"""From updates (n_clients, n_params) and weights (n_clients,) to one update (n_params,)."""


class RoundRule(Protocol):
    """What a strategy needs of a rule; `fedtrade.robust.Rule` is one."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def uses_weights(self) -> bool:
        """Whether clients may have unequal weights."""
        ...

    @property
    def needs_anchors(self) -> frozenset[str]:
        """Public rows beside the clients'."""
        ...

    def least_clients(self, n_byzantine: int) -> int:
        """So many clients are needed to withstand `n_byzantine`."""
        ...

    def check(self, n_clients: int, n_byzantine: int) -> None:
        """Raise a ValueError if they are too few, or too many."""
        ...

    def __call__(
        self,
        updates: NDArray[np.float32],
        *,
        weights: NDArray[np.float64] | None = None,
        n_byzantine: int = 0,
        state: RuleState | None = None,
        rng: np.random.Generator | None = None,
        anchors: Mapping[str, NDArray[np.float32]] | None = None,
        client_ids: Sequence[int] | None = None,
    ) -> Aggregation:
        """Aggregate."""
        ...


class UserRule:
    """A function `(updates, weights) -> update` as a rule; it may return an `Aggregation` too.

    A function that returns the update alone does not tell how much each client had in it: the
    weights of the aggregation are then empty, of shape (0,).
    """

    uses_weights = True
    needs_anchors: frozenset[str] = frozenset()

    def __init__(self, function: UserFunction, name: str) -> None:
        self._function = function
        self.name = name

    def least_clients(self, n_byzantine: int) -> int:
        """One: nothing is known of the function."""
        return 1

    def check(self, n_clients: int, n_byzantine: int) -> None:
        """Nothing to check."""

    def __call__(
        self,
        updates: NDArray[np.float32],
        *,
        weights: NDArray[np.float64] | None = None,
        n_byzantine: int = 0,
        state: RuleState | None = None,
        rng: np.random.Generator | None = None,
        anchors: Mapping[str, NDArray[np.float32]] | None = None,
        client_ids: Sequence[int] | None = None,
    ) -> Aggregation:
        """Call the function.

        Raises
        ------
        ConfigurationError
            If what it returns does not have the shape of an update.
        """
        given = np.ones(len(updates)) if weights is None else weights
        try:
            found = self._function(updates, given)
        except (ValueError, ArithmeticError):
            raise  # it cannot be applied to these updates
        except Exception as error:
            raise ConfigurationError(
                f"strategy.rule {self.name} failed with {type(error).__name__}: {error}"
            ) from error
        update = np.asarray(found.update if isinstance(found, Aggregation) else found)
        if update.shape != updates.shape[1:] or update.dtype.kind != "f":
            raise ConfigurationError(
                f"strategy.rule {self.name} returned {update.dtype} of shape {update.shape}, not "
                f"an update of shape {updates.shape[1:]}."
            )
        if isinstance(found, Aggregation):
            return found
        return Aggregation(update.astype(np.float32), np.zeros(0), state)


def round_rule(rule: str | Mapping[str, Any] | UserFunction | Rule) -> RoundRule:
    """The rule that a strategy was given.

    Parameters
    ----------
    rule : str, mapping or callable
        A registry name or composition such as "nnm+krum"; a mapping of such a `name` and options;
        a mapping with the import path of a function or class under `_target_` and options; or a
        function `(updates, weights) -> update`.

    Raises
    ------
    ConfigurationError
        If the target cannot be imported or does not take an option.
    ValueError
        If the registry does not know the name or refuses an option.
    """
    if isinstance(rule, str):
        return build_rule(rule)
    if not isinstance(rule, Mapping):
        return _from_callable(rule, getattr(rule, "__name__", type(rule).__name__))
    if "_target_" in rule:
        component = as_component(rule, "strategy.rule")
        target = factory(component, "strategy.rule")
        is_class = inspect.isclass(target.func)  # type: ignore[attr-defined]
        return _from_callable(target() if is_class else target, component.target)
    if "name" not in rule:
        raise ValueError(f"rule needs a name or a _target_, got {dict(rule)}.")
    return build_rule(**rule)


def _from_callable(rule: UserFunction | Rule, name: str) -> RoundRule:
    if isinstance(rule, Rule):
        return rule
    if not callable(rule):
        raise ConfigurationError(
            f"strategy.rule={rule!r} is no rule: give a name such as nnm+krum, a mapping with a "
            "name or a _target_, or a function of updates and weights."
        )
    return UserRule(rule, name)
