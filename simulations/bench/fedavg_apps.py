"""The apps of the Grid benchmark: Flower's own FedAvg and a participant that does nothing.

What remains is the cost of the runtime. The run configuration's `settings` is a JSON object with
`n_participants`, `n_params`, `n_rounds` and `fraction_evaluate`.
"""

import json

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

__all__ = ["client_app", "server_app"]

client_app = ClientApp()
server_app = ServerApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Reply with the arrays that came."""
    content = RecordDict(
        {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
    )
    return Message(content, reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Reply with a constant loss."""
    metrics = MetricRecord({"num-examples": 1, "loss": 1.0})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run FedAvg and fail unless the model came back as it was sent."""
    settings = json.loads(str(context.run_config["settings"]))
    arrays = ArrayRecord([np.ones(settings["n_params"], np.float32)])
    # All of them: on Ray the server starts while participants still join.
    n_participants = settings["n_participants"]
    strategy = FedAvg(
        fraction_evaluate=settings["fraction_evaluate"],
        min_train_nodes=n_participants,
        min_available_nodes=n_participants,
    )
    result = strategy.start(grid, arrays, num_rounds=settings["n_rounds"])
    returned = result.arrays.to_numpy_ndarrays()[0]
    if not np.allclose(returned, 1.0, atol=1e-3):
        raise RuntimeError(f"FedAvg returned {returned.min()} to {returned.max()}, expected 1")
