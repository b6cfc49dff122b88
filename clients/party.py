"""A participant's side of a trust mode: how what it computed leaves it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ConfigRecord, Message
from numpy.typing import NDArray

from clients.discretion import UntoldError
from fedtrade.errors import ProtocolError, RangeError
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.secure.layout import Layout
from fedtrade.secure.wire import ROUND
from fedtrade.wire import CLIP, CONFIG, LOSS, N_EXAMPLES, UPDATE

__all__ = [
    "Outgoing",
    "Party",
    "PlainParty",
    "clip_by_norm",
    "clip_of",
    "encoded",
]

MARGIN = 1e-3
"""An update that was longer than the clip stays so by this much, and the server can tell."""


class Outgoing(NamedTuple):
    """What a reply carries."""

    arrays: Mapping[str, NDArray[Any]] = {}
    metrics: Mapping[str, int | float] = {}
    config: Mapping[str, list[str]] = {}
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
    def check(self, message: Message) -> None:
        """Refuse a contribution that is not due, before anything of the data is looked at.

        A server that is told of any question whether it can be answered learns of the data without
        a sum: so each is answered once.

        Raises
        ------
        ProtocolError, SecureAggregationError
        """

    @abstractmethod
    def training(
        self, message: Message, update: NDArray[np.float32], n_examples: int, loss: float
    ) -> Outgoing:
        """Contribute to a round of training."""

    @abstractmethod
    def part(self, message: Message, values: NDArray[np.float64]) -> Outgoing:
        """Contribute to a federated sum."""

    def refuse(self, message: Message, reason: str) -> Outgoing:
        """Say that a contribution that was due cannot be given.

        It is a reply, and no error: it has what sets up the next sum, and Flower's simulation
        runtime would forget after an error that this was asked for.
        """
        raise ProtocolError(reason)

    def has_noise(self, message: Message) -> bool:
        """Whether there is noise on the sum that a message asks for, of others than the server."""
        return False


class PlainParty(Party):
    """Everything leaves as it is.

    Parameters
    ----------
    noise : NoisyVectors or None
        What the server adds to sums; updates are clipped for it, and tell no loss or number of
        examples.
    """

    def __init__(self, noise: NoisyVectors | None = None) -> None:
        self._noise = noise

    def check(self, message: Message) -> None:
        """Refuse stages of private sums."""
        if ROUND in message.content.config_records:
            raise ProtocolError(
                "the server asks for a part of a private sum, and this participant's settings say "
                "aggregation=plain: give all the same settings."
            )

    def training(
        self, message: Message, update: NDArray[np.float32], n_examples: int, loss: float
    ) -> Outgoing:
        """The update with its number of examples and loss."""
        if self._noise is None:
            return Outgoing({UPDATE: update}, {N_EXAMPLES: n_examples, LOSS: loss})
        clipped = clip_by_norm(update, (1.0 + MARGIN) * clip_of(message))
        return Outgoing({UPDATE: clipped}, {N_EXAMPLES: 1, LOSS: 0.0})

    def part(self, message: Message, values: NDArray[np.float64]) -> Outgoing:
        """The part."""
        return Outgoing({"sum": values})


def clip_of(message: Message) -> float:
    """The clip that the server names for updates of this round.

    It is in the units of both the updates and the noise, so that no choice of it tells more.

    Raises
    ------
    ProtocolError
        If it names none.
    """
    clip = message.content.config_records.get(CONFIG, ConfigRecord()).get(CLIP)
    if not isinstance(clip, float) or not (math.isfinite(clip) and clip > 0.0):
        raise ProtocolError(
            f"the server names the clip {clip!r}, and this participant's settings want noise on "
            "sums of clipped updates (privacy.participant): give all the same settings."
        )
    return clip


def clip_by_norm(update: NDArray[np.float32], clip: float) -> NDArray[np.float32]:
    """The update, scaled down to a Euclidean norm of `clip` if it is longer."""
    wanted = np.nan_to_num(update.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    norm = float(np.linalg.norm(wanted))
    return (wanted * min(1.0, clip / norm) if norm > 0.0 else wanted).astype(np.float32)


def encoded(layout: Layout, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The words of a contribution.

    Raises
    ------
    UntoldError
        If a value is too large to be added; which, and how large, is not told.
    """
    try:
        return layout.encode(values)
    except RangeError as error:
        raise UntoldError(error) from None
