"""The mode `plain` with noise: the server sees each update, and nobody else more than a noisy sum.

The server is trusted with the updates and with adding the noise. It clips what it gets once more,
so that a participant that does not clip gains nothing by it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.privacy.participant import NoisyVectors
from fedtrade.secure import PlainAggregation
from fedtrade.wire import SUM
from strategies.answers import Parts
from strategies.replies import LocalResult
from strategies.round_rule import RoundRule
from strategies.trust.mode import Row, Rows, TrainingRequest
from strategies.trust.plain import Plain
from strategies.trust.private import noisy_row

__all__ = ["NoisyPlain"]


class NoisyPlain(Plain):
    """A round has one row, the mean of the clipped updates with noise on their sum.

    Parameters
    ----------
    settings : PlainAggregation
    noise : NoisyVectors
    """

    def __init__(self, settings: PlainAggregation, noise: NoisyVectors) -> None:
        super().__init__(settings)
        self.noise: NoisyVectors = noise
        self.shows_each = False

    def n_rows(self, n_asked: int) -> int:
        """One."""
        return 1

    def check(self, rule: RoundRule, n_asked: int, n_liars: int, n_participants: int) -> None:
        """Any rule sees one row; which rules have a meaning then is the strategy's to say."""

    def read_training(
        self, grid: Grid, replies: Iterable[Message], request: TrainingRequest
    ) -> Rows:
        """Screen the replies one by one, and add up those that are left.

        Not beside each other: what becomes of one must not depend on the others.
        """
        found = self._screened(replies, replace(request, max_norm_ratio=float("inf")))
        if not found.results:
            return Rows([], found.refusals, found.n_broken)
        row, share_within = self._row(found.results, request)
        return Rows([row], found.refusals, found.n_broken, share_within=share_within)

    def rows(self, results: Sequence[LocalResult], request: TrainingRequest) -> list[Row]:
        """The one row of usable replies, with fresh noise."""
        return [self._row(results, request)[0]] if results else []

    def _row(
        self, results: Sequence[LocalResult], request: TrainingRequest
    ) -> tuple[Row, float | None]:
        clip = 1.0 if request.clip is None else request.clip
        total = self.noise.update_noise(request.n_values)
        for result in results:
            for name, values in self.noise.update_values(result.update, clip).items():
                total[name] += values
        return noisy_row(self.noise, tuple(r.node_id for r in results), total, request)

    def _total(self, parts: Parts, message_type: str) -> NDArray[np.float64]:
        """With noise, unless it is of scores."""
        if message_type != SUM or not self.noise.covers_sums:
            return super()._total(parts, message_type)
        first = parts.values[0]
        total = self.noise.sum_noise(first.size)
        for part in parts.values:
            for name, values in self.noise.sum_values(part).items():
                total[name] += values
        return self.noise.total(total).reshape(first.shape)
