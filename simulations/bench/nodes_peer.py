"""Stock Flower FedAvg on real nodes, with the local work of the risk task; the benchmark's peer.

Its strategy, grid and pauses are Flower's own. A participant trains and scores as ours does: the
same prices, the same local steps, the same bars. The run configuration's `settings` are those of a
fedtrade run; how long the rounds took is printed behind `ROUNDS`.
"""

import time

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from conf import resolve
from fedtrade.holdings import Holdings, build_task
from fedtrade.settings import Settings
from fedtrade.tasks.task import FEDERATED, Model, Sample, Task

__all__ = ["client_app", "server_app"]

client_app = ClientApp()
server_app = ServerApp()


def _prepared(context: Context) -> tuple[Task, Sample, dict[str, np.ndarray]]:
    """The task, the node's own sample up to the last year, and its own sums."""
    settings = resolve(str(context.run_config["settings"]))
    task = build_task(settings)
    panel = Holdings.of(settings).panel_of(int(str(context.node_config["partition-id"])))
    n_test = settings.evaluation.test_bars
    panel = panel.rows(panel.n_bars - n_test - settings.federation.history_bars, panel.n_bars)
    sample = Sample.take(panel, calendar=panel.bars, origin=panel.bars[-n_test - 1])
    shared: dict[str, np.ndarray] = {}
    for name in task.sums:
        shared[name] = task.finish_sum(name, task.local_sum(name, sample, shared))
    return task, sample, shared


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Train from the global vector and send the new one."""
    task, sample, shared = _prepared(context)
    (vector,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    result = task.train(vector, sample, shared)
    content = RecordDict(
        {
            "arrays": ArrayRecord([vector + result.update]),
            "metrics": MetricRecord({"num-examples": result.n_examples, "loss": result.loss}),
        }
    )
    return Message(content, reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the global vector."""
    task, sample, shared = _prepared(context)
    (vector,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    model = Model(vector, {name: shared[name] for name in task.learned})
    scores = task.evaluate(sample, shared, {FEDERATED: model})
    metrics: dict[str, int | float] = {
        "num-examples": len(scores.bars),
        "loss": float(np.nanmean(scores.totals)),
    }
    return Message(RecordDict({"metrics": MetricRecord({**metrics})}), reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run FedAvg with training and evaluation in each round."""
    settings: Settings = resolve(str(context.run_config["settings"]))
    n, n_rounds = settings.federation.n_participants or 1, settings.federation.rounds
    strategy = FedAvg(min_train_nodes=n, min_evaluate_nodes=n, min_available_nodes=n)
    start = build_task(settings).initial(settings.seed)
    began = time.perf_counter()
    strategy.start(grid, ArrayRecord([start]), num_rounds=n_rounds)
    print(f"ROUNDS {n_rounds} {time.perf_counter() - began}", flush=True)
