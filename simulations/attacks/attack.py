"""What an attack is: on updates, on training data, or on whole replies.

An attack says what the liars send and nothing of how it gets there: those on updates are plain
functions of a `RoundView`, so that the same object serves a simulation, a benchmark on made-up
arrays and a test. What an attack remembers from round to round is a value (`remember`) that
whoever plays the rounds carries along.

A new attack is one class, in the repository or outside of it, that derives from one of the three
kinds; the configuration names it by `_target_`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from types import NoneType, UnionType
from typing import Any, get_args

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from simulations.attacks.round_view import Memory, RoundView

__all__ = ["Attack", "DataAttack", "ReplyAttack", "UpdateAttack", "craft_round"]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What all attacks have in common.

    Parameters
    ----------
    share : float
        Of the participants that lie, in [0, 1); see `choose_attackers`.
    claimed_examples : int or None
        What liars claim as their number of examples; None leaves the true one.

    Raises
    ------
    ValueError
        If the share lies outside of its range, or an option that is a number is something else.
    """

    share: float = 0.2
    claimed_examples: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_number(field.name, field.type, getattr(self, field.name))
        if not 0.0 <= self.share < 1.0:
            raise ValueError(f"share must be in [0, 1), got {self.share}.")

    @property
    def played(self) -> "Attack":
        """The attack behind this one, where it only decides when that one acts."""
        return self

    def is_active(self, round_number: int) -> bool:
        """Whether liars lie in this round (from 1)."""
        return True

    def remember(self, view: RoundView) -> Memory:
        """What the attack knows after seeing a round, from `view.memory` and the round."""
        return {}


class UpdateAttack(Attack, ABC):
    """Replaces the updates of the liars.

    Attributes
    ----------
    omniscient : bool
        Whether it sees the honest updates of the round; otherwise it takes the liars' own for
        them, and does not know the rule.
    """

    omniscient: bool = True

    @abstractmethod
    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """What the liars send, shape (n_attackers, n_params); the view is not changed."""


class DataAttack(Attack, ABC):
    """Poisons what the liars train on; the training itself is honest."""

    @abstractmethod
    def poison(
        self, features: NDArray[np.floating], labels: NDArray[np.generic], rng: np.random.Generator
    ) -> tuple[NDArray[np.floating], NDArray[np.generic]]:
        """Features (n, k) and labels (n,) to train on, as copies of the same types.

        Labels of a floating type are quantities, such as returns; whole numbers are classes.
        """


class ReplyAttack(Attack, ABC):
    """Changes whole replies.

    Attributes
    ----------
    copies : int
        How often a liar's reply arrives.
    """

    copies: int = 1

    @abstractmethod
    def tamper(self, reply: Message, rng: np.random.Generator) -> Message:
        """What a liar sends instead of an honest reply, which is not changed."""


def craft_round(
    attack: Attack, view: RoundView, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Memory]:
    """Play one round of an attack: what the liars send, and what the attack remembers.

    The memory belongs into the next round's view. Attacks that are not on updates, or that pause
    in this round, send the liars' own updates.

    Returns
    -------
    updates : float32 of shape (n_attackers, n_params)
    memory : mapping of str to array

    Raises
    ------
    ValueError
        If the attack crafts another shape.
    """
    played = attack.played
    if not isinstance(played, UpdateAttack):
        return view.own.copy(), {}
    if not played.omniscient:
        view = replace(view, honest=view.own, honest_ids=(), aggregate=None)
    view = replace(view, memory=played.remember(view))
    if not attack.is_active(view.round_number):
        return view.own.copy(), view.memory
    with np.errstate(over="ignore", invalid="ignore"):
        crafted = np.asarray(played.craft(view, rng), dtype=np.float32)
    if crafted.shape != view.own.shape:
        raise ValueError(
            f"{type(played).__name__} crafted updates of shape {crafted.shape} instead of "
            f"{view.own.shape}."
        )
    return crafted, view.memory


def _check_number(name: str, kind: Any, value: object) -> None:
    """Raise a ValueError if the value is no number where `kind`, a field's type, asks for one."""
    kinds = {*get_args(kind)} if isinstance(kind, UnionType) else {kind}
    if not kinds <= {int, float, NoneType} or (value is None and NoneType in kinds):
        return
    numbers = (int, np.integer, float, np.floating) if float in kinds else (int, np.integer)
    if not isinstance(value, numbers):
        wanted = "a number" if float in kinds else "a whole number"
        raise ValueError(f"{name} must be {wanted}, got {value!r}.")
