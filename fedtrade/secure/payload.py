"""What a participant puts into a private sum, and what follows from the total.

A member's share of a round is its update times its weight, the weight, its loss times the weight,
and whether anything was clipped: sums of these give the weighted mean, and nothing of one member.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.layout import Layout, Segment
from fedtrade.secure.settings import PrivateAggregation

__all__ = [
    "TrainingMean",
    "sum_layout",
    "sum_segments",
    "training_layout",
    "training_mean",
    "training_segments",
    "training_values",
]

UPDATE, WEIGHT, LOSS, CLIPPED, SUM = "update", "weight", "loss", "clipped", "sum"

LOSS_STEPS = 1e6
"""Steps between zero and the largest loss."""


class TrainingMean(NamedTuple):
    """The mean over the members of a sum.

    Attributes
    ----------
    update : float32 of shape (n_values,)
    weight : float
        Examples of all of them, or their number if they count alike.
    loss : float
    n_clipped : int
        Members that had to clip a value.
    """

    update: NDArray[np.float32]
    weight: float
    loss: float
    n_clipped: int


def training_layout(
    settings: PrivateAggregation,
    n_values: int,
    n_members: int,
    *,
    by_examples: bool,
    modulus: int | None = None,
) -> Layout:
    """How `training_values` stand in the words of a sum.

    Parameters
    ----------
    n_values : int
        Length of an update.
    n_members : int
        The most that may be added.
    modulus : int or None
        See `Layout`.

    Raises
    ------
    ConfigurationError
        If no ring holds the sum at the resolution asked for.
    """
    segments = training_segments(settings, n_values, by_examples=by_examples)
    return Layout(segments, n_members, modulus=modulus)


def training_segments(
    settings: PrivateAggregation, n_values: int, *, by_examples: bool
) -> tuple[Segment, ...]:
    """What `training_values` consist of."""
    most = float(settings.max_examples if by_examples else 1)
    return (
        Segment(UPDATE, n_values, settings.clip * most, settings.clip_resolution),
        Segment(WEIGHT, 1, most, 1.0),
        Segment(LOSS, 1, settings.max_loss * most, settings.max_loss / LOSS_STEPS),
        Segment(CLIPPED, 1, 1.0, 1.0),
    )


def training_values(
    settings: PrivateAggregation,
    update: NDArray[np.float32],
    n_examples: int,
    loss: float,
    *,
    by_examples: bool,
) -> dict[str, NDArray[np.float64]]:
    """A member's share of a round; of a member without examples it is all zero.

    Parameters
    ----------
    update : float32 of shape (n_values,)
        Clipped to `settings.clip` entry by entry; entries that are not finite count as zero.
    """
    weight = float(min(n_examples, settings.max_examples) if by_examples else n_examples > 0)
    wanted = np.nan_to_num(update.astype(np.float64), nan=0.0)
    clipped = np.clip(wanted, -settings.clip, settings.clip)
    known_loss = float(np.nan_to_num(np.clip(loss, -settings.max_loss, settings.max_loss)))
    is_clipped = weight > 0.0 and bool((clipped != update).any())
    return {
        UPDATE: weight * clipped,
        WEIGHT: np.array([weight]),
        LOSS: np.array([weight * known_loss]),
        CLIPPED: np.array([float(is_clipped)]),
    }


def training_mean(total: Mapping[str, NDArray[np.float64]]) -> TrainingMean | None:
    """The weighted mean from a decoded total; None if nobody had an example."""
    weight = float(total[WEIGHT][0])
    if not weight > 0.0:
        return None
    update = (total[UPDATE] / weight).astype(np.float32)
    return TrainingMean(update, weight, float(total[LOSS][0]) / weight, round(total[CLIPPED][0]))


def sum_layout(
    settings: PrivateAggregation, size: int, n_members: int, *, modulus: int | None = None
) -> Layout:
    """How one member's part of a federated sum, flattened to shape (size,), stands in words.

    Raises
    ------
    ConfigurationError
        As `training_layout`.
    """
    return Layout(sum_segments(settings, size), n_members, modulus=modulus)


def sum_segments(settings: PrivateAggregation, size: int) -> tuple[Segment, ...]:
    """What a part of a federated sum consists of."""
    return (Segment(SUM, size, settings.sum_bound, settings.sum_resolution),)
