"""Counts of events that are known to fit into a budget, so that fewer need no computation.

Whatever is released less often costs no more. A proof that thus reaches ahead of what is spent
answers for all operations on the way to it; adding up privacy loss distributions takes up to
seconds, and is done a few times for each doubling of the number of operations.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Self

from fedtrade.privacy.ledger.composition import Counts

__all__ = ["Proof"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Counts that fit.

    Attributes
    ----------
    counts : Counts
    reach : float
        By which share of what is spent the next proof tries to reach ahead.
    """

    counts: Counts = field(default_factory=dict)
    reach: float = 1.0

    def covers(self, counts: Counts) -> bool:
        """Whether nothing took place more often than in what fits."""
        return all(n <= self.counts.get(text, 0) for text, n in counts.items())

    def extended(self, counts: Counts, fits: Callable[[Counts], bool]) -> Self:
        """A proof from counts that fit, ahead of them by `reach` if that fits as well.

        Otherwise of the counts alone, and the next one tries to reach half as far.
        """
        ahead = {text: n + ceil(self.reach * n) for text, n in counts.items()}
        if fits(ahead):
            return type(self)(ahead, self.reach)
        return type(self)(dict(counts), self.reach / 2.0)

    def to_json(self) -> str:
        """As `from_json` takes it."""
        return json.dumps({"counts": dict(self.counts), "reach": self.reach})

    @classmethod
    def from_json(cls, text: str | None) -> Self:
        """Read back what `to_json` wrote; None is no proof of anything."""
        return cls() if text is None else cls(**json.loads(text))
