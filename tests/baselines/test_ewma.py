import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.baselines.ewma import ewma_t6, ewma_variance, expanding_variance
from fedtrade.baselines.student_t import student_t_quantile, student_t_shortfall


def loop_ewma(returns: np.ndarray, half_life: float, warm_up: int) -> np.ndarray:
    """The recursion written out for one column."""
    variance = np.full(len(returns), np.nan)
    first = int(np.isfinite(returns).argmax())
    current = np.mean(returns[first : first + warm_up] ** 2)
    variance[first + warm_up - 1] = current
    decay = 2.0 ** (-1.0 / half_life)
    for t in range(first + warm_up, len(returns)):
        current = decay * current + (1.0 - decay) * returns[t] ** 2
        variance[t] = current
    return variance


def test_hand_computed_recursion() -> None:
    """Half-life 1 halves: warm-up mean (1 + 9) / 2 = 5, then (5 + 1) / 2 = 3, (3 + 25) / 2 = 14."""
    variance = ewma_variance([1.0, -3.0, 1.0, 5.0], half_life=1.0, warm_up=2)
    np.testing.assert_allclose(variance, [np.nan, 5.0, 3.0, 14.0])


def test_hand_computed_expanding_mean() -> None:
    variance = expanding_variance([np.nan, 1.0, -3.0, 2.0], warm_up=2)
    np.testing.assert_allclose(variance, [np.nan, np.nan, 5.0, 14.0 / 3.0])


def test_a_history_as_long_as_the_warm_up_has_one_value() -> None:
    np.testing.assert_allclose(ewma_variance([1.0, 3.0], 5.0, warm_up=2), [np.nan, 5.0])
    np.testing.assert_allclose(expanding_variance([1.0, 3.0], warm_up=2), [np.nan, 5.0])
    assert np.isnan(ewma_variance([1.0], 5.0, warm_up=2)).all()


def test_columns_of_different_starts_match_a_loop() -> None:
    rng = np.random.default_rng(0)
    returns = rng.standard_normal((60, 4))
    returns[:1, 0] = np.nan
    returns[:17, 2] = np.nan
    returns[:50, 3] = np.nan  # too short for the warm-up
    variance = ewma_variance(returns, half_life=11.0)
    for column in range(3):
        expected = loop_ewma(returns[:, column], 11.0, 20)
        np.testing.assert_allclose(variance[:, column], expected, rtol=1e-12)
    assert np.isnan(variance[:, 3]).all()


def test_a_missing_return_ends_its_column_only() -> None:
    returns = np.ones((40, 2))
    returns[30, 0] = np.nan
    for variance in (ewma_variance(returns, 5.0), expanding_variance(returns)):
        assert np.isnan(variance[30:, 0]).all()
        np.testing.assert_allclose(variance[19:30, 0], 1.0)
        np.testing.assert_allclose(variance[19:, 1], 1.0)


@settings(deadline=None)
@given(st.integers(21, 60), st.floats(0.5, 100.0), st.integers(0, 2**32 - 1))
def test_weights_are_an_average(n: int, half_life: float, seed: int) -> None:
    """The variance lies between the least and the largest square it has seen."""
    squares = np.square(returns := np.random.default_rng(seed).standard_normal(n))
    variance = ewma_variance(returns, half_life)[19:]
    assert (variance <= np.maximum.accumulate(squares)[19:] * (1 + 1e-12)).all()
    assert (variance >= np.minimum.accumulate(squares)[19:] * (1 - 1e-12)).all()


def test_half_life_halves_the_weight_of_a_shock() -> None:
    """After 11 quiet bars a shock counts half."""
    returns = np.zeros(60)
    returns[25] = 1.0
    variance = ewma_variance(returns, 11.0)
    assert variance[36] == pytest.approx(variance[25] / 2.0, rel=1e-12)


def test_forecast_is_volatility_times_multiplier() -> None:
    """A return that is always 2 % up or down has 2 % volatility."""
    returns = 0.02 * (-1.0) ** np.arange(30)
    var, es = ewma_t6(returns, 25, [0.01, 0.05])
    assert var.shape == es.shape == (5, 2)
    levels = np.array([0.01, 0.05])
    np.testing.assert_allclose(var, np.tile(0.02 * student_t_quantile(levels, 6.0), (5, 1)))
    np.testing.assert_allclose(es, np.tile(0.02 * student_t_shortfall(levels, 6.0), (5, 1)))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="half_life must be positive, got 0"):
        ewma_variance([0.1], 0.0)
    with pytest.raises(ValueError, match="warm_up must be at least 1"):
        ewma_variance([0.1], 1.0, warm_up=0)
    with pytest.raises(ValueError, match="shape"):
        ewma_variance(0.1, 1.0)
