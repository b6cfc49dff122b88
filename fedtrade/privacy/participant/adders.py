"""Who adds the noise to a sum, and how many of them are honest at least.

Who colludes knows its own noise and can take it off, and who drops out adds none. So noise that
members add is divided by the fewest that are neither (Kairouz, Liu and Steinke 2021,
https://arxiv.org/abs/2102.06387, section 5: the sum of theirs alone is enough).
"""

from dataclasses import dataclass

from fedtrade.errors import ConfigurationError
from fedtrade.secure.proportion import at_least, at_most
from fedtrade.secure.settings import (
    Aggregation,
    EncryptedAggregation,
    MaskedAggregation,
    PlainAggregation,
)

__all__ = ["Adders", "adders", "with_least_contributors"]


@dataclass(frozen=True, slots=True)
class Adders:
    """Of one run's sums.

    Attributes
    ----------
    who : str
        `server`, `participants` or `key holder`.
    n_honest : int
        The fewest whose noise is in an opened sum and unknown to all others; 1 of a server or a
        key holder, who add all of it.
    n_contributors : int
        The fewest whose vectors are in an opened sum.
    """

    who: str
    n_honest: int
    n_contributors: int

    @property
    def by_members(self) -> bool:
        """Whether each participant adds a part of the noise."""
        return self.who == "participants"


def adders(settings: Aggregation, n_participants: int) -> Adders:
    """Who adds the noise in a trust mode, among so many participants of the run.

    Raises
    ------
    ConfigurationError
        If nobody could in this mode.
    """
    match settings:
        case PlainAggregation():
            _refuse_groups("plain", settings.group_size)
            return Adders("server", 1, 1)
        case MaskedAggregation():
            _refuse_groups("masked", settings.group_size)
            return _members(settings, n_participants)
        case EncryptedAggregation():
            return _key_holder(settings)


def with_least_contributors(settings: MaskedAggregation, n_participants: int) -> MaskedAggregation:
    """The settings with which no sum opens that has too little noise in it."""
    least = _members(settings, n_participants).n_contributors
    return settings.model_copy(update={"min_contributors": least})


def _members(settings: MaskedAggregation, n_participants: int) -> Adders:
    n_lost = at_least(settings.dropout_share, n_participants)
    least = max(settings.min_contributors, n_participants - n_lost)
    n_honest = least - at_most(settings.colluding_share, n_participants)
    if n_honest < 1:
        raise ConfigurationError(
            f"of the {least} participants in a sum, {least - n_honest} may collude "
            f"(aggregation.colluding_share={settings.colluding_share:g}) and nobody is left whose "
            "noise is a secret: invite more participants, or lower aggregation.dropout_share."
        )
    return Adders("participants", n_honest, least)


def _key_holder(settings: EncryptedAggregation) -> Adders:
    if settings.scheme == "ckks" or settings.weighted:
        wrong = "weighted=true" if settings.weighted else "scheme=ckks"
        raise ConfigurationError(
            f"aggregation.{wrong} does not go with privacy.participant: noise of an exact "
            "deviation needs exact sums in which everybody counts once; set "
            "aggregation.scheme=bfv aggregation.weighted=false."
        )
    return Adders("key holder", 1, settings.min_contributors)


def _refuse_groups(mode: str, group_size: int | None) -> None:
    if group_size is not None:
        raise ConfigurationError(
            f"aggregation.group_size={group_size} (aggregation={mode}) does not go with "
            "privacy.participant: a group is too small to hide in at the same noise; set "
            "aggregation.group_size=null."
        )
