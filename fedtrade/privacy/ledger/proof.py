"""Counts of events that are known to fit into a budget, so that fewer need no computation.

Whatever is released less often costs no more. A proof that thus reaches ahead of what is spent
answers for all operations on the way to it; adding up privacy loss distributions takes up to
seconds, and is done a few times for each doubling of the number of operations.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from fedtrade.privacy.ledger.composition import Counts

__all__ = ["Proof"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Counts that fit.

    Attributes
    ----------
    counts : Counts
    stride : int
        How many operations further the next proof tries to reach.
    """

    counts: Counts = field(default_factory=dict)
    stride: int = 1

    def covers(self, counts: Counts) -> bool:
        """Whether nothing took place more often than in what fits."""
        return all(n <= self.counts.get(text, 0) for text, n in counts.items())

    def extended(self, counts: Counts, asked: Counts, fits: Callable[[Counts], bool]) -> Self:
        """A proof from counts that fit, ahead of them by as many operations as `asked` as can be.

        The stride doubles as long as it fits and halves when it does not.
        """
        ahead = Counter(counts)
        for text, n in asked.items():
            ahead[text] += n * self.stride
        if fits(ahead):
            return type(self)(ahead, 2 * self.stride)
        return type(self)(counts, max(1, self.stride // 2))

    def to_json(self) -> str:
        """As `from_json` takes it."""
        return json.dumps({"counts": dict(self.counts), "stride": self.stride})

    @classmethod
    def from_json(cls, text: str | None) -> Self:
        """Read back what `to_json` wrote; None is no proof of anything."""
        return cls() if text is None else cls(**json.loads(text))
