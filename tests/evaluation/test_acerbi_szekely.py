import numpy as np
import pytest
from scipy import stats

from fedtrade.baselines.student_t import student_t_quantile, student_t_shortfall
from fedtrade.evaluation.acerbi_szekely import acerbi_szekely_z2, shortfall_sums

LEVEL, DOF = 0.025, 6.0
VAR, ES = float(student_t_quantile(LEVEL, DOF)), float(student_t_shortfall(LEVEL, DOF))


def simulate(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(DOF, n) * np.sqrt((DOF - 2) / DOF)


def test_hand_computed_statistic() -> None:
    """One breach of -6 against es -3 at 25 % in four bars: term 8, mean 2, Z2 = -1."""
    sums = shortfall_sums([-6.0, 1.0, 2.0, -1.0], -2.0, -3.0, 0.25)
    assert sums == (4, 8.0, 64.0)
    test = acerbi_szekely_z2(*sums)
    assert test.statistic == -1.0
    assert test.p_value == pytest.approx(stats.norm.cdf(-1.0 / np.sqrt(12.0 / 4.0)))


def test_agrees_with_the_formula_of_the_paper() -> None:
    """Positive VaR and ES, as printed: sum X I / (T alpha ES) + 1."""
    returns = simulate(500, 0)
    paper = sum(x / (500 * LEVEL * -ES) for x in returns if x + -VAR < 0) + 1
    assert acerbi_szekely_z2(*shortfall_sums(returns, VAR, ES, LEVEL)).statistic == pytest.approx(
        paper
    )


def test_sums_add_over_participants() -> None:
    returns = simulate(600, 1)
    parts = [shortfall_sums(part, VAR, ES, LEVEL) for part in np.split(returns, 3)]
    np.testing.assert_allclose(np.sum(parts, axis=0), shortfall_sums(returns, VAR, ES, LEVEL))


def test_size_and_power() -> None:
    """Correct forecasts are rejected about as often as promised, halved risk nearly always."""
    samples = [simulate(2500, seed) for seed in range(300)]
    right = [acerbi_szekely_z2(*shortfall_sums(x, VAR, ES, LEVEL)).p_value for x in samples]
    assert np.mean(np.array(right) < 0.05) == pytest.approx(0.05, abs=0.035)
    halved = [
        acerbi_szekely_z2(*shortfall_sums(x, VAR / 2, ES / 2, LEVEL)).p_value for x in samples
    ]
    assert np.mean(np.array(halved) < 0.05) > 0.99


def test_the_papers_critical_value() -> None:
    """At 250 bars and 2.5 %, a twentieth of samples falls below about -0.70."""
    statistics = [
        acerbi_szekely_z2(*shortfall_sums(x, VAR, ES, LEVEL)).statistic
        for x in np.split(simulate(250 * 4000, 7), 4000)
    ]
    assert np.quantile(statistics, 0.05) == pytest.approx(-0.70, abs=0.08)


def test_missing_and_undefined_bars_are_left_out() -> None:
    nan = np.nan
    sums = shortfall_sums(
        [-6.0, nan, -6.0, -6.0], [-2.0, -2.0, nan, 0.0], [-3.0, -3.0, -3.0, 0.0], 0.5
    )
    assert sums == (1, 4.0, 16.0)


def test_corner_cases() -> None:
    assert acerbi_szekely_z2(250, 0.0, 0.0) == (1.0, 1.0)
    assert acerbi_szekely_z2(2, 4.0, 8.0) == (-1.0, 0.0)
    assert np.isnan(acerbi_szekely_z2(0, 0.0, 0.0)).all()
    with pytest.raises(ValueError, match="level must be in"):
        shortfall_sums([0.0], -1.0, -2.0, 1.0)
