"""Train one vector on one set of examples: with a given pull to the prior, or a tuned one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedtrade.corrections import Correction
from fedtrade.lazy_torch import torch
from fedtrade.models.fitting import fit_vectors
from fedtrade.tasks.validation import strongest_within_one_error, validation_split

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Examples", "LocalFit", "fit_alone", "fit_one"]

TUNING_GRID = (0.1, 1.0, 10.0, 100.0, float("inf"))
"""Multiples of the default shrinkage to choose from; infinity keeps the prior."""

E = TypeVar("E", bound="Examples")


class Examples(Protocol):
    """Training examples ordered by bar, with the bar at which each label ends."""

    @property
    def label_bars(self) -> NDArray[np.intp]:
        """Shape (n_examples,)."""
        ...

    def where(self: E, keep: NDArray[np.bool_]) -> E:
        """Those examples that the mask of shape (n_examples,) keeps."""
        ...


LossOf: TypeAlias = "Callable[[Tensor, E], Tensor]"


class LocalFit(NamedTuple):
    """A fitted vector (n_params,), its loss, and the gradient (n_params,) where the fit started."""

    vector: NDArray[np.float32]
    loss: float
    gradient: NDArray[np.float32]


def fit_one(
    start: NDArray[np.float32],
    examples: E,
    loss_of: LossOf[E],
    *,
    prior: NDArray[np.float32],
    shrinkage: float,
    n_steps: int,
    learning_rate: float,
    correction: Correction | None = None,
) -> LocalFit:
    """Fit one vector; the arguments are those of `fit_vectors`."""
    fit = fit_vectors(
        start,
        lambda vector: loss_of(vector, examples),
        n_steps=n_steps,
        learning_rate=learning_rate,
        prior=prior,
        shrinkages=(shrinkage,),
        correction=correction,
    )
    return LocalFit(fit.vectors[0], float(fit.losses[0]), fit.gradients[0])


class LocalFits(NamedTuple):
    """Vectors (n_params,) fitted with the default pull to the prior and with a tuned one."""

    default: NDArray[np.float32]
    tuned: NDArray[np.float32]


def fit_alone(
    examples: E,
    loss_of: LossOf[E],
    *,
    start: NDArray[np.float32],
    prior: NDArray[np.float32],
    shrinkage: float,
    horizon_bars: int,
    n_steps: int,
    learning_rate: float,
) -> LocalFits:
    """Choose the shrinkage on the last 30 % of the training bars, and fit on all of them.

    The candidates are `shrinkage` times each entry of `TUNING_GRID`, which rises. The choice is the
    strongest whose loss lies within one standard error of the best (Hastie, Tibshirani and
    Friedman 2009, section 7.10; the error is that of the paired difference over bars): with few
    bars the plain minimum mostly picks noise. Labels that overlap the validation bars are left
    out of the fits that are compared. With too few bars to hold any out, the tuned fit is the
    prior.
    """
    # Not a plain product: of a pull of zero, infinity times is still the prior.
    shrinkages = [m if np.isinf(m) else shrinkage * m for m in TUNING_GRID]

    def fit(data: E) -> NDArray[np.float32]:
        return fit_vectors(
            start,
            lambda vectors: loss_of(vectors, data),
            n_steps=n_steps,
            learning_rate=learning_rate,
            prior=prior,
            shrinkages=shrinkages,
        ).vectors

    fitted = fit(examples)
    default = fitted[TUNING_GRID.index(1.0)]
    early, late = validation_split(examples.label_bars, horizon_bars)
    if not early.any():
        return LocalFits(default, prior.copy())
    candidates, later = fit(examples.where(early)), examples.where(late)
    with torch.no_grad():
        losses = loss_of(torch.from_numpy(candidates), later).numpy()
    chosen = strongest_within_one_error(losses, later.label_bars, horizon_bars)
    return LocalFits(default, fitted[chosen])
