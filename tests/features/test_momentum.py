"""Reversal, momentum and volatility against the market."""

import numpy as np
import pytest

from fedtrade.features import volatility_state
from fedtrade.features.market_mean import market_mean, market_sum
from fedtrade.features.momentum import (
    N_RELATIVE,
    WINDOWS,
    is_described,
    momentum_score,
    relative_features,
    reversal_score,
    window_sum,
)


def _features(returns: np.ndarray) -> np.ndarray:
    state = volatility_state(returns)
    market = market_mean(market_sum(returns, state, np.arange(len(returns)), len(returns)))
    return relative_features(returns, state, market)


def _returns(n_bars: int, n_assets: int, seed: int = 0) -> np.ndarray:
    returns = np.random.default_rng(seed).normal(0.0, 0.01, (n_bars, n_assets))
    returns[0] = np.nan
    return returns


def test_window_sum_ends_before_the_skipped_rows() -> None:
    values = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
    assert window_sum(values, 2)[:, 0] == pytest.approx([np.nan, 3, 6, 12, 24], nan_ok=True)
    skipped = window_sum(values, 2, skip=1)[:, 0]
    assert skipped == pytest.approx([np.nan, np.nan, 3, 6, 12], nan_ok=True)


def test_window_sum_is_unknown_where_a_row_is() -> None:
    values = np.array([[np.nan], [2.0], [4.0], [8.0]])
    assert window_sum(values, 2)[:, 0] == pytest.approx([np.nan, np.nan, 6, 12], nan_ok=True)
    assert np.isnan(window_sum(values, 5)).all()


@pytest.mark.parametrize("window", WINDOWS)
def test_window_sum_agrees_with_a_loop(window: tuple[int, int]) -> None:
    n_bars, skip = window
    values = _returns(300, 2)
    found = window_sum(values, n_bars, skip)
    for t in (0, n_bars + skip - 1, n_bars + skip, 299):
        start = t - skip - n_bars + 1
        known = start >= 1
        expected = values[start : t - skip + 1].sum(axis=0) if known else [np.nan, np.nan]
        assert found[t] == pytest.approx(expected, nan_ok=True)


def test_features_measure_the_excess_over_the_market_in_volatilities() -> None:
    """The reversal feature is the excess return of the bar over the slow volatility."""
    returns = _returns(80, 2)
    state = volatility_state(returns)
    excess = (returns[-1, 0] - returns[-1, 1]) / 2.0
    features = _features(returns)
    assert features.shape == (80, 2, N_RELATIVE)
    assert features[-1, 0, 0] == pytest.approx(excess / state.s33[-1, 0])
    ratio = np.log(state.s33[-1] / state.s33[-1].prod() ** 0.5)
    assert features[-1, :, -1] == pytest.approx(ratio)


def test_features_do_not_depend_on_the_scale_of_all_returns() -> None:
    returns = _returns(300, 3)
    assert _features(returns) == pytest.approx(_features(3.0 * returns), nan_ok=True, abs=1e-9)


def test_a_short_history_leaves_long_momentum_unknown_only() -> None:
    """With 60 bars the asset is described from bar 21 on, without the windows of 60 and 250."""
    features = _features(_returns(60, 2))
    assert np.flatnonzero(is_described(features)[:, 0]).tolist() == list(range(21, 60))
    assert np.isnan(features[:, :, 3:5]).all()


def test_momentum_takes_the_longest_known_window_and_reversal_the_last_losers() -> None:
    features = np.full((4, 1, N_RELATIVE), np.nan)
    features[0, 0, 4], features[1, 0, 3] = 0.4, 0.3
    features[:3, 0, 2] = 0.2
    features[:, 0, 1] = 0.1
    expected = [0.4, 0.3, 0.2, np.nan]
    assert momentum_score(features)[:, 0] == pytest.approx(expected, nan_ok=True)
    assert reversal_score(features)[:, 0] == pytest.approx([-0.1] * 4)
