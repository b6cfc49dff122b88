"""A participant's side of a trust mode: how what it computed leaves it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ConfigRecord, Message
from numpy.typing import NDArray

from fedtrade.errors import ProtocolError
from fedtrade.secure.wire import ROUND
from fedtrade.wire import LOSS, N_EXAMPLES, UPDATE

__all__ = ["Outgoing", "Party", "PlainParty"]


class Outgoing(NamedTuple):
    """What a reply carries."""

    arrays: Mapping[str, NDArray[Any]] = {}
    metrics: Mapping[str, int | float] = {}
    records: Mapping[str, ConfigRecord] = {}


class Party(ABC):
    """Speaks for one participant in one message."""

    def greet(self, message: Message) -> Outgoing:
        """Answer the first message of a run."""
        return Outgoing()

    def answer(self, message: Message) -> Outgoing:
        """Answer the stages of a protocol that a message asks for."""
        raise ProtocolError("aggregation=plain has no stages to answer.")

    @abstractmethod
    def training(
        self, message: Message, update: NDArray[np.float32], n_examples: int, loss: float
    ) -> Outgoing:
        """Contribute to a round of training."""

    @abstractmethod
    def part(self, message: Message, values: NDArray[np.float64]) -> Outgoing:
        """Contribute to a federated sum."""


class PlainParty(Party):
    """Everything leaves as it is."""

    def training(
        self, message: Message, update: NDArray[np.float32], n_examples: int, loss: float
    ) -> Outgoing:
        """The update with its number of examples and loss."""
        _refuse_round(message)
        return Outgoing({UPDATE: update}, {N_EXAMPLES: n_examples, LOSS: loss})

    def part(self, message: Message, values: NDArray[np.float64]) -> Outgoing:
        """The part."""
        _refuse_round(message)
        return Outgoing({"sum": values})


def _refuse_round(message: Message) -> None:
    if ROUND in message.content.config_records:
        raise ProtocolError(
            "the server asks for a part of a private sum, and this participant's settings say "
            "aggregation=plain: give all the same settings."
        )
