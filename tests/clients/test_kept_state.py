import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

from clients.kept_state import keep
from clients.local_rules import obey
from conf import compose
from fedtrade.errors import ConfigurationError, LimitError, OutputError
from fedtrade.nodes.local_settings import LOCAL_SETTINGS, write_local_settings
from fedtrade.nodes.settings import ClientSettings
from fedtrade.settings import Settings
from simulations.task_identity import Identity, task_identity

RUN_ID = 7


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with task_identity(Identity(run_id=RUN_ID)):
        yield


def node(folder: Path, **allow: Any) -> dict[str, Any]:
    """The configuration of a node with its own settings."""
    local = ClientSettings.from_mapping(
        {
            "name": "alpha",
            "number": 0,
            "superlink": "localhost:1",
            "root_certificates": "ca.crt",
            "key": "node.key",
            "state": str(folder),
            "data": {"_target_": "fedtrade.market.files.csv", "path": "mine.csv"},
            "allow": allow,
        }
    )
    return {LOCAL_SETTINGS: str(write_local_settings(local)), "partition-id": 0}


def context(config: dict[str, Any], *overrides: str, run_id: int = RUN_ID) -> Context:
    """As a SuperNode makes it when it first hears of a run."""
    settings = compose(["aggregation=masked", "federation.n_participants=4", *overrides])
    run_config = {"settings": settings.to_json()}
    return Context(run_id, 1, config, RecordDict(), run_config)


def message() -> Message:
    return Message(RecordDict(), 1, "query.secure")


def remember(asked: Message, own: Context) -> Message:
    """An app that counts in its state."""
    before = own.state.get("n")
    n = int(before["n"]) if isinstance(before, MetricRecord) else 0  # type: ignore[arg-type]
    own.state["n"] = MetricRecord({"n": n + 1})
    own.state["secret"] = ConfigRecord({"key": bytes([n] * 32)})
    own.state["mask"] = ArrayRecord({"mask": Array(np.arange(3.0))})
    return asked


def count(own: Context) -> int:
    record = own.state["n"]
    assert isinstance(record, MetricRecord)
    return int(record["n"])  # type: ignore[arg-type]


def test_a_node_that_died_remembers(tmp_path: Path) -> None:
    config = node(tmp_path)
    keep(message(), context(config), remember)
    again = context(config)  # the SuperNode has forgotten
    keep(message(), again, remember)
    assert count(again) == 2
    record = again.state["secret"]
    assert isinstance(record, ConfigRecord)
    assert record["key"] == bytes([1] * 32)


def test_what_was_kept_is_newer_than_what_flower_remembers(tmp_path: Path) -> None:
    """As when a process died between the writing and the handing over of its state."""
    config = node(tmp_path)
    stale = context(config)
    keep(message(), context(config), remember)
    keep(message(), stale, remember)
    assert count(stale) == 2


def test_runs_do_not_share_what_they_remember(tmp_path: Path) -> None:
    config = node(tmp_path)
    keep(message(), context(config), remember)
    other = context(config, run_id=8)
    keep(message(), other, remember)
    assert count(other) == 1


def test_it_is_written_before_an_error_leaves_too(tmp_path: Path) -> None:
    config = node(tmp_path)

    def fail(asked: Message, own: Context) -> Message:
        remember(asked, own)
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        keep(message(), context(config), fail)
    again = context(config)
    keep(message(), again, remember)
    assert count(again) == 2


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    keep(message(), context(node(tmp_path)), remember)
    path = tmp_path / "runs" / f"{RUN_ID}.state"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_memory_is_put_aside_and_named(tmp_path: Path) -> None:
    config = node(tmp_path)
    keep(message(), context(config), remember)
    path = tmp_path / "runs" / f"{RUN_ID}.state"
    path.write_bytes(b"\xff garbage")
    with pytest.raises(ConfigurationError, match=r"cannot be read.*\.damaged"):
        keep(message(), context(config), remember)
    assert path.with_suffix(".damaged").read_bytes() == b"\xff garbage"


def test_without_a_place_to_write_no_reply_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = node(tmp_path)
    keep(message(), context(config), remember)
    kept = (tmp_path / "runs" / f"{RUN_ID}.state").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedtrade.report.atomic._flush", full)
    with pytest.raises(OutputError, match="No space left"):
        keep(message(), context(config), remember)
    assert (tmp_path / "runs" / f"{RUN_ID}.state").read_bytes() == kept


def test_old_runs_are_forgotten(tmp_path: Path) -> None:
    config = node(tmp_path)
    for run_id in range(25):
        keep(message(), context(config, run_id=run_id), remember)
    assert len(list((tmp_path / "runs").glob("*.state"))) == 20
    old = tmp_path / "runs/24.state"
    past = time.time() - 31 * 86400
    os.utime(old, (past, past))
    keep(message(), context(config, run_id=99), remember)
    assert not old.exists()


def test_in_a_simulation_nothing_is_kept_and_nothing_limited(tmp_path: Path) -> None:
    own = context({"partition-id": 0}, "aggregation=plain")
    before = dict(own.run_config)
    keep(message(), own, lambda m, c: obey(m, c, remember))
    assert count(own) == 1
    assert own.run_config == before
    assert not list(tmp_path.iterdir())


def test_a_message_is_answered_by_the_machines_own_settings(tmp_path: Path) -> None:
    own = context(node(tmp_path))
    before, seen = dict(own.run_config), []

    def look(asked: Message, inner: Context) -> Message:
        seen.append(Settings.from_json(str(inner.run_config["settings"])))
        return asked

    obey(message(), own, look)
    assert seen[0].data.options["path"] == "mine.csv"
    assert own.run_config == before


def test_settings_that_change_in_the_middle_of_a_run_are_refused(tmp_path: Path) -> None:
    config = node(tmp_path)
    keep(message(), context(config), lambda m, c: obey(m, c, remember))
    changed = context(config, "federation.rounds=9")
    with pytest.raises(LimitError, match="others than at its first message"):
        keep(message(), changed, lambda m, c: obey(m, c, remember))


def test_no_more_messages_are_answered_than_allowed(tmp_path: Path) -> None:
    config = node(tmp_path, most_answers=2)
    for _ in range(2):
        keep(message(), context(config), lambda m, c: obey(m, c, remember))
    with pytest.raises(LimitError, match=r"answered 2 messages.*allow\.most_answers"):
        keep(message(), context(config), lambda m, c: obey(m, c, remember))


def test_work_that_takes_too_long_is_broken_off(tmp_path: Path) -> None:
    own = context(node(tmp_path, most_seconds=0.2))

    def dawdle(asked: Message, inner: Context) -> Message:
        time.sleep(5.0)
        return asked

    began = time.monotonic()
    with pytest.raises(LimitError, match=r"longer than 0\.2 s.*allow\.most_seconds"):
        obey(message(), own, dawdle)
    assert time.monotonic() - began < 4.0


def test_nothing_is_done_for_a_run_that_is_not_allowed(tmp_path: Path) -> None:
    own = context(node(tmp_path), "aggregation=plain")
    with pytest.raises(LimitError, match=r"allow\.modes"):
        obey(message(), own, remember)
    assert "n" not in own.state


def test_missing_settings_of_a_machine_let_nothing_through(tmp_path: Path) -> None:
    own = context({LOCAL_SETTINGS: str(tmp_path / "gone.json"), "partition-id": 0})
    with pytest.raises(ConfigurationError, match=r"gone\.json.*cannot be read"):
        keep(message(), own, lambda m, c: obey(m, c, remember))
    assert "n" not in own.state
