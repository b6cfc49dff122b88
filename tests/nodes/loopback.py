"""Runs of a few seconds over a consortium on loopback, and what its processes say and leave."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from conf import compose
from fedtrade.nodes.local_consortium import LocalConsortium
from fedtrade.nodes.server import COMPLETED
from fedtrade.nodes.supernode import SuperNode
from fedtrade.settings import Settings
from tests.conftest import make_market
from tests.nodes.commands import processes_that_name, wait_until_gone

SHORT = (
    "federation=same_history",
    "federation.history_bars=60",
    "federation.rounds=2",
    "federation.reply_timeout_s=60",
    "evaluation=short",
    "evaluation.test_bars=20",
    "evaluation.pooled=false",
    "evaluation.bootstrap_resamples=100",
    "task.baselines=ewma",  # GARCH takes seconds to load
    "task.alone_steps=5",
    "task.local_steps=3",
)
"""The risk task with one origin and the final model: two episodes of two rounds."""

MODES = {
    "plain": ("aggregation=plain",),
    "masked": ("aggregation=masked",),
    "encrypted": ("aggregation=encrypted",),
}
"""Overrides of each trust mode; `masked` is against a server that lies."""


@dataclass
class Loopback:
    """A consortium on loopback whose output is kept, and runs for it.

    Attributes
    ----------
    said : list of (str, str)
        Who said which line.
    """

    consortium: LocalConsortium
    prices: Path
    said: list[tuple[str, str]] = field(default_factory=list)

    def settings(self, out: Path, *overrides: str) -> Settings:
        """Those of a short run, in which each participant has an asset of the file of prices."""
        prices = ("data=csv", f"data.path={self.prices}", "evaluation.public_bars=0")
        n = f"federation.n_participants={self.consortium.n_participants}"
        return compose([*prices, *SHORT, n, "progress=plain", f"out={out}", *overrides])

    def run(self, settings: Settings) -> None:
        """A run from start to end."""
        run_id = self.consortium.run(settings)
        status = self.consortium.superlink.run_status(run_id)
        assert status == COMPLETED, self.consortium.said[-20:]

    def of(self, who: str, since: int = 0) -> list[str]:
        """What somebody has said."""
        return [line for speaker, line in self.said[since:] if speaker == who]

    def wait_for(
        self, who: str, text: str, *, since: int = 0, times: int = 1, timeout_s: float = 240.0
    ) -> None:
        """Wait until somebody has said something so many times."""
        try:
            wait_until(
                lambda: sum(text in line for line in self.of(who, since)) >= times,
                f"{who} never said {text!r}",
                timeout_s,
            )
        except AssertionError as error:
            error.add_note("\n".join(self.of(who, since)[-30:]))
            raise


@contextmanager
def loopback(folder: Path, n_participants: int, n_key_holders: int) -> Iterator[Loopback]:
    """A consortium on loopback; no process of it is left behind the context."""
    prices = folder / "prices.csv"
    panel = make_market(n_bars=180, n_assets=n_participants)
    frame = pd.DataFrame(panel.close, columns=list(panel.assets))
    frame.insert(0, "date", panel.bars)
    frame.to_csv(prices, index=False)
    consortium = LocalConsortium(n_participants, n_key_holders)
    made = Loopback(consortium, prices)
    consortium.on_line = lambda who, line: made.said.append((who, line))
    with consortium:
        yield made
    wait_until_gone(processes_that_name(consortium.folder), 10.0)


@contextmanager
def running(place: Loopback, settings: Settings) -> Iterator[Callable[[float], None]]:
    """A run in the background; what is given waits for it to end as it should."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            place.run(settings)
        except BaseException as error:
            problems.append(error)

    worker = threading.Thread(target=run, daemon=True)

    def is_over(timeout_s: float) -> None:
        worker.join(timeout_s)
        assert not worker.is_alive(), place.said[-20:]
        if problems:
            raise problems[0]

    worker.start()
    yield is_over


@contextmanager
def serving(node: SuperNode) -> Iterator[None]:
    """The node is started, again and again if need be, as `fedtrade client` does it."""
    stop = threading.Event()
    worker = threading.Thread(target=node.serve, args=(stop.is_set,), daemon=True)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(30.0)


def results_of(out: Path) -> dict[str, Any]:
    """Those that a run has written."""
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def assert_same_model(outs: Sequence[Path]) -> None:
    """Two runs have come to the same model, up to the order of sums in floating point."""
    real, other = (load_file(out / "model.safetensors") for out in outs)
    assert real.keys() == other.keys()
    for name, values in other.items():
        np.testing.assert_allclose(real[name], values, rtol=1e-5, atol=1e-7, err_msg=name)


def wait_until(is_there: Callable[[], bool], otherwise: str, timeout_s: float) -> None:
    """Wait for something."""
    end = time.monotonic() + timeout_s
    while not is_there():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)
