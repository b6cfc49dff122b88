"""The ServerApp: discover the participants, run every episode, write the results.

It is the same in one process, on Flower's simulation runtime and on real nodes. Everything that
it needs is in the run config's `settings`, one JSON string; empty stands for the defaults.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from conf import resolve
from fedtrade.checkpoint import FOLDER, Checkpoints, fingerprint
from fedtrade.components import build
from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.folder_lock import ENDING_S, held
from fedtrade.holdings import Holdings, build_task
from fedtrade.market.bar_time import usual_bar
from fedtrade.nodes.process import tether
from fedtrade.outcome import EpisodeOutcome, RoundLog
from fedtrade.privacy.participant.run import noisy_vectors
from fedtrade.privacy.participant.statement import with_noise
from fedtrade.privacy.record_statement import with_record_level
from fedtrade.report import Progress
from fedtrade.report.assemble import assemble
from fedtrade.report.outputs import remove_outputs, write_outputs
from fedtrade.report.privacy import Traffic, privacy_record
from fedtrade.secure.statement import KEY_HOLDER, with_scores
from fedtrade.settings import SUMMED, Settings
from fedtrade.tasks.record_training import TrainsOnRecords
from fedtrade.wire import EpisodeRecord
from strategies.episode import EpisodeRunner
from strategies.membership import Membership, discover
from strategies.metered_grid import MeteredGrid
from strategies.parties import Parties
from strategies.plan import FINAL_FOLD, plan
from strategies.preconditions import check_ahead, check_data, check_joined
from strategies.prompt_grid import PromptGrid
from strategies.public_sample import PublicSample
from strategies.reference_models import ReferenceModels
from strategies.revocations import Revocations
from strategies.status import RunStatus
from strategies.trust import TrustMode, trust_mode

__all__ = ["app"]

PROCESS: Final = "flwr-serverapp"
"""What Flower starts for a ServerApp on real nodes."""

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the settings in the run config and write results, report and model to `out`."""
    is_apart = Path(sys.argv[0]).name == PROCESS
    if is_apart:
        tether()  # Flower's own watch of its parent does not interrupt a wait
    settings = resolve(str(context.run_config.get("settings", "")))
    # First, so that the status stays that of the run which has the folder.
    with (
        held(Path(settings.out), "out", ENDING_S if is_apart else 0.0),
        RunStatus.of_environment(context.run_id) as status,
    ):
        run(grid, settings, status)


def run(grid: Grid, settings: Settings, status: RunStatus) -> None:
    """Run the episodes of the settings over a grid, from the last checkpoint if asked to.

    Raises
    ------
    FedtradeError
        If the settings, the data, a checkpoint or the participants do not allow it.
    """
    grid = MeteredGrid(PromptGrid(grid, _n_quorum(settings)))
    status.mode, status.out, status.n_bytes = settings.aggregation.mode, settings.out, grid.count
    task = build_task(settings)
    status.task = task.name
    strategy = build(settings.strategy, "strategy", seed=settings.seed)
    out, federation = Path(settings.out), settings.federation
    noise = noisy_vectors(settings, task)
    mode = strategy.trust_mode = trust_mode(
        settings.aggregation, federation.n_participants or 0, noise, brought=settings.digest()
    )
    mode.next_is_training = not task.sums
    check_data(settings)
    check_ahead(settings)
    members = _discover(grid, settings, mode, status)
    check_joined(strategy, settings, task, members)
    members = mode.join(grid, members, federation.reply_timeout_s)
    status.joined(members)
    statement = mode.statement(len(members.participants))
    statement = with_scores(
        statement if noise is None else with_noise(statement, noise),
        summed=settings.scores == SUMMED,
        shows_path=settings.evaluation.show_path,
    )
    episodes = plan(settings, members.calendar, task.horizon_bars)
    level = settings.privacy.record if federation.rounds else None
    if level is not None and isinstance(task, TrainsOnRecords):
        statement = with_record_level(
            statement,
            level,
            n_steps=federation.rounds * task.local_steps,
            n_models=settings.count_models(),
            horizon_bars=task.horizon_bars,
        )
    # Last, because they replace what an earlier run left: only now can this one begin.
    checkpoints = Checkpoints(out / FOLDER, settings, _data_hash(settings))
    if not settings.resume:
        remove_outputs(out)
    status.planned(len(episodes), federation.rounds)
    with Progress(len(episodes), federation.rounds, mode=settings.progress) as progress:

        def on_round(outcome: EpisodeOutcome, log: RoundLog) -> None:
            checkpoints.save(outcome)
            progress.round_finished(
                log.round_number,
                n_replies=log.n_replies,
                n_failures=log.n_failures,
                loss=log.loss,
            )
            report = strategy.last_round
            gone = {*members.participants, *members.key_holders}.difference(grid.get_node_ids())
            status.round_finished(log, () if report is None else report.refusals, grid.late | gone)

        first_origin = np.datetime64(episodes[0].origin, "s")
        public = PublicSample.of(settings, task, first_origin)
        references = ReferenceModels(settings, task, public)
        runner = EpisodeRunner(
            settings,
            task,
            strategy,
            grid,
            members,
            references,
            on_round,
            public,
            status.refused,
            Revocations(members.parties),
        )
        outcomes = []
        for episode in episodes:
            n_participants = len(members.participants)
            kept = checkpoints.load(episode) if settings.resume else None
            outcome = kept or EpisodeOutcome(episode, n_participants)
            progress.episode_started(
                episode.number, n_participants=n_participants, label=_label(episode)
            )
            status.episode_started(outcome, _label(episode))
            if not outcome.is_finished:
                runner.run(outcome)
                checkpoints.save(outcome)
            outcomes.append(outcome)
        progress.finished()
    bar = usual_bar(members.calendar)
    # What was sent before an interruption nobody has counted.
    traffic = _traffic(grid, members)
    privacy = privacy_record(statement, traffic, is_whole=not settings.resume)
    results = assemble(settings, task, outcomes, privacy)
    write_outputs(out, settings, results, outcomes[-1], bar)


def _discover(grid: Grid, settings: Settings, mode: TrustMode, status: RunStatus) -> Membership:
    """Wait for the nodes, those of registered parties where there is a register."""
    federation, n_holders = settings.federation, settings.aggregation.n_key_holders
    parties = Parties.of_environment(mode.name, n_holders)
    n_expected, n_least = settings.n_nodes, None
    if parties is not None:
        status.expect(parties.wanted)
        n_expected = n_expected or len(parties.wanted)
        if n_expected > len(parties.wanted):
            raise ConfigurationError(
                f"federation.n_participants={federation.n_participants} is more than the register "
                f"has: {len(parties.wanted) - n_holders} participants that are not revoked."
            )
    if n_expected is not None and federation.quorum is not None:
        n_least = federation.n_quorum(n_expected - n_holders) + n_holders
    return discover(
        grid,
        n_expected,
        federation.reply_timeout_s,
        settings.least_holders,
        mode.greeting(),
        join_s=federation.join_s,
        n_least=n_least,
        parties=parties,
        on_arrival=status.arrived,
    )


def _traffic(grid: MeteredGrid, members: Membership) -> tuple[Traffic, ...]:
    """What participants, and a key holder if there is one, sent and received."""
    traffic = grid.traffic(members.participants)
    if members.key_holders:
        traffic += grid.traffic(members.key_holders, KEY_HOLDER)
    return traffic


def _n_quorum(settings: Settings) -> Callable[[int], int] | None:
    """How many replies close a round of so many asked, if the settings do not want all."""
    federation = settings.federation
    return None if federation.quorum is None else federation.n_quorum


def _data_hash(settings: Settings) -> str | None:
    """Of the data, where the server sees them; on real nodes only the participants do."""
    try:
        return fingerprint(Holdings.of(settings).panel)
    except FedtradeError:
        return None


def _label(episode: EpisodeRecord) -> str:
    return "final model" if episode.fold == FINAL_FOLD else f"origin {episode.origin_date}"
