"""Real nodes: seconds a round of the risk task over SuperNodes on this machine.

A SuperLink and three SuperNodes as processes, with TLS and node authentication, as anywhere. Beside
ours, in the same run and on the same nodes, stock Flower FedAvg with training and evaluation and
the same local work (`nodes_peer`). A round is its training; what a run has besides (joining, sums,
the evaluation) is told apart. All parties share this machine's cores.
"""

import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from conf import compose
from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.nodes.bundle import write_bundle
from fedtrade.nodes.flower import CONNECTION, tool
from fedtrade.nodes.local_consortium import LocalConsortium
from fedtrade.nodes.process import Process
from fedtrade.nodes.server import COMPLETED, reason_of
from fedtrade.nodes.supernode import SuperNode
from fedtrade.report import read_results
from fedtrade.report.records import Record
from fedtrade.settings import Settings
from simulations.bench import nodes_peer

__all__ = ["run"]

OURS: Final = "fedtrade"
PEER: Final = "flwr-fedavg"
PEER_S: Final = 600.0
MODES: Final = {
    "plain": ("aggregation=plain",),
    "masked-semi-honest": ("aggregation=masked", "aggregation.adversary=semi_honest"),
    "masked-malicious": ("aggregation=masked", "aggregation.adversary=malicious"),
    "encrypted": ("aggregation=encrypted",),
}
NO_DROPOUTS: Final = ("aggregation.dropout_share=0", "aggregation.colluding_share=0")

Executor = Literal["warm", "stock"]


def run(
    *,
    n_participants: int = 3,
    n_rounds: int = 4,
    modes: Sequence[str] = tuple(MODES),
    stock: bool = True,
    peer: bool = True,
    lost: bool = True,
    deadline_s: float = 30.0,
) -> list[Record]:
    """Measure rounds in each trust mode, with the warm executor and with Flower's own.

    Parameters
    ----------
    n_rounds : int
        Of an episode, at least 2; the first is left out, as it loads the libraries.
    modes : sequence of str
        Of `plain`, `masked-semi-honest`, `masked-malicious` and `encrypted`, for the warm executor.
    stock, peer : bool
        Whether `plain` is run by Flower's executor too, and FedAvg beside it.
    lost : bool
        Whether a node is killed in the middle of a round.
    deadline_s : float
        `federation.reply_timeout_s`.

    Raises
    ------
    ConfigurationError
        If nothing would be left to measure, or a mode is not known.
    """
    if n_rounds < 2:
        raise ConfigurationError(
            f"n_rounds={n_rounds} leaves nothing to measure, as the first round loads the "
            "libraries; set n_rounds=2 or more."
        )
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown:
        raise ConfigurationError(f"modes has {unknown[0]!r}; it takes any of {', '.join(MODES)}.")
    records: list[Record] = []
    base = [
        f"federation.n_participants={n_participants}",
        f"federation.rounds={n_rounds}",
        f"federation.reply_timeout_s={deadline_s}",
        "federation=same_history",
        "evaluation.n_origins=1",
        "evaluation.test_bars=20",
        "evaluation.pooled=false",
        "evaluation.public_bars=0",
        "evaluation.bootstrap_resamples=100",
    ]
    if stock or peer:
        with LocalConsortium(n_participants, 1, executor="stock") as consortium:
            if stock:
                settings = compose([*base, *MODES["plain"]])
                records += _rounds(consortium, settings, "plain-stock")
            if peer:
                records += _peer(consortium, compose([*base, *MODES["plain"]]))
    records += _starts("warm")
    with LocalConsortium(n_participants, 1, executor="warm") as consortium:
        for mode in modes:
            overrides = [*base, *MODES[mode]]
            if mode.startswith("masked"):
                overrides += NO_DROPOUTS
            records += _rounds(consortium, compose(overrides), f"{mode}-warm")
        if lost:
            records += _lost(consortium, compose([*base, *MODES["plain"]]), deadline_s)
    return records + _ratios(records)


def _starts(executor: Executor) -> list[Record]:
    """Starting a server, a client that joins it alone, and the memory of that client."""
    began = time.perf_counter()
    with LocalConsortium(1, 0, executor=executor) as consortium:
        both_s = time.perf_counter() - began
        node = consortium.nodes[0]
        node.stop()
        consortium.superlink.stop()
        began = time.perf_counter()
        consortium.start_superlink()
        ready_s = time.perf_counter() - began
        again = SuperNode(consortium.settings_of(0))
        began = time.perf_counter()
        again.start()
        try:
            again.wait_until_joined(120.0)
            joined_s = time.perf_counter() - began
            time.sleep(5.0)  # for its executor to be loaded
            memory = _pss_mib(again.pid)
        finally:
            again.kill()
    case = f"start-{executor}"
    return [
        Record(case=case, subject=OURS, metric="server_ready", value=ready_s, unit="s"),
        Record(case=case, subject=OURS, metric="client_joined", value=joined_s, unit="s"),
        Record(case=case, subject=OURS, metric="all_of_one_party", value=both_s, unit="s"),
        Record(case=case, subject=OURS, metric="idle_client", value=memory, unit="MiB"),
    ]


def _pss_mib(group: int) -> float:
    """Memory of a process group, shared pages counted once among those that share them."""
    found = subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True, check=False)
    total = 0
    for pid in found.stdout.split():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024.0


def _rounds(consortium: LocalConsortium, settings: Settings, case: str) -> list[Record]:
    with TemporaryDirectory() as folder:
        chosen = settings.model_copy(update={"out": folder, "progress": "plain"})
        began = time.perf_counter()
        run_id = consortium.run(chosen)
        whole_s = time.perf_counter() - began
        status = consortium.superlink.run_status(run_id)
        if status != COMPLETED:
            reason = reason_of(consortium.said)
            raise FedtradeError(f"the run of {case} ended as {status}: {reason}")
        seconds = _round_seconds(Path(folder))
    return _round_records(case, seconds, whole_s)


def _round_seconds(folder: Path) -> list[float]:
    """How long each round of a run took."""
    return [log.seconds or 0.0 for log in read_results(folder / "results.json").rounds]


def _round_records(case: str, rounds: Sequence[float], whole_s: float) -> list[Record]:
    """The median and the longest of a run's rounds without the first, and the whole of it."""
    seconds = rounds[1:]
    return [
        Record(case=case, subject=OURS, metric="round", value=statistics.median(seconds), unit="s"),
        Record(case=case, subject=OURS, metric="slowest_round", value=max(seconds), unit="s"),
        Record(case=case, subject=OURS, metric="whole_run", value=whole_s, unit="s"),
    ]


def _peer(consortium: LocalConsortium, settings: Settings) -> list[Record]:
    """FedAvg's seconds a round, with training and evaluation."""
    with TemporaryDirectory() as place:
        app = write_bundle(Path(place) / "app")
        shutil.copyfile(str(nodes_peer.__file__), app / "peer.py")
        project = app / "pyproject.toml"
        text = project.read_text(encoding="utf-8")
        text = text.replace("strategies.server_app:app", "peer:server_app")
        project.write_text(
            text.replace("clients.client_app:app", "peer:client_app"), encoding="utf-8"
        )
        toml = Path(place) / "run.toml"
        toml.write_text(f"settings = '{settings.to_json()}'\n", encoding="utf-8")
        child = Process(
            [tool("flwr"), "run", str(app), CONNECTION, "--stream", "--run-config", str(toml)],
            name="`flwr run`",
            environment=consortium.superlink.environment,
        )
        try:
            child.wait(PEER_S)
        finally:
            child.stop()
        told = [m for line in child.tail if (m := re.search(r"ROUNDS (\d+) ([\d.]+)", line))]
        if not told:
            raise FedtradeError(f"FedAvg did not finish: {' '.join(list(child.tail)[-8:])}")
        n_rounds, seconds = int(told[-1].group(1)), float(told[-1].group(2))
    value = seconds / n_rounds
    return [Record(case="plain-stock", subject=PEER, metric="round", value=value, unit="s")]


def _lost(consortium: LocalConsortium, settings: Settings, deadline_s: float) -> list[Record]:
    """How much longer the round takes in which a node is killed, beyond a usual one."""
    node = consortium.nodes[-2]  # the last holds the key
    with TemporaryDirectory() as folder:
        chosen = settings.model_copy(update={"out": folder, "progress": "plain"})
        worker = threading.Thread(target=consortium.run, args=(chosen,))
        node.heard.clear()
        worker.start()
        while not any("Receiving: train" in line for line in node.heard) and worker.is_alive():
            time.sleep(0.02)
        node.kill()
        worker.join()
        seconds = _round_seconds(Path(folder))
    return [
        Record(case="lost-node", subject=OURS, metric="delay", value=_delay(seconds), unit="s"),
        Record(case="lost-node", subject=OURS, metric="deadline", value=deadline_s, unit="s"),
    ]


def _delay(rounds: Sequence[float]) -> float:
    """How much longer the longest round took than the others usually do."""
    *others, longest = sorted(rounds)
    return longest - statistics.median(others)


def _ratios(records: Sequence[Record]) -> list[Record]:
    """Private modes beside `plain`, and the peer beside ours."""
    rounds = {(r.case, r.subject): r.value for r in records if r.metric == "round"}
    found = []
    plain, peer = rounds.get(("plain-warm", OURS)), rounds.get(("plain-stock", PEER))
    for (case, subject), value in rounds.items():
        if subject != OURS or value is None:
            continue
        if plain and case not in ("plain-warm", "plain-stock"):
            ratio = value / plain
            found.append(Record(case=case, subject=OURS, metric="vs:plain", value=ratio, unit="x"))
        if peer and case.startswith("plain"):
            found.append(
                Record(
                    case=case,
                    subject=OURS,
                    metric=f"speedup_vs:{PEER}",
                    value=peer / value,
                    unit="x",
                )
            )
    return found
