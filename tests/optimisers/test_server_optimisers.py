"""By hand, by laws, and against Flower's strategies where those agree by definition."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedYogi
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.optimisers import ServerOptimiser, fed_adam, fed_avg, fed_avg_m, fed_yogi
from simulations.grid import InProcessGrid

FACTORIES: list[Callable[..., ServerOptimiser]] = [fed_avg, fed_avg_m, fed_adam, fed_yogi]
TAU = 1e-2


def _steps(optimiser: ServerOptimiser, aggregates: list[list[float]]) -> np.ndarray:
    """The step of each round, shape (n_rounds, n_params), in float64."""
    state = optimiser.init(len(aggregates[0]))
    steps = []
    for aggregate in aggregates:
        step, state = optimiser.apply(np.array(aggregate), state)
        steps.append(step)
    return np.stack(steps)


# --- by hand ------------------------------------------------------------------------------------


def test_averaging_scales_the_aggregate() -> None:
    assert _steps(fed_avg(learning_rate=0.5), [[2.0, -4.0], [1.0, 0.0]]).tolist() == [
        [1.0, -2.0],
        [0.5, 0.0],
    ]


def test_momentum_adds_up() -> None:
    """Velocities 1, 1.5 and 0.75 under a momentum of a half, times 2."""
    found = _steps(fed_avg_m(learning_rate=2.0, momentum=0.5), [[1.0], [1.0], [0.0]])
    assert found.tolist() == [[2.0], [3.0], [1.5]]


def test_adam_by_hand() -> None:
    """m = 0.5 * 2 = 1; v = 0.75 * 1 + 0.25 * 4 = 1.75; the step is 1 / (sqrt(1.75) + 1)."""
    found = _steps(fed_adam(learning_rate=1.0, beta1=0.5, beta2=0.75, tau=1.0), [[2.0]])
    assert found[0, 0] == pytest.approx(1.0 / (np.sqrt(1.75) + 1.0))


def test_yogi_by_hand() -> None:
    """v rises from 1 by 0.25 * 4 to 2, as 4 is more than 1; then falls by 0.25 * 1."""
    found = _steps(fed_yogi(learning_rate=1.0, beta1=0.0, beta2=0.75, tau=1.0), [[2.0], [1.0]])
    assert found[:, 0] == pytest.approx([2.0 / (np.sqrt(2.0) + 1.0), 1.0 / (np.sqrt(1.75) + 1.0)])


# --- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", FACTORIES)
@given(st.lists(st.lists(st.floats(-10, 10), min_size=3, max_size=3), min_size=1, max_size=6))
def test_coordinates_do_not_see_each_other_and_signs_turn(
    factory: Callable[..., ServerOptimiser], rounds: list[list[float]]
) -> None:
    steps = _steps(factory(), rounds)
    backwards = [values[::-1] for values in rounds]
    np.testing.assert_array_equal(_steps(factory(), backwards), steps[:, ::-1])
    np.testing.assert_array_equal(_steps(factory(), (-np.array(rounds)).tolist()), -steps)


@pytest.mark.parametrize("factory", FACTORIES)
def test_nothing_moves_without_an_aggregate(factory: Callable[..., ServerOptimiser]) -> None:
    assert not _steps(factory(), [[0.0, 0.0]] * 3).any()


@pytest.mark.parametrize("factory", [fed_adam, fed_yogi])
def test_a_huge_aggregate_makes_a_small_step(factory: Callable[..., ServerOptimiser]) -> None:
    """At most (1 - beta1) / sqrt(1 - beta2) = 1 learning rate in the first round."""
    found = _steps(factory(learning_rate=0.01), [[1e6, -1e9]])
    assert found[0] == pytest.approx([0.01, -0.01], rel=1e-6)


@pytest.mark.parametrize("factory", FACTORIES)
def test_state_is_a_value(factory: Callable[..., ServerOptimiser]) -> None:
    """The same state gives the same step again, and single precision stays single."""
    optimiser = factory()
    aggregate = np.array([1.0, -3.0], dtype=np.float32)
    _, state = optimiser.apply(aggregate, optimiser.init(2))
    kept = {name: values.copy() for name, values in state.items()}
    first, _ = optimiser.apply(aggregate, state)
    again, _ = optimiser.apply(aggregate, kept)
    assert first.tobytes() == again.tobytes()
    assert {name: values.tolist() for name, values in state.items()} == {
        name: values.tolist() for name, values in kept.items()
    }
    assert first.dtype == np.float32
    assert aggregate.tolist() == [1.0, -3.0]


# --- Flower's -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    with InProcessGrid(ClientApp(), 2) as opened:
        yield opened


ROUNDS = np.random.default_rng(3).normal(size=(6, 4)) * [0.01, 0.1, 1.0, 5.0]
START = np.array([1.0, -2.0, 0.5, 0.0])


def _flower(strategy: FedAvg, grid: Grid, prepare: Callable[[int], None]) -> np.ndarray:
    """The vector after each round, when both clients return the model plus the round's change."""
    arrays = ArrayRecord({"vector": Array(START)})
    found = []
    for number, change in enumerate(ROUNDS, start=1):
        prepare(number)
        messages = list(strategy.configure_train(number, arrays, ConfigRecord(), grid))
        replies = []
        for message in messages:
            vector = message.content["arrays"]["vector"].numpy() + change
            metrics = MetricRecord({"num-examples": 1})
            content = {"arrays": ArrayRecord({"vector": Array(vector)}), "metrics": metrics}
            replies.append(Message(RecordDict(content), reply_to=message))
        aggregate, _ = strategy.aggregate_train(number, replies)
        assert aggregate is not None
        arrays = aggregate
        found.append(arrays["vector"].numpy())
    return np.stack(found)


def _ours(optimiser: ServerOptimiser) -> np.ndarray:
    return START + np.cumsum(_steps(optimiser, ROUNDS.tolist()), axis=0)


def test_momentum_is_that_of_flower(grid: Grid) -> None:
    theirs = _flower(
        FedAvgM(server_learning_rate=0.7, server_momentum=0.8), grid, lambda number: None
    )
    ours = _ours(fed_avg_m(learning_rate=0.7, momentum=0.8))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_yogi_is_that_of_flower_once_it_starts_where_the_paper_does(grid: Grid) -> None:
    """Flower starts v at zero, the paper at tau^2 or more."""
    strategy = FedYogi(eta=0.1, beta_1=0.8, beta_2=0.9, tau=TAU)
    strategy.v_t = {"vector": np.full(4, TAU**2)}
    theirs = _flower(strategy, grid, lambda number: None)
    ours = _ours(fed_yogi(learning_rate=0.1, beta1=0.8, beta2=0.9, tau=TAU))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_adam_is_that_of_flower_without_its_correction_and_with_the_papers_start(
    grid: Grid,
) -> None:
    """Flower's rate in round t is that of Adam in round t + 1, which the paper does not have."""
    beta1, beta2, rate = 0.8, 0.9, 0.1
    strategy = FedAdam(eta=rate, beta_1=beta1, beta_2=beta2, tau=TAU)
    strategy.v_t = {"vector": np.full(4, TAU**2)}

    def undo_correction(number: int) -> None:
        strategy.eta = rate * (1.0 - beta1 ** (number + 1)) / np.sqrt(1.0 - beta2 ** (number + 1))

    theirs = _flower(strategy, grid, undo_correction)
    ours = _ours(fed_adam(learning_rate=rate, beta1=beta1, beta2=beta2, tau=TAU))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "options"),
    [
        *((factory, {"learning_rate": 0.0}) for factory in FACTORIES),
        (fed_avg_m, {"momentum": 1.0}),
        (fed_avg_m, {"momentum": -0.1}),
        *(
            (factory, {name: 1.0})
            for factory in (fed_adam, fed_yogi)
            for name in ("beta1", "beta2")
        ),
        *((factory, {"tau": 0.0}) for factory in (fed_adam, fed_yogi)),
    ],
)
def test_options_out_of_range_are_named(
    factory: Callable[..., ServerOptimiser], options: dict[str, Any]
) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=rf"{name} must be .* got {name}={value}"):
        factory(**options)
