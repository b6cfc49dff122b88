"""The Gram matrix of the rows: all that a Gram step needs to know of them.

In single precision the products of rows that share a large part drown the small differences that
tell them apart. So distances are taken after centring wherever that matters: if most rows are much
closer to each other than to the origin, the products are taken again about the row that is closest
to most others. No row can be made the centre by lying, and none can pull the centre away.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.rows import Rows
from fedtrade.robust.sketch import Sketch

__all__ = ["Gram"]

FAR = 1e3
"""A ratio of squared distances, to the centre and to the others, that single precision can bear."""

LARGEST_SQUARE = 1e37
"""Four times as much, the square of the distance between two such rows, is too much for float32."""

N_PROBES = 101
"""Clients, evenly spread, that stand for all when the middle is looked for."""

UNLIKE = 16.0
"""A ratio of median squared distances, to all and to the probes, beyond which they do not."""

NOISE = 1e-5
"""Squared distances below this share of the squared norm are rounding."""

MEDIAN_ELEMENTS = 1 << 22
CACHED_ELEMENTS = 1 << 17
CHEAP_LOOKS = 12
"""The matrix costs about as much as n / 12 looks at the rows themselves."""


class Gram:
    """Inner products of the client rows, then the anchors, with the origin as the last row.

    All are taken about some common centre, which is why the origin, the update of zeros, has a row
    too: what does not change when all rows are shifted (distances) needs no more, and what does
    (norms, angles) is taken about the origin's row.

    Parameters
    ----------
    products : floating of shape (n_clients + n_anchors + 1, same), or a callable that gives it
        A callable is only called when a step needs the matrix.
    weights : float64 of shape (n_clients,)
        Not negative, of positive sum; what the server itself thinks of the clients.
    n_byzantine : int
        How many of the client rows may be anything.
    anchors : tuple of str
        Names of the public rows after the client rows.
    rows : Rows or None
        Where distances may be looked up without the matrix.
    """

    def __init__(
        self,
        products: NDArray[np.floating] | Callable[[], NDArray[np.floating]],
        weights: NDArray[np.float64],
        n_byzantine: int = 0,
        anchors: tuple[str, ...] = (),
        rows: Rows | None = None,
    ) -> None:
        self._source = products
        self._rows = rows
        self._looks = 0
        self.weights = weights
        self.n_byzantine = n_byzantine
        self.anchors = anchors

    @classmethod
    def of(
        cls,
        rows: Rows,
        weights: NDArray[np.float64],
        n_byzantine: int = 0,
        anchors: tuple[str, ...] = (),
        sketch: Sketch | None = None,
    ) -> "Gram":
        """Of rows that can be seen, exact or from a sketch."""

        def products() -> NDArray[np.floating]:
            return _well_centred(rows, sketch)

        seen = rows if sketch is None and rows.is_plain else None
        return cls(products, weights, n_byzantine, anchors, seen)

    @cached_property
    def products(self) -> NDArray[np.floating]:
        """The matrix, shape (n_rows + 1, n_rows + 1)."""
        return self._source() if callable(self._source) else self._source

    @property
    def n_clients(self) -> int:
        """Client rows."""
        return len(self.weights)

    @property
    def n_rows(self) -> int:
        """Client rows and anchors: the columns of a mixing matrix."""
        return self.n_clients + len(self.anchors)

    @property
    def shares(self) -> NDArray[np.float64]:
        """The weights with sum one."""
        shares: NDArray[np.float64] = self.weights / self.weights.sum()
        return shares

    def row_of(self, anchor: str) -> int:
        """Where an anchor stands."""
        return self.n_clients + self.anchors.index(anchor)

    def squared_distances(self, clients: slice = slice(None)) -> NDArray[np.floating]:
        """From some clients, a slice of step one, to all; a fresh array (n_some, n_clients).

        In single precision, unless that cannot tell absurd rows apart. Zero from a client to
        itself.
        """
        n = self.n_clients
        squares = self.products.diagonal()[:n]
        asked = np.arange(n)[clients]
        is_absurd = squares.max() > LARGEST_SQUARE
        found = np.empty((len(asked), n), dtype=np.float64 if is_absurd else np.float32)
        height = max(1, CACHED_ELEMENTS // n)
        for start in range(0, len(asked), height):
            here = asked[start : start + height]
            part = self.products[here[0] : here[-1] + 1, :n] * squares.dtype.type(-2.0)
            part += squares[here, None]
            part += squares
            found[start : start + height] = np.maximum(part, 0.0, out=part)
        found[np.arange(len(asked)), asked] = 0.0
        return found

    def distances_to(self, coefficients: NDArray[np.floating]) -> NDArray[np.float64]:
        """From each client to the mixture of the rows under coefficients (n_rows,), (n_clients,).

        What the coefficients lack to a sum of one falls to the origin. As long as few are asked
        for, they are taken from the rows without the matrix.
        """
        squares = self._seen(coefficients)
        if squares is None:
            c = _affine(coefficients)
            shadow = self.products @ c
            squares = self.products.diagonal() - 2.0 * shadow + c @ shadow
        return np.sqrt(np.maximum(squares[: self.n_clients], 0.0))

    def about_origin(self) -> NDArray[np.float64]:
        """Inner products of clients and anchors as they are, shape (n_rows, n_rows)."""
        origin = self.products[-1, :-1].astype(np.float64)
        found: NDArray[np.float64] = self.products[:-1, :-1] - origin - origin[:, None]
        return found + float(self.products[-1, -1])

    def norms(self) -> NDArray[np.float64]:
        """Of the client rows, shape (n_clients,)."""
        if self._rows is not None:
            return np.sqrt(self._rows.squared_norms[: self.n_clients])
        return self.distances_to(np.zeros(self.n_rows))

    def mixing(self, clients: NDArray[np.floating]) -> NDArray[np.floating]:
        """Coefficients of the clients, (n_clients,) or (n_out, n_clients), with none of anchors."""
        clients = np.atleast_2d(clients)
        return np.pad(clients, ((0, 0), (0, len(self.anchors)))) if self.anchors else clients

    def mixed(self, mixing: NDArray[np.floating], *, has_shares: bool = True) -> "Gram":
        """That of `mixing` @ rows, with the anchors and the origin as before.

        Parameters
        ----------
        mixing : floating of shape (n_out, n_rows)
        has_shares : bool
            Whether each row weighs what its members do together; otherwise all weigh the same.
        """

        def products() -> NDArray[np.floating]:
            n_out, n_kept = len(mixing), len(self.anchors) + 1
            full = np.zeros((n_out + n_kept, self.n_rows + 1), dtype=self.products.dtype)
            full[:n_out, :-1] = mixing
            full[:n_out, -1] = 1.0 - mixing.sum(axis=1)
            full[n_out:, self.n_clients :] = np.eye(n_kept)
            mixed: NDArray[np.floating] = full @ self.products @ full.T
            return mixed

        members = mixing[:, : self.n_clients] != 0.0
        weights = members @ self.weights if has_shares else np.ones(len(mixing))
        return Gram(products, weights, self.n_byzantine, self.anchors)

    def _seen(self, coefficients: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """Squared distances from the rows themselves; None where the matrix is the better way."""
        rows = self._rows
        if rows is None or "products" in self.__dict__:
            return None
        self._looks += 1
        if self._looks > self.n_clients / CHEAP_LOOKS:
            return None
        shadow = rows.inner_products(rows.mixture(coefficients, in_parts=False))
        c = _affine(coefficients)
        squares = rows.squared_norms - 2.0 * shadow + c @ shadow
        n = self.n_clients
        is_near = np.median(squares[:n]) * FAR < np.median(rows.squared_norms[:n])
        return None if is_near else squares


def _affine(coefficients: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.append(coefficients, 1.0 - coefficients.sum()).astype(np.float64)


def _well_centred(rows: Rows, sketch: Sketch | None) -> NDArray[np.floating]:
    products = rows.products(None, sketch)
    for _ in range(2):
        middle = _middle_far_from_centre(products, rows.n_clients)
        if middle is None:
            break
        products = rows.products(rows.row(middle), sketch)
    return products


def _middle_far_from_centre(products: NDArray[np.floating], n_clients: int) -> int | None:
    """The client closest to most others, if the centre is much farther from it than they are."""
    square = products.diagonal()[:n_clients]
    probes = np.unique(np.linspace(0, n_clients - 1, N_PROBES).astype(int))
    typical = _median_distances(products, np.arange(n_clients), probes)
    middle = int(np.argmin(typical))
    (known,) = _median_distances(products, np.array([middle]), np.arange(n_clients))
    if known > UNLIKE * typical[middle] + NOISE * square[middle]:
        # The probes are not like all: liars may know where they stand.
        typical = _median_distances(products, np.arange(n_clients), np.arange(n_clients))
        middle = int(np.argmin(typical))
        known = typical[middle]
    return middle if square[middle] > FAR * known else None


def _median_distances(
    products: NDArray[np.floating], clients: NDArray[np.intp], others: NDArray[np.intp]
) -> NDArray[np.floating]:
    """Each client's median squared distance to some others, shape (n_clients,)."""
    squares = products.diagonal()
    found = np.empty(len(clients))
    height = max(1, MEDIAN_ELEMENTS // len(others))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(clients), height):
            here = clients[start : start + height]
            distances = squares[here, None] + squares[others]
            distances -= 2.0 * products[np.ix_(here, others)]
            finite = np.nan_to_num(np.maximum(distances, 0.0), copy=False, nan=np.inf)
            found[start : start + height] = np.median(finite, axis=1, overwrite_input=True)
    return found
