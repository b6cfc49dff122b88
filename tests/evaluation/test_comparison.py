import numpy as np
import pytest
import statsmodels.api as sm
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedtrade.evaluation.comparison import (
    block_bootstrap_interval,
    mean_t,
    relative_gain,
    relative_gain_interval,
)


def autoregression(n: int, coefficient: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(n + 50)
    x = np.zeros(n + 50)
    for t in range(1, n + 50):
        x[t] = coefficient * x[t - 1] + noise[t]
    return x[50:]


def test_hand_computed_t() -> None:
    """1, 2, 3 has mean 2 and standard error 1 / sqrt 3."""
    assert mean_t([1.0, np.nan, 2.0, 3.0], lags=0) == pytest.approx(2.0 * np.sqrt(3.0))


@settings(deadline=None)
@given(st.integers(3, 100), st.integers(0, 2**32 - 1))
def test_no_lags_is_the_ordinary_t(n: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(n) + 0.3
    assert mean_t(x, lags=0) == pytest.approx(stats.ttest_1samp(x, 0.0).statistic)


@pytest.mark.parametrize("lags", [0, 1, 7, None])
def test_agrees_with_statsmodels(lags: int | None) -> None:
    """The default for 400 values is floor(4 * 4^(2/9)) = 5 lags."""
    x = autoregression(400, 0.6, 1) + 0.2
    oracle = sm.OLS(x, np.ones(400)).fit(
        cov_type="HAC", cov_kwds={"maxlags": 5 if lags is None else lags, "use_correction": True}
    )
    assert mean_t(x, lags) == pytest.approx(float(oracle.tvalues[0]))


def test_dependence_lowers_the_t() -> None:
    x = autoregression(1000, 0.7, 2) + 0.3
    assert 0.0 < mean_t(x) < 0.7 * mean_t(x, lags=0)


def test_t_of_nothing_is_nan() -> None:
    for x in ([], [1.0], [np.nan, 2.0], [0.1] * 9, [0.0] * 9):
        assert np.isnan(mean_t(x))


def test_bad_series_and_lags_are_named() -> None:
    with pytest.raises(ValueError, match=r"lags must be in \[0, 2\] for 3 values, got 3"):
        mean_t([1.0, 2.0, 4.0], lags=3)
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        mean_t([[1.0, 2.0]])


def test_interval_agrees_with_archs_own() -> None:
    x = autoregression(200, 0.5, 3)
    oracle = StationaryBootstrap(6, x, seed=np.random.default_rng(9)).conf_int(
        np.mean, reps=300, method="percentile", size=0.9
    )
    interval = block_bootstrap_interval(x, level=0.9, block_length=6, n_resamples=300, seed=9)
    assert interval.estimate == pytest.approx(x.mean())
    np.testing.assert_allclose([interval.low, interval.high], oracle[:, 0])


def test_gain_interval_agrees_with_archs_own() -> None:
    a, b = np.random.default_rng(4).exponential(size=(2, 150))
    oracle = StationaryBootstrap(5, a, b, seed=np.random.default_rng(1)).conf_int(
        lambda x, y: 1.0 - x.mean() / y.mean(), reps=200, method="percentile", size=0.95
    )
    interval = relative_gain_interval(a, b, block_length=5, n_resamples=200, seed=1)
    assert interval.estimate == pytest.approx(1.0 - a.mean() / b.mean())
    np.testing.assert_allclose([interval.low, interval.high], oracle[:, 0])


def test_default_block_length_of_a_gain_is_that_of_its_influence_function() -> None:
    """What both scores share, however persistent, does not lengthen the blocks."""
    noise = np.random.default_rng(8).standard_normal(300)
    b = 10.0 + autoregression(300, 0.9, 8)
    a = 0.9 * b + 0.1 * noise
    influence = a - b * a.mean() / b.mean()
    length = int(np.ceil(optimal_block_length(influence)["stationary"].iloc[0]))
    assert length < 0.5 * optimal_block_length(a)["stationary"].iloc[0]
    assert relative_gain_interval(a, b, n_resamples=50) == relative_gain_interval(
        a, b, block_length=length, n_resamples=50
    )


def test_columns_are_resampled_together() -> None:
    """A column's interval is what it would be alone, given the block length."""
    x = np.random.default_rng(5).standard_normal((80, 3))
    x[:20, 1] = np.nan
    joint = block_bootstrap_interval(x, block_length=4, n_resamples=100)
    assert joint.low.shape == (3,)
    for k in range(3):
        alone = block_bootstrap_interval(x[:, k], block_length=4, n_resamples=100)
        assert (alone.low, alone.high) == pytest.approx((joint.low[k], joint.high[k]))
        assert joint.estimate[k] == pytest.approx(np.nanmean(x[:, k]))


def test_coverage_of_dependent_series() -> None:
    """With the automatic block length, 95 % intervals contain the true mean 0 nearly that often.

    Blocks of one bar, which take the bars for independent, contain it far less often.
    """
    series = [autoregression(300, 0.5, seed) for seed in range(60)]
    inside = {None: 0, 1: 0}
    for block_length in inside:
        for x in series:
            interval = block_bootstrap_interval(x, block_length=block_length, n_resamples=150)
            inside[block_length] += int(interval.low <= 0.0 <= interval.high)
    assert inside[None] >= 0.85 * 60
    assert inside[1] <= 0.80 * 60


def test_gain_is_hand_computed() -> None:
    """Mean 3 against mean 4 is a quarter; the bar with a gap is left out of both."""
    assert relative_gain([2.0, 4.0, 9.0], [3.0, 5.0, np.nan]) == pytest.approx(0.25)
    np.testing.assert_allclose(relative_gain([[1.0, 1.0]], [[2.0, 0.0]]), [0.5, np.nan])


def test_joint_resampling_removes_what_is_common() -> None:
    """A score that is always 10 % smaller has an interval of no width."""
    reference = np.random.default_rng(6).exponential(size=100)
    interval = relative_gain_interval(0.9 * reference, reference, n_resamples=50)
    np.testing.assert_allclose(interval, 0.1)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_interval_is_ordered_and_repeatable(n: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(n)
    first = block_bootstrap_interval(x, n_resamples=20, seed=seed)
    assert first.low <= first.high
    assert x.min() - 1e-12 <= first.low
    assert first.high <= x.max() + 1e-12
    assert first == block_bootstrap_interval(x, n_resamples=20, seed=seed)


def test_constant_and_empty_columns() -> None:
    interval = block_bootstrap_interval(np.full((30, 1), 2.0), n_resamples=10)
    np.testing.assert_array_equal(interval, [[2.0], [2.0], [2.0]])
    assert np.isnan(block_bootstrap_interval(np.full(30, np.nan), n_resamples=10)).all()


def test_bad_arguments_are_named() -> None:
    x = np.arange(20.0)
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\), got 95"):
        block_bootstrap_interval(x, level=95, n_resamples=2)
    with pytest.raises(ValueError, match="block_length must be at least 1 bar, got 0"):
        block_bootstrap_interval(x, block_length=0)
    with pytest.raises(ValueError, match="n_resamples must be at least 1"):
        block_bootstrap_interval(x, n_resamples=0)
    with pytest.raises(ValueError, match=r"\(20,\) and \(19,\)"):
        relative_gain(x, x[1:])
    with pytest.raises(ValueError, match=r"n > 0; got \(0,\)"):
        block_bootstrap_interval([])
