"""Rows of updates, read in blocks of columns so that no second copy of them is needed.

Below the clients' rows stand a few public ones (the anchors) and at the end the origin, the update
of zeros.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.parallel import each_part
from fedtrade.robust.sketch import Sketch

__all__ = ["Rows"]

BLOCK_ELEMENTS = 1 << 21
"""Elements of a block that is centred and multiplied."""

VIEW_ELEMENTS = 1 << 23
"""Elements of a block that is multiplied as it is, in which products add up in single precision."""

SIGN_ELEMENTS = 1 << 20
"""Random signs of a sketch that are held at a time."""

DOUBLE_UP_TO = 4096
"""So many rows have their products added up in double precision; more would take gigabytes."""

IN_DOUBLE_UP_TO = 1 << 18
"""So many elements are added up in double precision, where that costs nothing."""

LARGEST_NORM = 1e15
"""Products of larger rows overflow single precision; they are scaled down for the product."""


class Rows:
    """Clients' updates with the anchors and the origin below them.

    Parameters
    ----------
    updates : float32 of shape (n_clients, n_params), finite
    anchors : float32 of shape (n_anchors, n_params), finite
    """

    def __init__(
        self, updates: NDArray[np.float32], anchors: NDArray[np.float32] | None = None
    ) -> None:
        n_params = updates.shape[1]
        self.updates = updates
        self.public = np.zeros((1 if anchors is None else len(anchors) + 1, n_params), np.float32)
        if anchors is not None:
            self.public[:-1] = anchors

    @property
    def n_clients(self) -> int:
        """Client rows."""
        return len(self.updates)

    @cached_property
    def is_plain(self) -> bool:
        """Whether products with the updates as they are do not overflow."""
        return bool((self.squared_norms < LARGEST_NORM**2).all())

    @cached_property
    def squared_norms(self) -> NDArray[np.float64]:
        """Of clients, anchors and origin, shape (n_rows + 1,); infinite where they overflow."""
        with np.errstate(over="ignore"):
            parts = each_part(self.updates.shape[1], self.updates.size, self._part_of_squares)
        total: NDArray[np.float64] = np.sum(parts, axis=0)
        return total

    def row(self, client: int) -> NDArray[np.float32]:
        """One client's row, a copy."""
        row: NDArray[np.float32] = self.updates[client].copy()
        return row

    def mixture(
        self, coefficients: NDArray[np.floating], *, in_parts: bool = True
    ) -> NDArray[np.float32]:
        """The rows under coefficients (n_clients + n_anchors,), shape (n_params,).

        Parameters
        ----------
        in_parts : bool
            Keep off the threads of linear algebra, which go on spinning for a while and are in the
            way of whatever is done in parts next. One product after the other is faster with them.
        """
        used = np.flatnonzero(coefficients)
        if len(used) == 1 and used[0] < self.n_clients:  # such as Krum's choice
            scaled: NDArray[np.float32] = self.updates[used[0]] * np.float32(coefficients[used[0]])
            return scaled
        if not coefficients[: self.n_clients].any():
            only_public: NDArray[np.floating] = coefficients[self.n_clients :] @ self.public[:-1]
            return only_public.astype(np.float32)
        if self.updates.size <= IN_DOUBLE_UP_TO:
            c = coefficients.astype(np.float64)
            public = c[self.n_clients :] @ self.public[:-1].astype(np.float64)
            exact = c[: self.n_clients] @ self.updates.astype(np.float64) + public
            with np.errstate(over="ignore"):
                mixed: NDArray[np.float32] = exact.astype(np.float32)
            return mixed
        single = coefficients.astype(np.float32)
        mixed = np.empty(self.updates.shape[1], dtype=np.float32)

        def work(part: slice) -> None:
            np.matmul(single[: self.n_clients], self.updates[:, part], out=mixed[part])
            if len(self.public) > 1:
                mixed[part] += single[self.n_clients :] @ self.public[:-1, part]

        if in_parts:
            each_part(len(mixed), self.updates.size, work)
        else:
            work(slice(0, len(mixed)))
        return mixed

    def inner_products(self, vector: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of each row, the origin included, with a vector (n_params,); the rows must be plain."""
        if not vector.any():
            return np.zeros(self.n_clients + len(self.public))
        found = np.concatenate([self.updates @ vector, self.public @ vector])
        return found.astype(np.float64)

    def products(
        self, centre: NDArray[np.float32] | None, sketch: Sketch | None
    ) -> NDArray[np.floating]:
        """All inner products about a centre (None: the origin), shape (n_rows + 1, n_rows + 1)."""
        scales = None if self.is_plain else self._scales(centre)
        n_params = self.updates.shape[1]
        if sketch is not None:
            width = max(1, SIGN_ELEMENTS // sketch.size)
            blocks = self._blocks(slice(0, n_params), centre, scales, width)
            projected = sketch.project(np.vstack(block) for block in blocks)
            products = projected @ projected.T
        else:
            parts = each_part(
                n_params, self.updates.size, lambda part: self._added_up(part, centre, scales)
            )
            products = sum(parts[1:], start=parts[0])
        if scales is not None:
            products = products / (scales.astype(np.float64) * scales[:, None])
        return products

    def _part_of_squares(self, columns: slice) -> NDArray[np.float64]:
        rows = (self.updates[:, columns], self.public[:, columns])
        return np.concatenate([_squares(block) for block in rows])

    def _added_up(
        self, columns: slice, centre: NDArray[np.float32] | None, scales: NDArray[np.float32] | None
    ) -> NDArray[np.floating]:
        """Products over some columns; NumPy computes A @ A.T at half the price of A @ B."""
        n = self.n_clients
        size = n + len(self.public)
        dtype = np.float64 if size <= DOUBLE_UP_TO else np.float32
        total = np.zeros((size, size), dtype=dtype)
        for clients, public in self._blocks(columns, centre, scales):
            total[:n, :n] += clients @ clients.T
            total[:n, n:] += clients @ public.T
            total[n:, n:] += public @ public.T
        total[n:, :n] = total[:n, n:].T
        return total

    def _blocks(
        self,
        columns: slice,
        centre: NDArray[np.float32] | None,
        scales: NDArray[np.float32] | None,
        most_columns: int | None = None,
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Blocks of the clients' and of the public rows, each valid until the next."""
        n = self.n_clients
        is_copied = centre is not None or scales is not None
        width = max(256, (BLOCK_ELEMENTS if is_copied else VIEW_ELEMENTS) // n)
        width = min(width, most_columns or width)
        buffer: NDArray[np.float32] | None = None
        for start in range(columns.start, columns.stop, width):
            here = slice(start, min(start + width, columns.stop))
            clients, public = self.updates[:, here], self.public[:, here]
            if is_copied:
                if buffer is None:
                    buffer = np.empty(n * width, dtype=np.float32)
                shift = np.float32(0.0) if centre is None else centre[here]
                block = buffer[: clients.size].reshape(clients.shape)
                clients, public = np.subtract(clients, shift, out=block), public - shift
                if scales is not None:
                    clients *= scales[:n, None]
                    public *= scales[n:, None]
            yield clients, public

    def _scales(self, centre: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """What brings rows of absurd size into range, shape (n_rows + 1,)."""
        n_params = self.updates.shape[1]
        peaks = np.zeros(self.n_clients + len(self.public))
        for clients, public in self._blocks(slice(0, n_params), centre, None):
            found = [np.abs(block).max(axis=1, initial=0.0) for block in (clients, public)]
            np.maximum(peaks, np.concatenate(found), out=peaks)
        most = LARGEST_NORM / np.sqrt(n_params)
        scales: NDArray[np.float32] = (most / np.maximum(peaks, most)).astype(np.float32)
        return scales


def _squares(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows).astype(np.float64)
    return squares
