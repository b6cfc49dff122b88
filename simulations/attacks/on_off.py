"""On-off: lie in some rounds only, and earn trust in the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedtrade.components import as_component, build
from simulations.attacks.attack import Attack

__all__ = ["OnOff"]


@dataclass(frozen=True, kw_only=True)
class OnOff(Attack):
    """Another attack of any kind, in turns with honest rounds.

    Parameters
    ----------
    attack : Attack or mapping
        What is done in the bad rounds, or its settings, the import path under `_target_`. Who lies
        and what they claim is decided here, not there.
    honest_rounds, bad_rounds : int
        Length of each turn, at least 1; the honest one comes first.

    Raises
    ------
    ValueError
        If an argument lies outside of its range.
    ConfigurationError
        If the settings of the attack are wrong.
    """

    attack: Attack | Mapping[str, Any]
    honest_rounds: int = 2
    bad_rounds: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.honest_rounds < 1 or self.bad_rounds < 1:
            raise ValueError(
                "honest_rounds and bad_rounds must be at least 1, got "
                f"{self.honest_rounds}, {self.bad_rounds}."
            )
        if isinstance(self.attack, Mapping):
            component = as_component(self.attack, "attack.attack")
            object.__setattr__(self, "attack", build(component, "attack.attack"))
        if not isinstance(self.attack, Attack):
            raise TypeError(f"attack must be an Attack, got {type(self.attack)}.")

    @property
    def played(self) -> Attack:
        """The attack of the bad rounds."""
        assert isinstance(self.attack, Attack)
        return self.attack.played

    def is_active(self, round_number: int) -> bool:
        """Whether this is a bad round, and the attack itself acts in it."""
        assert isinstance(self.attack, Attack)
        place = (round_number - 1) % (self.honest_rounds + self.bad_rounds)
        return place >= self.honest_rounds and self.attack.is_active(round_number)
