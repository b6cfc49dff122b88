import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedtrade.corrections import Correction
from fedtrade.models import Fit, fit_vectors

TARGET = torch.tensor([1.0, -2.0, 0.5])
SCALES = torch.tensor([[1.0, 3.0, 0.2], [2.0, 0.5, 4.0]])
ZERO = np.zeros(3, dtype=np.float32)
START = np.array([0.3, 0.3, -0.3], dtype=np.float32)


def _squares(vector: Tensor) -> Tensor:
    """The loss of two examples, (..., 3) to (..., 2), that is least at `TARGET`."""
    return (SCALES * (vector[..., None, :] - TARGET).square()).sum(dim=-1)


def _fit(
    start: np.ndarray = ZERO, shrinkages: tuple[float, ...] = (0.0,), n_steps: int = 500
) -> np.ndarray:
    return fit_vectors(
        start, _squares, n_steps=n_steps, learning_rate=0.05, prior=ZERO, shrinkages=shrinkages
    ).vectors


def test_first_step_by_hand() -> None:
    """Adam's first step is the learning rate against the sign of the gradient."""
    fit = fit_vectors(ZERO, _squares, n_steps=1, learning_rate=0.1, prior=ZERO, shrinkages=(0.0,))
    assert fit.vectors[0] == pytest.approx([0.1, -0.1, 0.1])
    assert fit.losses[0] == pytest.approx((1 + 12 + 0.05 + 2 + 2 + 1) / 2)
    assert (fit.vectors.dtype, fit.losses.dtype) == (np.float32, np.float64)


def test_two_steps_by_hand() -> None:
    """One parameter, loss v: gradient 1 at both steps, so steps of 0.1 and half of it."""
    fit = fit_vectors(
        ZERO[:1], lambda v: v, n_steps=2, learning_rate=0.1, prior=ZERO[:1], shrinkages=(0.0,)
    )
    assert fit.vectors[0] == pytest.approx([-0.15])
    assert fit.losses[0] == pytest.approx(-0.1)  # before the last step


def test_without_a_pull_the_minimum_is_found() -> None:
    assert _fit()[0] == pytest.approx(TARGET.numpy(), abs=1e-3)


def test_with_a_pull_the_minimum_is_that_of_a_ridge() -> None:
    """`mean scale * (v - target)^2 + s / 2 * v^2` is least at `2 m target / (2 m + s)`."""
    mean = SCALES.mean(dim=0).numpy()
    expected = 2.0 * mean * TARGET.numpy() / (2.0 * mean + 3.0)
    assert _fit(shrinkages=(3.0,))[0] == pytest.approx(expected, abs=1e-3)


@given(
    seed=st.integers(0, 50),
    shrinkage=st.sampled_from([0.0, 0.5, 20.0]),
    n_steps=st.integers(1, 40),
    learning_rate=st.floats(1e-3, 0.5),
)
def test_adam_is_that_of_torch(
    seed: int, shrinkage: float, n_steps: int, learning_rate: float
) -> None:
    """The same path as `torch.optim.Adam` under a learning rate that falls linearly."""
    rng = np.random.default_rng(seed)
    start, prior = rng.normal(size=(2, 3)).astype(np.float32)
    vector = torch.from_numpy(start.copy()).requires_grad_(True)
    adam = torch.optim.Adam([vector], lr=learning_rate)
    for step in range(n_steps):
        for group in adam.param_groups:
            group["lr"] = learning_rate * (1.0 - step / n_steps)
        adam.zero_grad()
        pull = 0.5 * shrinkage * (vector - torch.from_numpy(prior)).square().sum()
        (_squares(vector).mean() + pull).backward()
        adam.step()
    ours = fit_vectors(
        start,
        _squares,
        n_steps=n_steps,
        learning_rate=learning_rate,
        prior=prior,
        shrinkages=(shrinkage,),
    )
    np.testing.assert_allclose(ours.vectors[0], vector.detach().numpy(), atol=2e-5)


def test_many_fits_equal_single_fits() -> None:
    shrinkages = (0.0, 0.1, 1.0, 10.0, float("inf"))
    together = _fit(START, shrinkages, n_steps=60)
    alone = np.concatenate([_fit(START, (one,), n_steps=60) for one in shrinkages])
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("shrinkages", [(float("inf"),), (0.0, float("inf"))])
def test_infinite_shrinkage_returns_the_prior(shrinkages: tuple[float, ...]) -> None:
    """Exactly, wherever the fit starts; its loss is that of the prior."""
    prior = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    fit = fit_vectors(
        START, _squares, n_steps=5, learning_rate=0.05, prior=prior, shrinkages=shrinkages
    )
    assert (fit.vectors[-1] == prior).all()
    assert fit.losses[-1] == pytest.approx(_squares(torch.from_numpy(prior)).mean().item())


@pytest.mark.parametrize("n_steps", [10, 100])
def test_strong_shrinkage_stays_near_the_prior(n_steps: int) -> None:
    """Within two of the last step's learning rates, however little it rattles on the way."""
    found = _fit(shrinkages=(1e4, 1e6), n_steps=n_steps)
    assert np.abs(found).max() < 2.0 * 0.05 / n_steps + 1e-3


def test_the_start_is_not_written_to() -> None:
    start = START.copy()
    _fit(start)
    assert (start == START).all()


@pytest.mark.parametrize("shrinkages", [(-1.0,), (0.0, float("nan"))])
def test_negative_or_missing_shrinkage_is_refused(shrinkages: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="shrinkages must not be negative, got"):
        _fit(shrinkages=shrinkages)


@pytest.mark.parametrize(
    ("n_steps", "learning_rate"), [(0, 0.1), (5, 0.0), (5, -1.0), (5, float("nan"))]
)
def test_steps_and_learning_rate_must_be_positive(n_steps: int, learning_rate: float) -> None:
    with pytest.raises(ValueError, match="n_steps and learning_rate must be positive, got"):
        fit_vectors(
            ZERO,
            _squares,
            n_steps=n_steps,
            learning_rate=learning_rate,
            prior=ZERO,
            shrinkages=(0.0,),
        )


# --- corrections --------------------------------------------------------------------------------


def _corrected(
    correction: Correction | None, start: np.ndarray = START, shrinkages: tuple[float, ...] = (0.5,)
) -> Fit:
    return fit_vectors(
        start,
        _squares,
        n_steps=500,
        learning_rate=0.05,
        prior=ZERO,
        shrinkages=shrinkages,
        correction=correction,
    )


def test_the_gradient_is_that_of_the_loss_where_a_fit_starts() -> None:
    """2 m (v - target) by hand, whatever the pull and the correction add; infinity is at zero."""
    mean = SCALES.mean(dim=0).numpy()
    shrinkages = (0.0, 0.5, np.inf)
    expected = [2.0 * mean * (v - TARGET.numpy()) for v in (START, START, ZERO)]
    for correction in (None, Correction(3.0, np.ones(3, dtype=np.float32))):
        found = _corrected(correction, shrinkages=shrinkages).gradients
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_correction_of_nothing_changes_nothing() -> None:
    plain = _corrected(None)
    for correction in (Correction(), Correction(0.0, ZERO)):
        assert _corrected(correction).vectors.tobytes() == plain.vectors.tobytes()


def test_the_proximal_pull_is_one_to_the_start() -> None:
    """The same as a prior at the start; least at (2 m target + mu start) / (2 m + mu)."""
    found = _corrected(Correction(proximal=2.0), shrinkages=(0.0,)).vectors
    by_prior = fit_vectors(
        START, _squares, n_steps=500, learning_rate=0.05, prior=START, shrinkages=(2.0,)
    )
    np.testing.assert_array_equal(found, by_prior.vectors)
    mean = SCALES.mean(dim=0).numpy()
    expected = (2.0 * mean * TARGET.numpy() + 2.0 * START) / (2.0 * mean + 2.0)
    assert found[0] == pytest.approx(expected, abs=1e-3)


def test_a_shift_moves_the_minimum_of_every_fit() -> None:
    """`m (v - target)^2 + shift v` is least at `target - shift / (2 m)`."""
    shift = np.array([1.0, -2.0, 0.3], dtype=np.float32)
    found = _corrected(Correction(shift=shift), shrinkages=(0.0, np.inf, 0.0)).vectors
    expected = TARGET.numpy() - shift / (2.0 * SCALES.mean(dim=0).numpy())
    assert found[0] == pytest.approx(expected, abs=1e-3)
    assert (found[1] == ZERO).all()
    assert (found[2] == found[0]).all()
