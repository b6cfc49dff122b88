"""What an aggregation gives."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.state import RuleState

__all__ = ["Aggregation"]


class Aggregation:
    """The update, what each client contributed to it, and what the rule remembers.

    Attributes
    ----------
    update : float32 of shape (n_params,)
    state : RuleState or None
        For the next round; None for a rule that remembers nothing.
    """

    def __init__(
        self,
        update: NDArray[np.float32],
        weights: NDArray[np.float64] | Callable[[], NDArray[np.float64]],
        state: RuleState | None = None,
    ) -> None:
        self.update = update
        self.state = state
        self._weights = weights

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Each client's share in the update, shape (n_clients,).

        For a rule without a coordinate step its coefficient; otherwise the share of its
        coordinates that were kept, through all mixing before. The latter takes another pass over
        the updates, which must not have been changed: it is made when the weights are first asked
        for.
        """
        return self._weights() if callable(self._weights) else self._weights
