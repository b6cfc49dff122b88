"""From scores to positions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtrade.evaluation.positions import (
    inverse_volatility_positions,
    neutral_positions,
    trade_slowly,
)

SCORES = arrays(np.float64, (3, 4), elements=st.floats(-1.0, 1.0))
VOLATILITIES = arrays(np.float64, (3, 4), elements=st.floats(0.001, 0.1))


def test_two_assets_are_a_pair() -> None:
    """The better one is held long, the other short, half of the limit each."""
    found = neutral_positions([[0.2, -0.2]], [[0.01, 0.02]], full_score=0.1)
    assert found == pytest.approx(np.array([[0.5, -0.5]]))


def test_weak_scores_are_held_in_proportion() -> None:
    """Scores half as strong as `full_score` use half of the limit."""
    found = neutral_positions([[0.05, -0.05]], [[0.01, 0.01]], full_score=0.1, gross_limit=2.0)
    assert found == pytest.approx(np.array([[0.5, -0.5]]))


def test_equal_volatility_makes_positions_follow_the_scores() -> None:
    found = neutral_positions([[3.0, 1.0, -1.0]], np.full((1, 3), 0.01), full_score=0.05)
    assert found == pytest.approx(np.array([[0.5, 0.0, -0.5]]))


def test_a_single_asset_is_held_outright() -> None:
    """One of two is unknown: nothing is left to hedge the other with."""
    found = neutral_positions([[-0.3, np.nan]], [[0.01, np.nan]], full_score=0.1)
    assert found == pytest.approx(np.array([[-1.0, 0.0]]))


def test_no_opinion_means_no_position() -> None:
    scores = [[0.0, 0.0, 0.0], [0.1, 0.1, 0.1], [np.nan, np.nan, np.nan]]
    volatility = np.array([[0.01, 0.02, 0.03]] * 3)
    assert not neutral_positions(scores, volatility, full_score=0.05).any()


@given(SCORES, VOLATILITIES)
def test_positions_are_neutral_and_limited(scores: np.ndarray, volatility: np.ndarray) -> None:
    found = neutral_positions(scores, volatility, full_score=0.05, gross_limit=1.5)
    assert np.abs(found.sum(axis=1)).max() < 1e-9
    assert np.abs(found).sum(axis=1).max() <= 1.5 + 1e-9


@given(SCORES, VOLATILITIES)
def test_opposite_scores_give_opposite_positions(
    scores: np.ndarray, volatility: np.ndarray
) -> None:
    up = neutral_positions(scores, volatility, full_score=0.05)
    assert neutral_positions(-scores, volatility, full_score=0.05) == pytest.approx(-up)


def test_inverse_volatility_is_long_and_uses_the_limit() -> None:
    found = inverse_volatility_positions([[0.01, 0.03]], gross_limit=2.0)
    assert found == pytest.approx(np.array([[1.5, 0.5]]))


def test_slow_trading_moves_a_share_of_the_way_from_nothing() -> None:
    assert trade_slowly([[1.0], [1.0], [0.0]], 0.5)[:, 0] == pytest.approx([0.5, 0.75, 0.375])
    assert trade_slowly([[1.0], [-1.0]], 1.0)[:, 0].tolist() == [1.0, -1.0]


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_refuses_a_share_that_is_none(share: float) -> None:
    with pytest.raises(ValueError, match="trade_share"):
        trade_slowly([[1.0]], share)


@pytest.mark.parametrize(
    ("scores", "volatility", "options", "message"),
    [
        ([[1.0, 2.0]], [[0.01]], {"full_score": 0.1}, "shape"),
        ([[1.0]], [[0.0]], {"full_score": 0.1}, "positive volatility"),
        ([[1.0]], [[0.1]], {"full_score": 0.0}, "full_score"),
        ([[1.0]], [[0.1]], {"full_score": 0.1, "gross_limit": 0.0}, "gross_limit"),
    ],
)
def test_refuses_what_cannot_be_held(
    scores: list[list[float]],
    volatility: list[list[float]],
    options: dict[str, float],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        neutral_positions(scores, volatility, **options)
