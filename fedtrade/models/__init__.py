"""Torch models that give and take one flat float32 vector."""

from fedtrade.models.fitting import Fit, fit_vectors
from fedtrade.models.network import MLP, Linear, Network, NetworkFactory
from fedtrade.models.tail_head import TailForecasts, TailHead

__all__ = [
    "MLP",
    "Fit",
    "Linear",
    "Network",
    "NetworkFactory",
    "TailForecasts",
    "TailHead",
    "fit_vectors",
]
