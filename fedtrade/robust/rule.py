"""A rule: steps one after the other, from updates to one update."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.aggregation import Aggregation
from fedtrade.robust.centered_clipping import PREVIOUS
from fedtrade.robust.columns import kept_shares, over_columns
from fedtrade.robust.gram import Gram
from fedtrade.robust.mean import Mean
from fedtrade.robust.rows import Rows
from fedtrade.robust.sketch import Sketch
from fedtrade.robust.state import RuleState
from fedtrade.robust.step import CoordinateStep, GramStep, Step

__all__ = ["Rule"]

MOST_CLIENTS = 100_000
"""No bound of a rule asks for more."""


class Rule:
    """A pipeline of Gram steps with at most one coordinate step, at its end.

    All steps but the last are mixers; a rule whose last step is one too ends with the mean of what
    it mixed. A rule is a value: what it remembers goes in and comes out as its state.

    Parameters
    ----------
    name : str
        For messages.
    steps : sequence of Step
        At least one.
    sketch : int or None
        Estimate the Gram matrix from a random projection to so many coordinates (see `Sketch`);
        None for the exact one.

    Raises
    ------
    ValueError
        If the steps do not fit behind each other.
    """

    def __init__(self, name: str, steps: Sequence[Step], *, sketch: int | None = None) -> None:
        self.name = name
        self._steps = tuple(steps)
        self._gram_steps = tuple(step for step in steps if isinstance(step, GramStep))
        self._sketch = sketch
        self._check_steps()
        last = steps[-1]
        self._coordinate_step = last if isinstance(last, CoordinateStep) else None

    def __repr__(self) -> str:
        """The name, as the registry reads it."""
        return f"<rule {self.name}>"

    # --- what a rule says of itself -------------------------------------------------------------

    @property
    def is_gram_only(self) -> bool:
        """Whether inner products are all it needs to know of the updates."""
        return self._coordinate_step is None

    @property
    def uses_weights(self) -> bool:
        """Whether unequal weights of the clients mean something to every step."""
        return all(step.uses_weights for step in self._steps)

    @property
    def needs_anchors(self) -> frozenset[str]:
        """Public rows that the caller must give."""
        return frozenset(self._anchors) - {PREVIOUS}

    @property
    def uses_history(self) -> bool:
        """Whether it looks at all that each client sent so far."""
        return any(step.uses_history for step in self._gram_steps)

    @property
    def bound(self) -> str:
        """What its steps need, in words."""
        return ", ".join(f"{step.name}: {step.bound}" for step in self._steps)

    def check(self, n_clients: int, n_byzantine: int) -> None:
        """Raise a ValueError if so many clients, of which so many lie, break the bound."""
        self._check_byzantine(n_byzantine)
        n = n_clients
        for step in self._steps:
            least = step.least_clients(n_byzantine)
            if n < least:
                mixed = "" if n == n_clients else f", {n} rows after mixing"
                raise ValueError(
                    f"{self.name}: {step.name} needs {step.bound} and at least {least} rows, "
                    f"got n={n_clients}, f={n_byzantine}{mixed}."
                )
            if isinstance(step, GramStep):
                n = step.n_out(n, n_byzantine)

    def least_clients(self, n_byzantine: int) -> int:
        """The smallest number of clients with which so many liars can be borne.

        Raises
        ------
        ValueError
            If no number will do.
        """
        self._check_byzantine(n_byzantine)
        low, high = 0, MOST_CLIENTS
        self.check(high, n_byzantine)
        while high - low > 1:  # every step gives more rows for more rows
            middle = (low + high) // 2
            try:
                self.check(middle, n_byzantine)
            except ValueError:
                low = middle
            else:
                high = middle
        return high

    # --- aggregation ----------------------------------------------------------------------------

    def __call__(
        self,
        updates: NDArray[np.float32],
        *,
        weights: NDArray[np.floating] | Sequence[float] | None = None,
        n_byzantine: int = 0,
        state: RuleState | None = None,
        rng: np.random.Generator | int | None = None,
        anchors: Mapping[str, NDArray[np.float32]] | None = None,
        client_ids: Sequence[Hashable] | None = None,
    ) -> Aggregation:
        """Aggregate updates of shape (n_clients, n_params), as `fedtrade.robust.aggregate`."""
        self._check_shape(updates)
        known = state or RuleState()
        public = self._public_rows(anchors, known, updates.shape[1])
        ids = self._checked_ids(known, client_ids, updates.shape)
        rows = Rows(updates, public)
        _check_finite(self.name, rows)
        self.check(len(updates), n_byzantine)
        history = known.history_with(ids, updates) if self.uses_history else None
        generator = np.random.default_rng(rng)
        gram = Gram.of(
            rows if history is None else Rows(history, public),
            self._checked_weights(weights, len(updates)),
            n_byzantine,
            self._anchors,
            self._projection(generator),
        )
        mixing, memory = self._mix(gram, known.steps, generator)
        update, shares = self._applied(mixing, rows, n_byzantine)
        state = self._remembered(update, known, memory, history, ids)
        return Aggregation(update, shares, state)

    def coefficients(
        self, gram: Gram, rng: np.random.Generator | int | None = None
    ) -> NDArray[np.float64]:
        """Of clients and anchors in the aggregate, from the Gram matrix alone, shape (n_rows,).

        Raises
        ------
        ValueError
            If the rule has a coordinate step, or its bound is broken.
        """
        if not self.is_gram_only:
            raise ValueError(f"{self.name} has a coordinate step: it must see the updates.")
        self.check(gram.n_clients, gram.n_byzantine)
        mixing, _ = self._mix(gram, {}, np.random.default_rng(rng))
        assert mixing is not None
        row: NDArray[np.float64] = mixing[0].astype(np.float64)
        return row

    def mix(
        self,
        updates: NDArray[np.float32],
        *,
        n_byzantine: int = 0,
        rng: np.random.Generator | int | None = None,
    ) -> NDArray[np.float32]:
        """The rows (n_out, n_params) that mixers make of the updates.

        Raises
        ------
        ValueError
            As `aggregate`, and if a step is no mixer.
        """
        if not all(step.is_mixer for step in self._gram_steps) or not self.is_gram_only:
            raise ValueError(f"{self.name} does not consist of mixers alone.")
        self._check_shape(updates)
        rows = Rows(updates)
        _check_finite(self.name, rows)
        self.check(len(updates), n_byzantine)
        generator = np.random.default_rng(rng)
        gram = Gram.of(rows, np.ones(len(updates)), n_byzantine, sketch=self._projection(generator))
        mixing, _ = self._mix(gram, {}, generator, ends=False)
        assert mixing is not None
        mixed: NDArray[np.float32] = mixing.astype(np.float32, copy=False) @ updates
        return mixed

    # --- the pipeline ---------------------------------------------------------------------------

    @property
    def _anchors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for step in self._gram_steps for name in step.anchors))

    def _mix(
        self,
        gram: Gram,
        memory: Mapping[str, NDArray[np.floating]],
        rng: np.random.Generator,
        *,
        ends: bool = True,
    ) -> tuple[NDArray[np.floating] | None, dict[str, NDArray[np.floating]]]:
        """The product of all mixing matrices, (n_out, n_rows); None if nothing is mixed."""
        steps = list(self._gram_steps)
        if ends and steps and self.is_gram_only and steps[-1].is_mixer:
            steps.append(Mean())
        total: NDArray[np.floating] | None = None
        remembered = {}
        for step in steps:
            mixing, kept = step(gram, memory.get(step.name), rng)
            if kept is not None:
                remembered[step.name] = kept
            total = mixing if total is None else _behind(total, mixing, len(gram.anchors))
            gram = gram.mixed(mixing, has_shares=step.uses_weights)
        return total, remembered

    def _applied(
        self, mixing: NDArray[np.floating] | None, rows: Rows, n_byzantine: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64] | Callable[[], NDArray[np.float64]]]:
        """The update, and the clients' shares in it or what gives them."""
        n, step = rows.n_clients, self._coordinate_step
        if step is None:
            assert mixing is not None
            return rows.mixture(mixing[0]), mixing[0, :n].astype(np.float64)
        clients = None if mixing is None else mixing.astype(np.float32, copy=False)
        kept = over_columns(step, rows.updates, clients, n_byzantine)
        return kept.values, lambda: kept_shares(kept, rows.updates, clients)

    def _remembered(
        self,
        update: NDArray[np.float32],
        known: RuleState,
        memory: Mapping[str, NDArray[np.floating]],
        history: NDArray[np.float32] | None,
        ids: Sequence[Hashable],
    ) -> RuleState | None:
        has_previous = PREVIOUS in self._anchors
        if not (has_previous or self.uses_history or memory):
            return None
        state = replace(known, previous=update if has_previous else None, steps=memory)
        return state if history is None else state.with_history(ids, history)

    # --- what comes in --------------------------------------------------------------------------

    def _projection(self, rng: np.random.Generator) -> Sketch | None:
        return None if self._sketch is None else Sketch(self._sketch, int(rng.integers(2**62)))

    def _checked_ids(
        self, known: RuleState, client_ids: Sequence[Hashable] | None, shape: tuple[int, ...]
    ) -> tuple[Hashable, ...]:
        n, n_params = shape
        ids = tuple(range(n)) if client_ids is None else tuple(client_ids)
        if len(ids) != n or len(set(ids)) != n:
            raise ValueError(
                f"{self.name}: client_ids must be {n} different ones, one a row, got {len(ids)} "
                f"of which {len(set(ids))} differ."
            )
        if not self.uses_history:
            return ids
        if known.history is not None and known.history.shape[1] != n_params:
            raise ValueError(
                f"{self.name}: the state is of {known.history.shape[1]} parameters, the updates "
                f"have {n_params}."
            )
        if client_ids is None and known.history is not None and known.client_ids != ids:
            raise ValueError(
                f"{self.name}: {n} rows cannot be told apart from the {len(known.client_ids)} of "
                "the round before; pass client_ids."
            )
        return ids

    def _public_rows(
        self,
        anchors: Mapping[str, NDArray[np.float32]] | None,
        known: RuleState,
        n_params: int,
    ) -> NDArray[np.float32] | None:
        """The anchors in order, shape (n_anchors, n_params)."""
        given = dict(anchors or {})
        unknown = sorted(set(given) - set(self._anchors))
        if unknown:
            raise ValueError(f"{self.name} has no use for the anchor {unknown[0]!r}.")
        if PREVIOUS in self._anchors and PREVIOUS not in given:
            origin = np.zeros(n_params, dtype=np.float32)
            given[PREVIOUS] = origin if known.previous is None else known.previous
        for name in self._anchors:
            row = given.get(name)
            if row is None:
                raise ValueError(
                    f"{self.name} needs the anchor {name!r}: pass anchors={{{name!r}: ...}}, "
                    f"float32 of shape ({n_params},)."
                )
            is_array = isinstance(row, np.ndarray) and row.dtype == np.float32
            if not is_array or row.shape != (n_params,) or not np.isfinite(row).all():
                dtype, shape = getattr(row, "dtype", type(row).__name__), np.shape(row)
                raise ValueError(
                    f"{self.name}: the anchor {name!r} must be finite float32 of shape "
                    f"({n_params},), got {dtype} of shape {shape}."
                )
        return np.stack([given[name] for name in self._anchors]) if self._anchors else None

    def _checked_weights(
        self, weights: NDArray[np.floating] | Sequence[float] | None, n: int
    ) -> NDArray[np.float64]:
        if weights is None:
            return np.ones(n)
        try:
            found = np.asarray(weights, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"{self.name}: weights must be {n} numbers, got {weights!r}."
            ) from None
        if found.shape != (n,):
            raise ValueError(f"{self.name}: weights must have shape ({n},), got {found.shape}.")
        with np.errstate(over="ignore"):
            total = found.sum()
        if not (np.isfinite(found).all() and np.isfinite(total)) or (found < 0.0).any():
            raise ValueError(f"{self.name}: weights must be finite and not negative, got {found}.")
        if not total > 0.0:
            raise ValueError(f"{self.name}: weights must not all be zero, got {found}.")
        if not self.uses_weights and (found != found[0]).any():
            raise ValueError(
                f"{self.name} cannot use unequal weights, got {found.min():g} to {found.max():g}; "
                "leave them out."
            )
        return found

    def _check_shape(self, updates: NDArray[np.float32]) -> None:
        if not isinstance(updates, np.ndarray) or updates.ndim != 2 or 0 in updates.shape:
            found = getattr(updates, "shape", type(updates).__name__)
            raise ValueError(
                f"{self.name}: updates must be an array of shape (n_clients, n_params), neither "
                f"of them zero, got {found}."
            )
        if updates.dtype != np.float32:
            raise ValueError(
                f"{self.name}: updates must be float32, got {updates.dtype}; use "
                "updates.astype(numpy.float32)."
            )
        if not updates.flags.c_contiguous:
            raise ValueError(
                f"{self.name}: updates must be contiguous, got strides {updates.strides} of shape "
                f"{updates.shape}; use numpy.ascontiguousarray(updates)."
            )

    def _check_byzantine(self, n_byzantine: int) -> None:
        is_whole = isinstance(n_byzantine, int | np.integer) and not isinstance(n_byzantine, bool)
        if not is_whole or n_byzantine < 0:
            raise ValueError(
                f"{self.name}: n_byzantine must be a whole number, not negative, "
                f"got {n_byzantine!r}."
            )
        if n_byzantine and all(isinstance(step, Mean) for step in self._steps):
            raise ValueError(
                f"{self.name}: the mean is no defence and needs f = 0, got f={n_byzantine}."
            )

    def _check_steps(self) -> None:
        if not self._steps:
            raise ValueError("a rule needs at least one step.")
        for step, following in zip(self._steps, self._steps[1:], strict=False):
            if not isinstance(step, GramStep) or not step.is_mixer:
                raise ValueError(
                    f"{self.name}: {step.name} gives a single update, so that {following.name} "
                    "cannot come after it; put mixers (nnm, bucketing, arc, norm_clipping) first."
                )
        if self.uses_history and len(self._steps) > 1:
            raise ValueError(
                f"{self.name}: {self._steps[-1].name} looks at all that each client sent so far "
                "and stands alone."
            )
        if self._sketch is not None and (
            not isinstance(self._sketch, int)
            or isinstance(self._sketch, bool)
            or self._sketch < 1
            or not self._gram_steps
        ):
            raise ValueError(
                f"{self.name}: sketch must be a whole number of coordinates from 1, for a rule "
                f"with a Gram step, got {self._sketch!r}."
            )


def _behind(
    first: NDArray[np.floating], second: NDArray[np.floating], n_anchors: int
) -> NDArray[np.floating]:
    """The mixing matrix of `second` after `first`, which leaves the anchors as they are."""
    n_rows = first.shape[1]
    whole = np.vstack([first, np.eye(n_anchors, n_rows, n_rows - n_anchors, dtype=first.dtype)])
    return second @ whole  # type: ignore[no-any-return]


def _check_finite(name: str, rows: Rows) -> None:
    """Raise a ValueError that names a row with NaN or infinite values."""
    n = rows.n_clients
    for row in np.flatnonzero(~np.isfinite(rows.squared_norms[:n])):
        if not np.isfinite(rows.updates[row]).all():
            raise ValueError(f"{name}: the update of client {row} has values that are not finite.")
