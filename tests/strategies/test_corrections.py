"""FedProx and SCAFFOLD over messages, on losses whose course can be computed by hand."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from clients.local_correction import LocalCorrection
from fedtrade.corrections import Correction, fed_prox, scaffold, variate_scale
from fedtrade.tasks import LocalUpdate
from fedtrade.wire import EpisodeRecord
from simulations.grid import InProcessGrid
from strategies.robust import RobustAggregation

N_STEPS = 8
RATE = 0.2
START = np.array([0.5, -0.5], dtype=np.float32)
# Losses 0.5 * sum(curvature * (v - target)^2) of three participants.
CURVATURES = np.array([[1.0, 0.2], [0.1, 2.0], [0.5, 0.5]])
TARGETS = np.array([[1.0, 0.0], [-2.0, 1.0], [0.0, 3.0]])
OPTIMUM = (CURVATURES * TARGETS).sum(axis=0) / CURVATURES.sum(axis=0)


def gradient(number: int, vector: np.ndarray) -> np.ndarray:
    return CURVATURES[number] * (vector - TARGETS[number])


app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Plain gradient descent, as in the papers."""
    number = int(context.node_config["partition-id"])
    vector = message.content["arrays"]["vector"].numpy()
    asked = LocalCorrection.of(message, context) if LocalCorrection.is_asked(message) else None
    correction = (
        asked.for_task(lambda at: gradient(number, at).astype(np.float32))
        if asked
        else Correction()
    )
    shift = np.zeros(2) if correction.shift is None else correction.shift
    local = vector.astype(np.float64)
    for _ in range(N_STEPS):
        pull = correction.proximal * (local - vector)
        local = local - RATE * (gradient(number, local) + pull + shift)
    update = (local - vector).astype(np.float32)
    result = LocalUpdate(update, 0.5, 1, gradient(number, vector).astype(np.float32))
    values = Array(asked.finish(result) if asked else update)
    metrics = MetricRecord({"num-examples": 1, "loss": 0.5})
    content = {"arrays": ArrayRecord({"update": values}), "metrics": metrics}
    return Message(RecordDict(content), reply_to=message)


@pytest.fixture
def grid() -> Iterator[Grid]:
    with InProcessGrid(app, 3) as opened:
        yield opened


def _round(
    strategy: RobustAggregation, grid: Grid, number: int, vector: np.ndarray, episode: int = 0
) -> np.ndarray:
    config = ConfigRecord(EpisodeRecord(episode, 0, 0, 1, 0).to_config())
    arrays = ArrayRecord({"vector": Array(vector)})
    messages = list(strategy.configure_train(number, arrays, config, grid))
    found, _ = strategy.aggregate_train(number, grid.send_and_receive(messages))
    assert found is not None
    assert strategy.last_round is not None
    assert not strategy.last_round.refusals
    values: np.ndarray = found["vector"].numpy()
    return values


def _course(strategy: RobustAggregation, grid: Grid, n_rounds: int) -> np.ndarray:
    """The vector after each round, shape (n_rounds, 2)."""
    vector, found = START, []
    for number in range(1, n_rounds + 1):
        vector = _round(strategy, grid, number, vector)
        found.append(vector)
    return np.stack(found)


def _paper(n_rounds: int) -> np.ndarray:
    """Algorithm 1 of Karimireddy et al. (2020), option I, everybody sampled, in float64."""
    x, server, own = START.astype(np.float64), np.zeros(2), np.zeros((3, 2))
    found = []
    for _ in range(n_rounds):
        changes, steps = [], []
        for number in range(3):
            y, new = x.copy(), gradient(number, x)
            for _ in range(N_STEPS):
                y -= RATE * (gradient(number, y) - own[number] + server)
            steps.append(y - x)
            changes.append(new - own[number])
            own[number] = new
        x = x + np.mean(steps, axis=0)
        server = server + np.mean(changes, axis=0)
        found.append(x)
    return np.stack(found)


def test_scaffold_is_that_of_the_paper(grid: Grid) -> None:
    found = _course(RobustAggregation(client_correction=scaffold()), grid, 12)
    np.testing.assert_allclose(found, _paper(12), atol=2e-5)


def test_scaffold_finds_the_optimum_that_averaging_misses(grid: Grid) -> None:
    averaged = _course(RobustAggregation(), grid, 60)[-1]
    corrected = _course(RobustAggregation(client_correction=scaffold()), grid, 60)[-1]
    assert np.linalg.norm(averaged - OPTIMUM) > 0.2
    assert np.linalg.norm(corrected - OPTIMUM) < 1e-3


def test_a_strong_proximal_pull_makes_small_steps_by_hand(grid: Grid) -> None:
    """Steps of a mean gradient with the pull's contraction, computed for each participant."""
    found = _course(RobustAggregation(client_correction=fed_prox(proximal=3.0)), grid, 1)[0]
    steps = []
    for number in range(3):
        local = START.astype(np.float64)
        for _ in range(N_STEPS):
            local = local - RATE * (gradient(number, local) + 3.0 * (local - START))
        steps.append(local - START)
    np.testing.assert_allclose(found, START + np.mean(steps, axis=0), atol=1e-6)


@pytest.mark.parametrize("rule", ["mean", "trimmed_mean", "centered_clipping", "krum"])
def test_update_and_variate_are_aggregated_by_any_rule(grid: Grid, rule: str) -> None:
    strategy = RobustAggregation(rule=rule, client_correction=scaffold())
    assert np.isfinite(_course(strategy, grid, 5)).all()
    arrays = strategy.state_arrays()
    assert arrays["variate"].shape == (2,)
    assert arrays["variate"].any()


def test_a_poisoned_variate_is_seen_beside_a_harmless_update(grid: Grid) -> None:
    """Krum's choice among three alike and one whose variate alone is bad."""
    strategy = RobustAggregation(rule="krum", n_byzantine=0, client_correction=scaffold())
    _round(strategy, grid, 1, START)
    rows = np.array([[1, 1, 9, 9.1], [1, 1.1, 9, 9], [1.1, 1, 9.1, 9], [1.03, 1.03, -9, -9]])
    found = strategy.combine(rows.astype(np.float32), nodes=[1, 2, 3, 4])
    assert found.weights[3] == 0.0
    assert found.update[2] > 8.0


def test_variates_are_scaled_to_the_length_of_the_updates_exactly() -> None:
    rows = np.array([[3, 4, 300, 400], [0, 5, 0, 500], [5, 0, 1e6, 0]], dtype=np.float32)
    scale = variate_scale(rows, 2)
    assert scale == 2.0**-7  # of 1/100 the nearest power of two
    assert (rows * np.float32(scale) * np.float32(1.0 / scale) == rows).all()
    assert variate_scale(np.zeros((2, 4), np.float32), 2) == 1.0


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_a_course_that_was_cut_off_is_taken_up_again(fraction: float) -> None:
    """The participants' memory is lost; the strategy's comes from its arrays."""

    def course(cut: bool) -> tuple[np.ndarray, Any]:
        strategy = RobustAggregation(client_correction=scaffold(), fraction_train=fraction)
        with InProcessGrid(app, 3) as first, InProcessGrid(app, 3) as second:
            vector = START
            for number in (1, 2, 3):
                vector = _round(strategy, first, number, vector)
            if cut:
                kept = strategy.state_arrays()
                strategy = RobustAggregation(client_correction=scaffold(), fraction_train=fraction)
                strategy.restore(kept)
            for number in (4, 5):
                vector = _round(strategy, second if cut else first, number, vector)
        return vector, strategy.state_arrays()["variate"]

    (whole, variate), (cut, other) = course(False), course(True)
    if fraction == 1.0:
        assert whole.tobytes() == cut.tobytes()
        assert variate.tobytes() == other.tobytes()
    else:  # who was not asked last has a newer variate than before
        np.testing.assert_allclose(cut, whole, atol=0.3)


def _skipped(strategy: RobustAggregation, grid: Grid, vector: np.ndarray) -> None:
    """A round that all train and nobody is heard of."""
    config = ConfigRecord(EpisodeRecord(0, 0, 0, 1, 0).to_config())
    arrays = ArrayRecord({"vector": Array(vector)})
    replies = grid.send_and_receive(strategy.configure_train(1, arrays, config, grid))
    assert len(list(replies)) == 3
    assert strategy.aggregate_train(1, []) == (None, None)


def test_a_first_round_that_is_skipped_changes_nothing(grid: Grid) -> None:
    """Participants have variates then and the server none: it must not stop them."""
    strategy = RobustAggregation(client_correction=scaffold())
    _skipped(strategy, grid, START)
    np.testing.assert_allclose(_course(strategy, grid, 12), _paper(12), atol=2e-5)


@pytest.mark.parametrize("n_before", [0, 2])
def test_a_course_is_taken_up_again_after_a_skipped_round(n_before: int) -> None:
    def course(cut: bool) -> np.ndarray:
        strategy = RobustAggregation(client_correction=scaffold())
        with InProcessGrid(app, 3) as first, InProcessGrid(app, 3) as second:
            vector = START
            for number in range(n_before):
                vector = _round(strategy, first, number, vector)
            _skipped(strategy, first, vector)
            if cut:
                kept = strategy.state_arrays()
                strategy = RobustAggregation(client_correction=scaffold())
                strategy.restore(kept)
            for number in (4, 5):
                vector = _round(strategy, second if cut else first, number, vector)
        return vector

    assert course(False).tobytes() == course(True).tobytes()


def test_each_episode_begins_without_variates(grid: Grid) -> None:
    """Neither the server's nor the participants' of the episode before are used."""
    strategy = RobustAggregation(client_correction=scaffold())
    first = _round(strategy, grid, 1, START)
    _round(strategy, grid, 2, first)
    strategy.restore({})
    assert _round(strategy, grid, 1, START, episode=1).tobytes() == first.tobytes()
