"""What every rule and composition has to obey."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.robust import build_rule
from tests.robust.cases import CASES, Case, N
from tests.robust.samples import relative_error, sample

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=8)


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.goes_by_position], ids=lambda case: case.name
)
@given(seed=SEEDS)
@FEW
def test_weights_go_with_their_clients(case: Case, seed: int) -> None:
    """Whoever sends what, in whatever order: the same update, and the same weight for each.

    Not with buckets, which are drawn by position, nor with minimum-diameter averaging, where
    several subsets may have the least diameter. FoolsGold knows clients by their ids.
    """
    updates = sample("heterogeneous", N, 6, case.f, seed)
    order = np.random.default_rng(seed).permutation(N)
    ids = list(range(N))
    found = case(updates, client_ids=ids)
    other = case(np.ascontiguousarray(updates[order]), client_ids=[ids[k] for k in order.tolist()])
    assert relative_error(other.update, found.update) < 1e-4
    np.testing.assert_allclose(other.weights, found.weights[order], atol=1e-4)


@every_case
@given(seed=SEEDS, scale=st.sampled_from([1e-6, 0.25, -1.0, 300.0, 1e10]))
@FEW
def test_the_unit_does_not_matter(case: Case, seed: int, scale: float) -> None:
    """Scaled updates, anchors included, give the scaled update; so do mirrored ones."""
    updates = sample("heterogeneous", N, 6, case.f, seed)
    anchor = np.median(updates, axis=0)
    found = case(updates, anchor)
    other = case(np.float32(scale) * updates, np.float32(scale) * anchor)
    assert relative_error(other.update / scale, found.update) < 1e-4
    np.testing.assert_allclose(other.weights, found.weights, atol=1e-4)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.moves_along], ids=lambda case: case.name
)
@given(seed=SEEDS, size=st.sampled_from([0.5, 20.0, 1e3]))
@FEW
def test_a_common_part_moves_along(case: Case, seed: int, size: float) -> None:
    """Whole multiples of a power of two, so that shifting loses nothing of the updates."""
    rng = np.random.default_rng(seed)
    updates = (rng.integers(-512, 512, (N, 6)) / 256.0).astype(np.float32)
    shift = (np.round(256.0 * size * rng.normal(size=6)) / 256.0).astype(np.float32)
    anchor = updates[0].copy()
    found = case(updates, anchor)
    other = case(updates + shift, anchor + shift)
    np.testing.assert_allclose(other.update - shift, found.update, atol=1e-4 * (1.0 + size))
    np.testing.assert_allclose(other.weights, found.weights, atol=2e-3)


@pytest.mark.parametrize("step", ["fltrust", "foolsgold", "arc", "norm_clipping", "sign_majority"])
def test_what_looks_at_the_origin_does_not_move_along(step: str) -> None:
    """Norms, angles and signs change when all rows are shifted."""
    updates = sample("heterogeneous", N, 6, 3)
    case = Case(step)
    assert not case.moves_along
    shifted = case(updates + np.float32(5.0), np.full(6, 5.0, np.float32)).update - 5.0
    assert relative_error(shifted, case(updates, np.zeros(6, np.float32)).update) > 0.05


@every_case
@given(seed=SEEDS, size=st.sampled_from([1e-3, 1.0, 1e4]))
@FEW
def test_equal_updates_return_themselves(case: Case, seed: int, size: float) -> None:
    """All but FoolsGold, for which they are clones: it moves nothing."""
    row = (size * np.random.default_rng(seed).normal(size=5)).astype(np.float32)
    found = case(np.tile(row, (N, 1)), row)
    if case.name == "foolsgold":
        assert not found.update.any()
    else:
        assert relative_error(found.update, row) < 1e-6


@every_case
@given(seed=SEEDS)
@FEW
def test_the_update_is_what_the_weights_say(case: Case, seed: int) -> None:
    """Gram rules give mixtures; what is lacking to one belongs to the anchor, or is clipped."""
    updates = sample("heterogeneous", N, 6, case.f, seed)
    anchor = np.median(updates, axis=0)
    found = case(updates, anchor)
    assert found.update.shape == (6,)
    assert found.update.dtype == np.float32
    assert found.weights.shape == (N,)
    assert found.weights.dtype == np.float64
    assert (found.weights >= 0.0).all()
    if not case.rule.is_gram_only:
        return
    has_anchor = {"centered_clipping", "monna"} & set(case.steps)
    rest = 1.0 - found.weights.sum() if has_anchor else 0.0
    expected = found.weights @ updates.astype(np.float64) + rest * anchor.astype(np.float64)
    assert relative_error(found.update, expected) < 1e-5
    is_clipped = {"arc", "norm_clipping", "fltrust"} & set(case.steps)
    if not has_anchor and not is_clipped:
        assert found.weights.sum() == pytest.approx(1.0, abs=1e-6)


@every_case
def test_nothing_that_is_given_is_changed_and_twice_is_the_same(case: Case) -> None:
    """Same input, same output; updates, anchors, weights and state are left alone."""
    updates = sample("heterogeneous", N, 6, case.f)
    anchor = np.median(updates, axis=0)
    state = case(updates, anchor).state
    kept_state = {} if state is None else {k: v.copy() for k, v in state.to_arrays().items()}
    weights = np.ones(N)
    kept, kept_anchor, kept_weights = updates.copy(), anchor.copy(), weights.copy()
    results = [case(updates, anchor, weights=weights, state=state) for _ in range(2)]
    lazy = [result.weights for result in results]
    np.testing.assert_array_equal(updates, kept)
    np.testing.assert_array_equal(anchor, kept_anchor)
    np.testing.assert_array_equal(weights, kept_weights)
    for name, values in ({} if state is None else state.to_arrays()).items():
        np.testing.assert_array_equal(values, kept_state[name])
    np.testing.assert_array_equal(results[0].update, results[1].update)
    np.testing.assert_array_equal(lazy[0], lazy[1])
    assert (results[0].state is None) == (results[1].state is None) == (state is None)


@every_case
def test_equal_weights_are_no_weights(case: Case) -> None:
    updates = sample("heterogeneous", N, 6, case.f)
    found = case(updates, weights=[7.0] * N)
    np.testing.assert_array_equal(found.update, case(updates).update)


@every_case
def test_only_rules_that_can_use_them_take_unequal_weights(case: Case) -> None:
    updates = sample("heterogeneous", N, 6, case.f)
    weights = np.linspace(1.0, 4.0, N)
    if case.rule.uses_weights:
        found = case(updates, weights=weights)
        np.testing.assert_allclose(
            case(updates, weights=100.0 * weights).update, found.update, rtol=1e-5
        )
    else:
        with pytest.raises(ValueError, match="cannot use unequal weights, got 1 to 4") as caught:
            case(updates, weights=weights)
        assert case.name in str(caught.value)


def test_what_rules_say_of_themselves() -> None:
    """Which use weights, look at coordinates, and need public rows."""
    weighted = {case.name for case in CASES if case.rule.uses_weights}
    assert weighted == {
        "mean",
        "multi_krum",
        "multi_krum(n_selected=2)",
        "minimum_diameter",
        "geometric_median",
        "centered_clipping",
        "centered_clipping(n_iterations=1)",
        "bucketing(2)",
        "bucketing(2)+geometric_median",
        "arc",
        "arc+mean",
        "norm_clipping",
    }
    coordinate = {"trimmed_mean", "median", "meamed", "sign_majority", "bulyan"}
    for case in CASES:
        assert case.rule.is_gram_only == (case.steps[-1] not in coordinate), case.name
    assert {
        case.name: set(case.rule.needs_anchors) for case in CASES if case.rule.needs_anchors
    } == {
        "fltrust": {"root"},
        "norm_clipping+fltrust": {"root"},
        "monna": {"own"},
        "nnm+monna": {"own"},
    }
    assert [case.name for case in CASES if case.rule.uses_history] == ["foolsgold"]


@pytest.mark.parametrize("name", ["trimmed_mean", "median", "nnm+median", "bucketing(2)+median"])
@given(seed=SEEDS)
@FEW
def test_coordinates_stay_in_the_range_of_all(name: str, seed: int) -> None:
    updates = sample("heterogeneous", N, 6, 3, seed)
    found = build_rule(name)(updates, n_byzantine=3, rng=seed).update
    assert (found >= updates.min(axis=0) - 1e-5).all()
    assert (found <= updates.max(axis=0) + 1e-5).all()
