"""Trading signal: which assets will do better than the market in the next bar.

A score is the expected return of the next bar in excess of the market's, in units of the asset's
own volatility. The market is the mean over the assets of the whole federation, known to each
participant from a federated sum. A network maps eight scale-free features to the score; untrained
it is zero, towards which training is shrunk: with little to learn from, nothing is traded. Scores
become positions that are neutral within a participant's assets, traded slowly and charged for
every change.

A position decided at the close of bar t uses bars up to t and earns the return of bar t + 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.corrections import Correction
from fedtrade.errors import ConfigurationError, DataError
from fedtrade.evaluation.comparison import mean_t
from fedtrade.evaluation.concordance import concordance
from fedtrade.evaluation.drawdown import max_drawdown
from fedtrade.evaluation.edge import edge_sentence, measure_edge
from fedtrade.evaluation.positions import (
    inverse_volatility_positions,
    neutral_positions,
    trade_slowly,
)
from fedtrade.evaluation.sharpe import annualised_sharpe, deflated_sharpe, probabilistic_sharpe
from fedtrade.evaluation.trading import backtest
from fedtrade.features import Standardiser, moment_sum, muted, volatility_state
from fedtrade.features.market_mean import N_MARKET, market_mean, market_sum
from fedtrade.features.momentum import (
    N_RELATIVE,
    is_described,
    momentum_score,
    relative_features,
    reversal_score,
)
from fedtrade.lazy_torch import torch
from fedtrade.models import NetworkFactory
from fedtrade.tasks.local_training import LocalFit, LocalFits, fit_alone, fit_one
from fedtrade.tasks.record_training import RecordTraining, examples_by_blocks
from fedtrade.tasks.shrinkage import shrinkage_for
from fedtrade.tasks.task import (
    FEDERATED,
    Evaluation,
    Forecast,
    Headline,
    LocalUpdate,
    Model,
    Sample,
    Score,
    Shared,
    Vector,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Signal"]

LABEL_LIMIT = 5.0
"""Volatilities at which a label is cut: squared error would follow a handful of crashes."""
SHUFFLE_SEED = 20_140_501
DAILY_BARS_PER_YEAR = 252.0

PLACEBO = "placebo"
NAIVE = ("buy_and_hold", "momentum", "reversal")
ALONE = ("local_default", "local_tuned", "local_nowcast", PLACEBO)


@dataclass(frozen=True, slots=True, eq=False)
class _Examples:
    """Features (n, 8), labels (n,) and the bar at which each label ends."""

    features: Tensor
    labels: Tensor
    label_bars: NDArray[np.intp]

    def where(self, keep: NDArray[np.bool_]) -> _Examples:
        mask = torch.from_numpy(keep)
        return _Examples(self.features[mask], self.labels[mask], self.label_bars[keep])

    def at(self, index: NDArray[np.intp]) -> _Examples:
        """Those at an index of any shape, with that shape in front."""
        chosen = torch.from_numpy(index)
        return _Examples(self.features[chosen], self.labels[chosen], self.label_bars[index])

    @staticmethod
    def joined(parts: Iterable[_Examples]) -> _Examples:
        """All examples of several lots."""
        parts = list(parts)
        return _Examples(
            torch.cat([part.features for part in parts]),
            torch.cat([part.labels for part in parts]),
            np.concatenate([part.label_bars for part in parts]),
        )

    def shuffled(self) -> _Examples:
        """Labels dealt anew over bars and assets with random signs, always in the same way.

        Shuffling alone would keep the participant's mean label, from which a federation could
        still learn which participants' assets did well.
        """
        rng = np.random.default_rng(SHUFFLE_SEED)
        order = rng.permutation(len(self.label_bars))
        signs = rng.choice(np.array([-1.0, 1.0], dtype=np.float32), size=len(order))
        labels = self.labels[torch.from_numpy(order)] * torch.from_numpy(signs)
        return _Examples(self.features, labels, self.label_bars)

    @property
    def n_bars(self) -> int:
        return len(np.unique(self.label_bars))


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """What is known after each bar of a sample, and what is learned from it.

    `raw` is (n_bars, n_assets, 8), unscaled; `volatility` (n_bars, n_assets). Row t of `labels` is
    the return of bar t + 1 in excess of that bar's market over the volatility at t; the last row
    is NaN.
    """

    raw: NDArray[np.float64]
    volatility: NDArray[np.float64]
    labels: NDArray[np.float64]


class Signal:
    """Cross-sectional score of the next bar's return, turned into positions.

    Parameters
    ----------
    network : NetworkFactory
        From eight features to the score.
    cost_bps : sequence of float
        Trading costs at which net returns are reported, in basis points of the traded value.
    headline_cost_bps : float
        The one of them by which arms are compared.
    full_score : float
        Mean distance of the scores from their mean at which the gross exposure reaches its limit.
    gross_limit : float
        Largest sum of absolute positions, as a fraction of the capital.
    trade_share : float
        Share of the way to the wanted position that is traded at each bar, in (0, 1].
    bars_per_year : float
        For annualised ratios. The default is that of daily bars and is refused for others.
    n_trials : int
        Strategies that were tried, by which Sharpe ratios are deflated: eight in one run (momentum,
        reversal, three local models, frozen, federated, pooled), times the runs of a sweep.
    shuffle_labels : bool
        Train everybody on shuffled labels: the whole federation becomes a placebo.
    local_steps : int
        Adam steps of a participant in a round.
    learning_rate : float
    shrinkage : float
        Strength of the pull to no signal, see `shrinkage_for`.
    alone_steps : int
        Adam steps of the models that a participant trains alone.

    Raises
    ------
    ValueError
        If an argument lies outside of its range.
    """

    name = "signal"
    sums = ("market", "moments")
    learned = ("moments",)
    totals = ("score_label", "score_square", "label_square")
    min_history_bars = 40
    horizon_bars = 1

    def __init__(
        self,
        network: NetworkFactory,
        *,
        cost_bps: Sequence[float] = (0.0, 1.0, 5.0, 10.0),
        headline_cost_bps: float = 5.0,
        full_score: float = 0.05,
        gross_limit: float = 1.0,
        trade_share: float = 0.2,
        bars_per_year: float = DAILY_BARS_PER_YEAR,
        n_trials: int = 8,
        shuffle_labels: bool = False,
        local_steps: int = 10,
        learning_rate: float = 0.005,
        shrinkage: float = 5.0,
        alone_steps: int = 100,
    ) -> None:
        _check_costs(cost_bps, headline_cost_bps)
        _check_positive(
            full_score=full_score,
            gross_limit=gross_limit,
            trade_share=trade_share,
            bars_per_year=bars_per_year,
            learning_rate=learning_rate,
        )
        _check_at_least_one(n_trials=n_trials, local_steps=local_steps, alone_steps=alone_steps)
        if trade_share > 1.0:
            raise ValueError(f"trade_share must be at most 1, got {trade_share}.")
        if not shrinkage >= 0.0:
            raise ValueError(f"shrinkage must not be negative, got {shrinkage}.")
        self._network = network(N_RELATIVE, 1)
        self.cost_bps = tuple(float(cost) for cost in cost_bps)
        self._positions = partial(neutral_positions, full_score=full_score, gross_limit=gross_limit)
        self._gross_limit = gross_limit
        self._trade_share = trade_share
        self._bars_per_year = bars_per_year
        self.n_trials = n_trials
        self._shuffle_labels = shuffle_labels
        self.local_steps = local_steps
        self._learning_rate = learning_rate
        self._shrinkage = shrinkage
        self._alone_steps = alone_steps
        self.headline = Headline(
            "net_return",
            float(headline_cost_bps),
            unit="bp/day",
            scale=1e4,
            lower_is_better=False,
            relative=False,
        )
        others = [cost for cost in self.cost_bps if cost != headline_cost_bps]
        self._daily_costs = (float(headline_cost_bps), *others)
        self.daily = (*map(_net_return, self._daily_costs), "rank_ic", "turnover")

    def initial(self, seed: int) -> Vector:
        """A network that gives every asset the score zero."""
        return self._network.initial(np.random.default_rng(seed))

    # --- federated sums -------------------------------------------------------------------------

    def local_sum(self, name: str, sample: Sample, shared: Shared) -> NDArray[np.float64]:
        """The participant's part of the market (every bar) or the moments (training bars).

        Raises
        ------
        DataError
            If the bars are not daily but `bars_per_year` is that of daily bars.
        """
        self._check_bars_per_year(sample.panel.bar)
        if name == "market":
            returns = sample.panel.returns()
            state = volatility_state(returns)
            return market_sum(returns, state, sample.rows, sample.n_calendar)
        return _moments(_inputs(sample, _market(sample, shared)), sample)

    def _check_bars_per_year(self, bar: str) -> None:
        if bar != "1D" and self._bars_per_year == DAILY_BARS_PER_YEAR:
            raise DataError(
                f"the data has bars of {bar}, but task.bars_per_year={self._bars_per_year:g} is "
                "that of daily bars; set it for yours, such as task.bars_per_year=6240 for "
                "hourly bars of a currency."
            )

    def finish_sum(self, name: str, total: NDArray[np.float64]) -> NDArray[np.float64]:
        """The market's means, or the moments as they are."""
        return market_mean(total) if name == "market" else total

    # --- training -------------------------------------------------------------------------------

    def train(
        self,
        vector: Vector,
        sample: Sample,
        shared: Shared,
        *,
        correction: Correction | None = None,
    ) -> LocalUpdate:
        """Some Adam steps from the global vector on this participant's examples."""
        examples = self._examples(sample, shared)
        if not examples.n_bars:
            return LocalUpdate(np.zeros_like(vector), 0.0, 0, np.zeros_like(vector))
        fit = self._fit(vector, examples, self.local_steps, correction=correction)
        n_examples = len(examples.label_bars)
        return LocalUpdate(fit.vector - vector, fit.loss, n_examples, fit.gradient)

    def record_training(
        self, sample: Sample, shared: Shared, look_back_bars: int | None
    ) -> RecordTraining:
        """See `TrainsOnRecords`.

        Raises
        ------
        ConfigurationError
            If labels are shuffled: a day's returns would be labels all over the records.
        """
        if self._shuffle_labels:
            raise ConfigurationError(
                "task.shuffle_labels=true deals a day's returns to many records, and "
                "privacy.record hides those of few: set one of them to null or false."
            )
        examples = examples_by_blocks(
            sample, look_back_bars, lambda part: _ordered_examples(part, shared)
        )
        return RecordTraining.of(
            examples,
            self._loss,
            prior=self.initial(0),
            shrinkage=shrinkage_for(max(examples.n_bars, 1), self._shrinkage),
            n_steps=self.local_steps,
            learning_rate=self._learning_rate,
            network=self._network,
        )

    def solve(self, shared: Shared) -> Mapping[str, Model]:
        """Nothing: the sums do not determine this model."""
        return {}

    def fit_pooled(self, samples: Sequence[Sample], shared: Shared, n_rounds: int) -> Vector:
        """One model on all examples in one place; without rounds the untrained one."""
        if n_rounds == 0:
            return self.initial(0)
        parts = [self._examples(sample, shared) for sample in samples]
        pooled = _Examples.joined(parts)
        n_steps = n_rounds * self.local_steps
        return self._fit(
            self.initial(0), pooled, n_steps, max(part.n_bars for part in parts)
        ).vector

    def _examples(self, sample: Sample, shared: Shared) -> _Examples:
        examples = _ordered_examples(sample, shared)
        return examples.shuffled() if self._shuffle_labels else examples

    def _fit(
        self,
        start: Vector,
        examples: _Examples,
        n_steps: int,
        n_bars: int | None = None,
        correction: Correction | None = None,
    ) -> LocalFit:
        return fit_one(
            start,
            examples,
            self._loss,
            prior=self.initial(0),
            shrinkage=shrinkage_for(n_bars or examples.n_bars, self._shrinkage),
            n_steps=n_steps,
            learning_rate=self._learning_rate,
            correction=correction,
        )

    def _loss(self, vector: Tensor, examples: _Examples) -> Tensor:
        """Half the squared error of each example."""
        score = self._network(vector, examples.features)[..., 0]
        return 0.5 * (examples.labels - score).square()

    # --- evaluation -----------------------------------------------------------------------------

    def evaluate(self, sample: Sample, shared: Shared, models: Mapping[str, Model]) -> Evaluation:
        """Score naive strategies, the models given, and models trained on this sample alone."""
        together = _inputs(sample, _market(sample, shared))
        alone = _inputs(sample, _own_market(sample))
        first = sample.n_train + sample.n_skip
        rows = slice(first - 1, None)  # each decides at its close what the next bar earns
        scores = {
            "momentum": _scored(momentum_score(alone.raw), alone),
            "reversal": _scored(reversal_score(alone.raw), alone),
        }
        for arm, model in self._alone(alone, sample).items():
            scores[arm] = self._score(model, alone)
        for arm, model in (self._with_market(together, sample) | dict(models)).items():
            scores[arm] = self._score(model, together)
        volatility, labels = together.volatility[rows], together.labels[rows]
        positions = {
            arm: trade_slowly(self._positions(score[rows], volatility), self._trade_share)
            for arm, score in scores.items()
        }
        level = np.zeros_like(volatility)
        held = inverse_volatility_positions(volatility[:1], gross_limit=self._gross_limit)
        scores = {"buy_and_hold": level, **{arm: score[rows] for arm, score in scores.items()}}
        positions = {"buy_and_hold": np.repeat(held, len(level), axis=0), **positions}
        returns = sample.panel.returns()[rows]
        return Evaluation(
            arms=tuple(scores),
            bars=sample.panel.bars[first:],
            totals=np.stack([_totals(score[:-1], labels[:-1]) for score in scores.values()]),
            daily=np.stack(
                [
                    self._daily(positions[arm], returns, score[:-1], labels[:-1])
                    for arm, score in scores.items()
                ],
                axis=1,
            ),
        )

    def arms(self, models: Iterable[str]) -> tuple[str, ...]:
        """See `NamesArms`."""
        return tuple(dict.fromkeys((*NAIVE, *ALONE, *models)))

    def scores(self, totals: NDArray[np.float64], daily: NDArray[np.float64]) -> Sequence[Score]:
        """Net returns and their ratios at each cost, then what the scores are worth as such."""
        layers = dict(zip(self.daily, daily, strict=True))
        found = []
        for cost in self.cost_bps:
            net = layers[_net_return(cost)]
            ratios = {
                "net_return": _mean(net),
                "net_sharpe": annualised_sharpe(net, self._bars_per_year),
                "psr": probabilistic_sharpe(net),
                "dsr": deflated_sharpe(net, self.n_trials),
                "max_drawdown": max_drawdown(net),
            }
            found += [Score(metric, cost, value) for metric, value in ratios.items()]
        product, score_square, label_square = totals
        scale = float(np.sqrt(score_square * label_square))
        whole = {
            "rank_ic": _mean(layers["rank_ic"]),
            "rank_ic_t": mean_t(layers["rank_ic"]),
            "pooled_ic": float(product) / scale if scale > 0.0 else float("nan"),
            "turnover": _mean(layers["turnover"]),
            "n_trials": float(self.n_trials),
        }
        return found + [Score(metric, None, value) for metric, value in whole.items()]

    def notes(self, daily: Mapping[str, ArrayLike]) -> tuple[str, ...]:
        """Whether there is an edge after costs, as one plain sentence.

        Parameters
        ----------
        daily : mapping of str to array of shape (n_bars,)
            The headline score by bar, mean over participants, of each arm. Without a federated
            arm there is nothing to say.
        """
        if FEDERATED not in daily:
            return ()
        measure = partial(measure_edge, n_trials=self.n_trials, cost_bps=self._daily_costs[0])
        ours = np.asarray(daily[FEDERATED], dtype=np.float64)
        over_placebo = None
        if PLACEBO in daily:
            over_placebo = measure(ours - np.asarray(daily[PLACEBO], dtype=np.float64))
        return (edge_sentence(measure(ours), over_placebo),)

    def forecast(self, model: Model, sample: Sample, shared: Shared) -> Sequence[Forecast]:
        """Each asset's score for the next bar and the position that it asks for.

        The position is where `trade_share` of the way leads to in the long run, as a fraction of
        the capital, neutral among the sample's assets.
        """
        inputs = _inputs(sample, _market(sample, shared))
        score = self._score(model, inputs)[-1:]
        position = self._positions(score, inputs.volatility[-1:])
        return [
            Forecast(asset, quantity, None, float(values[0, k]))
            for k, asset in enumerate(sample.panel.assets)
            for quantity, values in (("score", score), ("position", position))
        ]

    def _alone(self, inputs: _Inputs, sample: Sample) -> dict[str, Model]:
        """Models that know no asset but the participant's own, by default and tuned."""
        moments = _moments(inputs, sample)
        examples = _training_examples(inputs, sample, moments)
        fits = self._fit_alone(examples)
        return {
            "local_default": Model(fits.default, {"moments": moments}),
            "local_tuned": Model(fits.tuned, {"moments": moments}),
        }

    def _with_market(self, inputs: _Inputs, sample: Sample) -> dict[str, Model]:
        """Models of this sample with the federation's market: a tuned one and the placebo."""
        moments = _moments(inputs, sample)
        examples = _training_examples(inputs, sample, moments)
        placebo = self._fit(self.initial(0), examples.shuffled(), self._alone_steps)[0]
        return {
            "local_nowcast": Model(self._fit_alone(examples).tuned, {"moments": moments}),
            PLACEBO: Model(placebo, {"moments": moments}),
        }

    def _fit_alone(self, examples: _Examples) -> LocalFits:
        return fit_alone(
            examples,
            self._loss,
            start=self.initial(0),
            prior=self.initial(0),
            shrinkage=shrinkage_for(examples.n_bars, self._shrinkage),
            horizon_bars=self.horizon_bars,
            n_steps=self._alone_steps,
            learning_rate=self._learning_rate,
        )

    def _score(self, model: Model, inputs: _Inputs) -> NDArray[np.float64]:
        """The model's score after each bar, shape (n_bars, n_assets)."""
        features = _standardised(inputs.raw, model.learned["moments"])
        flat = torch.from_numpy(features.reshape(-1, N_RELATIVE).astype(np.float32))
        with torch.no_grad():
            vector = torch.from_numpy(np.asarray(model.vector, dtype=np.float32))
            score = self._network(vector, flat)[:, 0].numpy().astype(np.float64)
        return _scored(score.reshape(features.shape[:2]), inputs)

    def _daily(
        self,
        positions: NDArray[np.float64],
        returns: NDArray[np.float64],
        score: NDArray[np.float64],
        labels: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The layers of `daily`, shape (n_daily, n_bars)."""
        result = backtest(positions, returns, self._daily_costs)
        return np.vstack([result.net.T, _rank_ic(score, labels), result.turnover])


# --- inputs -------------------------------------------------------------------------------------


def _market(sample: Sample, shared: Shared) -> NDArray[np.float64]:
    """The federation's market at the sample's bars, shape (n_bars, 4)."""
    return shared["market"][sample.rows]


def _own_market(sample: Sample) -> NDArray[np.float64]:
    """The mean of the participant's own assets; one asset has no market but cash."""
    returns = sample.panel.returns()
    if sample.panel.n_assets == 1:
        return np.zeros((len(returns), N_MARKET))
    rows = np.arange(len(returns))
    return market_mean(market_sum(returns, volatility_state(returns), rows, len(returns)))


def _inputs(sample: Sample, market: NDArray[np.float64]) -> _Inputs:
    returns = sample.panel.returns()
    state = volatility_state(returns)
    labels = np.full_like(returns, np.nan)
    labels[:-1] = (returns - market[:, :1])[1:] / state.s11[:-1]
    return _Inputs(
        relative_features(returns, state, market),
        state.s11,
        np.clip(labels, -LABEL_LIMIT, LABEL_LIMIT),
    )


def _training_rows(inputs: _Inputs, sample: Sample) -> NDArray[np.bool_]:
    """Which (bar, asset) can be learned from, shape (n_train - 1, n_assets).

    Every label ends at the origin or earlier.
    """
    rows = slice(0, sample.n_train - 1)
    return is_described(inputs.raw[rows]) & np.isfinite(inputs.labels[rows])


def _moments(inputs: _Inputs, sample: Sample) -> NDArray[np.float64]:
    """Count, sum and sum of squares of each feature where it is known, shape (3, 8)."""
    return moment_sum(inputs.raw[: sample.n_train - 1][_training_rows(inputs, sample)])


def _standardised(raw: NDArray[np.float64], moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standardise the last axis; what is unknown, or was to everybody, becomes zero."""
    seen = moments[0] > 0
    if seen.any():
        moments = muted(moments, ~seen)
    return np.nan_to_num(Standardiser.from_sum(moments)(raw))


def _ordered_examples(sample: Sample, shared: Shared) -> _Examples:
    """What a participant trains on, with each bar's own labels."""
    inputs = _inputs(sample, _market(sample, shared))
    return _training_examples(inputs, sample, shared["moments"])


def _training_examples(inputs: _Inputs, sample: Sample, moments: NDArray[np.float64]) -> _Examples:
    known = _training_rows(inputs, sample)
    features = inputs.raw[: sample.n_train - 1][known]
    bars = np.broadcast_to(sample.rows[1 : sample.n_train, None], known.shape)
    return _Examples(
        torch.from_numpy(_standardised(features, moments).astype(np.float32)),
        torch.from_numpy(inputs.labels[: sample.n_train - 1][known].astype(np.float32)),
        bars[known],
    )


# --- scores -------------------------------------------------------------------------------------


def _net_return(cost: float) -> str:
    return f"net_return@{cost:g}"


def _scored(score: NDArray[np.float64], inputs: _Inputs) -> NDArray[np.float64]:
    """The score where the asset is known well enough to be held, otherwise NaN."""
    return np.where(is_described(inputs.raw), score, np.nan)


def _rank_ic(score: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank agreement by bar; a single asset is ranked against the market, whose score is zero."""
    if score.shape[1] > 1:
        return concordance(score, labels)
    market = np.zeros_like(score)
    return concordance(np.hstack([score, market]), np.hstack([labels, market]))


def _totals(score: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the pooled correlation adds up, shape (3,)."""
    known = np.isfinite(score) & np.isfinite(labels)
    x, y = score[known], labels[known]
    return np.array([x @ y, x @ x, y @ y])


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


# --- arguments ----------------------------------------------------------------------------------


def _check_costs(cost_bps: Sequence[float], headline_cost_bps: float) -> None:
    if not cost_bps or min(cost_bps) < 0.0 or len(set(cost_bps)) < len(cost_bps):
        raise ValueError(f"cost_bps must be different costs of at least 0, got {list(cost_bps)}.")
    if headline_cost_bps not in cost_bps:
        raise ValueError(
            f"headline_cost_bps must be one of cost_bps={list(cost_bps)}, got {headline_cost_bps}."
        )


def _check_positive(**arguments: float) -> None:
    for name, value in arguments.items():
        if not value > 0.0:
            raise ValueError(f"{name} must be positive, got {value}.")


def _check_at_least_one(**arguments: int) -> None:
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
