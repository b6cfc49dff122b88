"""Networks as pure functions of one flat parameter vector.

A network never owns its parameters: it is called with a vector and features, so that an update is
the difference of two vectors and many models can be trained at once, one a row. Every network
starts as the zero function, hence a task that shrinks towards its prior starts at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrade.lazy_torch import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MLP", "Linear", "Network", "NetworkFactory"]


class Network(Protocol):
    """A function of features whose parameters are one vector."""

    @property
    def n_params(self) -> int:
        """The length of the vector."""
        ...

    def initial(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """A vector of shape (n_params,) to start from, at which the network is zero."""
        ...

    def __call__(self, vector: Tensor, features: Tensor) -> Tensor:
        """Map (..., n_params) and (n, n_features) to (..., n, n_outputs)."""
        ...


class NetworkFactory(Protocol):
    """What the configuration group `model` names: the shape of a network, its ends left open."""

    def __call__(self, n_features: int, n_outputs: int) -> Network:
        """Build the network between these two ends."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """An affine map; the vector holds the `n_outputs` intercepts, then the weights by row."""

    n_features: int
    n_outputs: int

    @property
    def n_params(self) -> int:
        """One intercept and `n_features` weights an output."""
        return self.n_outputs * (1 + self.n_features)

    @property
    def n_units(self) -> int:
        """Outputs of the first layer, which is the only one."""
        return self.n_outputs

    def initial(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Zeros; the generator is not used."""
        return np.zeros(self.n_params, dtype=np.float32)

    def __call__(self, vector: Tensor, features: Tensor) -> Tensor:
        """Map (..., n_params) and (n, n_features) to (..., n, n_outputs)."""
        intercepts = vector[..., None, : self.n_outputs]
        shape = (*vector.shape[:-1], self.n_outputs, self.n_features)
        weights = vector[..., self.n_outputs :].reshape(shape)
        return intercepts + features @ weights.mT


class MLP:
    """A multi-layer perceptron with tanh units whose last layer starts at zero.

    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer.

    Raises
    ------
    ValueError
        If a hidden layer has no unit.
    """

    def __init__(self, n_features: int, n_outputs: int, hidden: Sequence[int] = (16,)) -> None:
        if any(units < 1 for units in hidden):
            raise ValueError(f"hidden layers need at least one unit each, got hidden={hidden}.")
        sizes = (n_features, *hidden, n_outputs)
        self._layers = tuple(Linear(*ends) for ends in pairwise(sizes))

    @property
    def n_params(self) -> int:
        """The parameters of all layers."""
        return sum(layer.n_params for layer in self._layers)

    @property
    def n_units(self) -> int:
        """Outputs of the first layer."""
        return self._layers[0].n_outputs

    def initial(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Uniform weights of variance 1 / fan-in; zeros in the last layer."""
        parts = [self._random_layer(layer, rng) for layer in self._layers[:-1]]
        return np.concatenate([*parts, self._layers[-1].initial(rng)])

    def __call__(self, vector: Tensor, features: Tensor) -> Tensor:
        """Map (..., n_params) and (n, n_features) to (..., n, n_outputs)."""
        start, values = 0, features
        for layer in self._layers:
            if start:
                values = torch.tanh(values)
            values = layer(vector[..., start : start + layer.n_params], values)
            start += layer.n_params
        return values

    @staticmethod
    def _random_layer(layer: Linear, rng: np.random.Generator) -> NDArray[np.float32]:
        vector = layer.initial(rng)
        bound = sqrt(3.0 / layer.n_features)
        n_weights = layer.n_params - layer.n_outputs
        vector[layer.n_outputs :] = rng.uniform(-bound, bound, n_weights)
        return vector
