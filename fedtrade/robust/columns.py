"""Run a coordinate step over rows, or mixtures of them, a few coordinates at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.parallel import each_part
from fedtrade.robust.step import CoordinateStep, Kept

__all__ = ["kept_shares", "over_columns"]

BLOCK_ELEMENTS = 1 << 19
"""Values worked on at a time: two mebibytes, which a core keeps close."""

FEWEST_COLUMNS = 16


class _Block(NamedTuple):
    here: slice
    columns: NDArray[np.float32]


def over_columns(
    step: CoordinateStep,
    updates: NDArray[np.float32],
    mixing: NDArray[np.float32] | None,
    n_byzantine: int,
) -> Kept:
    """The step's result for `mixing` @ updates (None: the updates themselves).

    Parameters
    ----------
    updates : float32 of shape (n_clients, n_params)
    mixing : float32 of shape (n_rows, n_clients) or None
    """
    n_params = updates.shape[1]
    kept = Kept(*(np.empty(n_params, dtype=np.float32) for _ in Kept._fields))

    def work(part: slice) -> None:
        for here, columns in _blocks(updates, mixing, part):
            for whole, piece in zip(kept, step(columns, n_byzantine), strict=True):
                whole[here] = piece

    each_part(n_params, updates.size, work)
    return kept


def kept_shares(
    kept: Kept, updates: NDArray[np.float32], mixing: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    """The share of each client's coordinates with a part in the result, shape (n_clients,)."""
    n_params = updates.shape[1]

    def work(part: slice) -> NDArray[np.int64]:
        counts = np.zeros(len(updates) if mixing is None else len(mixing), dtype=np.int64)
        for here, columns in _blocks(updates, mixing, part):
            inside = columns >= kept.low[here, None]
            inside &= columns <= kept.high[here, None]
            counts += np.add.reduce(inside, axis=0, dtype=np.int32)
        return counts

    shares: NDArray[np.float64] = np.sum(each_part(n_params, updates.size, work), axis=0) / n_params
    if mixing is not None:
        shares = shares @ mixing.astype(np.float64)
    return shares


def _blocks(
    updates: NDArray[np.float32], mixing: NDArray[np.float32] | None, part: slice
) -> Iterator[_Block]:
    """Blocks (n_columns, n_rows), the values of a coordinate side by side, each until the next."""
    width = max(FEWEST_COLUMNS, BLOCK_ELEMENTS // len(updates))
    n_rows = len(updates if mixing is None else mixing)
    buffer = np.empty((min(width, part.stop - part.start), n_rows), dtype=np.float32)
    for start in range(part.start, part.stop, width):
        here = slice(start, min(start + width, part.stop))
        rows, columns = updates[:, here], buffer[: here.stop - here.start]
        if mixing is None:
            np.copyto(columns, rows.T)
        else:
            np.matmul(rows.T, mixing.T, out=columns)
        yield _Block(here, columns)
