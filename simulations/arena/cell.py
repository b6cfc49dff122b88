"""One cell of the arena: one rule against one attack, on one problem, with one seed.

It runs the real strategy over the in-process grid. What many cells share, the problem with its
data and the references without an attack, is computed once in a process.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Annotated, Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fedtrade.components import build
from fedtrade.errors import ConfigurationError
from fedtrade.robust import Rule, build_rule
from fedtrade.secure import PlainAggregation
from fedtrade.settings import Component
from fedtrade.tasks.task import Vector
from fedtrade.wire import VECTOR
from simulations.arena.client import client_app
from simulations.arena.problem import Cast, Outcome, Problem, References, Training
from simulations.attacks import Attack, AttackedGrid, DataAttack, choose_attackers
from simulations.flower_log import flower_log_level
from simulations.grid import InProcessGrid
from strategies.robust import RobustAggregation
from strategies.trust import Plain

__all__ = ["NO_ATTACK", "Cell", "CellResult", "rule_label", "run_cell"]

NO_ATTACK = "none"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cell(_Record):
    """Everything that decides the outcome of a cell.

    Attributes
    ----------
    problem, heterogeneity, rule, attack : str
        How they are called in the results.
    share : float
        Of the participants that lie; with the attack `none` they could, but are honest.
    group_size : int or None
        Members of random groups whose means the rule sees, as with masked sums; None for
        participants' own updates.
    assumed_share : float or None
        Of liars that the rule is told to expect; None for the true one.
    definition : Component
        Of the problem; also given `heterogeneity` and `seed`.
    strategy : Component
        Also given `rule`, `n_byzantine` and `seed`.
    rule_options : mapping or None
        A rule by `_target_`; None for one of fedtrade.robust by its name.
    attack_options : Component or None
        The attack, also given `share`; None if nobody lies.
    reference : Component
        The strategy of the runs without an attack.
    """

    problem: str
    heterogeneity: str
    rule: str
    attack: str
    share: Annotated[float, Field(ge=0.0, lt=0.5)]
    seed: int
    group_size: Annotated[int, Field(ge=2)] | None = None
    assumed_share: Annotated[float, Field(ge=0.0, lt=0.5)] | None = None
    definition: Component
    strategy: Component
    rule_options: dict[str, Any] | None = None
    attack_options: Component | None = None
    reference: Component

    @cached_property
    def key(self) -> str:
        """A digest of all of it."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def title(self) -> str:
        """The cell in a few words."""
        return (
            f"{self.problem}/{self.heterogeneity}: "
            f"{rule_label(self.rule, self.group_size)} against {self.attack}, "
            f"{100 * self.share:g} %, seed {self.seed}"
        )


def rule_label(rule: str, group_size: int | None) -> str:
    """A rule as it stands in tables: with the size of the groups whose means it sees."""
    return rule if group_size is None else f"{rule}, groups of {group_size}"


class CellResult(_Record):
    """What came of a cell.

    Attributes
    ----------
    metrics : mapping of str to float or None
        None for what could not be computed; empty if the rule refused.
    refusal : str or None
        Why the rule cannot be used with so many liars, in its own words.
    """

    metrics: dict[str, float | None] = {}
    refusal: str | None = None
    seconds: float = 0.0


def run_cell(cell: Cell) -> CellResult:
    """Run one cell.

    Raises
    ------
    FedtradeError
        If the problem, the strategy or the attack cannot be built.
    """
    started = time.perf_counter()
    problem = _problem(
        cell.definition.model_dump_json(by_alias=True), cell.heterogeneity, cell.seed
    )
    n = problem.n_participants
    liars = choose_attackers(n, cell.share, cell.seed)
    expected = cell.share if cell.assumed_share is None else cell.assumed_share
    n_byzantine = len(choose_attackers(n, expected, cell.seed))
    if cell.rule_options is None:
        named = build_rule(cell.rule)
        n_byzantine = n_byzantine if _defends(named) else 0
        try:
            _trust_mode(cell).check(named, n, n_byzantine, n)
            _check_memory(named, cell)
        except (ValueError, ConfigurationError) as error:
            return CellResult(refusal=str(error), seconds=time.perf_counter() - started)
    attack = _attack(cell)
    cast = Cast(n, liars, is_honest=attack is None)
    rule = cell.rule_options or cell.rule
    strategy = partial(
        _strategy, cell, cell.strategy, rule=rule, n_byzantine=n_byzantine, seed=cell.seed
    )
    with flower_log_level(logging.CRITICAL):
        outcome = _run(problem, cast, strategy, attack, cell.seed)
        references = _references(cell, problem, liars)
    scores = problem.scores(outcome, references, attack)
    metrics = {name: _finite_or_none(value) for name, value in scores.items()}
    return CellResult(metrics=metrics, seconds=time.perf_counter() - started)


def _trust_mode(cell: Cell) -> Plain:
    return Plain(PlainAggregation(group_size=cell.group_size))


def _check_memory(rule: Rule, cell: Cell) -> None:
    if rule.uses_history and cell.group_size is not None:
        raise ConfigurationError(
            f"{rule.name} remembers each participant's updates, and groups of {cell.group_size} "
            "hide them."
        )


def _strategy(cell: Cell, component: Component, **given: Any) -> RobustAggregation:
    """A new strategy that sees updates as the cell says."""
    strategy: RobustAggregation = build(component, "strategy", **given)
    strategy.trust_mode = _trust_mode(cell)
    return strategy


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _defends(rule: Rule) -> bool:
    """Whether there is any number of clients with which it may be told to expect a liar."""
    try:
        rule.least_clients(1)
    except ValueError:
        return False
    return True


def _attack(cell: Cell) -> Attack | None:
    if cell.attack_options is None:
        return None
    options = {k: v for k, v in cell.attack_options.options.items() if k != "share"}
    component = Component.model_validate({"_target_": cell.attack_options.target, **options})
    attack = build(component, f"attack {cell.attack}", share=cell.share)
    if not isinstance(attack, Attack):
        raise ConfigurationError(
            f"attack {cell.attack}: {component.target} must give an Attack, got {type(attack)}."
        )
    return attack


@lru_cache(maxsize=3)
def _problem(definition: str, heterogeneity: str, seed: int) -> Problem:
    """A cell's problem; cells of one problem come one after the other."""
    component = Component.model_validate_json(definition)
    problem: Problem = build(
        component, f"problem {component.target}", heterogeneity=heterogeneity, seed=seed
    )
    return problem


_clean: dict[str, tuple[Vector, ...]] = {}
_lost: dict[tuple[str, tuple[int, ...]], tuple[Vector, ...]] = {}


def _references(cell: Cell, problem: Problem, liars: tuple[int, ...]) -> References:
    """Plain averaging, with everybody honest and without the liars."""
    strategy = partial(build, cell.reference, "reference", seed=cell.seed)
    clean = Cast(problem.n_participants, liars, is_honest=True)
    lost = Cast(problem.n_participants, liars, is_absent=True)
    which = {"definition", "heterogeneity", "seed", "reference"}
    of = json.dumps(cell.model_dump(mode="json", by_alias=True, include=which), sort_keys=True)
    if of not in _clean:
        _clean.clear()
        _lost.clear()
        _clean[of] = tuple(_run(problem, clean, strategy, None, cell.seed).vectors)
    if (of, liars) not in _lost:
        _lost[of, liars] = tuple(_run(problem, lost, strategy, None, cell.seed).vectors)
    return References(Outcome(clean, _clean[of]), Outcome(lost, _lost[of, liars]))


def _run(
    problem: Problem, cast: Cast, strategy: partial[Any], attack: Attack | None, seed: int
) -> Outcome:
    """Run every training of a cast."""
    return Outcome(
        cast,
        [
            _train(training, cast, strategy(), attack, seed, number)
            for number, training in enumerate(problem.trainings(cast))
        ],
    )


def _train(
    training: Training,
    cast: Cast,
    strategy: RobustAggregation,
    attack: Attack | None,
    seed: int,
    number: int,
) -> Vector:
    """One training from its first vector to its last."""
    participants = training.start(_poisons(cast, attack, seed, number))
    vector = training.initial()
    with InProcessGrid(client_app(participants), cast.n_participants, seed=seed) as grid:
        nodes = list(grid.get_node_ids())
        strategy.nodes = tuple(sorted(nodes[i] for i in cast.members))
        strategy.root_update = participants.root_update
        field: Grid = grid
        if attack is not None:
            known = partial(_combine, strategy, [nodes[i] for i in (*cast.honest, *cast.attackers)])
            field = AttackedGrid(grid, attack, cast.attackers, seed=seed, aggregate=known)
        for round_number in range(1, training.n_rounds + 1):
            config = ConfigRecord({"episode": number})
            arrays = ArrayRecord({VECTOR: Array(vector)})
            messages = strategy.configure_train(round_number, arrays, config, field)
            replies = field.send_and_receive(messages)
            aggregate, _ = strategy.aggregate_train(round_number, replies)
            if aggregate is not None:
                vector = aggregate[VECTOR].numpy().astype(np.float32)
    return vector


def _combine(
    strategy: RobustAggregation, nodes: Sequence[int], updates: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What would come of updates in the present round, rows in the order of the nodes."""
    found: NDArray[np.float32] = strategy.rehearse(updates, nodes[: len(updates)]).update
    return found


def _poisons(
    cast: Cast, attack: Attack | None, seed: int, number: int
) -> Mapping[int, partial[Any]]:
    played = attack and attack.played
    if not isinstance(played, DataAttack):
        return {}
    return {
        liar: partial(played.poison, rng=np.random.default_rng([seed, number, liar]))
        for liar in cast.attackers
    }
