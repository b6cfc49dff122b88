import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict

from clients.kept_state import keep
from clients.local_rules import obey
from fedtrade.errors import ConfigurationError, LimitError, OutputError, ProtocolError
from simulations.task_identity import Identity, task_identity
from tests.clients.own_node import RUN_ID, context, count, message, node_config, remember
from tests.nodes.test_run_memory import full_disk


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with task_identity(Identity(run_id=RUN_ID)):
        yield


def state_file(folder: Path) -> Path:
    (path,) = (folder / "state" / "runs").glob("*.state")
    return path


def test_a_node_that_died_remembers(tmp_path: Path) -> None:
    config = node_config(tmp_path)
    keep(message(), context(config), remember)
    again = context(config)  # the SuperNode has forgotten
    keep(message(), again, remember)
    assert count(again) == 2
    secret, mask = again.state["secret"], again.state["mask"]
    assert isinstance(secret, ConfigRecord)
    assert isinstance(mask, ArrayRecord)
    assert secret["key"] == bytes([1] * 32)
    np.testing.assert_array_equal(mask["mask"].numpy(), np.arange(3.0))


def test_what_was_kept_is_newer_than_what_flower_remembers(tmp_path: Path) -> None:
    """As when a process died between the writing and the handing over of its state."""
    config = node_config(tmp_path)
    stale = context(config)
    keep(message(), context(config), remember)
    keep(message(), stale, remember)
    assert count(stale) == 2


def test_what_another_run_left_is_not_taken_over(tmp_path: Path) -> None:
    """Flower hands the state of a run to the next one of its series."""
    config = node_config(tmp_path)
    own = context(config)
    keep(message(), own, remember)
    following = context(config, run_id=8)
    following.state = own.state
    with task_identity(Identity(run_id=8)):
        keep(message(), following, remember)
    assert count(following) == 1


def test_a_message_is_never_answered_with_the_memory_of_another_run(tmp_path: Path) -> None:
    own = context(node_config(tmp_path), run_id=8)
    with pytest.raises(ProtocolError, match="run 7 comes with the memory of run 8"):
        keep(message(), own, remember)
    assert count(own) == 0


def test_servers_do_not_share_what_is_remembered_of_their_runs(tmp_path: Path) -> None:
    config = node_config(tmp_path)
    keep(message(), context(config), remember)
    (tmp_path / "ca.crt").write_text("another consortium's")
    other = context(config)
    keep(message(), other, remember)
    assert count(other) == 1


def test_it_is_written_before_an_error_leaves_too(tmp_path: Path) -> None:
    config = node_config(tmp_path)

    def fail(asked: Message, own: Context) -> Message:
        remember(asked, own)
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        keep(message(), context(config), fail)
    again = context(config)
    keep(message(), again, remember)
    assert count(again) == 2


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    keep(message(), context(node_config(tmp_path)), remember)
    path = state_file(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_lost_memory_is_out_of_private_sums_for_good(tmp_path: Path) -> None:
    config = node_config(tmp_path)
    keep(message(), context(config), remember)
    state_file(tmp_path).write_bytes(b"garbage")
    for _ in range(2):
        own = context(config)
        with pytest.raises(
            ConfigurationError, match=r"is damaged; .*out of this run's private sums.*next run"
        ):
            keep(message(), own, remember)
        assert count(own) == 0
    (aside,) = (tmp_path / "state/runs").glob("*.damaged*")
    assert aside.read_bytes() == b"garbage"


@pytest.mark.parametrize("level", ["record", "participant"])
def test_a_lost_memory_is_out_of_what_leaves_with_noise(tmp_path: Path, level: str) -> None:
    """How much of it left before is what was lost."""
    config = node_config(tmp_path)
    noise = ("aggregation=plain", f"privacy={level}", "strategy.weights=equal")
    keep(message(), context(config, *noise), remember)
    state_file(tmp_path).write_bytes(b"garbage")
    with pytest.raises(ConfigurationError, match="out of what leaves with noise in this run"):
        keep(message(), context(config, *noise), remember)


def test_a_lost_memory_is_welcome_where_nothing_is_hidden(tmp_path: Path) -> None:
    config = node_config(tmp_path)
    keep(message(), context(config, "aggregation=plain"), remember)
    state_file(tmp_path).write_bytes(b"garbage")
    for n in (1, 2):
        own = context(config, "aggregation=plain")
        keep(message(), own, remember)
        assert count(own) == n


def test_on_a_full_disk_no_reply_leaves_and_nothing_is_lost(tmp_path: Path) -> None:
    config = node_config(tmp_path)
    keep(message(), context(config), remember)
    kept = state_file(tmp_path).read_bytes()
    answered = []

    def answer(asked: Message, own: Context) -> Message:
        answered.append(remember(asked, own))
        return answered[-1]

    with full_disk(), pytest.raises(OutputError, match=r"cannot be written \(File too large\)"):
        keep(message(), context(config), answer)
    assert len(answered) == 1
    assert state_file(tmp_path).read_bytes() == kept
    again = context(config)
    keep(message(), again, remember)
    assert count(again) == 2


def test_of_messages_at_the_same_time_each_knows_what_the_others_did(tmp_path: Path) -> None:
    """Flower answers each in a process of its own, all with the state from before."""
    config = node_config(tmp_path)
    messages = [(message(), context(config)) for _ in range(6)]
    workers = [threading.Thread(target=keep, args=(*each, remember)) for each in messages]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30.0)
    assert sorted(count(own) for _, own in messages) == [1, 2, 3, 4, 5, 6]


def test_in_a_simulation_nothing_is_kept_and_nothing_limited(tmp_path: Path) -> None:
    own = context({"partition-id": 0}, "aggregation=plain")
    before = dict(own.run_config)
    keep(message(), own, lambda m, c: obey(m, c, remember))
    assert count(own) == 1
    assert own.run_config == before
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    config = node_config(tmp_path)
    with pytest.raises(LimitError, match=r"allow\.modes"):
        keep(message(), context(config, "aggregation=plain"), lambda m, c: obey(m, c, remember))
    assert not list((tmp_path / "state/runs").glob("*.state"))


def test_missing_settings_of_a_machine_let_nothing_through(tmp_path: Path) -> None:
    config: dict[str, Any] = node_config(tmp_path)
    (tmp_path / "state/local.json").unlink()
    own = Context(RUN_ID, 1, config, RecordDict(), context(config).run_config)
    with pytest.raises(ConfigurationError, match=r"local\.json.*cannot be read"):
        keep(message(), own, lambda m, c: obey(m, c, remember))
    assert count(own) == 0
