import numpy as np
import pytest
from scipy import stats

from fedtrade.evaluation.sharpe import (
    annualised_sharpe,
    deflated_sharpe,
    probabilistic_sharpe,
    sharpe,
)

RETURNS = 0.0005 + 0.01 * np.random.default_rng(0).standard_t(4, 1000)


def loop_psr(returns: np.ndarray, benchmark: float) -> float:
    """The formula of the paper with sample skew and (not excess) kurtosis."""
    n, ratio = returns.size, returns.mean() / returns.std(ddof=1)
    skew, kurtosis = stats.skew(returns), stats.kurtosis(returns, fisher=False)
    spread = np.sqrt(1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2)
    return float(stats.norm.cdf((ratio - benchmark) * np.sqrt(n - 1) / spread))


def test_hand_computed() -> None:
    """1, 2, 3: mean 2 over standard deviation 1, times 2 for four bars a year."""
    assert sharpe([1.0, np.nan, 2.0, 3.0]) == pytest.approx(2.0)
    assert annualised_sharpe([1.0, 2.0, 3.0], bars_per_year=4.0) == pytest.approx(4.0)


@pytest.mark.parametrize("benchmark", [-0.05, 0.0, 0.1])
def test_probabilistic_sharpe_follows_the_paper(benchmark: float) -> None:
    expected = loop_psr(RETURNS, benchmark)
    assert probabilistic_sharpe(RETURNS, benchmark) == pytest.approx(expected, rel=1e-9)


def test_probability_is_one_half_at_its_own_ratio() -> None:
    assert probabilistic_sharpe(RETURNS, sharpe(RETURNS)) == pytest.approx(0.5)


def test_deflated_sharpe_follows_the_paper() -> None:
    n_trials, std = 45, 0.03
    gamma = 0.5772156649015329
    best = std * (
        (1 - gamma) * stats.norm.ppf(1 - 1 / n_trials)
        + gamma * stats.norm.ppf(1 - 1 / (n_trials * np.e))
    )
    assert deflated_sharpe(RETURNS, n_trials, std) == pytest.approx(loop_psr(RETURNS, best))


def test_one_trial_deflates_nothing_and_more_deflate_more() -> None:
    values = [deflated_sharpe(RETURNS, n_trials) for n_trials in (1, 2, 10, 100)]
    assert values[0] == probabilistic_sharpe(RETURNS)
    assert values == sorted(values, reverse=True)
    assert values[3] < values[0]


def test_best_of_many_without_skill_is_seen_through() -> None:
    """The best of 50 random strategies convinces the plain ratio but not the deflated one."""
    trials = np.random.default_rng(1).standard_normal((50, 500))
    best = max(trials, key=sharpe)
    std = float(np.std([sharpe(trial) for trial in trials], ddof=1))
    assert probabilistic_sharpe(best) > 0.95
    assert deflated_sharpe(best, 50, std) < 0.9
    assert deflated_sharpe(best, 50) < 0.9


@pytest.mark.parametrize("returns", [[], [0.1, 0.2], [0.01] * 20, [0.0] * 20])
def test_undefined_ratios_are_nan(returns: list[float]) -> None:
    assert np.isnan(annualised_sharpe(returns, 252.0))
    assert np.isnan(probabilistic_sharpe(returns))
    assert np.isnan(deflated_sharpe(returns, 3))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="n_trials must be at least 1, got 0"):
        deflated_sharpe(RETURNS, 0)
    with pytest.raises(ValueError, match="bars_per_year must be positive"):
        annualised_sharpe(RETURNS, 0.0)
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        sharpe([[0.0, 1.0], [1.0, 2.0]])
