"""A server that is killed between any two operations on files goes on to the same model."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedtrade.checkpoint import can_resume
from fedtrade.model_file import read_model
from fedtrade.settings import Settings

Make = Callable[..., Settings]

ROOT = Path(__file__).parents[2]
SHORT = (
    "evaluation.n_origins=1",
    "evaluation.pooled=false",
    "evaluation.public_bars=0",
    "federation.rounds=3",
)
WITH_MEMORY = (
    "strategy=scaffold",
    "strategy.rule=centered_clipping",
    "+strategy.server_optimiser._target_=fedtrade.optimisers.fed_adam",
)
MASKED = (
    "aggregation=masked",
    "aggregation.dropout_share=0",
    "aggregation.colluding_share=0",
)
FEW, MANY = 2, 12


class Killable:
    """Runs that can be killed."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.strategies.killable"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, settings: Settings, kill_at: int | None = None) -> int | None:
        """The number of operations of a run to its end, or None if it was killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"settings": settings.to_mapping(), "kill_at": kill_at}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, f"the process that forks has ended: {self.process.poll()}"
        ended = json.loads(line)
        assert ended["code"] in (0, -signal.SIGKILL)
        n: int | None = ended["n"]
        assert (n is None) == (ended["code"] != 0)
        return n

    def stop(self) -> None:
        self.process.communicate(timeout=30.0)


@pytest.fixture(scope="module")
def killable() -> Iterator[Killable]:
    made = Killable()
    yield made
    made.stop()


def outcome(settings: Settings) -> tuple[bytes, Any]:
    """The model's bytes, and what the results say of rounds and scores."""
    folder = Path(settings.out)
    results = json.loads((folder / "results.json").read_text())
    rounds = [{k: v for k, v in e.items() if k != "seconds"} for e in results["rounds"]]
    vector = read_model(folder / "model.safetensors").model.vector
    assert np.isfinite(vector).all()
    return vector.tobytes(), (rounds, results["metrics"], results["failures"])


def brought_to_its_end(killable: Killable, settings: Settings, kills: list[int]) -> None:
    """Run, be killed at each of these operations in turn, and go on as the server would."""
    for kill_at in [*kills, None]:
        goes_on = can_resume(Path(settings.out), settings)
        killable.run(settings.model_copy(update={"resume": goes_on}), kill_at)


@pytest.mark.parametrize(
    ("mode", "n_kills"),
    [
        pytest.param(WITH_MEMORY, FEW, id="memory", marks=pytest.mark.slow),
        pytest.param(MASKED, FEW, id="masked"),
        pytest.param(WITH_MEMORY, MANY, id="memory-often", marks=pytest.mark.slow),
        pytest.param(MASKED, MANY, id="masked-often", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_to_the_same_model(
    tiny: Make, killable: Killable, mode: tuple[str, ...], n_kills: int
) -> None:
    """The last two kills hit runs that go on after another one, wherever that is then."""
    whole = tiny(*SHORT, *mode)
    n_operations = killable.run(whole)
    assert n_operations is not None
    assert n_operations > 40
    expected = outcome(whole)
    draw = random.Random(n_kills)
    for first in draw.sample(range(n_operations), n_kills):
        kills = [first, draw.randrange(n_operations), draw.randrange(8)]
        killed = tiny(*SHORT, *mode)
        brought_to_its_end(killable, killed, kills)
        assert outcome(killed) == expected, kills
