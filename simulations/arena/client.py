"""The ClientApp of the arena: a participant answers a training message as the problem says."""

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedtrade.wire import ARRAYS, CONFIG, METRICS, UPDATE, VECTOR
from simulations.arena.problem import Participants

__all__ = ["client_app"]


def client_app(participants: Participants) -> ClientApp:
    """An app that trains one training's participants, each by its partition id."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        vector = message.content.array_records[ARRAYS][VECTOR].numpy()
        round_number = int(message.content.config_records[CONFIG]["server-round"])  # type: ignore[arg-type]
        participant = int(context.node_config["partition-id"])
        local = participants.update(participant, vector, round_number)
        content = RecordDict(
            {
                ARRAYS: ArrayRecord({UPDATE: Array(local.update)}),
                METRICS: MetricRecord({"num-examples": local.n_examples, "loss": local.loss}),
            }
        )
        return Message(content, reply_to=message)

    return app
