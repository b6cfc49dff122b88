import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.metrics import mean_pinball_loss

from fedtrade.evaluation.quantile_scores import fz0, pinball

# A distribution that sits on these values with equal weight.
VALUES = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)


def test_hand_computed_pinball() -> None:
    """At 5 %, 2 % below the forecast costs 95 % of it and 2 % above 5 %."""
    score = pinball([-0.05, -0.01, np.nan], -0.03, 0.05)
    np.testing.assert_allclose(score, [0.95 * 0.02, 0.05 * 0.02, np.nan])


def test_hand_computed_fz0() -> None:
    """With var -1, es -2 at 50 % the score is 1/2 + log 2 - 1, plus the breach of 2 over 1."""
    quiet = 0.5 + np.log(2.0) - 1.0
    np.testing.assert_allclose(fz0([0.0, -3.0], -1.0, -2.0, 0.5), [quiet, quiet + 2.0])


def test_fz0_is_nan_where_undefined_or_missing() -> None:
    score = fz0([-0.1, -0.1, np.nan, -0.1], [-0.1, np.nan, -0.1, -0.1], [0.0, -1, -1, np.nan], 0.05)
    assert np.isnan(score).all()


def test_levels_broadcast() -> None:
    returns = np.linspace(-0.05, 0.05, 7)[:, None]
    var, es = np.array([-0.03, -0.02]), np.array([-0.04, -0.03])
    levels = np.array([0.01, 0.05])
    for k in range(2):
        np.testing.assert_array_equal(
            pinball(returns, var, levels)[:, k], pinball(returns[:, 0], var[k], levels[k])
        )
        np.testing.assert_array_equal(
            fz0(returns, var, es, levels)[:, k], fz0(returns[:, 0], var[k], es[k], levels[k])
        )


def test_pinball_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    returns, var = rng.standard_normal((2, 50))
    expected = mean_pinball_loss(returns, var, alpha=0.025)
    assert pinball(returns, var, 0.025).mean() == pytest.approx(expected)


def test_mean_scores_are_least_at_the_truth() -> None:
    """Minimising over forecasts finds the quantile and the tail mean of the distribution."""
    level = 0.1
    quantile, tail_mean = np.quantile(VALUES, level), VALUES[: int(2000 * level)].mean()
    best = optimize.minimize_scalar(
        lambda v: pinball(VALUES, v, level).mean(), bounds=(-3, 0), method="bounded"
    )
    assert best.x == pytest.approx(quantile, abs=5e-3)
    joint = optimize.minimize(
        lambda p: fz0(VALUES, p[0], p[1], level).mean(), [-1.0, -1.5], method="Nelder-Mead"
    )
    np.testing.assert_allclose(joint.x, [quantile, tail_mean], atol=5e-3)


def test_fz0_differences_do_not_depend_on_the_unit() -> None:
    good = fz0(VALUES, -1.3, -1.75, 0.1) - fz0(VALUES, -1.0, -1.2, 0.1)
    percent = fz0(100 * VALUES, -130, -175, 0.1) - fz0(100 * VALUES, -100, -120, 0.1)
    np.testing.assert_allclose(percent, good, atol=1e-12)


@pytest.mark.parametrize("level", [0.0, 1.0, np.nan])
def test_level_outside_the_unit_interval_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level must be in"):
        pinball(0.0, -0.01, level)
    with pytest.raises(ValueError, match="level must be in"):
        fz0(0.0, -0.01, -0.02, level)
