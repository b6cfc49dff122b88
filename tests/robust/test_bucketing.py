"""Bucketing by hand, and what comes out of every draw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.robust import aggregate, build_rule
from tests.robust.samples import sample


def test_by_hand_all_in_one_bucket() -> None:
    updates = np.array([[1.0], [2.0], [6.0]], dtype=np.float32)
    assert build_rule("bucketing(3)").mix(updates).tolist() == [[3.0]]
    assert build_rule("bucketing(size=9)").mix(updates).tolist() == [[3.0]]


def test_buckets_of_one_are_the_rows_in_another_order() -> None:
    updates = sample("random", 9, 3, 0)
    mixed = build_rule("bucketing(1)").mix(updates, rng=0)
    assert sorted(map(tuple, mixed.tolist())) == sorted(map(tuple, updates.tolist()))


@given(st.integers(2, 20), st.integers(1, 6), st.integers(0, 10_000))
def test_each_row_is_in_one_bucket_of_the_size(n: int, size: int, seed: int) -> None:
    """Powers of two tell the members of a sum."""
    updates = np.array([[2.0**k] for k in range(n)], dtype=np.float32)
    mixed = build_rule("bucketing", size=size).mix(updates, rng=seed)[:, 0].astype(np.float64)
    assert len(mixed) == -(-n // size)
    sizes = [size] * (n // size) + [n % size] * (n % size > 0)
    sums = [round(float(v) * members) for v, members in zip(mixed, sizes, strict=True)]
    assert [total.bit_count() for total in sums] == sizes
    assert sum(sums) == 2**n - 1


def test_groups_differ_from_round_to_round() -> None:
    updates = np.array([[2.0**k] for k in range(12)], dtype=np.float32)
    rule = build_rule("bucketing(2)")
    draws = {tuple(sorted(rule.mix(updates, rng=seed)[:, 0].tolist())) for seed in range(20)}
    assert len(draws) > 15
    again = [rule.mix(updates, rng=np.random.default_rng(3)).tolist() for _ in range(2)]
    assert again[0] == again[1]


def test_the_mean_of_buckets_is_the_mean_also_if_the_last_is_smaller() -> None:
    updates = sample("heterogeneous", 7, 5, 0)
    weights = np.arange(1.0, 8.0)
    for rng in range(5):
        found = aggregate("bucketing(3)", updates, weights=weights, rng=rng)
        np.testing.assert_allclose(found.weights, weights / weights.sum())
    alone = aggregate("bucketing(3)+mean", updates, rng=0)
    np.testing.assert_allclose(alone.update, updates.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_the_bound_is_that_of_the_rule_behind_it_on_buckets() -> None:
    """Krum needs 5 rows for f = 1: ten or nine clients in twos, not eight."""
    rule = build_rule("bucketing(2)+krum")
    assert rule.least_clients(1) == 9
    rule.check(9, 1)
    with pytest.raises(
        ValueError, match=r"krum needs .* 5 rows, got n=8, f=1, 4 rows after mixing"
    ):
        rule.check(8, 1)


def test_a_bucket_of_weight_zero_stays_finite() -> None:
    updates = sample("random", 4, 3, 0)
    found = aggregate("bucketing(1)", updates, weights=[0, 1, 1, 1], rng=0)
    np.testing.assert_allclose(found.update, updates[1:].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("size", [0, -2, 2.5, True, "2", None])
def test_a_size_is_a_whole_number(size: object) -> None:
    with pytest.raises(ValueError, match="bucketing: size must be a whole number from 1, got"):
        build_rule("bucketing", size=size)
