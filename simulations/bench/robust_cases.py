"""The same aggregation by us and by every peer that has the rule, on the same updates.

Each subject gets the updates in the form that it works on, prepared beforehand: one array for
NumPy, ByzFL and us, a tensor for torch, one record of arrays a client for Flower.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.serverapp.strategy.multikrum import select_multikrum
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
from numpy.typing import NDArray

from fedtrade.robust import build_rule
from simulations.bench.byzfl_peer import byzfl_module

__all__ = ["RULES", "Run", "ours", "peers"]

Run = Callable[[], object]

RADIUS = 100.0
"""Of centred clipping: ByzFL's default."""

RULES: Mapping[str, str] = {
    "krum": "krum",
    "multi_krum": "multi_krum",
    "geometric_median": "geometric_median",
    "centered_clipping": f"centered_clipping(radius={RADIUS}, n_iterations=1)",
    "nnm": "nnm",
    "trimmed_mean": "trimmed_mean",
    "median": "median",
    "meamed": "meamed",
}
"""Our rule for each case, by the definition that peers have of it."""

LARGEST_GATHER = 1 << 31
"""Bytes; ByzFL's mixing holds a copy of the updates for each client and is left out beyond."""


def ours(case: str, updates: NDArray[np.float32], n_byzantine: int) -> Run:
    """Aggregate; mixing gives all mixed rows, as ByzFL's does."""
    rule = build_rule(RULES[case])
    if case == "nnm":
        return lambda: rule.mix(updates, n_byzantine=n_byzantine)
    return lambda: rule(updates, n_byzantine=n_byzantine).update


def peers(case: str, updates: NDArray[np.float32], n_byzantine: int) -> dict[str, Run]:
    """The peers that have the rule, by name."""
    tensor = torch.from_numpy(updates)
    found = _flower(case, updates, n_byzantine)
    for kind, vectors in (("numpy", updates), ("torch", tensor)):
        run = _byzfl(case, vectors, n_byzantine)
        if run is not None:
            found[f"byzfl-{kind}"] = run
    if case == "median":
        found["numpy"] = lambda: np.median(updates, axis=0)
        found["torch"] = lambda: torch.median(tensor, dim=0).values
    return found


def _flower(case: str, updates: NDArray[np.float32], n_byzantine: int) -> dict[str, Run]:
    """What Flower's strategies compute with the arrays of the replies."""
    n = len(updates)
    if case in ("krum", "multi_krum"):
        contents = [
            RecordDict(
                {
                    "arrays": ArrayRecord({"vector": Array(row)}),
                    "metrics": MetricRecord({"num-examples": 1}),
                }
            )
            for row in updates
        ]
        n_selected = 1 if case == "krum" else n - n_byzantine

        def select() -> ArrayRecord:
            chosen = select_multikrum(contents, n_byzantine, n_selected)
            return aggregate_arrayrecords(chosen, "num-examples")

        return {"flwr": select}
    rows = list(updates)
    if case == "trimmed_mean":
        return {"flwr": lambda: trim_mean(np.stack(rows), n_byzantine / n)}
    if case == "median":
        return {"flwr": lambda: np.median(np.stack(rows), axis=0)}
    return {}


def _byzfl(case: str, vectors: Any, n_byzantine: int) -> Run | None:
    aggregators = byzfl_module("aggregators.aggregators")
    mixers = byzfl_module("aggregators.preaggregators")
    if aggregators is None or mixers is None:
        return None
    is_array = isinstance(vectors, np.ndarray)
    match case:
        case "krum":
            rule = aggregators.Krum(n_byzantine)
        case "multi_krum":
            rule = aggregators.MultiKrum(n_byzantine)
        case "geometric_median":
            rule = aggregators.GeometricMedian()
        case "centered_clipping":
            # It keeps its own last aggregate, of which each call must start anew.
            return lambda: aggregators.CenteredClipping(tau=RADIUS)(vectors)
        case "nnm":
            if vectors.nbytes * len(vectors) > LARGEST_GATHER * (2 if is_array else 4):
                return None
            rule = mixers.NNM(n_byzantine)
        case "trimmed_mean":
            rule = aggregators.TrMean(n_byzantine)
        case "median":
            rule = aggregators.Median()
        case "meamed":
            rule = aggregators.Meamed(n_byzantine)
        case _:
            return None
    return lambda: rule(vectors)
