"""What the arena needs to know of a problem: who trains on what, and what the outcome is worth.

A problem at one level of heterogeneity and one seed consists of one or more *trainings* (the
tail-risk task has one an origin). All of them are run with the same cast; then the problem scores
the vectors that came out, beside those of two references: everybody honest, and the liars absent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeAlias

from numpy.typing import NDArray

from fedtrade.tasks.task import LocalUpdate, Vector
from simulations.attacks.attack import Attack

__all__ = ["Cast", "Outcome", "Participants", "Poison", "Problem", "References", "Training"]

Poison: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]
"""From a liar's features (n, n_features) and labels (n,) to those that it trains on."""


@dataclass(frozen=True)
class Cast:
    """Who takes part, and in which role.

    Attributes
    ----------
    n_participants : int
    liars : tuple of int
        Participants that lie, or would if they were not honest or absent; they are never scored.
    is_honest : bool
        The liars behave like everybody else.
    is_absent : bool
        The liars are not there: neither asked nor part of anything that is shared.
    """

    n_participants: int
    liars: tuple[int, ...] = ()
    is_honest: bool = False
    is_absent: bool = False

    @cached_property
    def honest(self) -> tuple[int, ...]:
        """Those who never lie, in order."""
        liars = set(self.liars)
        return tuple(i for i in range(self.n_participants) if i not in liars)

    @property
    def members(self) -> tuple[int, ...]:
        """Those who are there, in order."""
        return self.honest if self.is_absent else tuple(range(self.n_participants))

    @property
    def attackers(self) -> tuple[int, ...]:
        """Those who are there and lie."""
        return () if self.is_absent or self.is_honest else self.liars


class Participants(Protocol):
    """The participants in one run of a training, with whatever they remember between rounds."""

    def update(self, participant: int, vector: Vector, round_number: int) -> LocalUpdate:
        """What a participant's own data say; those of `Training.start`'s poisons are poisoned."""
        ...

    def root_update(self, vector: Vector) -> Vector:
        """What data that the server itself holds say, for rules that need a trusted update."""
        ...


class Training(Protocol):
    """One federated training from its first vector to its last.

    Attributes
    ----------
    n_rounds : int
    """

    n_rounds: int

    def initial(self) -> Vector:
        """The vector at which it starts, shape (n_params,)."""
        ...

    def start(self, poisons: Mapping[int, Poison]) -> Participants:
        """The participants before the first round; `poisons` by participant."""
        ...


class Outcome(NamedTuple):
    """The last vector of each training of a cast."""

    cast: Cast
    vectors: Sequence[Vector]


class References(NamedTuple):
    """Plain averaging without an attack: with everybody honest, and without the liars."""

    clean: Outcome
    lost: Outcome


class Problem(Protocol):
    """A problem at one level of heterogeneity.

    Attributes
    ----------
    n_participants : int
    """

    n_participants: int

    def trainings(self, cast: Cast) -> Sequence[Training]:
        """The trainings of a cast, always as many and in the same order."""
        ...

    def scores(
        self, outcome: Outcome, references: References, attack: Attack | None = None
    ) -> Mapping[str, float]:
        """Metrics by name, on data of the honest participants or of nobody; NaN for none.

        `attack` is the one that was run: of a backdoor its success is measured as well.
        """
        ...
