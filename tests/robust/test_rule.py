"""What every rule refuses, by name and value, and what pipelines say of themselves."""

import re

import numpy as np
import pytest

from fedtrade.robust import Gram, Rule, RuleState, aggregate, build_rule
from fedtrade.robust.krum import Krum
from fedtrade.robust.median import Median
from fedtrade.robust.nnm import NearestNeighbourMixing
from fedtrade.robust.rows import Rows
from tests.robust.cases import CASES, Case, N
from tests.robust.samples import sample

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def _refused(case: Case, message: str, updates: object, **options: object) -> None:
    """The message is a pattern; the rule's name has to come before it."""
    anchors = {}
    if isinstance(updates, np.ndarray) and updates.ndim == 2:
        anchors = dict.fromkeys(case.rule.needs_anchors, np.zeros(updates.shape[1], np.float32))
    with pytest.raises(ValueError, match=f"{re.escape(case.name)}.*{message}"):
        case.rule(updates, **{"anchors": anchors, **options})  # type: ignore[arg-type]


# --- updates ------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize(
    ("shape", "message"),
    [((N, 0), r"got \(17, 0\)"), ((0, 3), r"got \(0, 3\)"), ((N,), r"got \(17,\)")],
)
def test_a_shape_without_rows_or_parameters(
    case: Case, shape: tuple[int, ...], message: str
) -> None:
    _refused(case, f"neither of them zero, {message}", np.ones(shape, dtype=np.float32))


@every_case
def test_no_array(case: Case) -> None:
    _refused(case, "must be an array .* got list", [[1.0, 2.0]] * N)
    _refused(case, "must be an array .* got list", [np.ones(2, np.float32), np.ones(2)] * N)


@every_case
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, object])
def test_another_dtype(case: Case, dtype: type) -> None:
    updates = sample("random", N, 4, 0).astype(dtype)
    _refused(case, f"updates must be float32, got {np.dtype(dtype)}", updates)


@every_case
def test_strided_arrays(case: Case) -> None:
    wide = sample("random", N, 8, 0)
    _refused(case, r"must be contiguous, got strides \(32, 8\)", wide[:, ::2])
    _refused(case, r"must be contiguous, got strides \(4, 68\)", np.asfortranarray(wide))


@every_case
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite(case: Case, value: float) -> None:
    updates = sample("random", N, 4, 0)
    updates[11, 2] = value
    _refused(case, "the update of client 11 has values that are not finite", updates)
    updates[2] = 3e38  # so large that its square is infinite, and finite
    _refused(case, "the update of client 11 has values that are not finite", updates)


@every_case
def test_one_client_cannot_be_compared(case: Case) -> None:
    """One row is its own mean; all others need at least two."""
    if case.name == "mean":
        assert case.rule.least_clients(0) == 1
    else:
        _refused(case, "rows, got n=1, f=0", np.ones((1, 3), dtype=np.float32))


# --- weights ------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0] * (N - 1) + [-1.0], "weights must be finite and not negative, got"),
        ([1.0] * (N - 1) + [np.nan], "weights must be finite and not negative, got"),
        ([1.0] * (N - 1) + [np.inf], "weights must be finite and not negative, got"),
        ([1e308] * N, "weights must be finite and not negative, got"),
        ([0.0] * N, "weights must not all be zero, got"),
        ([1.0] * (N + 1), r"weights must have shape \(17,\), got \(18,\)"),
        ([[1.0]] * N, r"weights must have shape \(17,\), got \(17, 1\)"),
    ],
)
def test_impossible_weights(case: Case, weights: list[float], message: str) -> None:
    _refused(case, message, sample("random", N, 4, 0), weights=weights)


# --- bounds -------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("f", [-1, 1.0, "1", None])
def test_f_is_a_whole_number(case: Case, f: object) -> None:
    message = f"n_byzantine must be a whole number, not negative, got {re.escape(repr(f))}"
    _refused(case, message, sample("random", N, 4, 0), n_byzantine=f)


BOUNDS = {
    "krum": (2, 3),
    "multi_krum": (2, 3),
    "bulyan": (4, 3),
    "minimum_diameter": (2, 1),
    "geometric_median": (2, 1),
    "centered_clipping": (2, 1),
    "fltrust": (1, 1),
    "foolsgold": (1, 1),
    "monna": (2, 1),
    "trimmed_mean": (2, 1),
    "median": (2, 1),
    "meamed": (2, 1),
    "sign_majority": (2, 1),
    "nnm": (2, 1),
    "bucketing(2)": (1, 1),
    "arc": (2, 1),
    "norm_clipping": (2, 1),
    "nnm+krum": (2, 3),
    "nnm+bulyan": (4, 3),
    "arc+nnm+geometric_median": (2, 1),
    # ceil(n / 2) >= 2f + 3, so n >= 2 (2f + 3) - 1, and so on.
    "bucketing(2)+krum": (4, 5),
    "bucketing(2)+geometric_median": (4, 1),
    "bucketing(3)+median": (6, 1),
    "bucketing(2)+bucketing(2)+median": (8, 1),
    # Bulyan's n - 2f rows.
    "bucketing(2)+bulyan": (8, 5),
}
"""Factors a and b of the least n, which is a f + b."""


@pytest.mark.parametrize("f", [1, 2, 5])
@pytest.mark.parametrize(("name", "bound"), BOUNDS.items())
def test_at_the_bound_it_works_and_below_it_is_refused(
    name: str, bound: tuple[int, int], f: int
) -> None:
    least = bound[0] * f + bound[1]
    case = Case(name, f)
    assert case.rule.least_clients(f) == least
    updates = sample("random", least, 3, 0)
    assert np.isfinite(case(updates).update).all()
    if least > 2:
        _refused(case, f"got n={least - 1}, f={f}", updates[1:], n_byzantine=f)
        with pytest.raises(ValueError, match=f"{re.escape(name)}: .* got n={least - 1}, f={f}"):
            case.rule.check(least - 1, f)
    with pytest.raises(ValueError, match=re.escape(name)):
        case.rule.check(least, least)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("krum", 3),
        ("bulyan", 3),
        ("median", 2),
        ("foolsgold", 2),
        ("bucketing(2)+median", 3),
        ("bucketing(3)+krum", 7),
        ("bucketing(2)+bucketing(2)+median", 5),
    ],
)
def test_without_liars_there_must_still_be_something_to_compare(name: str, least: int) -> None:
    assert build_rule(name).least_clients(0) == least


@every_case
def test_one_liar_more_than_n_bears_is_refused(case: Case) -> None:
    most = max(f for f in range(N) if _bears(case.rule, f))
    anchors = dict.fromkeys(case.rule.needs_anchors, np.zeros(3, np.float32))
    updates = sample("random", N, 3, 0)
    case.rule(updates, n_byzantine=most, rng=0, anchors=anchors)
    _refused(case, f"f={most + 1}", updates, n_byzantine=most + 1)


def _bears(rule: Rule, f: int) -> bool:
    try:
        rule.check(N, f)
    except ValueError:
        return False
    return True


def test_the_mean_bears_nobody() -> None:
    rule = build_rule("mean")
    for call in (lambda: rule.check(9, 1), lambda: rule.least_clients(1)):
        with pytest.raises(
            ValueError, match="mean: the mean is no defence and needs f = 0, got f=1"
        ):
            call()


# --- anchors and clients ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (np.zeros(3, np.float32), r"float32 of shape \(3,\)"),
        (np.zeros((1, 4), np.float32), r"float32 of shape \(1, 4\)"),
        (np.zeros(4), r"float64 of shape \(4,\)"),
        (np.array([0, 0, np.nan, 0], np.float32), r"float32 of shape \(4,\)"),
    ],
)
@pytest.mark.parametrize(
    ("name", "anchor"),
    [
        ("fltrust", "root"),
        ("monna", "own"),
        ("centered_clipping", "previous"),
        ("nnm+monna", "own"),
    ],
)
def test_anchors_that_are_no_update(name: str, anchor: str, row: np.ndarray, found: str) -> None:
    message = f"the anchor '{anchor}' must be finite float32 of shape \\(4,\\), got {found}"
    _refused(Case(name), message, sample("random", N, 4, 0), anchors={anchor: row})


@every_case
def test_anchors_that_a_rule_has_no_use_for(case: Case) -> None:
    row = np.zeros(4, np.float32)
    anchors = dict.fromkeys({*case.rule.needs_anchors, "flag"}, row)
    _refused(case, "has no use for the anchor 'flag'", sample("random", N, 4, 0), anchors=anchors)


@every_case
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (list(range(N - 1)), "got 16 of which 16 differ"),
        ([0] * N, "got 17 of which 1 differ"),
    ],
)
def test_ids_that_do_not_tell_clients_apart(case: Case, ids: list[int], message: str) -> None:
    _refused(case, message, sample("random", N, 4, 0), client_ids=ids)


# --- pipelines ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("krum+nnm", "krum gives a single update, so that nearest|krum gives a single update"),
        ("median+krum", "median gives a single update, so that krum cannot come after it"),
        ("mean+mean", "mean gives a single update"),
        ("nnm+trimmed_mean+median", "trimmed_mean gives a single update, so that median cannot"),
        ("bulyan+krum", "bulyan_mean gives a single update, so that krum cannot come after it"),
        ("bucketing(2)+foolsgold", "foolsgold looks at all that each client sent so far"),
    ],
)
def test_steps_in_the_wrong_order(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(name)}: .*({message})"):
        build_rule(name)


def test_a_rule_has_a_step() -> None:
    with pytest.raises(ValueError, match="a rule needs at least one step"):
        Rule("nothing", [])


@pytest.mark.parametrize("sketch", [0, -5, 2.5, "64"])
def test_a_sketch_has_a_whole_size(sketch: object) -> None:
    with pytest.raises(ValueError, match=r"krum: sketch must be a whole number .* got "):
        build_rule("krum", sketch=sketch)  # type: ignore[arg-type]


def test_there_is_nothing_to_sketch_in_a_coordinate_rule() -> None:
    with pytest.raises(ValueError, match=r"median: sketch .* for a rule with a Gram step, got 64"):
        build_rule("median", sketch=64)


def test_steps_can_be_put_together_by_hand() -> None:
    updates = sample("heterogeneous", N, 5, 3)
    rule = Rule("mine", [NearestNeighbourMixing(), Median()])
    np.testing.assert_array_equal(
        rule(updates, n_byzantine=3).update, aggregate("nnm+median", updates, n_byzantine=3).update
    )
    with pytest.raises(ValueError, match="mine: nnm needs"):
        rule.check(2, 1)
    assert "mine" in repr(rule)
    assert rule.bound == "nnm: n >= 2f + 1, median: n >= 2f + 1"
    assert Rule("k", [Krum()]).is_gram_only


# --- the Gram matrix alone ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.rule.is_gram_only],
    ids=lambda case: case.name,
)
@pytest.mark.parametrize("common", [0.0, 100.0])
def test_coefficients_of_the_matrix_are_the_weights(case: Case, common: float) -> None:
    """A rule without a coordinate step needs to know no update: the matrix is enough."""
    updates = sample("heterogeneous", N, 40, case.f) + np.float32(common)
    anchor = np.median(updates, axis=0)
    found = case(updates, anchor)
    names = tuple(case.anchors(updates, anchor))
    everything = np.vstack([updates, *[anchor] * len(names), np.zeros(40)]).astype(np.float64)
    gram = Gram(everything @ everything.T, np.ones(N), case.f, names)
    coefficients = case.rule.coefficients(gram, rng=0)
    assert coefficients.shape == (N + len(names),)
    np.testing.assert_allclose(coefficients[:N], found.weights, atol=2e-3)
    seen = Gram.of(Rows(updates, np.stack([anchor]) if names else None), np.ones(N), case.f, names)
    np.testing.assert_allclose(case.rule.coefficients(seen, rng=0)[:N], found.weights, atol=1e-6)


def test_coefficients_of_a_coordinate_rule_are_refused() -> None:
    gram = Gram(np.eye(6), np.ones(5))
    with pytest.raises(ValueError, match=r"nnm\+median has a coordinate step: it must see the"):
        build_rule("nnm+median").coefficients(gram)
    with pytest.raises(ValueError, match=r"krum: krum needs .* got n=5, f=2"):
        build_rule("krum").coefficients(Gram(np.eye(6), np.ones(5), 2))


def test_only_mixers_mix() -> None:
    updates = sample("random", N, 4, 0)
    for name in ("krum", "nnm+krum", "nnm+median", "bulyan"):
        with pytest.raises(ValueError, match=f"{re.escape(name)} does not consist of mixers alone"):
            build_rule(name).mix(updates)
    mixed = build_rule("bucketing(2)+arc+nnm").mix(updates, n_byzantine=1, rng=0)
    assert mixed.shape == (9, 4)
    updates[3] = np.nan
    with pytest.raises(ValueError, match="nnm: the update of client 3"):
        build_rule("nnm").mix(updates)


# --- state --------------------------------------------------------------------------------------


def test_rules_that_remember_nothing_have_no_state() -> None:
    updates = sample("random", N, 4, 0)
    remembering = [case.name for case in CASES if case(updates).state is not None]
    assert remembering == [
        "centered_clipping",
        "centered_clipping(n_iterations=1)",
        "foolsgold",
        "nnm+centered_clipping",
    ]


def test_a_state_without_use_for_it_does_not_matter() -> None:
    updates = sample("random", N, 4, 0)
    state = RuleState(previous=np.ones(99, np.float32))
    found = aggregate("krum", updates, n_byzantine=2, state=state)
    assert found.state is None


def test_weights_and_anchors_that_are_no_arrays_are_named() -> None:
    updates = np.ones((5, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="mean: weights must be 5 numbers, got 'a'"):
        aggregate("mean", updates, weights="a")  # type: ignore[arg-type]
    root = {"root": [1.0, 2.0]}
    with pytest.raises(ValueError, match=r"fltrust: the anchor 'root' .* got list of shape \(2,\)"):
        aggregate("fltrust", updates, anchors=root)  # type: ignore[arg-type]


def test_true_is_no_number() -> None:
    updates = np.ones((5, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="median: n_byzantine must be a whole number"):
        aggregate("median", updates, n_byzantine=True)
    with pytest.raises(ValueError, match="krum: sketch must be a whole number"):
        aggregate("krum", updates, sketch=True)
