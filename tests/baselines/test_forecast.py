"""Laws that hold for every naive forecaster."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.baselines import NAIVE_FORECASTERS
from fedtrade.baselines.forecast import checked_history

N_TRAIN, N = 80, 110
LEVELS = [0.01, 0.025, 0.05]
names = st.sampled_from(sorted(NAIVE_FORECASTERS))
seeds = st.integers(0, 2**32 - 1)


def history(seed: int) -> np.ndarray:
    returns = 0.01 * np.random.default_rng(seed).standard_t(5, N)
    returns[0] = np.nan
    return returns


@settings(deadline=None, max_examples=30)
@given(names, seeds, st.integers(N_TRAIN, N - 1))
def test_no_forecast_changes_when_the_future_does(name: str, seed: int, bar: int) -> None:
    """The forecasts up to and including `bar` ignore the returns from `bar` on."""
    returns = history(seed)
    altered = returns.copy()
    altered[bar:] = np.random.default_rng(seed + 1).standard_normal(N - bar)
    before = NAIVE_FORECASTERS[name](returns, N_TRAIN, LEVELS)
    after = NAIVE_FORECASTERS[name](altered, N_TRAIN, LEVELS)
    n_same = bar - N_TRAIN + 1
    np.testing.assert_array_equal(before.var[:n_same], after.var[:n_same])
    np.testing.assert_array_equal(before.es[:n_same], after.es[:n_same])


@pytest.mark.parametrize("name", NAIVE_FORECASTERS)
def test_the_next_forecast_follows_a_crash(name: str) -> None:
    """A fall of 20 % on the first test bar lowers the value at risk of the second."""
    returns = history(4) * (1.0 + 0.9 * np.sin(np.arange(N) / 6.0))
    crashed = returns.copy()
    crashed[N_TRAIN] = -0.2
    calm, after = (NAIVE_FORECASTERS[name](x, N_TRAIN, LEVELS).var for x in (returns, crashed))
    np.testing.assert_array_equal(calm[0], after[0])
    assert (after[1] < calm[1]).all()


@settings(deadline=None, max_examples=30)
@given(names, seeds, st.sampled_from([0.125, 0.5, 4.0]))
def test_scale_equivariance(name: str, seed: int, factor: float) -> None:
    """Powers of two are exact, so even the fitted model follows."""
    returns = history(seed)
    plain = NAIVE_FORECASTERS[name](returns, N_TRAIN, LEVELS)
    scaled = NAIVE_FORECASTERS[name](factor * returns, N_TRAIN, LEVELS)
    np.testing.assert_allclose(scaled.var, factor * plain.var, rtol=1e-9)
    np.testing.assert_allclose(scaled.es, factor * plain.es, rtol=1e-9)


@settings(deadline=None, max_examples=20)
@given(names, seeds)
def test_shape_sign_and_order(name: str, seed: int) -> None:
    """Deeper levels lie lower, and the shortfall below the value at risk."""
    var, es = NAIVE_FORECASTERS[name](history(seed), N_TRAIN, LEVELS)
    assert var.shape == es.shape == (N - N_TRAIN, len(LEVELS))
    assert (var < 0.0).all()
    assert (es <= var).all()
    assert (np.diff(var, axis=1) >= 0.0).all()


@pytest.mark.parametrize("name", NAIVE_FORECASTERS)
def test_leading_gaps_only_shift_the_history(name: str) -> None:
    returns = history(1)[1:]
    padded = np.concatenate((np.full(7, np.nan), returns))
    np.testing.assert_array_equal(
        NAIVE_FORECASTERS[name](returns, N_TRAIN, LEVELS).var,
        NAIVE_FORECASTERS[name](padded, N_TRAIN + 7, LEVELS).var,
    )


@pytest.mark.parametrize("name", NAIVE_FORECASTERS)
def test_a_missing_last_return_forecasts_the_next_bar(name: str) -> None:
    """Tomorrow's return is unknown and not needed."""
    var, _ = NAIVE_FORECASTERS[name](np.append(history(2), np.nan), N_TRAIN, LEVELS)
    assert np.isfinite(var).all()


@pytest.mark.parametrize("name", NAIVE_FORECASTERS)
def test_no_test_bars_give_no_rows(name: str) -> None:
    assert NAIVE_FORECASTERS[name](history(3), N, LEVELS).var.shape == (0, 3)


@pytest.mark.parametrize("name", NAIVE_FORECASTERS)
@pytest.mark.parametrize("levels", [[0.0], [0.5], [[0.01]], [np.nan]])
def test_levels_must_be_tail_probabilities(name: str, levels: list[float]) -> None:
    with pytest.raises(ValueError, match="levels must be"):
        NAIVE_FORECASTERS[name](history(0), N_TRAIN, levels)


def test_bad_histories_are_named() -> None:
    returns = history(0)
    with pytest.raises(ValueError, match="19 returns in the training period, 20 are needed"):
        checked_history(returns, 20, 20)
    with pytest.raises(ValueError, match=r"n_train must be in \[1, 110\], got 111"):
        checked_history(returns, 111, 20)
    with pytest.raises(ValueError, match=r"shape \(2, 55\)"):
        checked_history(returns.reshape(2, 55), 40, 20)
    returns[30] = np.nan
    with pytest.raises(ValueError, match=r"returns\[30\] is missing"):
        checked_history(returns, 40, 20)
    returns[30] = np.inf
    with pytest.raises(ValueError, match=r"returns\[30\] is infinite"):
        checked_history(returns, 40, 20)
