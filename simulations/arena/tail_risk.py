"""The tail-risk task with one stock a participant: what liars cost those who are honest.

The score is the 1 % VaR pinball loss, out of time, on the assets of the *honest* participants, over
several origins: of the federated model, of EWMA-t6 (which needs nobody), of the model of the same
participants when nobody lies, and when the liars are simply not there. Only what is needed for
these is computed. The federated sums (nowcast and moments) are those of honest members.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from conf import compose
from fedtrade.baselines import ewma_t6
from fedtrade.corrections import ClientCorrection
from fedtrade.errors import ConfigurationError, DataError
from fedtrade.evaluation import pinball, relative_gain_interval
from fedtrade.holdings import Holdings, build_task
from fedtrade.settings import Settings
from fedtrade.tasks.risk import LEAST_RISK, Risk, RiskExamples
from fedtrade.tasks.task import LocalUpdate, Sample, Shared, Vector
from fedtrade.wire import EpisodeRecord
from simulations.arena.problem import Cast, Outcome, Poison, References
from simulations.attacks.attack import Attack
from simulations.attacks.backdoor import Backdoor
from strategies.membership import shared_calendar
from strategies.plan import FINAL_FOLD, episode_calendar, plan
from strategies.public_sample import PublicSample

__all__ = ["TailRisk"]


class TailRisk:
    """Tail risk of each participant's asset.

    Parameters
    ----------
    heterogeneity : str
        A file of `conf/federation`, such as `same_history` or `cold_start`.
    seed : int
        Decides nothing but who lies, and what an attack draws: the task itself is exact.
    overrides : sequence of str
        Further Hydra overrides of `fedtrade simulate`, such as another market.
    n_participants : int
    n_resamples : int
        Of the block bootstrap over bars.

    Raises
    ------
    FedtradeError
        If the settings or the data do not allow it.
    """

    def __init__(
        self,
        *,
        heterogeneity: str,
        seed: int,
        overrides: Sequence[str] = (),
        n_participants: int = 20,
        n_resamples: int = 1000,
    ) -> None:
        settings = compose(
            [
                "task=risk",
                f"federation={heterogeneity}",
                f"federation.n_participants={n_participants}",
                f"seed={seed}",
                *overrides,
            ]
        )
        self.n_participants = n_participants
        self._n_resamples = n_resamples
        self._market = _Market.of(settings)
        self._by_members: dict[tuple[int, ...], tuple[_Episode, ...]] = {}

    def trainings(self, cast: Cast) -> Sequence["_Episode"]:
        """One training for each origin and fold."""
        if cast.members not in self._by_members:
            self._by_members[cast.members] = tuple(
                _Episode(self._market, record, cast.members) for record in self._market.episodes
            )
        return self._by_members[cast.members]

    def scores(
        self, outcome: Outcome, references: References, attack: Attack | None = None
    ) -> Mapping[str, float]:
        """Improvements over EWMA-t6 and what is kept of the clean one; see `docs/arena.md`."""
        honest = outcome.cast.honest
        episodes = self.trainings(outcome.cast)
        naive = _Daily.of(episodes, [e.naive_daily(honest) for e in episodes])
        model, clean, lost = (
            self._daily(found, honest) for found in (outcome, references.clean, references.lost)
        )
        found = _Comparison.of(
            model.values, naive.values, clean.values, lost.values, self._n_resamples
        )
        by_origin = [
            1.0 - model.values[rows].mean() / naive.values[rows].mean()
            for rows in naive.rows_by_origin
        ]
        scores: dict[str, float] = {
            "pinball_bp": 1e4 * float(model.values.mean()),
            "naive_pinball_bp": 1e4 * float(naive.values.mean()),
            **found._asdict(),
            "worst_origin_improvement": float(min(by_origin)),
        }
        return {**scores, **self._understated(outcome, references, attack)}

    def _daily(self, outcome: Outcome, scored: Sequence[int]) -> "_Daily":
        """Daily losses of the models of a cast."""
        episodes = self.trainings(outcome.cast)
        losses = [
            episode.daily(vector, scored)
            for episode, vector in zip(episodes, outcome.vectors, strict=True)
        ]
        return _Daily.of(episodes, losses)

    def _understated(
        self, outcome: Outcome, references: References, attack: Attack | None
    ) -> Mapping[str, float]:
        """How much a backdoor lowers the forecast risk under its trigger, if this is one.

        Against the model that nobody attacked, on the inputs of honest participants; the mean over
        trainings.
        """
        backdoor = attack and attack.played
        if not isinstance(backdoor, Backdoor):
            return {}
        shares = [
            episode.understatement(vector, clean, outcome.cast.honest, backdoor)
            for episode, vector, clean in zip(
                self.trainings(outcome.cast),
                outcome.vectors,
                references.clean.vectors,
                strict=True,
            )
        ]
        return {"backdoor_understatement": float(np.nanmean(shares))}


class _Comparison(NamedTuple):
    """Scores of daily losses against each other, with 95 % intervals over bars."""

    improvement: float
    improvement_low: float
    improvement_high: float
    clean_improvement: float
    lost_improvement: float
    retention: float
    retention_low: float
    retention_high: float
    lost_retention: float
    gain_vs_lost: float
    gain_vs_lost_low: float
    gain_vs_lost_high: float

    @classmethod
    def of(
        cls,
        model: NDArray[np.float64],
        naive: NDArray[np.float64],
        clean: NDArray[np.float64],
        lost: NDArray[np.float64],
        n_resamples: int,
    ) -> "_Comparison":
        """Compare losses of shape (n_bars,) pairwise, all on the same resampled bars.

        The share kept of the clean improvement, `(naive - model) / (naive - clean)`, is the
        relative gain of `model - clean` over `naive - clean`.
        """
        score = np.stack([model, model - clean, model, lost - clean, clean, lost], axis=1)
        reference = np.stack([naive, naive - clean, lost, naive - clean, naive, naive], axis=1)
        gain, low, high = relative_gain_interval(score, reference, n_resamples=n_resamples)
        improvement, retention, versus_lost, lost_retention, clean_gain, lost_gain = map(
            float, gain
        )
        return cls(
            improvement,
            float(low[0]),
            float(high[0]),
            clean_gain,
            lost_gain,
            retention,
            float(low[1]),
            float(high[1]),
            lost_retention,
            versus_lost,
            float(low[2]),
            float(high[2]),
        )


class _Daily(NamedTuple):
    """A loss by bar, all origins one after the other; folds of an origin are averaged.

    Attributes
    ----------
    values : float64 of shape (n_bars,)
    rows_by_origin : tuple of slice
    """

    values: NDArray[np.float64]
    rows_by_origin: tuple[slice, ...]

    @classmethod
    def of(
        cls, episodes: Sequence["_Episode"], losses: Sequence[NDArray[np.float64] | None]
    ) -> "_Daily":
        """From the losses (n_bars,) of each episode, None where nobody of the fold is scored."""
        by_origin: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
        for episode, loss in zip(episodes, losses, strict=True):
            if loss is not None:
                by_origin[episode.record.origin].append(loss)
        if not by_origin:
            raise DataError("no honest participant could be scored; let fewer of them lie.")
        means = [np.mean(found, axis=0) for found in by_origin.values()]
        ends = np.cumsum([0, *map(len, means)])
        rows = tuple(slice(a, b) for a, b in pairwise(ends))
        return cls(np.concatenate(means), rows)


@dataclass(frozen=True)
class _Market:
    """What all episodes share."""

    settings: Settings
    task: Risk
    holdings: Holdings
    calendar: NDArray[np.datetime64]
    episodes: tuple[EpisodeRecord, ...]
    public: PublicSample | None

    @classmethod
    def of(cls, settings: Settings) -> "_Market":
        holdings = Holdings.of(settings)
        built = build_task(settings)
        task: object = built  # type checkers think that no task is this one
        if not isinstance(task, Risk):
            raise TypeError(f"the task must be fedtrade.tasks.risk.Risk, got {type(task)}.")
        bars = [holdings.panel_of(i).bars for i in range(holdings.n_participants)]
        calendar = shared_calendar(bars, settings.federation.least_holders)
        episodes = plan(settings, calendar, built.horizon_bars)
        return cls(
            settings,
            task,
            holdings,
            calendar,
            tuple(record for record in episodes if record.fold != FINAL_FOLD),
            PublicSample.of(settings, built, np.datetime64(episodes[0].origin, "s")),
        )


class _Scored(NamedTuple):
    """What is known before each scored bar of one participant's assets, and what followed.

    Features (n_bars, n_assets, 9), base volatility and returns (n_bars, n_assets), and the naive
    VaR (n_bars, n_assets).
    """

    features: NDArray[np.float32]
    base: NDArray[np.float32]
    returns: NDArray[np.float64]
    naive_var: NDArray[np.float64]


class _Episode:
    """One origin (and fold) for the members of a cast.

    Parameters
    ----------
    market : _Market
    record : EpisodeRecord
    members : tuple of int
        Those who add to the federated sums.

    Attributes
    ----------
    samples : mapping of int to Sample
        Of each participant, member or not.
    shared : mapping of str to array
        The outcome of the federated sums.
    """

    def __init__(self, market: _Market, record: EpisodeRecord, members: tuple[int, ...]) -> None:
        self.record = record
        self.n_rounds = market.settings.federation.rounds
        self.task = market.task
        self._market = market
        self._members = members
        self._calendar = episode_calendar(market.settings, market.calendar, record)
        self.samples = {
            i: market.holdings.sample(i, record, self._calendar)
            for i in range(market.holdings.n_participants)
        }
        self._scored: dict[int, _Scored] = {}

    def initial(self) -> Vector:
        """The untrained model, which is EWMA-t6."""
        return self.task.initial(self._market.settings.seed)

    def start(self, poisons: Mapping[int, Poison]) -> "_Members":
        """Members, of whom some train on poisoned examples."""
        examples = dict(self._examples)
        for i, poison in poisons.items():
            features, returns = poison(examples[i].features.numpy(), examples[i].returns.numpy())
            examples[i] = replace(
                examples[i],
                features=torch.from_numpy(features.astype(np.float32)),
                returns=torch.from_numpy(returns.astype(np.float32)),
            )
        return _Members(self.task, examples, self._root_update)

    def daily(self, vector: Vector, participants: Sequence[int]) -> NDArray[np.float64] | None:
        """Mean loss of the scored ones among the participants, shape (n_bars,)."""
        scored = self._scored_of(participants)
        return _mean([self._loss(self._var(vector, own), own) for own in scored])

    def naive_daily(self, participants: Sequence[int]) -> NDArray[np.float64] | None:
        """As `daily`, of EWMA-t6."""
        return _mean([self._loss(own.naive_var, own) for own in self._scored_of(participants)])

    def understatement(
        self, vector: Vector, clean: Vector, participants: Sequence[int], backdoor: Backdoor
    ) -> float:
        """See `Backdoor.understatement`; NaN where none of the participants is scored."""

        def risk(of: Vector, own: _Scored, rows: NDArray[np.floating]) -> NDArray[np.float64]:
            features = rows.astype(np.float32).reshape(own.features.shape)
            return -self._var(of, own._replace(features=features)).reshape(-1)

        found = [
            backdoor.understatement(
                partial(risk, vector, own),
                partial(risk, clean, own),
                own.features.reshape(-1, own.features.shape[-1]),
            )
            for own in self._scored_of(participants)
        ]
        return float(np.mean(found)) if found else float("nan")

    def _root_update(self, vector: Vector) -> Vector:
        """As the ServerApp's: of the first bars of all assets, which are public."""
        public = self._market.public
        if public is None:
            raise ConfigurationError("a rule that trusts a root needs evaluation.public_bars > 0.")
        learned = {name: self.shared[name] for name in self.task.learned}
        return public.update(vector, learned=learned, asked=ClientCorrection())

    @cached_property
    def shared(self) -> Shared:
        shared: dict[str, NDArray[np.float64]] = {}
        for name in self.task.sums:
            parts = [self.task.local_sum(name, self.samples[i], shared) for i in self._members]
            shared[name] = self.task.finish_sum(name, np.sum(parts, axis=0))
        return shared

    @cached_property
    def _examples(self) -> Mapping[int, RiskExamples]:
        return {i: self.task.examples(self.samples[i], self.shared) for i in self._members}

    def _scored_of(self, participants: Sequence[int]) -> list[_Scored]:
        federation, n = self._market.settings.federation, len(self.samples)
        wanted = [i for i in participants if federation.is_scored(i, n, self.record.fold)]
        for i in wanted:
            if i not in self._scored:
                self._scored[i] = self._score_inputs(self.samples[i])
        return [self._scored[i] for i in wanted]

    def _score_inputs(self, sample: Sample) -> _Scored:
        features, base, returns = self.task.scored_inputs(sample, self.shared)
        level = self.task.levels[-1:]
        naive = [
            ewma_t6(column, sample.n_train, level).var[sample.n_skip :, 0]
            for column in sample.panel.returns().T
        ]
        return _Scored(features, base, returns, np.minimum(np.stack(naive, axis=1), -LEAST_RISK))

    def _var(self, vector: Vector, own: _Scored) -> NDArray[np.float64]:
        return self.task.tail(vector, own.features, own.base).var[..., -1]

    def _loss(self, var: NDArray[np.float64], own: _Scored) -> NDArray[np.float64]:
        """Mean over assets, shape (n_bars,)."""
        loss = pinball(own.returns, var, self.task.levels[-1])
        return np.asarray(loss.mean(axis=1), dtype=np.float64)


def _mean(losses: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Mean over participants, who must have been scored on the same bars."""
    if not losses:
        return None
    if len({len(loss) for loss in losses}) > 1:
        raise DataError(
            "the arena needs prices of every participant at every bar; choose assets that all "
            "have the same bars with data.assets, data.start and data.end."
        )
    mean: NDArray[np.float64] = np.mean(losses, axis=0)
    return mean


@dataclass
class _Members:
    """The members of a run; a round is computed for all of them when the first one is asked."""

    task: Risk
    examples: Mapping[int, RiskExamples]
    root: Callable[[Vector], Vector]
    _updates: Mapping[int, LocalUpdate] = field(default_factory=dict)
    _at: tuple[int, bytes] | None = None

    def update(self, participant: int, vector: Vector, round_number: int) -> LocalUpdate:
        """What `Risk.train` gives."""
        at = (round_number, vector.tobytes())
        if at != self._at:
            self._updates, self._at = self._train(vector), at
        return self._updates[participant]

    def root_update(self, vector: Vector) -> Vector:
        """The update of the server's own data."""
        return self.root(vector)

    def _train(self, vector: Vector) -> dict[int, LocalUpdate]:
        by_size: dict[int, list[int]] = defaultdict(list)
        for i, own in self.examples.items():
            by_size[len(own.label_bars)].append(i)
        updates: dict[int, LocalUpdate] = {}
        for size, members in by_size.items():
            if size:
                found = self.task.train_many(vector, [self.examples[i] for i in members])
            else:
                found = [LocalUpdate(np.zeros_like(vector), 0.0, 0)] * len(members)
            updates |= zip(members, found, strict=True)
        return updates
