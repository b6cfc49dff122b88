"""Checks of the options that rules take."""

import math

import numpy as np

__all__ = ["check_positive", "check_whole"]


def check_whole(rule: str, option: str, value: object) -> None:
    """Raise a ValueError unless the value is a whole number from 1."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{rule}: {option} must be a whole number from 1, got {value!r}.")


def check_positive(rule: str, option: str, value: object) -> None:
    """Raise a ValueError unless the value is a finite number above zero."""
    number = value if isinstance(value, int | float | np.integer | np.floating) else math.nan
    if isinstance(value, bool) or not 0.0 < number < math.inf:
        raise ValueError(f"{rule}: {option} must be positive and finite, got {value!r}.")
