"""What a budget still affords: rounds at a noise, or the noise of so many rounds."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedtrade.errors import BudgetError, ConfigurationError
from fedtrade.privacy.events import Event, times
from fedtrade.privacy.ledger.composition import Counts, counts_of, fits
from fedtrade.settings_record import validation_sentence

__all__ = ["Curve", "Means", "affordable_rounds", "needed_noise"]

_MOST_ROUNDS: Final = 10_000_000
_MOST_NOISE: Final = 1e6
_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Means:
    """What may be spent altogether, and what was.

    Attributes
    ----------
    epsilon, delta : float
        The whole budget.
    accountant : str
    spent : Counts
        How often each event has counted so far, by its JSON.
    """

    epsilon: float
    delta: float
    accountant: str
    spent: Counts

    def cover(self, event: Event) -> bool:
        """Whether a ledger would still admit the event."""
        after = Counter(self.spent) + counts_of([event])
        return fits(after, self.epsilon, self.delta, self.accountant)


def affordable_rounds(means: Means, event: Event) -> int:
    """How often an event fits, up to 10 million times."""

    def is_covered(n: int) -> bool:
        return means.cover(times(event, n))

    if not is_covered(1):
        return 0
    most = 1
    while most < _MOST_ROUNDS and is_covered(2 * most):
        most *= 2
    low, high = most, 2 * most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_covered(middle) else (low, middle)
    return min(low, _MOST_ROUNDS)


def needed_noise(means: Means, n_rounds: int, event_of: Callable[[float], Event]) -> float:
    """The least noise multiplier with which so many rounds fit, rounded up by at most 0.1 %.

    Parameters
    ----------
    event_of : callable
        What one round costs, by its noise multiplier.

    Raises
    ------
    BudgetError
        If they fit with none.
    """

    def is_covered(noise: float) -> bool:
        return means.cover(times(event_of(noise), n_rounds))

    high = _first(is_covered, 1.0)
    if high is None:
        raise BudgetError(
            f"no noise makes {n_rounds} rounds fit into what is left of epsilon="
            f"{means.epsilon:g} at delta={means.delta:g}; plan fewer rounds or a larger budget."
        )
    low = high / 2.0
    while low > 1e-6 and is_covered(low):
        low, high = low / 2.0, low
    while high / low > 1.0 + _TOLERANCE:
        middle = sqrt(low * high)
        low, high = (low, middle) if is_covered(middle) else (middle, high)
    return high


class _Point(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    noise_multiplier: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    value: Annotated[float, Field(allow_inf_nan=False)]


class Curve(BaseModel):
    """How useful a model is by the noise of a round, as somebody has measured it.

    Attributes
    ----------
    metric : str
    lower_is_better : bool
    points : tuple
        Of `noise_multiplier` and `value`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    metric: str
    lower_is_better: bool = True
    points: Annotated[tuple[_Point, ...], Field(min_length=1)]

    @classmethod
    def read(cls, path: Path) -> "Curve":
        """Read a JSON file.

        Raises
        ------
        ConfigurationError
            If it cannot be read, or is no curve.
        """
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            raise ConfigurationError(f"the curve {path}: {validation_sentence(error)}") from None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the curve {path} cannot be read: {error}.") from None

    def most_noise(self, value: float) -> float:
        """The most noise that was measured to be at least as good; nothing is read in between.

        Raises
        ------
        ConfigurationError
            If nothing is so good.
        """
        sign = 1.0 if self.lower_is_better else -1.0
        good = [p.noise_multiplier for p in self.points if sign * p.value <= sign * value]
        if not good:
            best = min(self.points, key=lambda point: sign * point.value)
            raise ConfigurationError(
                f"nothing in the curve reaches {self.metric}={value:g}; the best is "
                f"{best.value:g}, with a noise of {best.noise_multiplier:g}."
            )
        return max(good)


def _first(fits: Callable[[float], bool], noise: float) -> float | None:
    """The first of the doubled values that fits."""
    while not fits(noise):
        noise *= 2.0
        if noise > _MOST_NOISE:
            return None
    return noise
