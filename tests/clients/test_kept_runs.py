"""Private sums over nodes that die after each message, and over one that has lost its memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context

from fedtrade.settings import Settings
from fedtrade.wire import KEY_HOLDER
from simulations.grid import InProcessGrid
from tests.clients.own_node import node_config
from tests.strategies.trust.federation import Federation, composer

Make = Callable[..., Settings]

APP = "clients.client_app:app"
N = 5
EQUAL = "strategy.weights=equal"


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return composer(tmp_path_factory, N, n_rounds=2)


class Nowhere(dict[int, Context]):
    """Where Flower would keep contexts from message to message."""

    def __setitem__(self, node_id: int, context: Context) -> None:
        pass


def machine(folder: Path, number: int) -> dict[str, Any]:
    """A node with settings, and a folder, of its own."""
    role = "key_holder" if number == N else "participant"
    allow = {"modes": ["plain", "masked", "encrypted"], "scores": "by_participant"}
    config = node_config(folder / str(number), role=role, number=number, allow=allow)
    return config | ({"role": KEY_HOLDER} if number == N else {})


@contextmanager
def federation(
    settings: Settings, folder: Path | None = None, *, forgets: bool = True
) -> Iterator[Federation]:
    """With `folder`, over nodes of their own."""
    n = settings.n_nodes or N
    configs = {} if folder is None else {k: machine(folder, k) for k in range(n)}
    run_config = {"settings": settings.to_json()}
    with InProcessGrid(APP, n, run_config=run_config, node_configs=configs) as grid:
        if forgets:
            grid._contexts._kept = Nowhere()
        yield Federation(grid, settings)


@pytest.mark.parametrize(
    "overrides",
    [
        ("aggregation=masked",),
        pytest.param(
            ("aggregation=masked", "aggregation.adversary=semi_honest"), marks=pytest.mark.slow
        ),
        ("aggregation=encrypted", EQUAL),
        pytest.param(("aggregation=plain",), marks=pytest.mark.slow),
    ],
    ids=["masked", "semi_honest", "encrypted", "plain"],
)
def test_totals_are_the_same_to_the_bit(
    five: Make, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    """Between any two messages each node, the key holder too, is killed and begins anew."""
    settings = five(*overrides)
    vectors = []
    for folder in (None, tmp_path):
        with federation(settings, folder, forgets=folder is not None) as run:
            run.prepare()
            report = run.round()
            assert report.refusals == ()
            assert report.n_replies == N
            vectors.append(run.vector)
    np.testing.assert_array_equal(*vectors)
    assert not np.array_equal(vectors[0], run.task.initial(settings.seed))


def lose(folder: Path, number: int, how: str) -> None:
    """What one node remembers of its only run."""
    (path,) = (folder / str(number) / "state/runs").glob("*.state")
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("gone", "the server skipped the greeting that begins a run"),
        ("damaged", "what this participant remembers of the run is damaged"),
    ],
)
def test_a_lost_memory_costs_the_sums_that_member_alone(
    five: Make, tmp_path: Path, how: str, reason: str
) -> None:
    settings = five(
        "aggregation=masked", "aggregation.dropout_share=0.2", "aggregation.colluding_share=0"
    )
    with federation(settings, tmp_path) as run:
        run.prepare()
        lose(tmp_path, 2, how)
        for _ in range(2):
            report = run.round()
            assert report.skipped == ""
            assert run.heard == {0, 1, 3, 4}
            assert reason in run.participants(report)[2]


def test_a_lost_memory_is_welcome_in_plain_rounds(five: Make, tmp_path: Path) -> None:
    with federation(five("aggregation=plain"), tmp_path) as run:
        run.prepare()
        lose(tmp_path, 2, "damaged")
        report = run.round()
        assert report.refusals == ()
        assert report.n_replies == N
