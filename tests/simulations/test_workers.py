"""Worker threads and processes answer as the caller's own thread does."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.constant import ErrorCode

from simulations.app_reference import load_client_app
from simulations.grid import InProcessGrid

SOURCE = '''
import os, signal, time
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

app = ClientApp()


@app.train()
def train(message, context):
    """A random walk kept in the context's state."""
    i = context.node_config["partition-id"]
    state = context.state.setdefault("walk", ArrayRecord([np.zeros(50)]))
    n = context.state.setdefault("n", MetricRecord({"n": 0}))
    step = np.random.default_rng([i, n["n"]]).normal(size=50)
    walk = state["0"].numpy() + step * message.content["config"]["scale"]
    context.state["walk"] = ArrayRecord([walk])
    n["n"] += 1
    metrics = MetricRecord({"n": n["n"], "run": TaskIdentity.run_id, "node": TaskIdentity.node_id})
    return Message(RecordDict({"walk": ArrayRecord([walk]), "metrics": metrics}), reply_to=message)


@app.query()
def query(message, context):
    """Do as told, if told."""
    i = context.node_config["partition-id"]
    if i == message.content["config"].get("die", -1):
        os.kill(os.getpid(), signal.SIGKILL)
    if i == message.content["config"].get("fail", -1):
        raise ValueError(f"participant {i}")
    if i == message.content["config"].get("unpicklable", -1):
        context.node_config["f"] = lambda: None
    time.sleep(message.content["config"].get("sleep", 0.0))
    return Message(RecordDict({"pid": MetricRecord({"pid": os.getpid()})}), reply_to=message)
'''


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The import string of an app in a file of its own."""
    (tmp_path / "worker_test_app.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return "worker_test_app:app"


def _ask(grid: InProcessGrid, kind: str = MessageType.QUERY, **config: float) -> list[Message]:
    content = RecordDict({"config": ConfigRecord(dict(config))})
    return [Message(content, node, kind) for node in grid.get_node_ids()]


def _walks(app: str, n_workers: int, workers: str) -> list[list[object]]:
    with InProcessGrid(app, 7, seed=2, n_workers=n_workers, workers=workers) as grid:
        replies = []
        for scale in (1.0, 0.5, 0.25):
            asked = _ask(grid, MessageType.TRAIN, scale=scale)
            replies += grid.send_and_receive(asked + asked[:2])
    return [
        [r.metadata.src_node_id, r.content["walk"]["0"].data, dict(r.content["metrics"])]
        for r in replies
    ]


def test_all_workers_give_the_same_bits_in_the_same_order(app: str) -> None:
    expected = _walks(app, 0, "threads")
    assert len(expected) == 27
    assert expected[-1][2]["n"] == 6
    assert _walks(app, 1, "threads") == expected
    assert _walks(app, 3, "threads") == expected
    assert _walks(app, 2, "processes") == expected


def test_threads_overlap_and_one_participant_is_never_in_two(app: str) -> None:
    with InProcessGrid(app, 4, n_workers=4) as grid:
        began = time.monotonic()
        list(grid.send_and_receive(_ask(grid, sleep=0.2)))
        assert time.monotonic() - began < 0.6
        [first, *_] = _ask(grid, sleep=0.1)
        began = time.monotonic()
        replies = list(grid.send_and_receive([first, first, first]))
        assert time.monotonic() - began > 0.3
    assert [r.has_error() for r in replies] == [False] * 3


def test_pulling_does_not_wait_for_workers(app: str) -> None:
    with InProcessGrid(app, 2, n_workers=1) as grid:
        ids = list(grid.push_messages(_ask(grid, sleep=0.2)))
        assert list(grid.pull_messages(ids)) == []
        in_time = list(grid.send_and_receive([], timeout=0.0))
        time.sleep(0.3)
        first = list(grid.pull_messages(ids))
        while len(first) < 2:
            time.sleep(0.02)
            first += grid.pull_messages(ids[1:])
    assert in_time == []
    assert [r.metadata.reply_to_message_id for r in first] == ids


def test_after_the_timeout_slow_workers_are_not_awaited(app: str) -> None:
    with InProcessGrid(app, 2, n_workers=2) as grid:
        quick, slow = grid.get_node_ids()
        asked = [
            Message(RecordDict({"config": ConfigRecord({"sleep": s})}), node, MessageType.QUERY)
            for node, s in ((quick, 0.0), (slow, 0.5))
        ]
        replies = list(grid.send_and_receive(asked, timeout=0.2))
        assert [r.metadata.src_node_id for r in replies] == [quick]


def test_a_participant_that_fails_in_a_worker_gets_its_error_reply(app: str) -> None:
    with InProcessGrid(app, 3, n_workers=2) as grid:
        replies = list(grid.send_and_receive(_ask(grid, fail=1)))
    assert [r.has_error() for r in replies] == [False, True, False]
    assert replies[1].error.reason == "<class 'ValueError'>:<'participant 1'>"


def test_a_dying_process_costs_its_participant_one_reply_and_is_replaced(app: str) -> None:
    with InProcessGrid(app, 5, n_workers=1, workers="processes") as grid:
        before = list(grid.send_and_receive(_ask(grid)))
        replies = list(grid.send_and_receive(_ask(grid, die=2)))
        after = list(grid.send_and_receive(_ask(grid, fail=0, unpicklable=1)))
    assert [r.has_error() for r in replies] == [False, False, True, False, False]
    assert replies[2].error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "exit code -9" in replies[2].error.reason
    assert "participant 2" in replies[2].error.reason
    assert [r.has_error() for r in after] == [True, True, False, False, False]
    assert after[0].error.reason == "<class 'ValueError'>:<'participant 0'>"
    assert "pickle" in after[1].error.reason
    pids = [r.content["pid"]["pid"] for r in (*before, *replies, *after) if r.has_content()]
    assert len(set(pids)) == 2
    assert os.getpid() not in pids


def test_processes_that_cannot_import_the_app_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fickle_test_app.py").write_text(
        "import multiprocessing\n"
        "from flwr.clientapp import ClientApp\n"
        "if multiprocessing.parent_process() is not None:\n"
        "    raise OSError('no such file in workers')\n"
        "app = ClientApp()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with InProcessGrid("fickle_test_app:app", 2, n_workers=1, workers="processes") as grid:
        replies = list(grid.send_and_receive(_ask(grid)))
    assert [r.error.code for r in replies] == [ErrorCode.LOAD_CLIENT_APP_EXCEPTION] * 2
    assert "no such file in workers" in replies[0].error.reason


def test_ctrl_c_ends_busy_workers_within_moments(app: str) -> None:
    """The server is interrupted while its workers sleep for four seconds."""
    for workers in ("threads", "processes"):
        children = set(multiprocessing.active_children())
        began = time.monotonic()
        with InProcessGrid(app, 2, n_workers=1, workers=workers) as grid:
            asked = _ask(grid, sleep=4.0)
            threading.Timer(1.0, signal.raise_signal, (signal.SIGINT,)).start()
            with pytest.raises(KeyboardInterrupt):
                grid.send_and_receive(asked)
        assert time.monotonic() - began < 3.5
        assert set(multiprocessing.active_children()) <= children


def test_nothing_of_a_pool_remains(app: str) -> None:
    n_threads = threading.active_count()
    with InProcessGrid(app, 2, n_workers=2, workers="processes") as grid:
        list(grid.send_and_receive(_ask(grid)))
        assert len(multiprocessing.active_children()) == 2
    assert multiprocessing.active_children() == []
    assert threading.active_count() <= n_threads


def test_apps_are_loaded_by_name(app: str) -> None:
    assert load_client_app(app) is load_client_app(app)
