"""How rules stand: what each is worth in each case, and what its worst case is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, stdev

from simulations.arena.cell import NO_ATTACK
from simulations.arena.results import ArenaResults

__all__ = ["Case", "Standings", "Value", "standings"]


@dataclass(frozen=True, slots=True)
class Value:
    """A metric over the seeds of a case; None where no seed has a value.

    Attributes
    ----------
    mean, lowest : float or None
    spread : float or None
        Standard deviation over seeds; None for fewer than two.
    n_seeds : int
        Those that have a value.
    """

    mean: float | None
    lowest: float | None
    spread: float | None
    n_seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Value":
        """Sum up the values of the seeds, at least one."""
        spread = stdev(values) if len(values) > 1 else None
        return cls(mean(values), min(values), spread, len(values))


@dataclass(frozen=True, slots=True)
class Case:
    """A rule's value against one attack by one share of liars."""

    rule: str
    attack: str
    share: float
    value: Value


@dataclass(frozen=True)
class Standings:
    """One metric (more is better) of all rules, on one problem at one level of heterogeneity.

    Attributes
    ----------
    rules, attacks : tuple of str
        In the order in which they were run; attacks without `none`. A rule that saw means of
        groups is another one than the same rule that saw participants.
    shares : tuple of float
        Rising.
    cases : mapping of (rule, attack, share) to Value
    refused : mapping of rule to tuple of float
        Shares of liars at which it cannot be used.
    """

    problem: str
    heterogeneity: str
    metric: str
    rules: tuple[str, ...]
    attacks: tuple[str, ...]
    shares: tuple[float, ...]
    cases: Mapping[tuple[str, str, float], Value]
    refused: Mapping[str, tuple[float, ...]]

    def of(self, rule: str, share: float | None = None) -> list[Case]:
        """The rule's cases under attack, at one share or at all."""
        return [
            Case(name, attack, liars, value)
            for (name, attack, liars), value in self.cases.items()
            if name == rule and attack != NO_ATTACK and share in (None, liars)
        ]

    def worst(self, rule: str, share: float | None = None) -> Case | None:
        """The attack and share at which the rule fares worst, by the mean over seeds.

        A case without any value counts as the worst of all; None if the rule has no case.
        """
        found = self.of(rule, share)
        return min(found, key=_by_mean) if found else None

    def mean(self, rule: str, share: float | None = None) -> float | None:
        """The mean over attacks (and shares)."""
        found = [case.value.mean for case in self.of(rule, share) if case.value.mean is not None]
        return mean(found) if found else None

    def honest(self, rule: str) -> Value | None:
        """The rule's value without an attack, at the largest share that it is told to expect."""
        for share in reversed(self.shares):
            if (rule, NO_ATTACK, share) in self.cases:
                return self.cases[(rule, NO_ATTACK, share)]
        return None

    @cached_property
    def ranking(self) -> tuple[str, ...]:
        """Rules by their worst case, the best first; those without a case last."""
        order = {rule: self.worst(rule) for rule in self.rules}
        return tuple(sorted(self.rules, key=lambda rule: _rank(order[rule])))


def standings(results: ArenaResults, metrics: Mapping[str, str] | None = None) -> list[Standings]:
    """The standings at each level of each problem.

    Parameters
    ----------
    metrics : mapping of str to str or None
        Metric by problem; None for the headlines.
    """
    wanted = results.headlines if metrics is None else metrics
    values: dict[tuple[str, str], dict[tuple[str, str, float], list[float]]] = {}
    refused: dict[tuple[str, str], dict[str, dict[float, None]]] = defaultdict(dict)
    for r in results.records:
        if r.metric == wanted.get(r.problem):
            cases = values.setdefault((r.problem, r.heterogeneity), {})
            found = cases.setdefault((r.label, r.attack, r.share), [])
            if r.value is not None:
                found.append(r.value)
    for refusal in results.refusals:
        place = (refusal.problem, refusal.heterogeneity)
        values.setdefault(place, {})
        refused[place].setdefault(refusal.label, {})[refusal.share] = None
    return [
        _standings(place, wanted[place[0]], cases, refused[place])
        for place, cases in values.items()
    ]


def _standings(
    place: tuple[str, str],
    metric: str,
    cases: Mapping[tuple[str, str, float], Sequence[float]],
    refused: Mapping[str, Mapping[float, None]],
) -> Standings:
    rules = dict.fromkeys([*(rule for rule, _, _ in cases), *refused])
    attacks = dict.fromkeys(attack for _, attack, _ in cases if attack != NO_ATTACK)
    return Standings(
        *place,
        metric,
        tuple(rules),
        tuple(attacks),
        tuple(sorted({share for _, _, share in cases})),
        {
            case: Value.of(found) if found else Value(None, None, None, 0)
            for case, found in cases.items()
        },
        {rule: tuple(sorted(shares)) for rule, shares in refused.items()},
    )


def _by_mean(case: Case) -> float:
    return -float("inf") if case.value.mean is None else case.value.mean


def _rank(worst: Case | None) -> tuple[bool, float]:
    return (True, 0.0) if worst is None else (False, -_by_mean(worst))
