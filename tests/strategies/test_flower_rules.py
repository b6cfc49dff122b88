"""Flower's own rules on small cases in double precision, where they mean the same as ours."""

from importlib.metadata import version

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.server.strategy.aggregate import (
    _trim_mean,
    aggregate_bulyan,
    aggregate_krum,
    aggregate_median,
)
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.serverapp.strategy.multikrum import compute_distances, select_multikrum

from fedtrade.robust import aggregate
from tests.robust import naive
from tests.robust.samples import KINDS, relative_error, sample

SHAPES = [(5, 4, 1), (12, 30, 3), (25, 6, 7)]
grid = pytest.mark.parametrize(
    ("kind", "shape"), [(kind, shape) for kind in KINDS for shape in SHAPES]
)


def _results(updates: np.ndarray) -> list[tuple[list[np.ndarray], int]]:
    return [([row.astype(np.float64)], 1) for row in updates]


def test_flowers_version_is_the_one_compared() -> None:
    assert version("flwr").startswith("1.41.")


@grid
def test_flowers_krum_agrees(kind: str, shape: tuple[int, int, int]) -> None:
    n, d, f = shape
    updates = sample(kind, n, d, f)
    (one,) = aggregate_krum(_results(updates), f, 0)
    np.testing.assert_allclose(aggregate("krum", updates, n_byzantine=f).update, one, rtol=1e-6)
    (several,) = aggregate_krum(_results(updates), f, n - f)
    found = aggregate("multi_krum", updates, n_byzantine=f).update
    assert relative_error(found, several) < 1e-5


@grid
def test_flowers_message_strategy_selects_the_same(kind: str, shape: tuple[int, int, int]) -> None:
    """In double precision: on single precision its distances cancel."""
    n, d, f = shape
    updates = sample(kind, n, d, f)
    contents = [
        RecordDict({"arrays": ArrayRecord({"row": Array(row.astype(np.float64))})})
        for row in updates
    ]
    distances = compute_distances([content["arrays"] for content in contents])
    np.testing.assert_allclose(distances, naive.squared_distances(updates), rtol=1e-6, atol=1e-9)
    selected = select_multikrum(contents, f, n - f)
    places = {id(content): row for row, content in enumerate(contents)}
    expected = sorted(places[id(content)] for content in selected)
    found = aggregate("multi_krum", updates, n_byzantine=f)
    assert np.flatnonzero(found.weights).tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(15, 5, 3), (20, 30, 4)])
def test_flowers_older_bulyan_iterates_too(kind: str, shape: tuple[int, int, int]) -> None:
    n, d, f = shape
    updates = sample(kind, n, d, f)
    (expected,) = aggregate_bulyan(_results(updates), f, aggregate_krum, to_keep=0)
    assert relative_error(aggregate("bulyan", updates, n_byzantine=f).update, expected) < 1e-5


@grid
def test_flowers_coordinate_rules_agree(kind: str, shape: tuple[int, int, int]) -> None:
    """A cut of (f + 0.5) / n removes f at each end."""
    n, d, f = shape
    updates = sample(kind, n, d, f)
    exact = updates.astype(np.float64)
    (median,) = aggregate_median(_results(updates))
    assert relative_error(aggregate("median", updates, n_byzantine=f).update, median) < 1e-6
    found = aggregate("trimmed_mean", updates, n_byzantine=f).update
    for cut in (trim_mean, _trim_mean):
        assert relative_error(found, cut(exact, (f + 0.5) / n)) < 1e-6
