from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.baselines.ewma import ewma_variance
from fedtrade.features.volatility import FLOOR, LEAST_VOLATILITY, volatility_state
from fedtrade.market.panel import Panel

Market = Callable[..., Panel]


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def test_constant_moves_give_equal_volatilities_and_a_shock_of_one() -> None:
    """Returns of +-2 % have a volatility of 2 % at any horizon; the next 2 % is one of them."""
    state = volatility_state(_column(*[0.02, -0.02] * 15))
    for volatility in (state.s2, state.s11, state.s33, state.s_all):
        assert np.isnan(volatility[:19]).all()
        assert volatility[19:, 0] == pytest.approx(np.full(11, 0.02))
    assert np.isnan(state.shock[:20]).all()  # a shock needs the volatility of the bar before
    assert state.shock[20:, 0] == pytest.approx([1.0, -1.0] * 5)


def test_own_features_by_hand() -> None:
    """Equal volatilities: three zeros, log(0.1 + 1), and the shock where it is negative."""
    own = volatility_state(_column(*[0.02, -0.02] * 15)).own_features()
    assert own.shape == (30, 1, 5)
    assert own[28, 0] == pytest.approx([0.0, 0.0, 0.0, np.log(1.1), 0.0])
    assert own[29, 0] == pytest.approx([0.0, 0.0, 0.0, np.log(1.1), -1.0])


def test_one_step_of_each_half_life_by_hand() -> None:
    """After 20 returns of 1 % one of 3 %: v = d * 1 + (1 - d) * 9 in squared percent."""
    state = volatility_state(_column(*[0.01] * 20, 0.03))
    for half_life, found in ((2.5, state.s2), (11.0, state.s11), (33.0, state.s33)):
        decay = 0.5 ** (1.0 / half_life)
        assert found[20, 0] == pytest.approx(0.01 * np.sqrt(decay + 9.0 * (1.0 - decay)))
    assert state.s_all[20, 0] == pytest.approx(0.01 * np.sqrt((20 + 9) / 21))
    assert state.shock[20, 0] == pytest.approx(3.0)


def test_shock_is_clipped_at_six() -> None:
    shock = volatility_state(_column(*[0.01] * 20, -0.5, 0.99)).shock[20:, 0]
    assert shock[0] == -6.0
    assert 0.0 < shock[1] <= 6.0


def test_history_starts_at_the_first_return_of_each_column() -> None:
    returns = np.full((60, 2), 0.01)
    returns[:30, 1] = np.nan
    state = volatility_state(returns)
    assert np.isnan(state.s11[:49, 1]).all()
    assert np.isfinite(state.s11[49:, 1]).all()
    assert np.isfinite(state.s11[19:, 0]).all()


def test_a_price_that_stops_keeps_a_floor() -> None:
    """A quarter of a year without a move: the short volatility rests at 5 % of the long one."""
    state = volatility_state(_column(*[0.01, -0.01] * 20, *[0.0] * 300))
    assert state.s2[-1, 0] == pytest.approx(FLOOR * state.s_all[-1, 0])
    assert np.isfinite(state.own_features()[20:]).all()


def test_a_price_that_never_moved_teaches_nothing() -> None:
    """Its volatility is a formality, and its shocks are unknown until after the first move."""
    state = volatility_state(_column(*[0.0] * 40, 0.02, 0.01))
    assert (state.s_all[19:40] == LEAST_VOLATILITY).all()
    assert np.isnan(state.shock[:41]).all()
    assert np.isfinite(state.shock[41]).all()


def test_s11_is_the_ewma_of_the_naive_arm(market: Market) -> None:
    returns = market().returns()
    state = volatility_state(returns)
    assert state.s11[25:] == pytest.approx(np.sqrt(ewma_variance(returns, 11.0))[25:])


@given(scale=st.floats(1e-2, 1e2))
def test_features_have_no_scale(market: Market, scale: float) -> None:
    """An asset that moves `scale` times as much looks the same."""
    returns = np.clip(market(n_bars=60).returns(), -0.05, 0.05)
    one = volatility_state(returns).own_features()
    other = volatility_state(returns * scale).own_features()
    np.testing.assert_allclose(other, one, atol=1e-8)


@given(changed_from=st.integers(1, 119), seed=st.integers(0, 3), factor=st.floats(0.5, 2.0))
def test_later_prices_change_nothing_before(
    market: Market, changed_from: int, seed: int, factor: float
) -> None:
    panel = market(n_bars=120, seed=seed)
    close = panel.close.copy()
    close[changed_from:] *= factor * np.linspace(1.0, 1.5, 120 - changed_from)[:, None]
    changed = Panel(panel.bars, panel.assets, close)
    before = volatility_state(panel.returns())
    after = volatility_state(changed.returns())
    for old, new in zip(
        (*before, before.own_features()), (*after, after.own_features()), strict=True
    ):
        np.testing.assert_array_equal(new[:changed_from], old[:changed_from])


@given(st.lists(st.floats(-0.5, 0.5) | st.just(0.0), min_size=21, max_size=60))
def test_features_are_finite_whatever_the_returns(values: list[float]) -> None:
    """Stale prices and moves of 50 % included; only a price that stood still has no shock."""
    state = volatility_state(_column(*values))
    own = state.own_features()[20:]
    assert np.isfinite(own[..., :3]).all()
    assert (np.isfinite(own[..., 3:]) == (state.s_all[19:-1] > LEAST_VOLATILITY)[..., None]).all()
