"""Run one episode: the federated sums, the rounds of training, the evaluation."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from logging import WARNING
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, MessageType
from flwr.serverapp import Grid
from flwr.supercore import log
from numpy.typing import NDArray

from fedtrade.errors import FedtradeError
from fedtrade.outcome import UNKNOWN_PARTICIPANT, EpisodeOutcome, Failure, RoundLog
from fedtrade.secure import PrivateAggregation
from fedtrade.settings import SUMMED, Settings
from fedtrade.summed_scores import read_score_total, scored_bars
from fedtrade.tasks.task import FEDERATED, Model, Task
from fedtrade.wire import (
    CALENDAR,
    SHARED_PREFIX,
    SUM_NAME,
    VECTOR,
    pack_model,
    seconds_of,
)
from strategies.answers import finished_sum, read_evaluations
from strategies.exchange import Answer, array_record, ask, receive
from strategies.membership import Membership
from strategies.passing_grid import PassingGrid
from strategies.plan import FINAL_FOLD, episode_calendar
from strategies.public_sample import PublicSample
from strategies.replies import Refusal, refused
from strategies.revocations import Revocations
from strategies.round_strategy import RootUpdate, RoundStrategy

__all__ = ["EpisodeRunner", "RefusalListener", "RoundListener"]

RoundListener = Callable[[EpisodeOutcome, RoundLog], None]
RefusalListener = Callable[[int, Sequence[Refusal]], None]
ReferenceModels = Callable[[EpisodeOutcome, NDArray[np.datetime64]], Mapping[str, Model]]

FIRST_EPISODE = 0
BEFORE_TRAINING = 0
EVALUATION = -1
POLL_S = 0.5
GOES_ON = "; what is finished is kept, and with resume=true the run goes on behind it"


@dataclass(frozen=True, slots=True)
class EpisodeRunner:
    """Runs episodes over one grid; the strategy is told who its members are.

    Attributes
    ----------
    reference_models : callable
        Gives models beside the federated one to be scored, such as a pooled one.
    on_round : callable
        Called after each round, when the outcome holds it.
    public_sample : PublicSample or None
        What the strategy's root update is trained on, if it needs one.
    on_refusals : callable
        Told who gave nothing that can be used, in which round (see `Failure`).
    revocations : Revocations
        Of members, who are asked to train no further.
    """

    settings: Settings
    task: Task
    strategy: RoundStrategy
    grid: Grid
    membership: Membership
    reference_models: ReferenceModels
    on_round: RoundListener
    public_sample: PublicSample | None = None
    on_refusals: RefusalListener = lambda number, refusals: None
    revocations: Revocations = field(default_factory=lambda: Revocations({}))

    def __post_init__(self) -> None:
        self.strategy.nodes = tuple(sorted(self.membership.participants))
        self.strategy.reply_timeout_s = self.settings.federation.reply_timeout_s
        names = {node: party.name for node, party in self.membership.parties.items()}
        self.strategy.names = names

    def run(self, outcome: EpisodeOutcome) -> EpisodeOutcome:
        """Bring an episode, new or interrupted, to its end.

        Raises
        ------
        FedtradeError
            If nobody takes part.
        """
        episode = outcome.episode
        calendar = episode_calendar(self.settings, self.membership.calendar, episode)
        if FEDERATED not in outcome.models:
            if episode.number == FIRST_EPISODE:
                self._keep(outcome, BEFORE_TRAINING, self.membership.refusals)
            self._add_up(outcome, calendar)
            start = self.task.initial(self.settings.seed)
            outcome.models[FEDERATED] = Model(start, self._learned(outcome))
        self.strategy.restore(outcome.strategy_state)
        self.strategy.root_update = self._root_update(outcome)
        for number in range(len(outcome.rounds) + 1, self.settings.federation.rounds + 1):
            self._train(outcome, calendar, number)
        outcome.models |= self.task.solve(outcome.shared)
        if episode.fold != FINAL_FOLD:
            outcome.models |= self.reference_models(outcome, calendar)
            self._evaluate(outcome, calendar)
        outcome.strategy_state = {}  # of use to a further round only
        outcome.is_finished = True
        return outcome

    def _add_up(self, outcome: EpisodeOutcome, calendar: NDArray[np.datetime64]) -> None:
        """The task's federated sums, one after the other."""
        self._leave_out_revoked(outcome, BEFORE_TRAINING)
        for k, name in enumerate(self.task.sums, 1):
            is_last = k == len(self.task.sums)
            self._announce(training=is_last and self.settings.federation.rounds > 0)
            config = outcome.episode.to_config() | {SUM_NAME: name}
            nodes = self._members()
            arrays = _shared_arrays(outcome, calendar)
            summed = self.strategy.trust_mode.add_up(
                self.grid, nodes, arrays, config, self.settings.federation.reply_timeout_s
            )
            self._note(outcome, BEFORE_TRAINING, summed.refusals)
            if summed.total is None:
                goes_on = "" if outcome.episode.number == FIRST_EPISODE else GOES_ON
                raise FedtradeError(
                    f"no participant can take part: {summed.problem.rstrip('.')}"
                    f"{self._first_refusal()}{goes_on}."
                )
            noise = self.strategy.trust_mode.noise
            if noise is not None and noise.covers_sums:
                noise.check_sum(name, summed.total.size, len(nodes))
            outcome.shared[name] = finished_sum(self.task, name, summed.total)

    def _train(
        self, outcome: EpisodeOutcome, calendar: NDArray[np.datetime64], number: int
    ) -> None:
        started = time.perf_counter()
        self._leave_out_revoked(outcome, number)
        self._announce(training=number < self.settings.federation.rounds)
        model = outcome.models[FEDERATED]
        arrays = array_record(_shared_arrays(outcome, calendar) | {VECTOR: model.vector})
        config = ConfigRecord(dict(outcome.episode.to_config()))
        messages = self.strategy.configure_train(number, arrays, config, self.grid)
        replies = receive(self.grid, messages, self.settings.federation.reply_timeout_s)
        aggregate, _ = self.strategy.aggregate_train(number, replies)
        report = self.strategy.last_round
        if aggregate is not None:
            vector = aggregate[VECTOR].numpy().astype(np.float32)
            outcome.models[FEDERATED] = Model(vector, model.learned)
        if report is None:
            raise RuntimeError(f"{type(self.strategy).__name__} has no report of its last round.")
        self._keep(outcome, number, report.refusals)
        if report.skipped:
            reason = f"the round is skipped: {report.skipped}"
            outcome.failures.append(Failure(number, UNKNOWN_PARTICIPANT, reason))
        outcome.strategy_state = self.strategy.state_arrays()
        entry = RoundLog(
            number,
            report.n_replies,
            len(report.refusals),
            self._told(report.loss),
            report.update_norm,
            time.perf_counter() - started,
        )
        outcome.rounds.append(entry)
        self.on_round(outcome, entry)
        if report.skipped and number < self.settings.federation.rounds:
            self._wait_for_the_missing()

    def _told(self, loss: float) -> float:
        """The loss, or NaN where participants keep theirs to themselves."""
        return loss if self.settings.privacy.record is None else float("nan")

    def _wait_for_the_missing(self) -> None:
        """Give members that are gone time to come back: without them every round is skipped."""
        members = {*self.membership.participants, *self.membership.key_holders}
        members -= self.revocations.nodes
        if isinstance(self.grid, PassingGrid):
            self.grid.forgive()
        deadline = time.monotonic() + self.settings.federation.reply_timeout_s
        while not members.issubset(self.grid.get_node_ids()) and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _leave_out_revoked(self, outcome: EpisodeOutcome, number: int) -> None:
        found = self.revocations.found()
        self._note(outcome, number, found)
        if found:
            self.strategy.nodes = tuple(self._members())

    def _members(self) -> list[int]:
        """Nodes of participants that are members still."""
        return sorted(set(self.membership.participants) - self.revocations.nodes)

    def _evaluate(self, outcome: EpisodeOutcome, calendar: NDArray[np.datetime64]) -> None:
        self._leave_out_revoked(outcome, EVALUATION)
        arrays = _shared_arrays(outcome, calendar)
        for arm, model in outcome.models.items():
            arrays |= pack_model(arm, model)
        # Of all, present or not, as each participant counts them to know whether it is a newcomer.
        n_participants = self.settings.federation.n_participants or outcome.n_participants
        nodes = [
            node
            for node, number in sorted(self.membership.participants.items())
            if self.settings.federation.is_scored(number, n_participants, outcome.episode.fold)
        ]
        if self.settings.scores == SUMMED:
            self._add_up_scores(outcome, calendar, arrays, len(nodes))
            return
        nodes = [node for node in nodes if node not in self.revocations.nodes]
        answers, refusals = self._ask(nodes, "evaluate", arrays, outcome.episode.to_config())
        evaluations, unusable = read_evaluations(
            answers, self.task, set(outcome.models), outcome.episode, calendar
        )
        refusals += unusable
        for node, evaluation in evaluations.items():
            outcome.evaluations[self.membership.participants[node]] = evaluation
        self._note(outcome, EVALUATION, refusals)
        if not outcome.evaluations:
            reason = refusals[0].reason if refusals else "nobody is scored"
            raise FedtradeError(f"no participant could be scored: {reason}")

    def _add_up_scores(
        self,
        outcome: EpisodeOutcome,
        calendar: NDArray[np.datetime64],
        arrays: Mapping[str, NDArray[Any]],
        n_scored: int,
    ) -> None:
        """Ask everybody, whether scored or not: a private sum needs all who have set it up."""
        self._announce(training=not self.task.sums)
        summed = self.strategy.trust_mode.add_up(
            self.grid,
            self._members(),
            arrays,
            outcome.episode.to_config(),
            self.settings.federation.reply_timeout_s,
            MessageType.EVALUATE,
        )
        self._note(outcome, EVALUATION, summed.refusals)
        if summed.total is None:
            raise FedtradeError(f"no participant could be scored: {summed.problem}")
        aggregation, n_least = self.settings.aggregation, 1
        if isinstance(aggregation, PrivateAggregation):
            n_least = aggregation.min_contributors
        outcome.summed = read_score_total(
            summed.total,
            self.task,
            arms=summed.arms,
            models=outcome.models,
            bars=scored_bars(calendar, outcome.episode),
            n_least=n_least,
            n_most=n_scored,
        )

    def _first_refusal(self) -> str:
        """Why a node could not join, which may be the reason of all that follows."""
        refusals = self.membership.refusals
        return f" (as one could not join: {refusals[0].reason})" if refusals else ""

    def _announce(self, *, training: bool) -> None:
        """Tell the trust mode what comes after what is asked now."""
        self.strategy.trust_mode.next_is_training = training

    def _root_update(self, outcome: EpisodeOutcome) -> RootUpdate | None:
        if not self.strategy.needs_root or self.public_sample is None:
            return None
        learned, correction = self._learned(outcome), self.strategy.client_correction
        return partial(self.public_sample.update, learned=learned, asked=correction)

    def _learned(self, outcome: EpisodeOutcome) -> dict[str, NDArray[np.float64]]:
        return {name: outcome.shared[name] for name in self.task.learned}

    def _ask(
        self,
        nodes: Sequence[int],
        message_type: str,
        arrays: Mapping[str, NDArray[Any]],
        config: Mapping[str, int | str],
    ) -> tuple[list[Answer], list[Refusal]]:
        timeout_s = self.settings.federation.reply_timeout_s
        return ask(self.grid, nodes, message_type, arrays, config, timeout_s)

    def _note(self, outcome: EpisodeOutcome, number: int, refusals: Sequence[Refusal]) -> None:
        """Keep refusals of which nobody else has told yet."""
        times = {BEFORE_TRAINING: "before training", EVALUATION: "evaluation"}
        when = times.get(number, f"round {number}")
        for node, reason in refusals:
            party = self.membership.title_of(node)
            log(WARNING, "%s: %s: %s", when, party, reason, extra=refused(party, number, reason))
        self._keep(outcome, number, refusals)

    def _keep(self, outcome: EpisodeOutcome, number: int, refusals: Sequence[Refusal]) -> None:
        for node, reason in refusals:
            participant, name = self.membership.number_of(node), self.membership.name_of(node)
            outcome.failures.append(Failure(number, participant, reason, name))
        if refusals:
            self.on_refusals(number, refusals)


def _shared_arrays(
    outcome: EpisodeOutcome, calendar: NDArray[np.datetime64]
) -> dict[str, NDArray[Any]]:
    shared: dict[str, NDArray[Any]] = {CALENDAR: seconds_of(calendar), **outcome.shared}
    return {f"{SHARED_PREFIX}{name}": values for name, values in shared.items()}
