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
    correction : Correction
        For the task.
    context : Context
        Its state keeps the participant's variate of the present episode, and no other.
    key : str or None
        Where in the state; None if no variates are kept.
    has_variates : bool
        Whether the new variate is sent.
    """

    correction: Correction
    context: Context
    key: str | None
    has_variates: bool

    @staticmethod
    def is_asked(message: Message) -> bool:
        """Whether a training message asks for one."""
        records = message.content
        return (
            PROXIMAL in records.config_records[CONFIG] or VARIATE in records.array_records[ARRAYS]
        )

    @classmethod
    def of(
        cls, message: Message, context: Context, gradient: Gradient, *, remembers: bool = True
    ) -> "LocalCorrection | None":
        """The correction that a training message asks for, or None.

        A participant whose memory was lost with an interrupted run takes its variate once more at
        the vector at which it did so last.

        Parameters
        ----------
        remembers : bool
            Whether variates are kept from round to round. In private modes they are not, but taken
            at what the message says: a sum is of what all were asked alike, and a server could have
            asked each another vector before, to know by its variate what it sends next.
        """
        if not cls.is_asked(message):
            return None
        config = message.content.config_records[CONFIG]
        arrays = message.content.array_records[ARRAYS]
        proximal = float(config.get(PROXIMAL, 0.0))  # type: ignore[arg-type]
        if VARIATE not in arrays:
            return cls(Correction(proximal), context, None, has_variates=False)
        key = f"{VARIATE}/{EpisodeRecord.from_config(config).number}"
        own = _kept(context, key) if remembers else None
        if own is None and VARIATE_AT in arrays:
            own = gradient(arrays[VARIATE_AT].numpy())
        shift = variate_shift(arrays[VARIATE].numpy(), own)
        return cls(Correction(proximal, shift), context, key if remembers else None, True)

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
