import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.baselines import har_mix_variance
from fedtrade.features.realised_volatility import (
    mean_over,
    realised_variance,
    realised_volatility,
)
from fedtrade.market import Panel

N_BARS = 80


def bars(n: int) -> np.ndarray:
    return np.datetime64("2020-01-01", "s") + np.arange(n) * np.timedelta64(1, "D")


def random_panel(seed: int, *, with_range: bool, n_bars: int = N_BARS, n_steps: int = 50) -> Panel:
    """Geometric random walks of daily volatility 2 %, an eighth of its variance overnight."""
    rng = np.random.default_rng(seed)
    overnight = rng.normal(0.0, 0.02 * np.sqrt(1 / 8), (n_bars, 2))
    steps = rng.normal(0.0, 0.02 * np.sqrt(7 / 8 / n_steps), (n_bars, n_steps, 2))
    within = np.cumsum(steps, axis=1)
    close = np.cumsum(overnight + within[:, -1], axis=0)
    first = close - within[:, -1]
    path = np.concatenate([np.zeros((n_bars, 1, 2)), within], axis=1)
    ohlv = {
        "open": np.exp(first),
        "high": np.exp(first + path.max(axis=1)),
        "low": np.exp(first + path.min(axis=1)),
    }
    return Panel(bars(n_bars), ("A", "B"), np.exp(close), ohlv=ohlv if with_range else None)


def test_hand_computed_range() -> None:
    """Overnight log 1.1; then from 110 to 110 with a high of twice the low."""
    low = 110.0 / np.sqrt(2.0)
    ohlv = {
        "open": np.array([[100.0], [110.0]]),
        "high": np.array([[100.0], [2.0 * low]]),
        "low": np.array([[100.0], [low]]),
    }
    panel = Panel(bars(2), ("A",), np.array([[100.0], [110.0]]), ohlv=ohlv)
    variance, has_range = realised_variance(panel)
    assert np.isnan(variance[0, 0])
    assert variance[1, 0] == pytest.approx(np.log(1.1) ** 2 + 0.5 * np.log(2.0) ** 2)
    assert has_range[:, 0].tolist() == [False, True]


def test_without_a_usable_range_it_is_the_squared_return() -> None:
    whole = random_panel(0, with_range=True)
    assert whole.ohlv is not None
    broken = {name: values.copy() for name, values in whole.ohlv.items()}
    broken["high"][5, 0] = 0.5 * whole.close[5, 0]
    broken["open"][6, 0] = np.nan
    panel = Panel(whole.bars, whole.assets, whole.close, ohlv=broken)
    variance, has_range = realised_variance(panel)
    squares = np.square(panel.returns())
    np.testing.assert_array_equal(variance[5:7, 0], squares[5:7, 0])
    assert not has_range[5:7, 0].any()
    assert has_range[7:].all()
    for ohlv in (None, {"high": broken["high"]}):
        plain, none = realised_variance(Panel(panel.bars, panel.assets, panel.close, ohlv=ohlv))
        np.testing.assert_array_equal(plain, squares)
        assert not none.any()


def test_the_range_has_the_mean_of_squared_returns_and_less_noise() -> None:
    """Garman and Klass promise a seventh of the error for a range that is watched all the time."""
    panel = random_panel(1, with_range=True, n_bars=1500, n_steps=1000)
    ranged = realised_variance(panel)[0][1:]
    squares = np.square(panel.returns())[1:]
    # A path watched 1,000 times a day still misses some of its extremes.
    assert ranged.mean() == pytest.approx(0.02**2, rel=0.1)
    assert ranged.std() < 0.6 * squares.std()


def test_the_base_of_closing_prices_is_the_har_mixture_of_returns() -> None:
    panel = random_panel(2, with_range=False)
    np.testing.assert_allclose(
        realised_volatility(panel).base, har_mix_variance(panel.returns()), rtol=1e-12
    )


def test_a_bar_without_movement_has_a_small_variance_and_not_none() -> None:
    close = random_panel(3, with_range=False).close.copy()
    close[50] = close[49]
    volatility = realised_volatility(Panel(bars(N_BARS), ("A", "B"), close))
    slow = np.square(volatility.state.s_all[49])
    np.testing.assert_allclose(volatility.variance[50], 1e-4 * slow)


def test_har_features_by_a_loop() -> None:
    volatility = realised_volatility(random_panel(4, with_range=True))
    features = volatility.har_features()
    assert np.isnan(features[:22]).any(axis=2).all()
    for t in (22, 60):
        for k in (0, 1):
            v, base = volatility.variance[: t + 1, k], volatility.base[t, k]
            expected = [
                np.log(0.1 + np.sqrt(v[-1] / base)),
                0.5 * np.log(np.mean(v[-5:]) / base),
                0.5 * np.log(np.mean(v[-22:]) / base),
                np.log(volatility.state.s_all[t, k]) - 0.5 * np.log(base),
                min(volatility.state.shock[t, k], 0.0),
            ]
            np.testing.assert_allclose(features[t, k], expected, rtol=1e-9, atol=1e-12)


def test_features_do_not_depend_on_the_scale_of_prices() -> None:
    panel = random_panel(5, with_range=True)
    assert panel.ohlv is not None
    larger = {name: 7.0 * values for name, values in panel.ohlv.items()}
    scaled = Panel(panel.bars, panel.assets, 7.0 * panel.close, ohlv=larger)
    np.testing.assert_allclose(
        realised_volatility(scaled).har_features(),
        realised_volatility(panel).har_features(),
        rtol=1e-6,
        atol=1e-9,
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(1, N_BARS - 1), st.booleans(), st.integers(0, 1000))
def test_nothing_changes_when_later_prices_change(t: int, with_range: bool, seed: int) -> None:
    panel = random_panel(seed, with_range=with_range)
    assert panel.ohlv is None or with_range
    factor = np.exp(np.random.default_rng(seed + 1).normal(size=(N_BARS, 2)))
    factor[: t + 1] = 1.0
    ohlv = panel.ohlv and {name: values * factor for name, values in panel.ohlv.items()}
    other = Panel(panel.bars, panel.assets, panel.close * factor, ohlv=ohlv)
    first, second = realised_volatility(panel), realised_volatility(other)
    pairs = [
        (first.variance, second.variance),
        (first.base, second.base),
        (first.har_features(), second.har_features()),
    ]
    for before, after in pairs:
        np.testing.assert_array_equal(before[: t + 1], after[: t + 1])
        assert t + 1 == N_BARS or not np.array_equal(before, after, equal_nan=True)


def test_a_mean_needs_all_of_its_bars() -> None:
    values = np.array([[np.nan], [1.0], [3.0], [5.0]])
    np.testing.assert_array_equal(mean_over(values, 2), [[np.nan], [np.nan], [2.0], [4.0]])
    assert np.isnan(mean_over(values, 5)).all()
