"""Audit the record level of a run: a bound from canaries, broken controls, and two attacks.

The training is the run's own: its task, model, data and settings, for the first participant. The
controls are the same training with the noise or the clip left out: an audit that would not notice
has shown nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from fedtrade.errors import ConfigurationError
from fedtrade.holdings import Holdings, build_task
from fedtrade.privacy.audit.canaries import audit_training
from fedtrade.privacy.audit.inversion import Inversion, attack_gradients
from fedtrade.privacy.audit.membership import Membership, attack_membership
from fedtrade.privacy.audit.one_run import Guesses, best_bound, canaries_needed, reachable_bound
from fedtrade.privacy.dp_sgd import RecordNoise
from fedtrade.settings import Settings
from fedtrade.tasks.record_training import RecordTraining, TrainsOnRecords
from fedtrade.tasks.task import Sample

__all__ = ["Audit", "Bound", "audit"]

_UNCLIPPED: Final = 100.0
"""How many times larger than the clip a canary is where the clip is left out."""

_INVERTED_PARTICIPANTS: Final = 10


class Bound(NamedTuple):
    """What the canaries of one training prove.

    Attributes
    ----------
    training : str
        What was trained.
    claimed, proven : float
        Epsilon as accounted, and the least that the guesses leave possible.
    guesses : Guesses
    """

    training: str
    claimed: float
    proven: float
    guesses: Guesses

    @property
    def is_refuted(self) -> bool:
        """Whether the claim cannot be true."""
        return self.proven > self.claimed


class Audit(NamedTuple):
    """Everything that was found.

    Attributes
    ----------
    task : str
    delta, confidence : float
        Of each bound.
    reachable : float
        The bound if every guess were right: no claim above it could be refuted.
    own : Bound
        Of the training as it is.
    controls : sequence of Bound
        Of broken ones, whose claims have to be refuted.
    private, exact : Membership
        The attack on members of trainings with the noise, and without any.
    inversions : sequence of Inversion
        Empty if the attack does not know the model's first layer.
    """

    task: str
    delta: float
    confidence: float
    reachable: float
    own: Bound
    controls: Sequence[Bound]
    private: Membership
    exact: Membership
    inversions: Sequence[Inversion]

    @property
    def passed(self) -> bool:
        """Whether the claim stands and every broken control was caught."""
        return not self.own.is_refuted and all(control.is_refuted for control in self.controls)


def audit(
    settings: Settings,
    *,
    n_canaries: int = 500,
    n_models: int = 32,
    n_days: int = 50,
    confidence: float = 0.95,
    seed: int = 0,
    on_step: Callable[[str], None] = lambda step: None,
) -> Audit:
    """Audit the record level of a run's settings.

    Parameters
    ----------
    n_canaries : int
        In as many trainings as needed: no training has more than the model has parameters, as
        more would hide behind each other.
    n_models : int
        Trainings of the membership attack, with and without privacy.
    n_days : int
        Days that the gradient inversion is tried on.
    seed : int
        Of the auditor's own choices. The noise of the trainings has another source.
    on_step : callable
        Told what begins.

    Raises
    ------
    ConfigurationError
        If `privacy.record` is not set, the task cannot be trained with it, or so many canaries
        cannot refute the claim whatever is guessed.
    FedtradeError
        As the run would.
    """
    level = settings.privacy.record
    if level is None:
        raise ConfigurationError(
            "the audit attacks the record level, and privacy.record is not set: add privacy=record."
            if settings.privacy.participant is None
            else "the audit attacks the record level only, and privacy.record is not set: noise "
            "on sums (privacy.participant) has no audit; take privacy=both for the record level."
        )
    for name, value, least in (
        ("n_canaries", n_canaries, 20),
        ("n_models", n_models, 8),
        ("n_days", n_days, 1),
    ):
        if value < least:
            raise ConfigurationError(f"{name}={value} is too few; use {least} or more.")
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"confidence={confidence} must lie between 0 and 1.")
    reachable = reachable_bound(n_canaries, level.delta, confidence)
    if reachable <= level.epsilon:
        raise ConfigurationError(
            _out_of_reach(level.epsilon, level.delta, confidence, n_canaries, reachable)
        )
    task = build_task(settings)
    if not isinstance(task, TrainsOnRecords):
        raise ConfigurationError(
            f"the task {task.name} cannot be trained with privacy.record: it has no "
            "record_training(); choose another task."
        )
    rng = np.random.default_rng(seed)
    n_rounds = settings.federation.rounds
    trainings = _trainings(settings, task, level.longest_look_back)
    # One training of all steps is what as many rounds release.
    whole = replace(trainings[0], n_steps=n_rounds * task.local_steps)
    noise = RecordNoise.of(level, whole.n_steps, task.horizon_bars)

    def bound(title: str, noise: RecordNoise, size: float = 1.0) -> Bound:
        on_step(title)
        seen = audit_training(whole, noise, n_canaries=n_canaries, rng=rng, size=size)
        proven, found = best_bound(seen.scores, seen.included, level.delta, confidence)
        return Bound(title, level.epsilon, proven, found)

    own = bound("the training as it is", noise)
    controls = [
        bound("without noise", replace(noise, stddev=1e-6 * noise.stddev)),
        bound("without the clip", replace(noise, clip=_UNCLIPPED * noise.clip)),
    ]
    members = {}
    for title, used in (("with privacy", noise), ("without", None)):
        on_step(f"membership {title}: {n_models} trainings")
        members[title] = attack_membership(
            trainings[0], used, n_models=n_models, n_rounds=n_rounds, rng=rng
        )
    on_step("gradient inversion")
    inversions = attack_gradients(trainings, noise, n_days=n_days, rng=rng)
    return Audit(
        task=task.name,
        delta=level.delta,
        confidence=confidence,
        reachable=reachable,
        own=own,
        controls=controls,
        private=members["with privacy"],
        exact=members["without"],
        inversions=inversions,
    )


def _out_of_reach(
    epsilon: float, delta: float, confidence: float, n_canaries: int, reachable: float
) -> str:
    """Why a claim cannot be refuted, and what can be audited instead."""
    needed = canaries_needed(epsilon, delta, confidence)
    more = (
        "No number of canaries reaches it"
        if needed is None or needed <= n_canaries
        else f"{needed:,} canaries (--canaries {needed}) reach it"
    )
    smaller = f"{0.5 * reachable:.1g}"
    less = (
        f"audit the same mechanism at privacy.record.epsilon={smaller}"
        if reachable > 0.0
        else "use more canaries, or less confidence"
    )
    return (
        f"{n_canaries:,} canaries prove at most epsilon {reachable:.2f} at delta {delta:g} with "
        f"{confidence:.0%} confidence, all guesses right, and epsilon {epsilon:g} is claimed: such "
        f"an audit could refute nothing. {more}; or {less}."
    )


def _trainings(
    settings: Settings, task: TrainsOnRecords, look_back_bars: int | None
) -> list[RecordTraining]:
    """Of the first participants, on the last bars that they know."""
    holdings = Holdings.of(settings)
    n_bars = settings.federation.longest_history_bars
    n = min(holdings.n_participants, _INVERTED_PARTICIPANTS)
    panels = [holdings.panel_of(k).tail(n_bars) for k in range(n)]
    calendar = np.unique(np.concatenate([panel.bars for panel in panels]))
    samples = [Sample.take(p, calendar=calendar, origin=p.bars[-1]) for p in panels]
    shared: dict[str, np.ndarray] = {}
    for name in task.sums:
        total = np.sum([task.local_sum(name, sample, shared) for sample in samples], axis=0)
        shared[name] = task.finish_sum(name, total)
    found = [task.record_training(sample, shared, look_back_bars) for sample in samples]
    for number, training in enumerate(found):
        if not training.n_records:
            raise ConfigurationError(
                f"participant {number} has nothing to train on in its last {n_bars} bars: raise "
                "federation.history_bars."
            )
    return found
