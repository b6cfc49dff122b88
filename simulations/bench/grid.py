"""What the federation's runtime itself costs: our Grid beside Flower's Ray runtime.

Flower's FedAvg over participants that do nothing (`fedavg_apps`), 3 rounds of 1,000 parameters.
Every measurement has a fresh interpreter; the clock runs from the call that starts the run to its
return, without imports, and a run of ten participants comes first. Memory is the peak of the
resident set during the run less its value before.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from fedtrade.report.records import Record, print_records
from simulations import ray as ray_runtime
from simulations.bench.peak_memory import peak_mib

__all__ = ["run"]

_APPS = "simulations.bench.fedavg_apps"
_OURS = "fedtrade"
_PEER = "flwr-ray"


def run(
    *,
    n_participants: Sequence[int] = (1_000, 10_000),
    ray: bool = True,
    n_ray_participants: int = 1_000,
    n_params: int = 1_000,
    n_rounds: int = 3,
    n_repeats: int = 3,
) -> list[Record]:
    """Measure the runtime at several sizes, with and without evaluation rounds.

    Parameters
    ----------
    ray : bool
        Whether Flower's Ray runtime runs beside ours, training only. Without the extra `ray` it is
        left out and a note says so.
    n_ray_participants : int
        The size at which it runs.
    n_repeats : int
        Runs up to 1,000 participants are repeated; the median counts.
    """

    def settings(n: int, fraction_evaluate: float) -> dict[str, float]:
        return {
            "n_participants": n,
            "n_params": n_params,
            "n_rounds": n_rounds,
            "fraction_evaluate": fraction_evaluate,
        }

    records: list[Record] = []
    for n in n_participants:
        for case, fraction in ((f"train-{n}", 0.0), (f"train-evaluate-{n}", 1.0)):
            records += _ours(case, settings(n, fraction), n_repeats if n <= 1_000 else 1)
    if ray:
        n = n_ray_participants
        records += _peer(f"train-{n}", settings(n, 0.0), records)
    return records


def _ours(case: str, settings: dict[str, float], n_repeats: int) -> list[Record]:
    request = json.dumps([settings, n_repeats])
    done = subprocess.run(
        [sys.executable, "-m", "simulations.bench.grid", "--measure", request],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, peak_mib = json.loads(done.stdout)
    return [
        Record(case=case, subject=_OURS, metric="duration", value=seconds, unit="s"),
        Record(
            case=case, subject=_OURS, metric="peak_rss_beyond_imports", value=peak_mib, unit="MiB"
        ),
    ]


def _peer(case: str, settings: dict[str, float], ours: list[Record]) -> list[Record]:
    """Flower's Ray runtime, and how many times faster ours was where it ran the same case."""
    if not ray_runtime.is_installed():
        print("note: Ray is not installed (extra `ray`); its runtime is left out", file=sys.stderr)
        return []
    seconds = ray_runtime.run_apps(
        settings_json=json.dumps(settings),
        n_participants=int(settings["n_participants"]),
        server_app=f"{_APPS}:server_app",
        client_app=f"{_APPS}:client_app",
        log_level="ERROR",
    )
    return [
        Record(case=case, subject=_PEER, metric="duration", value=seconds, unit="s"),
        *(
            Record(
                case=case,
                subject=_OURS,
                metric=f"speedup_vs:{_PEER}",
                value=seconds / record.value,
                unit="x",
            )
            for record in ours
            if (record.case, record.metric) == (case, "duration") and record.value is not None
        ),
    ]


def _measure(settings: dict[str, float], n_repeats: int) -> tuple[float, float]:
    """Median seconds and peak memory (MiB) in this interpreter, beyond what imports took."""
    import logging

    from simulations.bench.fedavg_apps import client_app, server_app
    from simulations.grid import simulate

    def once(n: int) -> float:
        began = time.perf_counter()
        simulate(
            server_app,
            client_app,
            n_participants=n,
            run_config={"settings": json.dumps({**settings, "n_participants": n})},
            log_level=logging.ERROR,
        )
        return time.perf_counter() - began

    once(10)
    before = peak_mib()
    n_participants = int(settings["n_participants"])
    seconds = statistics.median(once(n_participants) for _ in range(n_repeats))
    return seconds, peak_mib() - before


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(_measure(*json.loads(sys.argv[2]))))
    else:
        print_records(run())
