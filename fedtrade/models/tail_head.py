"""From a volatility to value at risk and expected shortfall, with parameters shared by all.

The head turns the volatility forecast of a network into the left tail of the next return:
quantiles that cannot cross and shortfalls beyond them, at several levels at once. Its parameters
are the logarithm of the multiplier at the highest level, of the increment to each further level,
of the excess of each shortfall over its quantile, and of the degrees of freedom beyond
`LEAST_DOF`: `2 * n_levels + 1` numbers, all free on the real line.

The loss of an example is the Student-t likelihood of its return plus one half of the FZ0 score of
the tail (Patton, Ziegel and Chen 2019, Journal of Econometrics 211(2), equation 6), averaged over
the levels: the likelihood steadies the volatility, the score sharpens the tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.baselines.student_t import student_t_quantile, student_t_shortfall
from fedtrade.lazy_torch import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SCORE_WEIGHT", "TailForecasts", "TailHead"]

LEAST_DOF = 2.1
SCORE_WEIGHT = 0.5
"""Weight of the FZ0 score beside the likelihood."""
LIMIT = 8.0
"""Parameters beyond +-8 count as +-8, so that no vector overflows single precision."""


class TailForecasts(NamedTuple):
    """Returns' quantiles and the means below them, each of shape (n, n_levels)."""

    var: Tensor
    es: Tensor


class TailHead:
    """The tail of a return of given volatility.

    Parameters
    ----------
    levels : sequence of float
        Tail probabilities, falling, each in (0, 0.5).

    Raises
    ------
    ValueError
        If the levels do not fall or lie outside of (0, 0.5).
    """

    def __init__(self, levels: Sequence[float]) -> None:
        falling = all(a > b for a, b in pairwise(levels))
        if not levels or not falling or not all(0.0 < level < 0.5 for level in levels):
            raise ValueError(
                f"levels must be different, fall and lie in (0, 0.5), got {list(levels)}."
            )
        self.levels = tuple(float(level) for level in levels)

    @property
    def n_params(self) -> int:
        """Two numbers a level and the degrees of freedom."""
        return 2 * len(self.levels) + 1

    def student_t(self, dof: float) -> NDArray[np.float32]:
        """The parameters, shape (n_params,), at which the tail is that of a Student-t."""
        multiples = -student_t_quantile(self.levels, dof)
        shortfalls = -student_t_shortfall(self.levels, dof)
        increments = np.diff(multiples, prepend=0.0)
        return np.concatenate(
            [np.log(increments), np.log(shortfalls / multiples - 1.0), [log(dof - LEAST_DOF)]]
        ).astype(np.float32)

    def forecasts(self, shape: Tensor, volatility: Tensor) -> TailForecasts:
        """Tail of returns with volatility (n,) under parameters (n_params,)."""
        multiples, shortfalls, _ = self._unpacked(shape)
        scale = -volatility[:, None]
        return TailForecasts(var=scale * multiples, es=scale * shortfalls)

    def losses(
        self,
        shape: Tensor,
        log_volatility: Tensor,
        returns: Tensor,
        score_weight: float = SCORE_WEIGHT,
    ) -> Tensor:
        """Loss of each example.

        Parameters
        ----------
        shape : Tensor of shape (..., n_params)
        log_volatility : Tensor of shape (..., n)
        returns : Tensor of shape (n,)
        score_weight : float
            Of the FZ0 score beside the likelihood.

        Returns
        -------
        Tensor of shape (..., n)
        """
        # Its module defines a class of torch's, and so needs torch to be imported.
        from fedtrade.models.tail_loss import tail_loss

        unpacked = self._unpacked(shape)
        return tail_loss(*unpacked, log_volatility, returns, self._tensor, score_weight)

    @cached_property
    def _tensor(self) -> Tensor:
        """The levels, for the loss."""
        return torch.tensor(self.levels)

    def _unpacked(self, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """VaR and ES in volatilities, each (..., n_levels), and degrees of freedom (...)."""
        n_levels = len(self.levels)
        positive = torch.exp(torch.clamp(shape, -LIMIT, LIMIT))
        multiples = torch.cumsum(positive[..., :n_levels], dim=-1)
        shortfalls = multiples * (1.0 + positive[..., n_levels:-1])
        return multiples, shortfalls, LEAST_DOF + positive[..., -1]
