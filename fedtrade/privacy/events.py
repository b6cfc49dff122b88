"""What was released with noise, as accountants see it: one record a kind of mechanism.

Noise is measured in sensitivities: a `noise_multiplier` of 2 is noise twice as wide as the most
that one unit (a record, or a participant) can change the exact result. Which change that is, adding
a unit or putting another in its place, is up to whoever measures the sensitivity.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, TypeAlias

from fedtrade.errors import AccountingError

__all__ = [
    "Approximate",
    "BoundedRange",
    "Concentrated",
    "DiscreteGaussian",
    "Event",
    "Gaussian",
    "GroupGaussian",
    "Laplace",
    "Pure",
    "Skellam",
    "event_from",
    "times",
    "to_mapping",
]

_KIND: Final = "kind"


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Gaussian noise, after Poisson sampling of the units.

    Attributes
    ----------
    noise_multiplier : float
        Standard deviation over the L2 sensitivity.
    sampling_probability : float
        With which a unit takes part, independently of others, unknown to those it is hidden from.
    count : int
        So many times, each with fresh noise.
    """

    noise_multiplier: float
    sampling_probability: float = 1.0
    count: int = 1

    def __post_init__(self) -> None:
        _check_positive(self, "noise_multiplier")
        _check_count(self)
        _check_probability(self.sampling_probability)


@dataclass(frozen=True, slots=True)
class GroupGaussian:
    """What a sampled Gaussian costs a group of units, each of which is sampled by itself.

    Attributes
    ----------
    noise_multiplier : float
        Standard deviation over the L2 sensitivity to one unit.
    sampling_probability : float
        With which one unit takes part, independently of the others.
    group_size : int
        Units that are protected together.
    count : int
        So many times, each with fresh noise.
    """

    noise_multiplier: float
    sampling_probability: float
    group_size: int
    count: int = 1

    def __post_init__(self) -> None:
        _check_positive(self, "noise_multiplier")
        for name in ("group_size", "count"):
            _check_count(self, name)
        _check_probability(self.sampling_probability)


@dataclass(frozen=True, slots=True)
class Laplace:
    """Laplace noise; `noise_multiplier` is its scale over the L1 sensitivity."""

    noise_multiplier: float
    count: int = 1

    def __post_init__(self) -> None:
        _check_positive(self, "noise_multiplier")
        _check_count(self)


@dataclass(frozen=True, slots=True)
class DiscreteGaussian:
    """A vector of integers plus the sum of independent discrete Gaussians, one a summand.

    Attributes
    ----------
    stddev : float
        The parameter sigma of each summand, in steps of the lattice; at least 0.5.
    l2_sensitivity, l1_sensitivity : float
        The most that one unit changes the exact integers.
    n_params : int
        Length of the vector.
    n_summands : int
        Of noise; 1 where one party draws it all.
    count : int
        So many times, each with fresh noise.
    """

    stddev: float
    l2_sensitivity: float
    l1_sensitivity: float
    n_params: int
    n_summands: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("stddev", "l2_sensitivity", "l1_sensitivity"):
            _check_positive(self, name)
        for name in ("n_params", "n_summands", "count"):
            _check_count(self, name)
        if self.stddev < 0.5:
            raise AccountingError(
                f"stddev={self.stddev} of discrete Gaussian noise must be at least 0.5: "
                "use a finer lattice."
            )


@dataclass(frozen=True, slots=True)
class Skellam:
    """A vector of integers plus Skellam noise, which sums of Skellam noise are again.

    Attributes
    ----------
    variance : float
        Of the whole noise in a number, in squared steps of the lattice.
    l2_sensitivity, l1_sensitivity : float
        The most that one unit changes the exact integers.
    count : int
        So many times, each with fresh noise.
    """

    variance: float
    l2_sensitivity: float
    l1_sensitivity: float
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("variance", "l2_sensitivity", "l1_sensitivity"):
            _check_positive(self, name)
        _check_count(self)


@dataclass(frozen=True, slots=True)
class Pure:
    """Any mechanism that is epsilon-DP, such as the exponential mechanism."""

    epsilon: float
    count: int = 1

    def __post_init__(self) -> None:
        _check_positive(self, "epsilon")
        _check_count(self)


@dataclass(frozen=True, slots=True)
class BoundedRange:
    """The exponential mechanism, which is epsilon-DP and more.

    The log-probabilities of any two outcomes differ by no more than epsilon from what they were
    (Durfee and Rogers 2019), so that it is (epsilon^2 / 8)-zCDP as well (Cesar and Rogers 2021).
    """

    epsilon: float
    count: int = 1

    def __post_init__(self) -> None:
        _check_positive(self, "epsilon")
        _check_count(self)


@dataclass(frozen=True, slots=True)
class Approximate:
    """Any mechanism of which no more is known than that it is (epsilon, delta)-DP."""

    epsilon: float
    delta: float
    count: int = 1

    def __post_init__(self) -> None:
        _check_positive(self, "epsilon")
        _check_count(self)
        if not _is_number(self.delta) or not 0.0 <= self.delta < 1.0:
            raise AccountingError(f"delta={self.delta!r} must lie in [0, 1).")


@dataclass(frozen=True, slots=True)
class Concentrated:
    """Any mechanism that is `rho`-zCDP (Bun and Steinke 2016): RDP of `rho` times each order."""

    rho: float
    count: int = 1

    def __post_init__(self) -> None:
        _check_positive(self, "rho")
        _check_count(self)


Event: TypeAlias = (
    Gaussian
    | GroupGaussian
    | Laplace
    | DiscreteGaussian
    | Skellam
    | Pure
    | BoundedRange
    | Approximate
    | Concentrated
)

_KINDS: Final[Mapping[str, type[Event]]] = {
    "gaussian": Gaussian,
    "group_gaussian": GroupGaussian,
    "laplace": Laplace,
    "discrete_gaussian": DiscreteGaussian,
    "skellam": Skellam,
    "pure": Pure,
    "bounded_range": BoundedRange,
    "approximate": Approximate,
    "concentrated": Concentrated,
}


def times(event: Event, count: int) -> Event:
    """The event, so many times as often."""
    return replace(event, count=event.count * count)


def to_mapping(event: Event) -> dict[str, Any]:
    """Plain values for storage as JSON; `event_from` reads them back."""
    kind = next(name for name, known in _KINDS.items() if isinstance(event, known))
    return {_KIND: kind, **asdict(event)}


def event_from(values: Mapping[str, Any]) -> Event:
    """Read back what `to_mapping` wrote.

    Raises
    ------
    AccountingError
        If the kind is unknown, or a value is missing, unknown or out of range.
    """
    kind = values.get(_KIND)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise AccountingError(f"the event {kind!r} is none of {', '.join(_KINDS)}.")
    try:
        return _KINDS[kind](**{key: value for key, value in values.items() if key != _KIND})
    except TypeError:
        raise AccountingError(
            f"the event {dict(values)} has a value too many or too few for its kind."
        ) from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_positive(event: Event, name: str) -> None:
    value = getattr(event, name)
    if not _is_number(value) or not 0.0 < value < math.inf:
        raise AccountingError(f"{name}={value!r} must be a positive number.")


def _check_count(event: Event, name: str = "count") -> None:
    value = getattr(event, name)
    if type(value) is not int or value < 1:
        raise AccountingError(f"{name}={value!r} must be a whole number from 1.")


def _check_probability(value: float) -> None:
    if not _is_number(value) or not 0.0 < value <= 1.0:
        raise AccountingError(f"sampling_probability={value!r} must lie in (0, 1].")
