"""Server optimisers: what is added to the global vector, from the aggregate of the updates."""

from fedtrade.optimisers.fed_adam import fed_adam
from fedtrade.optimisers.fed_avg import fed_avg
from fedtrade.optimisers.fed_avg_m import fed_avg_m
from fedtrade.optimisers.fed_yogi import fed_yogi
from fedtrade.optimisers.server_optimiser import OptimiserState, ServerOptimiser

__all__ = [
    "OptimiserState",
    "ServerOptimiser",
    "fed_adam",
    "fed_avg",
    "fed_avg_m",
    "fed_yogi",
]
