"""From what the configuration names to a rule."""

from typing import Any

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.robust import Aggregation, build_rule
from strategies.round_rule import round_rule

UPDATES = np.array([[1, 0], [2, 0], [9, 0]], dtype=np.float32)
HERE = __name__


def largest(updates: np.ndarray, weights: np.ndarray, *, times: float = 1.0) -> np.ndarray:
    return updates.max(axis=0) * np.float32(times)


def told(updates: np.ndarray, weights: np.ndarray) -> Aggregation:
    return Aggregation(updates[1], weights / weights.sum())


class Remembering:
    """A rule with an option, made once."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, updates: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return (self.factor * weights @ updates).astype(np.float64)


def _first(rule: Any, **options: Any) -> float:
    return float(round_rule(rule)(UPDATES, **options).update[0])


def test_a_name_a_composition_and_a_mapping_with_options() -> None:
    assert _first("median") == 2.0
    assert _first("mean") == 4.0
    assert round_rule("nnm+krum").is_gram_only  # type: ignore[attr-defined]
    assert _first({"name": "centered_clipping", "radius": 1e6}) == pytest.approx(4.0)
    assert _first(build_rule("median")) == 2.0


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (largest, 9.0),
        (lambda updates, weights: updates[0], 1.0),
        ({"_target_": f"{HERE}.largest"}, 9.0),
        ({"_target_": f"{HERE}.largest", "times": 2.0}, 18.0),
        ({"_target_": f"{HERE}.Remembering", "factor": 0.5}, 6.0),
    ],
)
def test_a_function_or_class_of_the_user(rule: Any, expected: float) -> None:
    found = round_rule(rule)(UPDATES)
    assert found.update[0] == expected
    assert found.update.dtype == np.float32
    assert found.weights.shape == (0,)  # the function does not tell
    assert (round_rule(rule).least_clients(7), round_rule(rule).needs_anchors) == (1, frozenset())


def test_a_function_that_tells_the_weights() -> None:
    found = round_rule(told)(UPDATES, weights=np.array([1.0, 1.0, 2.0]))
    assert found.weights.tolist() == [0.25, 0.25, 0.5]


def test_equal_weights_are_ones_for_a_function() -> None:
    assert _first(Remembering(1.0)) == 12.0
    assert _first(Remembering(1.0), weights=np.array([1.0, 0.0, 0.0])) == 1.0


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        ({"_target_": "fedtrade.robust.magic"}, ConfigurationError, r"strategy.rule._target_="),
        ({"_target_": f"{HERE}.largest", "x": 1}, ConfigurationError, r"strategy.rule.x is not"),
        ({"rule": "mean"}, ValueError, "rule needs a name or a _target_, got"),
        ("magic", ValueError, "magic"),
        (7, ConfigurationError, r"strategy.rule=7 is no rule: give a name such as nnm\+krum"),
        (None, ConfigurationError, "strategy.rule=None is no rule"),
        ({"name": 3}, ValueError, r"called by a text such as 'nnm\+krum', got 3"),
        ({"_target_": 3}, ConfigurationError, "strategy.rule._target_=3 is no import path"),
    ],
)
def test_what_is_no_rule_is_refused(rule: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        round_rule(rule)


@pytest.mark.parametrize(
    "given",
    [
        np.ones(3, np.float32),
        np.ones((1, 2)),
        1.0,
        np.ones(2, int),
        Aggregation(np.ones((3, 2), np.float32), np.ones(3)),
    ],
)
def test_a_function_that_returns_no_update_is_named(given: Any) -> None:
    def odd(updates: np.ndarray, weights: np.ndarray) -> Any:
        return given

    with pytest.raises(ConfigurationError, match=r"strategy.rule odd returned .* of shape \(2,\)"):
        round_rule(odd)(UPDATES)


def test_a_rule_of_ones_own_that_fails_is_named() -> None:
    def odd(updates: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return updates["no"]

    with pytest.raises(ConfigurationError, match=r"strategy.rule odd failed with IndexError: only"):
        round_rule(odd)(np.ones((2, 3), dtype=np.float32))
