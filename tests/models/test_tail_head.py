import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from fedtrade.baselines.student_t import student_t_quantile, student_t_shortfall
from fedtrade.evaluation import fz0
from fedtrade.models import TailHead

LEVELS = (0.05, 0.025, 0.01)
ANY = arrays(np.float32, 7, elements=st.floats(-1e6, 1e6, width=32))
MODERATE = arrays(np.float32, 7, elements=st.floats(-2, 2, width=32))


def _head() -> TailHead:
    return TailHead(LEVELS)


def test_forecasts_by_hand() -> None:
    """Multipliers 2 and 2 + 1 of a volatility of 1 %; shortfalls 1 + 0.5 and 1 + 1 times them."""
    shape = torch.log(torch.tensor([2.0, 1.0, 0.5, 1.0, 4.0]))
    tail = TailHead([0.05, 0.01]).forecasts(shape, torch.tensor([0.01, 0.02]))
    assert tail.var.flatten().tolist() == pytest.approx([-0.02, -0.03, -0.04, -0.06])
    assert tail.es.flatten().tolist() == pytest.approx([-0.03, -0.06, -0.06, -0.12])


def test_parameters_are_two_a_level_and_the_degrees_of_freedom() -> None:
    assert _head().n_params == 7
    assert TailHead([0.01]).n_params == 3


@pytest.mark.parametrize("dof", [3.0, 6.0, 30.0])
def test_student_t_parameters_give_its_tail(dof: float) -> None:
    shape = torch.from_numpy(_head().student_t(dof))
    assert shape.dtype == torch.float32
    tail = _head().forecasts(shape, torch.tensor([0.02]))
    assert tail.var[0].numpy() == pytest.approx(0.02 * student_t_quantile(LEVELS, dof), rel=1e-5)
    assert tail.es[0].numpy() == pytest.approx(0.02 * student_t_shortfall(LEVELS, dof), rel=1e-5)


@given(shape=MODERATE, returns=arrays(np.float32, 5, elements=st.floats(-0.5, 0.5, width=32)))
def test_loss_is_half_fz0_less_the_student_t_log_density(
    shape: np.ndarray, returns: np.ndarray
) -> None:
    """Against scipy's density, scaled to the volatility, and the score of the evaluation."""
    volatility = np.geomspace(0.002, 0.05, 5)
    dof = 2.1 + float(np.exp(np.float64(shape[-1])))
    unit = volatility * np.sqrt((dof - 2.0) / dof)
    density = stats.t.logpdf(returns.astype(np.float64), dof, scale=unit)
    tail = _head().forecasts(torch.from_numpy(shape), torch.from_numpy(volatility).float())
    score = fz0(returns[:, None], tail.var.numpy(), tail.es.numpy(), LEVELS).mean(axis=1)
    found = _head().losses(
        torch.from_numpy(shape),
        torch.from_numpy(np.log(volatility)).float(),
        torch.from_numpy(returns),
    )
    np.testing.assert_allclose(found.numpy(), 0.5 * score - density, rtol=1e-3, atol=1e-3)


@given(shape=ANY, log_volatility=st.floats(-22.0, 5.0))
def test_quantiles_never_cross_and_shortfalls_lie_beyond(
    shape: np.ndarray, log_volatility: float
) -> None:
    """Whatever the parameters: VaR falls with the level, ES <= VaR < 0, and all is finite."""
    volatility = torch.exp(torch.tensor([log_volatility]))
    tail = _head().forecasts(torch.from_numpy(shape), volatility)
    var, es = tail.var.numpy()[0], tail.es.numpy()[0]
    assert np.isfinite(es).all()
    assert (np.diff(var) <= 0.0).all()
    assert (es <= var).all()
    assert (var < 0.0).all()


@given(
    shape=ANY,
    log_volatility=st.floats(-22.0, 5.0),
    returns=st.sampled_from([0.0, -0.5, 0.5, -1e-6, -0.99]),
)
def test_loss_and_gradient_are_finite_whatever_the_parameters(
    shape: np.ndarray, log_volatility: float, returns: float
) -> None:
    """Stale prices, moves of 50 %, and vectors that a broken participant could have sent."""
    inputs = (
        torch.from_numpy(shape).requires_grad_(True),
        torch.tensor([log_volatility]).requires_grad_(True),
    )
    loss = _head().losses(*inputs, torch.tensor([returns]))
    assert torch.isfinite(loss).all()
    for gradient in torch.autograd.grad(loss.sum(), inputs):
        assert torch.isfinite(gradient).all()


def test_the_true_volatility_has_the_least_loss() -> None:
    """On draws of a Student-t, losses at half and twice its volatility are larger."""
    draws = stats.t.rvs(6.0, size=20_000, random_state=0) * np.sqrt(4.0 / 6.0) * 0.01
    returns = torch.from_numpy(draws).float()
    shape = torch.from_numpy(_head().student_t(6.0))

    def loss(volatility: float) -> float:
        log_volatility = torch.full_like(returns, float(np.log(volatility)))
        return float(_head().losses(shape, log_volatility, returns).mean())

    assert loss(0.01) < min(loss(0.008), loss(0.0125), loss(0.005), loss(0.02))


@pytest.mark.parametrize("levels", [(), (0.01, 0.05), (0.05, 0.05), (0.5,), (0.05, 0.0)])
def test_levels_that_do_not_fall_or_are_out_of_range_are_refused(
    levels: tuple[float, ...],
) -> None:
    with pytest.raises(ValueError, match=r"fall and lie in \(0, 0.5\), got"):
        TailHead(levels)
