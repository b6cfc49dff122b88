"""Who lies in a run, and how: from the settings."""

from dataclasses import dataclass
from logging import INFO

import numpy as np
from flwr.serverapp import Grid
from flwr.supercore import log

from fedtrade.components import build
from fedtrade.errors import ConfigurationError
from fedtrade.settings import Component, Settings
from fedtrade.tasks.risk import N_FEATURES
from simulations.attacks.attack import Attack, DataAttack
from simulations.attacks.attacked_grid import AttackedGrid
from simulations.attacks.attackers import choose_attackers
from simulations.attacks.known_rule import known_rule

__all__ = ["Cast"]

_RISK = "fedtrade.tasks.risk.Risk"


@dataclass(frozen=True)
class Cast:
    """The attack of a run and the numbers of the participants that play it."""

    attack: Attack
    attackers: tuple[int, ...]

    @classmethod
    def of(cls, settings: Settings) -> "Cast | None":
        """From settings with their number of participants; None if everybody is honest.

        Raises
        ------
        ConfigurationError
            If the attack is none, its share is less than one participant, it poisons data of a
            task that cannot be poisoned, or it rewrites replies that hide what is in them.
        """
        if settings.attack is None:
            return None
        attack = _built(settings.attack)
        n_participants = settings.federation.n_participants or 1
        attackers = choose_attackers(n_participants, attack.share, settings.seed)
        if not attackers and attack.share > 0.0:
            raise ConfigurationError(
                f"attack.share={attack.share:g} of {n_participants} participants is less than one; "
                f"use attack.share={1 / n_participants:.4f} or more, or attack=none."
            )
        cast = cls(attack, attackers)
        _check_trust_mode(attack, settings)
        if cast.poisons_data and settings.task.target != _RISK:
            raise ConfigurationError(
                f"{settings.attack.target} poisons training examples of task=risk only, not of "
                f"{settings.task.target}; choose an attack on updates."
            )
        if isinstance(attack.played, DataAttack):
            _check_poison(attack.played)
        return cast

    @property
    def poisons_data(self) -> bool:
        """Whether liars need a client of their own."""
        return isinstance(self.attack.played, DataAttack)

    def on(self, grid: Grid, settings: Settings) -> AttackedGrid:
        """The grid with these liars on it; the adversary knows the rule of the settings."""
        numbers = ", ".join(str(number) for number in self.attackers) or "nobody"
        log(INFO, "%s: the participants that lie are %s", type(self.attack).__name__, numbers)
        size = getattr(settings.aggregation, "group_size", None)
        rule = known_rule(settings.strategy, settings.seed, size)
        return AttackedGrid(grid, self.attack, self.attackers, seed=settings.seed, aggregate=rule)


def _check_trust_mode(attack: Attack, settings: Settings) -> None:
    """Refuse an attack on what stands in replies where only sums are seen."""
    mode, name = settings.aggregation.mode, type(attack).__name__
    if mode == "plain":
        return
    remedy = (
        "attack participants' data (label_flip, backdoor), or study liars in random groups with "
        "aggregation=plain aggregation.group_size=M, whose rows are the same"
    )
    if not isinstance(attack.played, DataAttack):
        raise ConfigurationError(
            f"{name} rewrites the updates in liars' replies, and with aggregation={mode} there are "
            f"none to be seen: {remedy}."
        )
    if attack.claimed_examples is not None:
        raise ConfigurationError(
            f"attack.claimed_examples={attack.claimed_examples} rewrites a number in liars' "
            f"replies, and with aggregation={mode} it is not to be seen: {remedy}."
        )


def _check_poison(attack: DataAttack) -> None:
    """Refuse an attack that cannot poison the task's examples: its liars would only fail."""
    features, labels = np.zeros((2, N_FEATURES), np.float32), np.zeros(2, np.float32)
    try:
        attack.poison(features, labels, np.random.default_rng(0))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"attack ({type(attack).__name__}): {error}") from error


def _built(component: Component) -> Attack:
    attack = build(component, "attack")
    if not isinstance(attack, Attack):
        raise ConfigurationError(
            f"attack._target_={component.target} must make a simulations.attacks.Attack, got "
            f"{type(attack)}."
        )
    return attack
