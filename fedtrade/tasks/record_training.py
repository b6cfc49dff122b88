"""A participant's training seen as a sum over records: what private training needs to know.

A record is everything that one label bar adds to the loss. Features of a bar are made of many
returns, so that one return is part of many records. `blocks` bounds how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.lazy_torch import torch
from fedtrade.tasks.task import Sample, Shared, Task

if TYPE_CHECKING:
    from torch import Tensor

    from fedtrade.models import Network

__all__ = ["RecordTraining", "TrainsOnRecords", "blocks", "examples_by_blocks"]


class StackedExamples(Protocol):
    """Training examples that can be dealt out to records."""

    @property
    def label_bars(self) -> NDArray[np.intp]:
        """Shape (n_examples,)."""
        ...

    @property
    def features(self) -> ArrayLike:
        """Shape (n_examples, n_features)."""
        ...

    def where(self, keep: NDArray[np.bool_]) -> Self:
        """Those that a mask of shape (n_examples,) keeps."""
        ...

    @staticmethod
    def joined(parts: Iterable[Any]) -> Any:
        """All of several lots."""
        ...

    def at(self, index: NDArray[np.intp]) -> Self:
        """Those at an index of any shape; every array gets that shape in front."""
        ...


E = TypeVar("E", bound=StackedExamples)


@dataclass(frozen=True, slots=True, eq=False)
class RecordTraining:
    """Minimise the mean of the records' losses plus `shrinkage / 2 * |v - prior|^2` by Adam.

    Attributes
    ----------
    n_records, n_examples : int
    features : callable
        From records' numbers to what their first example is learned from, (n, n_features).
    losses : callable
        From one vector a record, (n, n_params), and records' numbers (n,) to their losses (n,),
        each of which depends on its own record alone.
    prior : float32 of shape (n_params,)
    shrinkage, learning_rate : float
    n_steps : int
        In a round.
    n_units : int or None
        Units of the network's first layer, with whose intercepts and weights by unit the vector
        begins; None if it does not. Only an auditor needs it.
    """

    n_records: int
    n_examples: int
    features: Callable[[NDArray[np.intp]], NDArray[np.float64]]
    losses: Callable[[Tensor, NDArray[np.intp]], Tensor]
    prior: NDArray[np.float32]
    shrinkage: float
    learning_rate: float
    n_steps: int
    n_units: int | None = None

    @classmethod
    def of(
        cls,
        examples: E,
        loss_of: Callable[[Tensor, E], Tensor],
        *,
        prior: NDArray[np.float32],
        shrinkage: float,
        learning_rate: float,
        n_steps: int,
        network: Network | None = None,
    ) -> RecordTraining:
        """Of examples, grouped by the bar at which their label ends.

        A record's loss is the mean over its examples.

        Parameters
        ----------
        network : Network or None
            Whose parameters the vector begins with.
        loss_of : callable
            From vectors (n, n_params) and examples of shape (n, k) to losses (n, k).
        """
        index, counts = _grouped(examples.label_bars)
        weights = (np.arange(index.shape[1]) < counts[:, None]) / np.maximum(counts, 1)[:, None]
        shares = torch.from_numpy(weights.astype(np.float32))

        everything = np.arange(len(index))
        all_examples = cache(lambda: examples.at(index))  # where each step takes all of them

        def losses(vectors: Tensor, chosen: NDArray[np.intp]) -> Tensor:
            if np.array_equal(chosen, everything):
                return (loss_of(vectors, all_examples()) * shares).sum(dim=-1)
            each = loss_of(vectors, examples.at(index[chosen]))
            return (each * shares[torch.from_numpy(chosen)]).sum(dim=-1)

        def features(chosen: NDArray[np.intp]) -> NDArray[np.float64]:
            first = examples.at(index[chosen][:, 0])
            return np.asarray(first.features, dtype=np.float64)

        return cls(
            n_records=len(index),
            n_examples=len(examples.label_bars),
            features=features,
            losses=losses,
            prior=prior,
            shrinkage=shrinkage,
            learning_rate=learning_rate,
            n_steps=n_steps,
            n_units=getattr(network, "n_units", None),
        )


@runtime_checkable
class TrainsOnRecords(Task, Protocol):
    """A task whose training can be made private for each record; tasks need not."""

    local_steps: int

    def record_training(
        self, sample: Sample, shared: Shared, look_back_bars: int | None
    ) -> RecordTraining:
        """The participant's training by records.

        Parameters
        ----------
        look_back_bars : int or None
            How far features may look back, an even number; None for as far as they like.
        """
        ...


def examples_by_blocks(
    sample: Sample, look_back_bars: int | None, examples_of: Callable[[Sample], E]
) -> E:
    """A sample's examples, each label from one of the `blocks` alone.

    Parameters
    ----------
    examples_of : callable
        The examples of a sample, with the calendar rows at which their labels end.
    """
    lots = [(examples_of(part), first) for part, first in blocks(sample, look_back_bars)]
    kept = (own.where(own.label_bars >= first) for own, first in lots)
    joined: E = type(lots[0][0]).joined(kept)
    return joined


def blocks(sample: Sample, look_back_bars: int | None) -> list[tuple[Sample, int]]:
    """Cut the training bars of a sample, each part with the calendar row of its first label.

    Every part is at most `look_back_bars` long and overlaps the one before it by half, whose
    labels are already learned from. A bar's returns are in at most two parts, in each of which
    they are followed by no more than half a part of labels that are learned from (in the first,
    where nothing overlaps, by a whole one): they are part of at most `look_back_bars` records.
    """
    if look_back_bars is None or sample.n_train <= look_back_bars:
        return [(sample.training_bars(0, sample.n_train), 0)]
    half = look_back_bars // 2
    parts = []
    for start in range(0, sample.n_train - half, half):
        part = sample.training_bars(start, min(start + look_back_bars, sample.n_train))
        parts.append((part, 0 if start == 0 else int(sample.rows[start + half])))
    return parts


def _grouped(label_bars: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The examples of each label bar (n_records, most), filled up with any, and how many."""
    if not len(label_bars):
        return np.zeros((0, 0), dtype=np.intp), np.zeros(0, dtype=np.intp)
    order = np.argsort(label_bars, kind="stable")
    _, starts, counts = np.unique(label_bars[order], return_index=True, return_counts=True)
    within = np.minimum(np.arange(counts.max()), counts[:, None] - 1)
    return order[starts[:, None] + within], counts
