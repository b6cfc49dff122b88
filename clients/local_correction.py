"""How a participant corrects its local training, and the control variate that it remembers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message
from numpy.typing import NDArray

from fedtrade.corrections import Correction, variate_shift
from fedtrade.errors import ConfigurationError
from fedtrade.tasks import LocalUpdate
from fedtrade.wire import ARRAYS, CONFIG, PROXIMAL, VARIATE, VARIATE_AT, EpisodeRecord

__all__ = ["Gradient", "LocalCorrection"]

Gradient: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32] | None]
"""The gradient of the participant's loss at a vector (n_params,), or None of a task without."""


@dataclass(frozen=True, slots=True)
class LocalCorrection:
    """What a message asks for.

    Attributes
    ----------
    proximal : float
        Of the pull towards the global vector.
    variate : float32 of shape (n_params,), or None
        The server's; without it no variates are sent.
    at : float32 of shape (n_params,), or None
        The vector at which the participant took its own variate last.
    context : Context
        Its state keeps the participant's variate of the present episode, and no other.
    key : str or None
        Where in the state; None if no variates are kept.
    """

    proximal: float
    variate: NDArray[np.float32] | None
    at: NDArray[np.float32] | None
    context: Context
    key: str | None

    @property
    def has_variates(self) -> bool:
        """Whether the new variate is sent behind the update."""
        return self.variate is not None

    @staticmethod
    def is_asked(message: Message) -> bool:
        """Whether a training message asks for one."""
        records = message.content
        return (
            PROXIMAL in records.config_records[CONFIG] or VARIATE in records.array_records[ARRAYS]
        )

    @classmethod
    def of(cls, message: Message, context: Context, *, remembers: bool = True) -> "LocalCorrection":
        """The correction that a training message asks for.

        Parameters
        ----------
        remembers : bool
            Whether variates are kept from round to round. In private modes they are not, but taken
            at what the message says: a sum is of what all were asked alike, and a server could have
            asked each another vector before, to know by its variate what it sends next.
        """
        config = message.content.config_records[CONFIG]
        arrays = message.content.array_records[ARRAYS]
        proximal = float(config.get(PROXIMAL, 0.0))  # type: ignore[arg-type]
        if VARIATE not in arrays:
            return cls(proximal, None, None, context, None)
        key = f"{VARIATE}/{EpisodeRecord.from_config(config).number}"
        at = arrays[VARIATE_AT].numpy() if VARIATE_AT in arrays else None
        return cls(proximal, arrays[VARIATE].numpy(), at, context, key if remembers else None)

    def for_task(self, gradient: Gradient) -> Correction:
        """What the task is given.

        A participant whose memory was lost with an interrupted run takes its variate once more at
        the vector at which it did so last.
        """
        if self.variate is None:
            return Correction(self.proximal)
        own = None if self.key is None else _kept(self.context, self.key)
        if own is None and self.at is not None:
            own = gradient(self.at)
        return Correction(self.proximal, variate_shift(self.variate, own))

    def finish(self, result: LocalUpdate) -> NDArray[np.float32]:
        """What is sent: the update, and behind it the new variate, which is remembered.

        Raises
        ------
        ConfigurationError
            If variates are kept and the task gives no gradient.
        """
        if not self.has_variates:
            return result.update
        if result.gradient is None:
            raise ConfigurationError(
                "control variates need the gradient at the global vector, and the task gives "
                "none: set LocalUpdate.gradient in its train(), or use another "
                "strategy.client_correction."
            )
        own = np.asarray(result.gradient, dtype=np.float32)
        if self.key is not None:
            for name in [name for name in self.context.state if name.startswith(f"{VARIATE}/")]:
                del self.context.state[name]
            self.context.state[self.key] = ArrayRecord({VARIATE: Array(own)})
        return np.concatenate([result.update, own])


def _kept(context: Context, key: str) -> NDArray[np.float32] | None:
    record = context.state.get(key)
    return record[VARIATE].numpy() if isinstance(record, ArrayRecord) else None
