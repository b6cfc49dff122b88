"""Aggregation rules beside those of Flower, ByzFL, NumPy and torch: time, memory, growth.

All subjects run in the same fresh interpreter, in turn, with all cores, and the best of several
runs counts. ByzFL takes arrays and tensors; both are measured, and a speed-up is against the
fastest of all peers. The large case, 10,000 clients, has an interpreter for each rule, whose peak
of memory beyond the updates is that of the aggregation.
"""

import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fedtrade.errors import ConfigurationError
from fedtrade.report.records import Record, print_records
from simulations.bench.peak_memory import peak_mib

__all__ = ["run"]

_OURS = "fedtrade"
_YARDSTICK = "numpy-sgemm"
_TURNS = 2
_LONG_S = 1.0
"""What takes longer is repeated only once a turn."""
_REST_S = 0.3
"""Threads of the subject before go on spinning for so long."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_LARGE = {"multi_krum": {"sketch": 256}, "trimmed_mean": {}}


def run(
    *,
    shapes: Sequence[Sequence[int]] = ((100, 100_000), (1_000, 10_000)),
    cases: Sequence[str] | None = None,
    large: Sequence[int] | None = (10_000, 10_000),
    growth: Sequence[int] | None = (2_500, 5_000, 10_000, 20_000),
    byzantine_share: float = 0.2,
    n_repeats: int = 5,
) -> list[Record]:
    """Measure every rule on every shape (n_clients, n_params) of standard normal updates.

    Parameters
    ----------
    cases : sequence of str or None
        Rules; all that a peer has by default.
    large : shape or None
        Of the case without peers.
    growth : sequence of int or None
        Numbers of parameters over which growth is measured, with 500 clients.
    n_repeats : int
        Runs of each subject, of which the best counts; peers that take long run less often.

    Raises
    ------
    ConfigurationError
        If a shape is none, there is no such case, or too many lie for the rules.
    """
    _check(shapes, cases, large, byzantine_share)
    request: dict[str, Any] = {
        "cases": cases,
        "byzantine_share": byzantine_share,
        "n_repeats": n_repeats,
    }
    found: list[Record] = []
    for n_clients, n_params in shapes:
        found += _in_fresh_interpreter("peers", request | {"shape": (n_clients, n_params)})
    if growth:
        found += _in_fresh_interpreter("growth", request | {"n_params": list(growth)})
    for case, options in _LARGE.items() if large else ():
        wanted = {"case": case, "options": options, "shape": large}
        found += _in_fresh_interpreter("large", request | wanted)
    return found


def _check(shapes: Any, cases: Sequence[str] | None, large: Any, byzantine_share: float) -> None:
    """Refuse here what would be a traceback of the fresh interpreter."""
    is_share = isinstance(byzantine_share, float | int) and 0.0 <= byzantine_share < 0.5
    if not is_share:
        raise ConfigurationError(
            f"bench.byzantine_share must be in [0, 0.5), got {byzantine_share!r}."
        )
    wanted = [
        *(shapes if isinstance(shapes, list | tuple) else [shapes]),
        *([large] if large else []),
    ]
    for shape in wanted:
        is_pair = isinstance(shape, list | tuple) and len(shape) == 2
        if not is_pair or not all(isinstance(size, int) and size >= 1 for size in shape):
            raise ConfigurationError(
                f"a shape of the benchmark is [n_clients, n_params], such as shapes=[[100,1000]]; "
                f"got {shape!r}."
            )
        least = 2 * int(byzantine_share * shape[0]) + 3
        if shape[0] < least:
            raise ConfigurationError(
                f"bench.byzantine_share={byzantine_share:g} of {shape[0]} clients needs at least "
                f"{least} of them; use more clients or a smaller share."
            )
    if cases is not None:
        from simulations.bench.robust_cases import RULES

        unknown = [case for case in cases if case not in RULES]
        if unknown:
            raise ConfigurationError(
                f"there is no case {unknown[0]!r}; choose from {', '.join(RULES)}."
            )


def _in_fresh_interpreter(what: str, request: dict[str, Any]) -> list[Record]:
    # The command line asks for one thread, which suits small models; here all cores work.
    environment = {k: v for k, v in os.environ.items() if k not in _THREADS}
    done = subprocess.run(
        [sys.executable, "-m", "simulations.bench.robust", what, json.dumps(request)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        check=True,
    )
    return [Record.model_validate(record) for record in json.loads(done.stdout)]


# --- in the fresh interpreter -------------------------------------------------------------------


def _peers(request: dict[str, Any]) -> list[Record]:
    import numpy as np

    from simulations.bench.robust_cases import RULES, ours, peers

    n_clients, n_params = request["shape"]
    n_byzantine = int(request["byzantine_share"] * n_clients)
    updates = _updates(n_clients, n_params)
    n_repeats = request["n_repeats"]
    shape = f"{n_clients}x{n_params}"
    found = []
    for case in request["cases"] or RULES:
        subjects = peers(case, updates, n_byzantine)
        own = ours(case, updates, n_byzantine)
        if case == "nnm":
            square = np.ones((n_clients, n_clients), np.float32)
            subjects[_YARDSTICK] = partial(np.matmul, square, updates)
        name = f"{case}-{shape}"
        seconds = _best({_OURS: own, **subjects}, n_repeats)
        found += [_record(name, subject, "duration", s, "s") for subject, s in seconds.items()]
        found += _speedups(name, seconds)
        found.append(_record(name, _OURS, "extra_copies", _copies(own, updates.nbytes), "x"))
    return found


def _speedups(case: str, seconds: dict[str, float]) -> list[Record]:
    """Against each peer, and against the fastest; a bare product is a yardstick, not a peer."""
    ours = seconds[_OURS]
    others = {name: s for name, s in seconds.items() if name != _OURS}
    records = [
        _record(case, _OURS, f"speedup_vs:{name}", s / ours, "x") for name, s in others.items()
    ]
    real = {name: s for name, s in others.items() if name != _YARDSTICK}
    if real:
        records.append(_record(case, _OURS, "speedup", min(real.values()) / ours, "x"))
    return records


def _growth(request: dict[str, Any]) -> list[Record]:
    """The exponent of the time in the number of parameters: one where growth is linear."""
    import numpy as np

    from simulations.bench.robust_cases import RULES, ours

    n_clients = 500
    n_byzantine = int(request["byzantine_share"] * n_clients)
    sizes = request["n_params"]
    found = []
    for case in request["cases"] or RULES:
        seconds = []
        for n_params in sizes:
            updates = _updates(n_clients, n_params)
            own = {_OURS: ours(case, updates, n_byzantine)}
            seconds.append(_best(own, request["n_repeats"])[_OURS])
        exponent = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
        name = f"{case}-{n_clients}x{sizes[0]}-{sizes[-1]}"
        found.append(_record(name, _OURS, "growth_exponent", exponent, ""))
    return found


def _large(request: dict[str, Any]) -> list[Record]:
    from fedtrade.robust import build_rule

    n_clients, n_params = request["shape"]
    rule = build_rule(request["case"], **request["options"])
    warm = _updates(32, 64)
    rule(warm, n_byzantine=2, rng=0)
    updates = _updates(n_clients, n_params)
    before = peak_mib()
    began = time.perf_counter()
    rule(updates, n_byzantine=int(request["byzantine_share"] * n_clients), rng=0)
    seconds = time.perf_counter() - began
    options = "".join(f"-{name}{value}" for name, value in request["options"].items())
    name = f"{request['case']}{options}-{n_clients}x{n_params}"
    return [
        _record(name, _OURS, "duration", seconds, "s"),
        _record(name, _OURS, "peak_rss_beyond_input", peak_mib() - before, "MiB"),
    ]


def _updates(n_clients: int, n_params: int) -> Any:
    import numpy as np

    rng = np.random.default_rng(n_clients)
    return rng.standard_normal((n_clients, n_params), dtype=np.float32)


def _best(subjects: dict[str, Callable[[], object]], n_repeats: int) -> dict[str, float]:
    """Least seconds of each subject; they take turns, so that a busy moment hits all alike."""
    best = dict.fromkeys(subjects, float("inf"))
    for _ in range(_TURNS):
        for name, call in subjects.items():
            time.sleep(_REST_S)
            for repeat in range(n_repeats + 1):  # the first one warms up
                if repeat > 1 and best[name] > _LONG_S:
                    break
                began = time.perf_counter()
                call()
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def _copies(call: Callable[[], object], n_bytes: int) -> float:
    """The peak of what is allocated meanwhile, in sizes of the input."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / n_bytes
    finally:
        tracemalloc.stop()


def _record(case: str, subject: str, metric: str, value: float, unit: str) -> Record:
    return Record(case=case, subject=subject, metric=metric, value=value, unit=unit)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure = {"peers": _peers, "growth": _growth, "large": _large}[sys.argv[1]]
        records = measure(json.loads(sys.argv[2]))
        print(json.dumps([record.model_dump() for record in records]))
    else:
        print_records(run())
