"""Rounds of our masked sums, as a run makes them, over the same Grid that the peer runs on."""

import time
from typing import NamedTuple

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from clients.masked_party import MaskedParty
from clients.party import Outgoing
from conf import resolve
from fedtrade.secure import MaskedAggregation
from fedtrade.wire import ARRAYS, CONFIG, METRICS
from simulations.bench.signature_checks import timed_signature_checks
from simulations.grid import InProcessGrid
from strategies.exchange import array_record
from strategies.membership import discover
from strategies.trust.masked import Masked
from strategies.trust.mode import TrainingRequest

__all__ = ["MaskedRound", "masked_rounds"]

_TTL_S = 3600.0
_ROUND_NUMBER = "server-round"
"""As Flower's strategies call it; a participant contributes to each round once."""
_BAR_S = 0.0
"""Participants must hold a bar to be in a federation; all hold this one."""


class MaskedRound(NamedTuple):
    """What a round gave.

    Attributes
    ----------
    seconds : float
        From the messages that ask for training to the mean.
    checks_s : float
        Of them, for the checks of signatures.
    mean : float32 of shape (n_params,)
    """

    seconds: float
    checks_s: float
    mean: NDArray[np.float32]


def masked_rounds(
    settings: MaskedAggregation,
    updates: NDArray[np.float32],
    *,
    dropouts: frozenset[int] = frozenset(),
    n_rounds: int = 2,
) -> list[MaskedRound]:
    """Rounds with the same updates, each of which also sets up the next.

    Parameters
    ----------
    updates : float32 of shape (n_clients, n_params)
    dropouts : frozenset of int
        Clients that fail before they upload in the last round; before it all are there.

    Raises
    ------
    RuntimeError
        If a round gave no mean, or a wrong one.
    """
    n_clients, n_params = updates.shape
    mode = Masked(settings, brought=resolve("").digest())  # its members are brought none
    absent: set[int] = set()
    with InProcessGrid(_client_app(settings, updates, absent), n_clients) as grid:
        found = discover(grid, n_clients, _TTL_S, greeting=mode.greeting())
        members = mode.join(grid, found, _TTL_S)
        numbers = members.participants
        rounds = []
        for number in range(n_rounds):
            absent |= dropouts if number == n_rounds - 1 else frozenset()
            request = TrainingRequest(
                nodes=tuple(numbers),
                group_id=str(number),
                n_params=n_params,
                n_parts=1,
                by_examples=False,
                max_norm_ratio=10.0,
                ttl_s=_TTL_S,
            )
            config = ConfigRecord({_ROUND_NUMBER: number})
            content = RecordDict({ARRAYS: array_record({}), CONFIG: config})
            with timed_signature_checks() as checks:
                began = time.perf_counter()
                messages = mode.ask_training(content, request)
                rows = mode.read_training(grid, grid.send_and_receive(messages), request)
                seconds = time.perf_counter() - began
            if len(rows.rows) != 1:
                raise RuntimeError(f"the masked round gave no sum: {rows.problem}")
            row = rows.rows[0]
            _check(row.update, updates, [numbers[n] for n in row.nodes], absent, settings)
            rounds.append(MaskedRound(seconds, checks.seconds, row.update))
    return rounds


def _check(
    mean: NDArray[np.float32],
    updates: NDArray[np.float32],
    there: list[int],
    absent: set[int],
    settings: MaskedAggregation,
) -> None:
    """Raise a RuntimeError unless it is the mean of all but the absent ones."""
    if set(there) != set(range(len(updates))) - absent:
        raise RuntimeError(f"{len(there)} clients are in the sum, {len(absent)} were absent")
    error = float(np.abs(mean - updates[there].mean(axis=0, dtype=np.float64)).max())
    if not error <= settings.clip_resolution:
        raise RuntimeError(f"the masked round is {error:.3g} off the mean of the updates.")


def _client_app(
    settings: MaskedAggregation, updates: NDArray[np.float32], absent: set[int]
) -> ClientApp:
    app = ClientApp()

    def party_of(context: Context) -> MaskedParty:
        return MaskedParty(_number(context), settings, context)

    @app.query("describe")
    def describe(message: Message, context: Context) -> Message:
        greeted = party_of(context).greet(message)
        given = Outgoing({"bars": np.array([_BAR_S])}, {"participant": _number(context)})
        return _reply(message, given._replace(records=greeted.records))

    @app.query("secure")
    def secure(message: Message, context: Context) -> Message:
        return _reply(message, party_of(context).answer(message))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        number = _number(context)
        if number in absent:
            raise ConnectionError("it drops out")
        party = party_of(context)
        party.check(message)
        return _reply(message, party.training(message, updates[number], 1, 0.0))

    return app


def _number(context: Context) -> int:
    return int(context.node_config["partition-id"])


def _reply(message: Message, given: Outgoing) -> Message:
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({name: Array(values) for name, values in given.arrays.items()}),
            METRICS: MetricRecord(dict(given.metrics)),
            **given.records,
        }
    )
    return Message(content, reply_to=message)
