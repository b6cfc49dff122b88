"""What a promise is about: what neighbouring data differ in."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

__all__ = ["PROTECTED", "REMEDIES", "UNITS", "Unit"]

Unit: TypeAlias = Literal["label", "record", "participant"]

UNITS: Final[tuple[Unit, ...]] = ("label", "record", "participant")
"""The weakest promise first."""

PROTECTED: Final[Mapping[Unit, str]] = {
    "label": "each of its records as a label",
    "record": "all that each of its records does",
    "participant": "all that it contributes",
}
"""What is protected of a participant."""

REMEDIES: Final[Mapping[Unit, str]] = {
    "label": "privacy=record or privacy=participant",
    "record": "privacy=record with privacy.record.unit=day, or privacy=participant",
    "participant": "privacy=participant",
}
"""Settings of a run with noise for it."""
