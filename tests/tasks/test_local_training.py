from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from fedtrade.tasks.local_training import LocalFits, fit_alone, fit_one

ZERO = np.zeros(1, dtype=np.float32)
INF = float("inf")


@dataclass(frozen=True)
class Numbers:
    """Examples of a mean to be estimated, one a bar."""

    values: np.ndarray
    label_bars: np.ndarray

    def where(self, keep: np.ndarray) -> "Numbers":
        return Numbers(self.values[keep], self.label_bars[keep])


def _numbers(values: np.ndarray) -> Numbers:
    return Numbers(values, np.arange(len(values)))


def _loss(vector: Tensor, numbers: Numbers) -> Tensor:
    return 0.5 * (torch.from_numpy(numbers.values).float() - vector[..., :1]).square()


def _alone(values: np.ndarray, shrinkage: float = 1.0, horizon_bars: int = 1) -> LocalFits:
    return fit_alone(
        _numbers(values),
        _loss,
        start=ZERO,
        prior=ZERO,
        shrinkage=shrinkage,
        horizon_bars=horizon_bars,
        n_steps=400,
        learning_rate=0.05,
    )


def _tuned(values: np.ndarray, shrinkage: float = 1.0, horizon_bars: int = 1) -> float:
    return float(_alone(values, shrinkage, horizon_bars).tuned[0])


def test_the_default_fit_is_that_of_the_default_pull() -> None:
    """Always 2 under a pull of 1 is 2 / (1 + 1), whatever the tuned choice."""
    assert _alone(np.full(40, 2.0)).default == pytest.approx([1.0], abs=0.01)
    assert _alone(np.full(4, 2.0), horizon_bars=10).default == pytest.approx([1.0], abs=0.01)


def test_fit_one_finds_the_shrunk_mean() -> None:
    """Mean 3 under a pull of 2 is 3 / (1 + 2) = 1, where half the squared distance is 2 and 4."""
    fit = fit_one(
        ZERO,
        _numbers(np.array([2.0, 4.0])),
        _loss,
        prior=ZERO,
        shrinkage=2.0,
        n_steps=800,
        learning_rate=0.05,
    )
    assert fit.vector == pytest.approx([1.0], abs=1e-3)
    assert fit.loss == pytest.approx((0.5 + 4.5) / 2, abs=0.01)
    assert fit.gradient == pytest.approx([-3.0])


def test_a_clear_signal_is_fitted_with_the_weakest_pull() -> None:
    """Always 2: the choice is 0.1 times the pull of 1, hence 2 / 1.1."""
    assert _tuned(np.full(40, 2.0)) == pytest.approx(2.0 / 1.1, abs=0.01)


def test_noise_is_left_at_the_prior() -> None:
    assert _tuned(np.random.default_rng(0).normal(size=40)) == 0.0


def test_the_final_fit_uses_all_examples() -> None:
    """The first 70 % say 2, the last 30 % say 3: chosen on the latter, fitted on both."""
    found = _tuned(np.repeat([2.0, 3.0], [28, 12]))
    assert found == pytest.approx((2.0 * 0.7 + 3.0 * 0.3) / 1.1, abs=0.01)


def test_validation_data_decide_the_choice() -> None:
    """A signal of the first 70 % that is gone in the last 30 %."""
    assert _tuned(np.repeat([2.0, 0.0], [28, 12])) == 0.0


def test_too_few_bars_return_the_prior() -> None:
    assert _tuned(np.full(4, 2.0), horizon_bars=10) == 0.0


def test_a_default_without_a_pull_still_has_the_prior_to_choose() -> None:
    """Zero times infinity must not end in NaN."""
    assert _tuned(np.random.default_rng(0).normal(size=40), shrinkage=0.0) == 0.0
    assert _tuned(np.full(40, 2.0), shrinkage=0.0) == pytest.approx(2.0, abs=0.01)


def test_the_grid_is_in_multiples_of_the_default() -> None:
    """With a default that pulls hard, the weakest candidate still pulls with a tenth of it."""
    assert _tuned(np.full(40, 2.0), shrinkage=10.0) == pytest.approx(1.0, abs=0.01)
