"""Refusal of targets that promise nothing."""

from math import inf
from typing import Final

from fedtrade.errors import AccountingError, PrivacyError

__all__ = [
    "LARGEST_DELTA",
    "check_clip",
    "check_delta",
    "check_epsilon",
    "check_spend",
    "check_target",
]

LARGEST_DELTA: Final = 0.1
"""From there on a target is no promise, however many units there are: it may be void for one in
ten."""


def check_delta(delta: float, n_units: int | None = None) -> None:
    """Refuse a delta outside of (0, 1), or outside of (0, 1 / `n_units`) where units are known.

    A mechanism that publishes one unit in `n_units` as it is has a delta of 1 / `n_units`.

    Raises
    ------
    AccountingError
        If `delta` is out of range or not a number.
    """
    if not 0.0 < delta < 1.0:
        raise AccountingError(f"delta={delta} must lie between 0 and 1, both excluded.")
    if n_units is not None and delta * n_units >= 1.0:
        raise AccountingError(
            f"delta={delta} must be less than one over the {n_units} units that it protects, "
            f"{1.0 / n_units:.3g}: at that, one of them could be published."
        )


def check_epsilon(epsilon: float) -> None:
    """Refuse an epsilon at which to take delta: one that is negative or not a number.

    Raises
    ------
    AccountingError
        If it is one.
    """
    if not epsilon >= 0.0:
        raise AccountingError(f"epsilon={epsilon} must not be negative.")


def check_target(epsilon: float, delta: float, n_units: int | None = None) -> None:
    """Refuse what no noise reaches or what promises nothing.

    Raises
    ------
    AccountingError
        If `epsilon` is not a positive finite number, or `delta` is out of range (`check_delta`) or
        at least `LARGEST_DELTA`.
    """
    check_spend(epsilon)
    check_delta(delta, n_units)
    if delta >= LARGEST_DELTA:
        raise AccountingError(
            f"delta={delta} must be less than {LARGEST_DELTA}: it is the probability that nothing "
            "is promised; take one well below one over the number of units."
        )


def check_spend(epsilon: float) -> None:
    """Refuse an epsilon for a mechanism that is not a positive finite number.

    Raises
    ------
    AccountingError
        If it is not.
    """
    if not 0.0 < epsilon < inf:
        raise AccountingError(f"epsilon={epsilon} must be a positive number.")


def check_clip(clip: float) -> None:
    """Refuse a bound on what a unit contributes that is not a positive finite number.

    Raises
    ------
    PrivacyError
        If it is not.
    """
    if not 0.0 < clip < inf:
        raise PrivacyError(f"clip={clip} must be a positive number.")
