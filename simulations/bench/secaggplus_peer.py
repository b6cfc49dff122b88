"""One round of Flower's SecAgg+, a peer in benchmarks, over our in-process Grid.

Flower has it for its older API only: a workflow on the server and a mod around the client. Our
Grid runs both unchanged and costs far less than Flower's Ray runtime, so the time is that of the
protocol.
"""

import logging
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
from flwr.app import Context, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import (
    NDArrays,
    Parameters,
    Scalar,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid
from numpy.typing import NDArray

from simulations.flower_log import flower_log_level
from simulations.grid import InProcessGrid

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from flwr.client import Client, NumPyClient

__all__ = ["CLIP", "TOLERANCE", "PeerRound", "secaggplus_round"]

CLIP = 8.0
"""Flower's default range of values."""
TOLERANCE = 1e-5
"""Of the mean; values are rounded at random to one of 2^22 steps in the range."""
_WEIGHT = 1000
"""Examples of each client: Flower's default limit, at which its result is the most exact."""


class PeerRound(NamedTuple):
    """What a round gave.

    Attributes
    ----------
    seconds : float
        From the sampling of clients to the aggregate.
    mean : float64 of shape (n_params,)
    """

    seconds: float
    mean: NDArray[np.float64]


def secaggplus_round(
    updates: NDArray[np.float32],
    *,
    num_shares: int | float,
    reconstruction_threshold: int | float,
    dropouts: frozenset[int] = frozenset(),
) -> PeerRound:
    """The mean of the clients' updates by Flower's SecAgg+, with its defaults for all the rest.

    Parameters
    ----------
    updates : float32 of shape (n_clients, n_params)
        Within +-CLIP.
    num_shares, reconstruction_threshold : int or float
        As in Flower's `SecAggPlusWorkflow`; a client holds one of its own shares.
    dropouts : frozenset of int
        Clients that fail before they upload.

    Raises
    ------
    RuntimeError
        If Flower gave no mean, or a wrong one.
    """
    n_clients, n_params = updates.shape
    seconds: list[float] = []
    workflow = SecAggPlusWorkflow(num_shares, reconstruction_threshold)

    def timed(grid: Grid, context: Context) -> None:
        began = time.perf_counter()
        workflow(grid, context)
        seconds.append(time.perf_counter() - began)

    start = np.full(n_params, np.nan, np.float32)
    strategy = _Strategy(
        fraction_evaluate=0.0,
        min_fit_clients=n_clients,
        min_available_clients=n_clients,
        initial_parameters=ndarrays_to_parameters([start]),
    )
    with (
        flower_log_level(logging.CRITICAL),
        InProcessGrid(_client_app(updates, dropouts), n_clients) as grid,
    ):
        bare = Context(grid.run.run_id, SUPERLINK_NODE_ID, {}, RecordDict(), {})
        context = LegacyContext(bare, ServerConfig(num_rounds=1), strategy)
        DefaultWorkflow(fit_workflow=timed)(grid, context)
    if strategy.mean is None:
        raise RuntimeError("Flower's SecAgg+ gave no result.")
    there = [number for number in range(n_clients) if number not in dropouts]
    error = float(np.abs(strategy.mean - updates[there].mean(axis=0, dtype=np.float64)).max())
    if not error <= TOLERANCE:
        raise RuntimeError(f"Flower's SecAgg+ is {error:.3g} off the mean of the updates.")
    return PeerRound(seconds[0], strategy.mean)


def _client_app(updates: NDArray[np.float32], dropouts: frozenset[int]) -> ClientApp:
    class Fixed(NumPyClient):
        """Trains to the update that is its own."""

        def __init__(self, number: int) -> None:
            self.number = number

        def fit(
            self, parameters: NDArrays, config: dict[str, Scalar]
        ) -> tuple[NDArrays, int, dict[str, Scalar]]:
            if self.number in dropouts:
                raise ConnectionError("it drops out")
            return [updates[self.number]], _WEIGHT, {}

    def client_fn(context: Context) -> Client:
        return Fixed(int(context.node_config["partition-id"])).to_client()

    return ClientApp(client_fn, mods=[secaggplus_mod])


class _Strategy(FedAvg):
    """Keeps the aggregate."""

    mean: NDArray[np.float64] | None = None

    def aggregate_fit(
        self, *args: Any, **options: Any
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        parameters, metrics = super().aggregate_fit(*args, **options)
        if parameters is not None:
            self.mean = parameters_to_ndarrays(parameters)[0].astype(np.float64)
        return parameters, metrics
