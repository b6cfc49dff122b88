"""Corrected training and the gradient at the start, of each task."""

from collections.abc import Callable

import numpy as np
import pytest

from fedtrade.corrections import Correction
from fedtrade.market.panel import Panel
from fedtrade.models import MLP, Linear
from fedtrade.tasks.risk import Risk
from fedtrade.tasks.signal import Signal
from fedtrade.tasks.task import Sample, Task
from fedtrade.tasks.volatility import Volatility

TASKS = {
    "risk": lambda network, **options: Risk(network, alone_steps=1, **options),
    "signal": lambda network, **options: Signal(network, alone_steps=1, **options),
    "volatility": Volatility,
}
N_TRAIN = 100

Market = Callable[..., Panel]
Prepared = tuple[Task, Sample, dict[str, np.ndarray], np.ndarray]


@pytest.fixture(params=TASKS)
def prepared(request: pytest.FixtureRequest, market: Market) -> Prepared:
    """A task whose training is one tiny step, a sample, the sums, and a vector off the prior."""
    return _prepare(market, request.param, Linear, local_steps=1, learning_rate=1e-8)


def _prepare(market: Market, name: str, network: type, **options: float) -> Prepared:
    task: Task = TASKS[name](network, **options)
    panel = market(N_TRAIN + 10, 3)
    sample = Sample.take(panel, calendar=panel.bars, origin=panel.bars[N_TRAIN - 1])
    shared: dict[str, np.ndarray] = {}
    for key in task.sums:
        shared[key] = task.finish_sum(key, task.local_sum(key, sample, shared))
    rng = np.random.default_rng(1)
    start = task.initial(0)
    return task, sample, shared, (start + 0.1 * rng.normal(size=len(start))).astype(np.float32)


def test_the_gradient_is_the_slope_of_the_loss_without_the_pull(prepared: Prepared) -> None:
    """By differences of the reported loss, whose kinks make them coarse; the pull is far larger."""
    task, sample, shared, vector = prepared
    gradient = task.train(vector, sample, shared).gradient
    assert gradient is not None
    assert gradient.dtype == np.float32
    slopes = []
    for k in range(len(vector)):
        losses = []
        for sign in (-1.0, 1.0):
            moved = vector.copy()
            moved[k] += np.float32(sign * 0.02)
            losses.append(task.train(moved, sample, shared).loss)
        slopes.append((losses[1] - losses[0]) / 0.04)
    np.testing.assert_allclose(gradient, slopes, atol=0.05 * np.abs(gradient).max())


@pytest.mark.parametrize("network", [Linear, MLP])
@pytest.mark.parametrize("name", TASKS)
def test_corrections_change_the_update_and_not_the_gradient(
    market: Market, name: str, network: type
) -> None:
    task, sample, shared, vector = _prepare(market, name, network)
    plain = task.train(vector, sample, shared)
    same = task.train(vector, sample, shared, correction=Correction())
    assert same.update.tobytes() == plain.update.tobytes()
    pulled = task.train(vector, sample, shared, correction=Correction(proximal=1e3))
    assert np.linalg.norm(pulled.update) < 0.7 * np.linalg.norm(plain.update)
    shift = np.full(len(vector), 1e3, dtype=np.float32)  # so that every step goes down
    shifted = task.train(vector, sample, shared, correction=Correction(shift=shift))
    assert (shifted.update < 0.0).all()
    for other in (pulled, shifted):
        assert plain.gradient is not None
        assert other.gradient is not None
        assert other.gradient.tobytes() == plain.gradient.tobytes()
        assert other.n_examples == plain.n_examples
