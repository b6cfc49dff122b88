"""What the events of an account cost together."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final, TypeAlias

from fedtrade.privacy.accountant import spent
from fedtrade.privacy.events import (
    Concentrated,
    DiscreteGaussian,
    Event,
    Gaussian,
    Skellam,
    event_from,
    to_mapping,
)

__all__ = ["Counts", "counts_of", "epsilon_of", "events_of", "fits", "is_quick"]

Counts: TypeAlias = Mapping[str, int]
"""How often each event took place, by its JSON."""

_REMEMBERED: Final = 4096
_ROUNDING: Final = 1e-9


def counts_of(events: Iterable[Event]) -> Counter[str]:
    """Events that are alike are one with a count: what is composed does not grow with time."""
    counts: Counter[str] = Counter()
    for event in events:
        counts[_text_of(replace(event, count=1))] += event.count
    return counts


def events_of(counts: Counts) -> tuple[Event, ...]:
    """The events again, those that are alike as one."""
    return tuple(replace(_event_of(text), count=n) for text, n in sorted(counts.items()) if n)


def epsilon_of(counts: Counts, delta: float, accountant: str) -> float:
    """The epsilon of all at `delta`, rounded up; infinite if there is none."""
    return _epsilon(events_of(counts), delta, accountant)


def is_quick(counts: Counts, accountant: str) -> bool:
    """Whether it takes no more than a millisecond: an accountant has a formula for them all."""
    if accountant == "sum":
        return True
    kinds = [_event_of(text) for text in counts]
    if all(isinstance(e, Gaussian) and e.sampling_probability == 1.0 for e in kinds):
        return True
    return all(isinstance(e, DiscreteGaussian | Skellam | Concentrated) for e in kinds)


def fits(counts: Counts, epsilon: float, delta: float, accountant: str) -> bool:
    """Whether all together cost no more than `epsilon` at `delta`.

    Sums of numbers that are not exact may exceed it by a billionth.
    """
    limit = epsilon * (1.0 + _ROUNDING)
    # Moments take no time to add up, and are never below what `pld` has.
    by_moments = accountant == "pld" and not is_quick(counts, accountant)
    if by_moments and epsilon_of(counts, delta, "rdp") <= limit:
        return True
    return epsilon_of(counts, delta, accountant) <= limit


@lru_cache(maxsize=_REMEMBERED)
def _epsilon(events: tuple[Event, ...], delta: float, accountant: str) -> float:
    return spent(events, delta, accountant) if events else 0.0


@lru_cache(maxsize=_REMEMBERED)
def _event_of(text: str) -> Event:
    return event_from(json.loads(text))


@lru_cache(maxsize=_REMEMBERED)
def _text_of(event: Event) -> str:
    return json.dumps(to_mapping(event), sort_keys=True, separators=(",", ":"))
