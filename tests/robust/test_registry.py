"""Rules by name: how names are read, and which are refused."""

import re

import numpy as np
import pytest

from fedtrade.robust import RULES, aggregate, build_rule
from tests.robust.samples import sample


def test_every_name_of_the_registry_is_a_rule() -> None:
    assert set(RULES) == {
        "mean",
        "krum",
        "multi_krum",
        "bulyan",
        "minimum_diameter",
        "geometric_median",
        "centered_clipping",
        "fltrust",
        "foolsgold",
        "monna",
        "trimmed_mean",
        "median",
        "meamed",
        "sign_majority",
        "nnm",
        "bucketing",
        "arc",
        "norm_clipping",
    }
    for name in RULES:
        assert build_rule(name).name == name


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("nnm + krum", "nnm+krum"),
        (" krum ", "krum"),
        ("krum()", "krum"),
        ("bucketing(size=3)", "bucketing(3)"),
        ("bucketing( 3 ) +median", "bucketing(3)+median"),
        ("multi_krum(n_selected=None)", "multi_krum"),
    ],
)
def test_spaces_and_brackets(name: str, same: str) -> None:
    updates = sample("random", 13, 4, 0)
    found, expected = (
        aggregate(text, updates, n_byzantine=1, rng=0).update for text in (name, same)
    )
    np.testing.assert_array_equal(found, expected)


def test_options_go_to_the_last_step() -> None:
    updates = sample("heterogeneous", 13, 4, 0)
    np.testing.assert_array_equal(
        aggregate("nnm+centered_clipping", updates, radius=0.1).update,
        aggregate("nnm+centered_clipping(radius=0.1)", updates).update,
    )
    np.testing.assert_array_equal(
        aggregate("multi_krum(n_selected=5)", updates, n_selected=2).update,
        aggregate("multi_krum", updates, n_selected=2).update,
    )


@pytest.mark.parametrize("name", ["Krum", "fedavg", "nnm+nothing", "bulyan_mean"])
def test_unknown_names(name: str) -> None:
    last = name.split("+")[-1]
    with pytest.raises(ValueError, match=f"there is no rule '{last}'; choose from arc, .* nnm, "):
        build_rule(name)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("", ""),
        ("+krum", ""),
        ("krum+", ""),
        ("krum++krum", ""),
        ("krum()()", "krum()()"),
        ("a.b", "a.b"),
        ("krum(", "krum("),
        ("bucketing(x)", "bucketing(x)"),
        ("bucketing(*[2])", "bucketing(*[2])"),
        ("nnm krum", "nnm krum"),
        ("nnm; krum", "nnm; krum"),
        ("__import__('os')()", "__import__('os')()"),
        ("bucketing(__import__('os'))", "bucketing(__import__('os'))"),
        ("3", "3"),
    ],
)
def test_names_that_cannot_be_read(name: str, part: str) -> None:
    message = f"the rule {name!r} cannot be read at {part!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        build_rule(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("krum", {"n": 3}, "krum does not take (n=3)"),
        ("krum(3)", {}, "krum does not take (3)"),
        ("nnm(2)+krum", {}, "nnm does not take (2)"),
        ("bucketing(2, size=3)", {}, "bucketing does not take (2, size=3)"),
        ("bulyan(1)", {}, "bulyan does not take (1)"),
        ("nnm+median", {"radius": 1.0}, "median does not take (radius=1.0)"),
        ("krum(**{})", {}, "krum does not take"),
    ],
)
def test_unknown_options(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        build_rule(name, **options)


def test_one_call_does_all() -> None:
    updates = sample("random", 9, 4, 0)
    found = aggregate("bucketing(2)+median", updates, n_byzantine=1, rng=3)
    expected = build_rule("bucketing(2)+median")(updates, n_byzantine=1, rng=3)
    np.testing.assert_array_equal(found.update, expected.update)


def test_a_sketch_may_stand_in_brackets() -> None:
    updates = np.random.default_rng(0).standard_normal((9, 40), dtype=np.float32)
    found = aggregate("multi_krum(sketch=16)", updates, n_byzantine=2, rng=3)
    same = aggregate("multi_krum", updates, n_byzantine=2, rng=3, sketch=16)
    assert found.update.tolist() == same.update.tolist()
