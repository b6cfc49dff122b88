"""Fit one or many flat vectors at once by Adam with a quadratic pull towards a prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedtrade.corrections import Correction
from fedtrade.lazy_torch import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Adam", "Fit", "fit_vectors"]

LossFunction: TypeAlias = "Callable[[Tensor], Tensor]"
"""From vectors of shape (n_fits, n_params) to the loss of each example, (n_fits, n_examples)."""


class Fit(NamedTuple):
    """Fitted vectors and the loss they reached.

    Attributes
    ----------
    vectors : float32 of shape (n_fits, n_params)
    losses : float64 of shape (n_fits,)
        Mean loss without the pull, before the last step.
    gradients : float32 of shape (n_fits, n_params)
        Of the mean loss where each fit starts, without the pull and without a correction.
    """

    vectors: NDArray[np.float32]
    losses: NDArray[np.float64]
    gradients: NDArray[np.float32]


def fit_vectors(
    start: NDArray[np.float32],
    loss: LossFunction,
    *,
    n_steps: int,
    learning_rate: float,
    prior: NDArray[np.float32],
    shrinkages: Sequence[float],
    correction: Correction | None = None,
) -> Fit:
    """Minimise `mean loss(v) + shrinkage / 2 * |v - prior|^2`, once for each shrinkage.

    Adam (Kingma and Ba 2015, algorithm 1) on the full batch; the learning rate falls linearly
    within the `n_steps`, so that a strongly shrunk fit comes to rest at the prior instead of
    rattling around it. Fits do not influence each other: Adam works coordinate by coordinate.

    Parameters
    ----------
    start : float32 of shape (n_params,)
        Where every fit starts.
    shrinkages : sequence of float
        Not negative; `inf` returns the prior itself, whatever the correction.
    correction : Correction or None
        What is added to every gradient beyond those of the loss and the pull.

    Raises
    ------
    ValueError
        If a shrinkage is negative or NaN, or `n_steps` or `learning_rate` is not positive.
    """
    strength = np.asarray(shrinkages, dtype=np.float32)
    if not np.all(strength >= 0.0):
        raise ValueError(f"shrinkages must not be negative, got {list(shrinkages)}.")
    if n_steps < 1 or not learning_rate > 0.0:
        raise ValueError(
            f"n_steps and learning_rate must be positive, got {n_steps} and {learning_rate}."
        )
    free = torch.from_numpy(np.isfinite(strength))[:, None]
    centre = torch.from_numpy(np.asarray(prior, dtype=np.float32))
    pull = torch.from_numpy(np.where(np.isfinite(strength), strength, 0.0))[:, None]
    origin = torch.from_numpy(np.asarray(start, dtype=np.float32))
    vectors = torch.where(free, origin, centre).requires_grad_(True)
    adam = Adam(vectors)
    losses = torch.zeros(len(strength))
    first = torch.zeros_like(vectors, requires_grad=False)
    for step in range(n_steps):
        losses = loss(vectors).mean(dim=-1)
        (gradient,) = torch.autograd.grad(losses.sum(), vectors)
        with torch.no_grad():
            if step == 0:
                first = gradient.clone()
            gradient += pull * (vectors - centre)
            if correction is not None:
                gradient += _added(correction, vectors, origin)
            gradient = torch.where(free, gradient, 0.0)  # an infinite pull holds the prior fast
        adam.step(gradient, learning_rate * (1.0 - step / n_steps))
    return Fit(vectors.detach().numpy(), losses.detach().numpy().astype(np.float64), first.numpy())


def _added(correction: Correction, vectors: Tensor, origin: Tensor) -> Tensor:
    """A correction's part of the gradient, shape (n_fits, n_params)."""
    added = correction.proximal * (vectors - origin)
    return added if correction.shift is None else added + torch.from_numpy(correction.shift)


class Adam:
    """Adam on one tensor, in place (Kingma and Ba 2015, algorithm 1).

    `torch.optim` loads the compiler on first use, which takes longer than a participant's whole
    training, and each of its steps costs as much as the gradient of a small model.
    """

    def __init__(self, values: Tensor, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self._values = values
        self._betas = (beta1, beta2)
        self._mean = torch.zeros_like(values, requires_grad=False)
        self._square = torch.zeros_like(values, requires_grad=False)
        self._steps = 0

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Go one step down a gradient of the tensor's shape."""
        self._steps += 1
        beta1, beta2 = self._betas
        with torch.no_grad():
            self._mean.lerp_(gradient, 1.0 - beta1)
            self._square.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
            scale = (self._square / (1.0 - beta2**self._steps)).sqrt_().add_(1e-8)
            rate = learning_rate / (1.0 - beta1**self._steps)
            self._values.addcdiv_(self._mean, scale, value=-rate)
