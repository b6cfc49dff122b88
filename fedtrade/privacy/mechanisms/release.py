"""What a mechanism gives: a noisy value, and what it cost."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from fedtrade.privacy.events import Event

__all__ = ["Release"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Release(Generic[T]):
    """A value that may leave, and the event to account.

    Attributes
    ----------
    value
        Noisy.
    event : Event
        Of one unit, added or removed.
    """

    value: T
    event: Event
