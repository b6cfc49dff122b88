from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.features.nowcast import N_NOWCAST, market_nowcast, nowcast_sum
from fedtrade.features.volatility import VolatilityState, volatility_state
from fedtrade.market.panel import Panel

Market = Callable[..., Panel]


def _state(shock: list[float], s2: list[float], s33: list[float]) -> VolatilityState:
    """One bar of several assets with s11 = 1."""
    row = np.ones((1, len(shock)))
    return VolatilityState(np.array([s2]), row, np.array([s33]), row, np.array([shock]))


def test_sum_and_nowcast_by_hand() -> None:
    """Shocks -3 and 1: the mean size is 2 and the mean is -1; s2 of e and e^3 average to 2."""
    state = _state([-3.0, 1.0], [np.e, np.e**3], [1.0, np.e])
    total = nowcast_sum(state, np.array([1]), 3)
    assert total.tolist() == [[0.0] * 5, pytest.approx([4.0, 1.0, 4.0, -2.0, 2.0]), [0.0] * 5]
    nowcast = market_nowcast(total)
    assert nowcast[1] == pytest.approx([2.0, 0.5, np.log(2.1), -1.0])
    assert np.isnan(nowcast[[0, 2]]).all()


def test_a_rising_market_has_no_negative_part() -> None:
    total = nowcast_sum(_state([2.0], [1.0], [1.0]), np.array([0]), 1)
    assert market_nowcast(total)[0] == pytest.approx([0.0, 0.0, np.log(2.1), 0.0])


def test_noise_on_the_sum_leaves_numbers_or_nothing() -> None:
    """A mean that cannot be, and counts of nearly nobody."""
    noisy = np.array([[0.0, 0.0, -3.0, 1.0, 2.0], [5.0, 5.0, 5.0, 5.0, 1e-9], [0, 0, 0, 0, -1.0]])
    with np.errstate(all="raise"):
        found = market_nowcast(noisy)
    assert found[0] == pytest.approx([0.0, 0.0, np.log(0.1), 0.0])
    assert np.isnan(found[1:]).all()


def test_assets_in_their_warm_up_are_not_counted(market: Market) -> None:
    returns = market(n_bars=60).returns()
    returns[:30, 2] = np.nan
    total = nowcast_sum(volatility_state(returns), np.arange(60), 60)
    assert total[[20, 21, 49, 50, 59], -1].tolist() == [0.0, 5.0, 5.0, 6.0, 6.0]
    assert np.isfinite(total).all()


def test_rows_place_a_short_history_in_the_calendar(market: Market) -> None:
    returns = market(n_bars=40).returns()
    rows = np.arange(60, 100)
    total = nowcast_sum(volatility_state(returns), rows, 100)
    assert (total[:60] == 0.0).all()
    np.testing.assert_array_equal(
        total[rows], nowcast_sum(volatility_state(returns), np.arange(40), 40)
    )


@given(data=st.data(), seed=st.integers(0, 3))
def test_the_sum_over_any_partition_is_that_of_one_holder(
    market: Market, data: st.DataObject, seed: int
) -> None:
    """However assets are dealt to participants, the market is the same."""
    returns = market(n_bars=50, n_assets=6, seed=seed).returns()
    owner = np.array(data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6)))
    rows = np.arange(50)
    parts = [
        nowcast_sum(volatility_state(returns[:, owner == number]), rows, 50)
        for number in np.unique(owner)
    ]
    pooled = nowcast_sum(volatility_state(returns), rows, 50)
    np.testing.assert_allclose(np.sum(parts, axis=0), pooled, atol=1e-12)


@given(changed_from=st.integers(1, 79), seed=st.integers(0, 3))
def test_later_prices_change_nothing_before(market: Market, changed_from: int, seed: int) -> None:
    panel = market(n_bars=80, seed=seed)
    close = panel.close.copy()
    close[changed_from:] *= np.linspace(0.8, 1.4, 80 - changed_from)[:, None]

    def nowcast(prices: Panel) -> np.ndarray:
        state = volatility_state(prices.returns())
        return market_nowcast(nowcast_sum(state, np.arange(80), 80))

    old, new = nowcast(panel), nowcast(Panel(panel.bars, panel.assets, close))
    assert old.shape == (80, N_NOWCAST)
    np.testing.assert_array_equal(new[:changed_from], old[:changed_from])
