"""Differential privacy: what a run may tell of one record or one participant, and what it cost.

Accountants and mechanisms stand on large libraries, which are loaded when one is used.
"""

from fedtrade.privacy.accountant import ACCOUNTANTS, Accountant, accountant, spent
from fedtrade.privacy.calibration import least_noise, noise_multiplier
from fedtrade.privacy.events import (
    Approximate,
    BoundedRange,
    Concentrated,
    DiscreteGaussian,
    Event,
    Gaussian,
    GroupGaussian,
    Laplace,
    Pure,
    Skellam,
    event_from,
    times,
    to_mapping,
)
from fedtrade.privacy.groups import group_event, group_privacy
from fedtrade.privacy.settings import AdaptiveClip, ParticipantLevel, Privacy, RecordLevel

__all__ = [
    "ACCOUNTANTS",
    "Accountant",
    "AdaptiveClip",
    "Approximate",
    "BoundedRange",
    "Concentrated",
    "DiscreteGaussian",
    "Event",
    "Gaussian",
    "GroupGaussian",
    "Laplace",
    "ParticipantLevel",
    "Privacy",
    "Pure",
    "RecordLevel",
    "Skellam",
    "accountant",
    "event_from",
    "group_event",
    "group_privacy",
    "least_noise",
    "noise_multiplier",
    "spent",
    "times",
    "to_mapping",
]
