"""The federation's market: sums over own assets, means of the total."""

import numpy as np
import pytest

from fedtrade.features import volatility_state
from fedtrade.features.market_mean import log_volatilities, market_mean, market_sum


def _returns(n_bars: int, n_assets: int, seed: int = 0) -> np.ndarray:
    returns = np.random.default_rng(seed).normal(0.0, 0.01, (n_bars, n_assets))
    returns[0] = np.nan
    return returns


def test_sum_holds_returns_and_counts_at_the_rows_of_the_calendar() -> None:
    """Two assets at calendar rows 1 and 2: the first return is unknown and not counted."""
    returns = np.array([[np.nan, np.nan], [0.01, 0.03]])
    total = market_sum(returns, volatility_state(returns), np.array([1, 2]), 4)
    assert total.shape == (2, 4, 4)
    assert total[0, :, 0] == pytest.approx([0.0, 0.0, 0.04, 0.0])
    assert total[1, :, 0].tolist() == [0.0, 0.0, 2.0, 0.0]
    assert not total[:, :, 1:].any(), "volatility is unknown during the warm-up"


def test_mean_is_the_sum_over_the_count_and_nan_where_nobody_contributed() -> None:
    total = np.zeros((2, 2, 4))
    total[0, 0], total[1, 0] = [0.06, 1.0, 2.0, 3.0], [3, 1, 2, 4]
    mean = market_mean(total)
    assert mean[0] == pytest.approx([0.02, 1.0, 1.0, 0.75])
    assert np.isnan(mean[1]).all()


def test_a_count_that_noise_has_left_of_nobody_gives_no_mean() -> None:
    total = np.zeros((2, 3, 4))
    total[0] = 5.0
    total[1] = np.array([[2.0], [1e-9], [-1.0]])
    with np.errstate(all="raise"):
        mean = market_mean(total)
    assert mean[0] == pytest.approx(2.5)
    assert np.isnan(mean[1:]).all()


def test_participants_with_different_histories_add_up_to_the_whole_market() -> None:
    """However assets are split, the total is that of one holder of all of them."""
    returns = _returns(60, 5)
    rows = np.arange(60)
    whole = market_sum(returns, volatility_state(returns), rows, 60)
    parts = [
        market_sum(returns[:, own], volatility_state(returns[:, own]), rows, 60)
        for own in ([0, 3], [1], [2, 4])
    ]
    assert np.sum(parts, axis=0) == pytest.approx(whole)
    later = returns[30:, :2].copy()
    later[0] = np.nan
    short = market_sum(later, volatility_state(later), rows[30:], 60)
    assert not short[:, :31].any()
    assert short[1, 31, 0] == 2


def test_a_price_that_stands_still_does_not_enter_the_mean_volatility() -> None:
    returns = _returns(60, 2)
    returns[1:, 1] = 0.0
    total = market_sum(returns, volatility_state(returns), np.arange(60), 60)
    assert total[1, -1].tolist() == [2.0, 1.0, 1.0, 1.0]
    assert np.isfinite(total).all()
    assert np.isnan(log_volatilities(volatility_state(returns))[:, 1]).all()
