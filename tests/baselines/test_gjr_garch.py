import warnings

import numpy as np
import pytest
from arch import arch_model

from fedtrade.baselines.ewma import ewma_t6
from fedtrade.baselines.gjr_garch import GjrGarch, fit_gjr_garch, gjr_garch_t
from fedtrade.baselines.student_t import student_t_quantile


@pytest.fixture(scope="module")
def returns() -> np.ndarray:
    """A simulated GJR-GARCH path of 700 daily returns, the first of them missing."""
    rng = np.random.default_rng(5)
    path, variance = np.full(701, np.nan), 1e-4
    for t in range(1, 701):
        path[t] = np.sqrt(variance) * rng.standard_t(6) * np.sqrt(4 / 6)
        variance = 2e-6 + (0.03 + 0.1 * (path[t] < 0)) * path[t] ** 2 + 0.9 * variance
    return path


def test_hand_computed_recursion() -> None:
    """Start 1 + 8 (0.1 + 0.1 + 0.5) = 6.6; a fall of 2 adds 0.3 * 4, a rise of 2 only 0.1 * 4."""
    model = GjrGarch(omega=1.0, alpha=0.1, gamma=0.2, beta=0.5, dof=5.0, initial_variance=8.0)
    variance = model.variance(np.array([np.nan, -2.0, 2.0]))
    np.testing.assert_allclose(variance, [np.nan, 1 + 1.2 + 3.3, 1 + 0.4 + 0.5 * 5.5])


def test_agrees_with_arch(returns: np.ndarray) -> None:
    """Parameters, and one-step variances over the test bars, are those of arch itself."""
    n_train = 501
    scale = np.std(returns[1:n_train])
    oracle = arch_model(
        returns[1:] / scale, mean="Zero", vol="GARCH", p=1, o=1, q=1, dist="t", rescale=False
    )
    fit = oracle.fit(disp="off", last_obs=n_train - 1)
    forecast = fit.forecast(horizon=1, start=n_train - 2)
    expected = forecast.variance.to_numpy()[:-1, 0] * scale**2
    levels = np.array([0.01, 0.05])
    var, _ = gjr_garch_t(returns, n_train, levels)
    quantile = student_t_quantile(levels, float(fit.params["nu"]))
    np.testing.assert_allclose(var, np.sqrt(expected)[:, None] * quantile, rtol=1e-8)


def test_scaling_returns_scales_the_model(returns: np.ndarray) -> None:
    model, doubled = fit_gjr_garch(returns[1:]), fit_gjr_garch(2.0 * returns[1:])
    assert model is not None
    assert doubled is not None
    assert doubled.omega == pytest.approx(4.0 * model.omega)
    assert (doubled.alpha, doubled.beta, doubled.dof) == pytest.approx(
        (model.alpha, model.beta, model.dof)
    )


@pytest.mark.parametrize("history", [np.zeros(100), np.full(30, 0.01)], ids=["flat", "short"])
def test_falls_back_to_ewma_where_no_fit_is_possible(history: np.ndarray) -> None:
    assert fit_gjr_garch(history) is None
    var, es = gjr_garch_t(history, 25, [0.01])
    expected = ewma_t6(history, 25, [0.01])
    np.testing.assert_array_equal(var, expected.var)
    np.testing.assert_array_equal(es, expected.es)


def test_falls_back_to_ewma_where_the_optimiser_gives_up(
    returns: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedtrade.baselines.gjr_garch.fit_gjr_garch", lambda _: None)
    np.testing.assert_array_equal(
        gjr_garch_t(returns, 500, [0.01]).var, ewma_t6(returns, 500, [0.01]).var
    )


@pytest.mark.parametrize("seed", [1, 13, 17, 21])
def test_variance_is_positive_for_a_price_that_rarely_moves(seed: int) -> None:
    """The optimiser may end outside its bounds here."""
    rng = np.random.default_rng(seed)
    history = 0.01 * rng.standard_normal(120) * (rng.random(120) < 0.05)
    history[25] = -0.01
    var, es = gjr_garch_t(history, 100, [0.01])
    assert (es <= var).all()
    assert (var < 0.0).all()


def test_fitting_leaves_the_warning_filters_alone(returns: np.ndarray) -> None:
    before = list(warnings.filters)
    fit_gjr_garch(returns[1:])
    assert list(warnings.filters) == before
