"""Participant level: what a run tells of all that one participant contributes is bounded by noise.

`fedtrade.privacy.participant.run` has the noise of a run's settings.
"""

from fedtrade.privacy.participant.adaptive import next_clip
from fedtrade.privacy.participant.adders import Adders, adders, with_least_contributors
from fedtrade.privacy.participant.lattice import QUANTA, on_lattice
from fedtrade.privacy.participant.plan import ReleasePlan
from fedtrade.privacy.participant.vectors import NoisyMean, NoisyVectors, add_noise

__all__ = [
    "QUANTA",
    "Adders",
    "NoisyMean",
    "NoisyVectors",
    "ReleasePlan",
    "add_noise",
    "adders",
    "next_clip",
    "on_lattice",
    "with_least_contributors",
]
