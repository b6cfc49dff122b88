"""Where a participant's prices come from, and where they are kept."""

import os
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from clients.participant import Participant
from fedtrade.settings import Settings
from tests.clients import own_node


@pytest.fixture
def prices(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "mine.csv"
    days = [f"2024-01-{day:02d},{100 + day % 3}" for day in range(1, 30)]
    path.write_text("\n".join(["date,close", *days]))
    os.utime(path, ns=(10**18, 10**18))
    return {"_target_": "fedtrade.market.files.csv", "path": str(path)}


def test_they_are_kept_in_the_partys_own_folder(tmp_path: Path, prices: dict[str, str]) -> None:
    config = own_node.node_config(tmp_path / "kit", data=prices)
    participant = Participant.of(_context(config, prices))
    assert participant.bars.size == 29
    assert len(list((tmp_path / "kit" / "state" / "prices").iterdir())) == 1


def test_they_are_not_where_it_says_so(tmp_path: Path, prices: dict[str, str]) -> None:
    config = own_node.node_config(tmp_path / "kit", data=prices, keep_prices=False)
    assert Participant.of(_context(config, prices)).bars.size == 29
    assert not (tmp_path / "kit" / "state" / "prices").exists()


def test_simulations_keep_none(
    tmp_path: Path, prices: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Participant.of(_context({"partition-id": 0}, prices)).n_assets == 1
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv"}


def _context(config: dict[str, object], prices: dict[str, str]) -> Context:
    """As the app sees it, behind the mod that puts the party's own prices in."""
    settings = own_node.context({}, "partition=own").run_config["settings"]
    brought = Settings.from_json(str(settings))
    own = Settings.from_mapping({**brought.to_mapping(), "data": prices}).to_json()
    return Context(own_node.RUN_ID, 1, config, RecordDict(), {"settings": own})
