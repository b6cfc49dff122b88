"""The closed-form gradient against automatic differentiation and against its own differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedtrade.evaluation import fz0
from fedtrade.models.tail_head import SCORE_WEIGHT
from fedtrade.models.tail_loss import tail_loss

LEVELS = torch.tensor([0.05, 0.025, 0.01], dtype=torch.float64)


def inputs(seed: int, n_fits: int, n: int = 30) -> list[Tensor]:
    """Multiples, shortfalls, degrees of freedom, log volatilities and returns in float64."""
    rng = np.random.default_rng(seed)
    multiples = np.cumsum(rng.uniform(0.1, 1.5, (n_fits, 3)), axis=1)
    shortfalls = multiples * rng.uniform(1.05, 2.0, (n_fits, 3))
    dof = rng.uniform(2.5, 30.0, n_fits)
    log_volatility = rng.uniform(-5.0, -3.0, (n_fits, n))
    returns = 0.03 * rng.standard_t(3, n)
    return [torch.tensor(v) for v in (multiples, shortfalls, dof, log_volatility, returns)]


def reference(m: Tensor, e: Tensor, dof: Tensor, log_volatility: Tensor, r: Tensor) -> Tensor:
    """The same loss from torch's Student-t and the definition of FZ0, one fit."""
    volatility = torch.exp(log_volatility)
    scale = volatility * torch.sqrt((dof - 2.0) / dof)
    likelihood = torch.distributions.StudentT(dof, 0.0, scale).log_prob(r)
    var, es = -volatility[:, None] * m, -volatility[:, None] * e
    hinge = torch.clamp(var - r[:, None], min=0.0)
    score = -hinge / (LEVELS * es) + var / es + torch.log(-es) - 1.0
    return SCORE_WEIGHT * score.mean(dim=1) - likelihood


@given(seed=st.integers(0, 200))
def test_value_and_gradient_are_those_of_the_definition(seed: int) -> None:
    *free, returns = inputs(seed, n_fits=1)
    ours = [value.clone().requires_grad_(True) for value in free]
    theirs = [value[0].clone().requires_grad_(True) for value in free]
    weights = torch.linspace(0.1, 2.0, len(returns), dtype=torch.float64)
    found = tail_loss(*ours, returns, LEVELS, SCORE_WEIGHT)
    expected = reference(*theirs, returns)
    torch.testing.assert_close(found[0], expected)
    gradients = torch.autograd.grad((weights * found).sum(), ours)
    for mine, other in zip(
        gradients, torch.autograd.grad((weights * expected).sum(), theirs), strict=True
    ):
        torch.testing.assert_close(mine[0], other)


def test_gradient_agrees_with_finite_differences() -> None:
    *free, returns = inputs(3, n_fits=2, n=7)
    free = [value.requires_grad_(True) for value in free]
    assert torch.autograd.gradcheck(lambda *v: tail_loss(*v, returns, LEVELS, SCORE_WEIGHT), free)


def test_fits_side_by_side_give_what_each_gives_alone() -> None:
    *free, returns = inputs(5, n_fits=4)
    together = tail_loss(*free, returns, LEVELS, SCORE_WEIGHT)
    assert together.shape == (4, len(returns))
    for k in range(4):
        torch.testing.assert_close(
            together[k], tail_loss(*(v[k] for v in free), returns, LEVELS, SCORE_WEIGHT)
        )


def test_the_score_is_that_of_the_evaluation() -> None:
    """Differences between two shortfalls leave the score alone, as the likelihood cancels."""
    m, e, dof, log_volatility, returns = inputs(7, n_fits=1)
    volatility = np.exp(log_volatility[0].numpy())[:, None]

    def score(shortfalls: Tensor) -> np.ndarray:
        var, es = -volatility * m[0].numpy(), -volatility * shortfalls[0].numpy()
        return fz0(returns.numpy()[:, None], var, es, LEVELS.numpy()).mean(axis=1)

    other = 1.3 * e
    difference = tail_loss(m, e, dof, log_volatility, returns, LEVELS, SCORE_WEIGHT) - tail_loss(
        m, other, dof, log_volatility, returns, LEVELS, SCORE_WEIGHT
    )
    expected = SCORE_WEIGHT * (score(e) - score(other))
    assert difference[0].numpy() == pytest.approx(expected, abs=1e-12)
