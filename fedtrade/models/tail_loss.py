"""The loss of a tail forecast with its gradient in closed form.

A participant takes thousands of small steps, so the time of one goes into launching operations.
Automatic differentiation of the formula below launches four times as many as writing the gradient
down; `tests/models/test_tail_loss.py` holds the two against each other.
"""

from math import log, pi
from typing import Any

import torch
from torch import Tensor

__all__ = ["tail_loss"]


def tail_loss(
    multiples: Tensor,
    shortfalls: Tensor,
    dof: Tensor,
    log_volatility: Tensor,
    returns: Tensor,
    levels: Tensor,
    score_weight: float,
) -> Tensor:
    """Student-t negative log-likelihood plus `score_weight` times the mean FZ0 score, by example.

    With `u = return / volatility`, `VaR = -m volatility` and `ES = -e volatility`, FZ0 (Patton,
    Ziegel and Chen 2019, equation 6) is `max(-(u + m), 0) / (level e) + m / e + log e +
    log volatility - 1`.

    Parameters
    ----------
    multiples, shortfalls : Tensor of shape (..., n_levels)
        The `m` and `e` above, positive.
    dof : Tensor of shape (...)
        Degrees of freedom, above 2.
    log_volatility : Tensor of shape (..., n)
    returns : Tensor of shape (n,)
    levels : Tensor of shape (n_levels,)

    Returns
    -------
    Tensor of shape (..., n)
    """
    loss: Tensor = _TailLoss.apply(  # type: ignore[no-untyped-call]
        multiples, shortfalls, dof, log_volatility, returns, levels, score_weight
    )
    return loss


class _TailLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        m: Tensor,
        e: Tensor,
        dof: Tensor,
        log_volatility: Tensor,
        r: Tensor,
        a: Tensor,
        score_weight: float,
    ) -> Tensor:
        u = r * torch.exp(-log_volatility)
        spread = (dof - 2.0)[..., None]
        q = u * u / spread
        log_tail = torch.log1p(q)
        half = 0.5 * (dof[..., None] + 1.0)
        excess = torch.clamp(-(u[..., None] + m[..., None, :]), min=0.0)
        cost = score_weight / (len(a) * a * e)
        norm = torch.lgamma(half) - torch.lgamma(0.5 * dof[..., None])
        norm = norm - 0.5 * (torch.log(spread) + log(pi))
        constant = score_weight * ((m / e + torch.log(e)).mean(dim=-1, keepdim=True) - 1.0) - norm
        loss = (1.0 + score_weight) * log_volatility + half * log_tail + constant
        loss = loss + (excess @ cost[..., None])[..., 0]
        ctx.score_weight = score_weight
        ctx.save_for_backward(m, e, dof, u, q, log_tail, excess, cost)
        return loss

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        m, e, dof, u, q, log_tail, excess, cost = ctx.saved_tensors
        hits = (excess > 0.0).to(u.dtype)
        share = q / (1.0 + q)
        by_volatility = g * (
            1.0
            + ctx.score_weight
            - (dof[..., None] + 1.0) * share
            + u * (hits @ cost[..., None])[..., 0]
        )
        total = g.sum(dim=-1, keepdim=True)
        row = g[..., None, :]
        level_share = ctx.score_weight / m.shape[-1] * total / e
        by_multiple = level_share - cost * (row @ hits)[..., 0, :]
        by_shortfall = level_share * (1.0 - m / e) - cost / e * (row @ excess)[..., 0, :]
        half, spread = 0.5 * (dof + 1.0), dof - 2.0
        slope = 0.5 * (torch.digamma(half) - torch.digamma(0.5 * dof) - 1.0 / spread)
        by_dof = (
            0.5 * (g * log_tail).sum(dim=-1)
            - half / spread * (g * share).sum(dim=-1)
            - total[..., 0] * slope
        )
        return by_multiple, by_shortfall, by_dof, by_volatility, None, None, None
