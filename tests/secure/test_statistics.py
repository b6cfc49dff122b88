"""Statistics over members, in every trust mode against NumPy on all data in one place."""

from collections.abc import Callable

import numpy as np
import pytest

from fedtrade.errors import RangeError, ThresholdError
from fedtrade.features.moments import Standardiser, moment_sum
from fedtrade.models.ridge import ridge_products, ridge_weights
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.settings import Aggregation
from fedtrade.secure.statistics import (
    Histogram,
    Mean,
    secure_histogram,
    secure_mean,
    secure_sum,
)

MODES: dict[str, Callable[[], Aggregation]] = {
    "plain": PlainAggregation,
    "masked": MaskedAggregation,
    "masked, semi-honest": lambda: MaskedAggregation(adversary="semi_honest"),
    "masked in groups": lambda: MaskedAggregation(group_size=4),
    "encrypted by bfv": EncryptedAggregation,
    "encrypted by ckks, sums by bfv": lambda: EncryptedAggregation(scheme="ckks"),
}
in_every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def members(n: int = 9, columns: int = 3) -> list[np.ndarray]:
    """Observations of members of unequal size, the first without any."""
    rng = np.random.default_rng(3)
    return [rng.normal(1.0, 2.0, (5 * k, columns)) for k in range(n)]


@in_every_mode
def test_a_sum_is_that_of_the_parts(mode: Callable[[], Aggregation]) -> None:
    parts = np.random.default_rng(1).normal(0.0, 100.0, (9, 4, 3))
    np.testing.assert_allclose(secure_sum(list(parts), mode()), parts.sum(axis=0), atol=1e-8)


@in_every_mode
def test_a_mean_counts_every_observation_alike(mode: Callable[[], Aggregation]) -> None:
    values = members()
    values[3][2, 1] = np.nan
    expected = np.nanmean(np.concatenate(values), axis=0)
    np.testing.assert_allclose(secure_mean(values, mode()), expected, atol=1e-8)


@in_every_mode
def test_a_histogram_counts_exactly(mode: Callable[[], Aggregation]) -> None:
    values = [each[:, 0] for each in members()]
    edges = (-4.0, -1.0, 0.0, 0.5, 5.0)
    expected, _ = np.histogram(np.concatenate(values), bins=edges)
    np.testing.assert_array_equal(secure_histogram(values, edges, mode()), expected)


@in_every_mode
def test_a_scaler_of_all_is_that_of_the_sums(mode: Callable[[], Aggregation]) -> None:
    values = members()[1:]
    found = Standardiser.from_sum(secure_sum([moment_sum(each) for each in values], mode()))
    pooled = np.concatenate(values)
    np.testing.assert_allclose(found.mean, pooled.mean(axis=0), atol=1e-8)
    np.testing.assert_allclose(found.std, pooled.std(axis=0), rtol=1e-7)


@in_every_mode
def test_a_federated_ridge_is_the_pooled_one(mode: Callable[[], Aggregation]) -> None:
    rng = np.random.default_rng(5)
    examples = [
        (each, each @ [[0.5], [-0.2], [0.0]] + rng.normal(0, 0.1, (len(each), 1)))
        for each in members()[1:]
    ]
    total = secure_sum([ridge_products(x, y) for x, y in examples], mode())
    x, y = (np.concatenate(parts) for parts in zip(*examples, strict=True))
    expected = ridge_weights(ridge_products(x, y), 0.1)
    np.testing.assert_allclose(ridge_weights(total, 0.1), expected, atol=1e-9)


def test_a_mean_of_nothing_is_unknown() -> None:
    none = np.zeros((0, 2))
    assert np.isnan(secure_mean([none, none], PlainAggregation())).all()
    assert Mean().part(np.array([1.0, np.nan, 3.0])).tolist() == [[2.0], [4.0]]


@in_every_mode
def test_parts_must_have_one_shape(mode: Callable[[], Aggregation]) -> None:
    with pytest.raises(ValueError, match=r"one shape, got \[\(2,\), \(3,\)\]"):
        secure_sum([np.ones(2), np.ones(3)], mode())


@pytest.mark.parametrize("mode", [MaskedAggregation, EncryptedAggregation])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 2e6])
def test_what_cannot_be_added_is_refused(mode: Callable[[], Aggregation], bad: float) -> None:
    with pytest.raises(RangeError, match="sum"):
        secure_sum([np.ones(2)] * 8 + [np.array([1.0, bad])], mode())


@pytest.mark.parametrize("mode", [MaskedAggregation, EncryptedAggregation])
def test_no_sum_of_too_few_is_opened(mode: Callable[[], Aggregation]) -> None:
    with pytest.raises(ThresholdError):
        secure_sum([np.ones(2)] * 2, mode())


@pytest.mark.parametrize("edges", [(), (1.0,), (1.0, 1.0), (2.0, 1.0), (0.0, np.nan)])
def test_edges_must_increase(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="edges must be two or more that increase"):
        Histogram(edges)
