"""Differential privacy: what a run may tell of one record or one participant."""

from fedtrade.privacy.settings import AdaptiveClip, ParticipantLevel, Privacy, RecordLevel

__all__ = ["AdaptiveClip", "ParticipantLevel", "Privacy", "RecordLevel"]
