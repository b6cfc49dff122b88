"""Nodes of another version than the server: each side refuses the other in a sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from fedtrade.errors import FedtradeError
from fedtrade.settings import Settings
from fedtrade.wire import CONFIG, VERSION, own_version
from simulations.grid import simulate
from tests.strategies.trust.federation import MeddledGrid

Make = Callable[..., Settings]

OTHER = "9.9.9, messages 7"
SHORT = ("evaluation.n_origins=1", "evaluation.public_bars=0", "evaluation.pooled=false")
INSTALL = f"and this is fedtrade {own_version()}: install the same one everywhere"


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtrade.report.outputs.write_report", lambda *args: None)


def saying(message: Message, version: str) -> Message:
    """The message, or the reply, as from somebody of another version."""
    content = message.content
    config = content.config_records.get(CONFIG, ConfigRecord())
    if VERSION in config:
        # Its content may be that of other messages too.
        message.content = RecordDict(
            {**content, CONFIG: ConfigRecord({**config, VERSION: version})}
        )
    return message


def run(settings: Settings, others: set[int], side: str) -> dict[str, Any]:
    """The results of a run in which some nodes (or to them, the server) have another version."""

    def around(grid: Any) -> MeddledGrid:
        made = MeddledGrid(grid)
        if side == "nodes":
            made.fate = lambda number, stages: (
                (lambda reply: saying(reply, OTHER)) if number in others else None
            )
        else:
            made.rewrite = lambda number, message: (
                saying(message, OTHER) if number in others else message
            )
        return made

    simulate(
        "strategies.server_app:app",
        "clients.client_app:app",
        n_participants=4,
        run_config={"settings": settings.to_json()},
        seed=settings.seed,
        around=around,
    )
    found: dict[str, Any] = json.loads((Path(settings.out) / "results.json").read_text())
    return found


SENTENCES = {
    "nodes": f"its node is fedtrade {OTHER}, {INSTALL}",
    "server": f"the server is fedtrade {OTHER}, {INSTALL}",
}


@pytest.mark.parametrize("side", ["nodes", "server"])
def test_a_node_of_another_version_is_left_out_by_name(tiny: Make, side: str) -> None:
    results = run(tiny(*SHORT, "federation.rounds=1"), {2}, side)
    assert {entry["reason"] for entry in results["failures"]} == {f"{SENTENCES[side]}."}
    assert {entry["n_replies"] for entry in results["rounds"]} == {3}


@pytest.mark.parametrize("side", ["nodes", "server"])
def test_a_run_that_cannot_go_on_without_it_says_why(tiny: Make, side: str) -> None:
    settings = tiny(*SHORT, "aggregation=masked", "aggregation.min_contributors=4")
    with pytest.raises(FedtradeError) as caught:
        run(settings, {2}, side)
    assert "min_contributors=4 cannot be reached by 3 participants" in str(caught.value)
    assert "Nodes that were left out: node " in str(caught.value)
    assert f"({SENTENCES[side]})" in str(caught.value)
    assert not Path(settings.out).exists()


@pytest.mark.parametrize("side", ["nodes", "server"])
def test_a_run_without_anybody_of_its_version_says_why(tiny: Make, side: str) -> None:
    with pytest.raises(FedtradeError, match="no participant can take part: ") as caught:
        run(tiny(*SHORT), {0, 1, 2, 3}, side)
    assert SENTENCES[side] in str(caught.value)
