"""More noise for more delicate data."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from fedtrade.errors import PrivacyError
from fedtrade.privacy.checks import check_spend
from fedtrade.settings_record import SettingsRecord

__all__ = ["EpsilonShares", "SensitivityClass"]

_Share = Annotated[float, Field(gt=0.0, le=1.0)]


class SensitivityClass(StrEnum):
    """How delicate a statistic's data are, by their owner's judgement."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class EpsilonShares(SettingsRecord):
    """The share of an epsilon that a release of each class may spend.

    Half the share is twice the noise. Public data need no noise and have no share.

    Attributes
    ----------
    internal, confidential, restricted : float
        In (0, 1]; none larger than the one before.
    """

    internal: _Share = 1.0
    confidential: _Share = 0.5
    restricted: _Share = 0.25

    @model_validator(mode="after")
    def _check_order(self) -> "EpsilonShares":
        if not self.internal >= self.confidential >= self.restricted:
            raise ValueError(
                f"shares internal={self.internal}, confidential={self.confidential} and "
                f"restricted={self.restricted} must not rise with how delicate data are"
            )
        return self

    def epsilon(self, of: SensitivityClass | str, most: float) -> float:
        """What a release of this class may spend of an epsilon of `most`.

        Raises
        ------
        PrivacyError
            If the class is unknown, or public: its data may be released as they are.
        """
        check_spend(most)
        known = [name.value for name in SensitivityClass if name is not SensitivityClass.PUBLIC]
        if of == SensitivityClass.PUBLIC:
            raise PrivacyError("public data need no noise: release them as they are.")
        if of not in known:
            raise PrivacyError(f"the sensitivity class {str(of)!r} is none of {', '.join(known)}.")
        share: float = getattr(self, str(of))
        return share * most
