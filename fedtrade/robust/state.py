"""What a rule remembers from round to round."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RuleState"]

STEP_PREFIX = "step/"

MOST = np.finfo(np.float32).max


@dataclass(frozen=True, slots=True, eq=False)
class RuleState:
    """Only what the rule needs; the rest is None.

    Attributes
    ----------
    previous : float32 of shape (n_params,) or None
        The previous aggregate.
    history : float32 of shape (n_known, n_params) or None
        The sum of all updates of each client so far.
    client_ids : tuple
        Whose they are.
    steps : mapping of str to array
        What single steps remember, by their name.
    """

    previous: NDArray[np.float32] | None = None
    history: NDArray[np.float32] | None = None
    client_ids: tuple[Hashable, ...] = ()
    steps: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def history_with(
        self, client_ids: Sequence[Hashable], updates: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The sum of all that these clients sent, `updates` included, (n_clients, n_params)."""
        found = updates.copy()
        where = {client: row for row, client in enumerate(self.client_ids)}
        with np.errstate(over="ignore"):
            for row, client in enumerate(client_ids):
                if self.history is not None and client in where:
                    found[row] += self.history[where[client]]
        # Who sends absurd values again and again may not make the sum infinite.
        return np.clip(found, -MOST, MOST, out=found)

    def with_history(
        self, client_ids: Sequence[Hashable], history: NDArray[np.float32]
    ) -> "RuleState":
        """With new sums of some clients; those of absent ones stay."""
        present = set(client_ids)
        absent = [k for k, client in enumerate(self.client_ids) if client not in present]
        if self.history is not None and absent:
            history = np.concatenate([history, self.history[absent]])
        ids = (*client_ids, *(self.client_ids[k] for k in absent))
        return replace(self, history=history, client_ids=ids)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays, for a checkpoint; client ids must be whole numbers below 2^63."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.previous is not None:
            arrays["previous"] = self.previous
        if self.history is not None:
            arrays["history"] = self.history
            arrays["client_ids"] = np.array(self.client_ids, dtype=np.int64)
        return arrays | {f"{STEP_PREFIX}{name}": values for name, values in self.steps.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "RuleState":
        """Read back what `to_arrays` wrote."""
        ids = tuple(int(client) for client in arrays.get("client_ids", ()))
        steps = {
            name.removeprefix(STEP_PREFIX): values
            for name, values in arrays.items()
            if name.startswith(STEP_PREFIX)
        }
        return cls(arrays.get("previous"), arrays.get("history"), ids, steps)
