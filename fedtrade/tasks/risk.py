"""Tail risk: value at risk and expected shortfall of each asset's next return.

The volatility of the next return is a base volatility times the exponential of a network of nine
standardised features: five of the asset's own history and four of the market nowcast. A head
shared by all turns it into quantiles and shortfalls that cannot cross. Untrained, the model is the
EWMA with Student-t tails, towards which training is shrunk: with little history it stays there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.baselines import (
    NAIVE_FORECASTERS,
    TailForecast,
    TailForecaster,
    ewma_t6,
    har_mix_variance,
)
from fedtrade.corrections import Correction
from fedtrade.evaluation.tail_scores import TAIL_TOTALS, tail_metrics, tail_scores
from fedtrade.features import (
    Standardiser,
    VolatilityState,
    market_nowcast,
    moment_sum,
    nowcast_sum,
    volatility_state,
)
from fedtrade.features.nowcast import N_NOWCAST, beside_nowcast, without_nowcast
from fedtrade.features.volatility import LEAST_VOLATILITY
from fedtrade.lazy_torch import torch
from fedtrade.models import NetworkFactory, TailHead
from fedtrade.models.fitting import fit_vectors
from fedtrade.models.tail_head import SCORE_WEIGHT
from fedtrade.tasks.local_training import LocalFit, fit_alone, fit_one
from fedtrade.tasks.record_training import RecordTraining, examples_by_blocks
from fedtrade.tasks.shrinkage import shrinkage_for
from fedtrade.tasks.task import (
    FEDERATED,
    Evaluation,
    Forecast,
    ForecastPath,
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

__all__ = ["Risk", "RiskExamples", "ScoredInputs"]

N_OWN = 5
N_FEATURES = N_OWN + N_NOWCAST
PRIOR_DOF = 6.0
ALONE = ("local_default", "local_tuned", "local_nowcast")
LIMIT = 5.0
"""The network's correction is clipped to e^+-5, so that no vector overflows single precision."""
LEAST_RISK = 1e-6
"""A price that stood still forecasts no risk at all, of which no score is finite: the floor of all
naive forecasts, also of those that fell back to the EWMA."""


@dataclass(frozen=True, slots=True, eq=False)
class RiskExamples:
    """Features (n, 9), log base volatility (n,), the return that follows (n,) and its bar."""

    features: Tensor
    log_base: Tensor
    returns: Tensor
    label_bars: NDArray[np.intp]

    @staticmethod
    def joined(parts: Iterable[RiskExamples]) -> RiskExamples:
        """All examples of several lots."""
        parts = list(parts)
        return RiskExamples(
            torch.cat([part.features for part in parts]),
            torch.cat([part.log_base for part in parts]),
            torch.cat([part.returns for part in parts]),
            np.concatenate([part.label_bars for part in parts]),
        )

    def where(self, keep: NDArray[np.bool_]) -> RiskExamples:
        mask = torch.from_numpy(keep)
        return RiskExamples(
            self.features[mask], self.log_base[mask], self.returns[mask], self.label_bars[keep]
        )

    def at(self, index: NDArray[np.intp]) -> RiskExamples:
        """Those at an index of any shape, with that shape in front."""
        chosen = torch.from_numpy(index)
        return RiskExamples(
            self.features[chosen],
            self.log_base[chosen],
            self.returns[chosen],
            self.label_bars[index],
        )

    @property
    def n_bars(self) -> int:
        """Different bars among the labels."""
        return len(np.unique(self.label_bars))


class ScoredInputs(NamedTuple):
    """What is known before each scored bar, and the return that followed.

    Attributes
    ----------
    features : float32 of shape (n_bars, n_assets, 9)
        Standardised; zero where unknown.
    base : float32 of shape (n_bars, n_assets)
        The base volatility.
    returns : float64 of shape (n_bars, n_assets)
    """

    features: NDArray[np.float32]
    base: NDArray[np.float32]
    returns: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """What is known after each bar of a sample; `raw` is (n_bars, n_assets, 9), unscaled."""

    returns: NDArray[np.float64]
    base: NDArray[np.float64]
    raw: NDArray[np.float64]


class Risk:
    """Joint VaR and ES of the next bar's return.

    Parameters
    ----------
    network : NetworkFactory
        From nine features to the logarithm of the volatility's correction.
    levels : sequence of float
        Tail probabilities, falling; the last one is the headline's.
    base_volatility : {"ewma", "har_mix"}
        What the network corrects: the EWMA of half-life 11 bars or the fixed HAR mixture, which
        is a better place to fall back to when nobody has more than a few months of history.
    local_steps : int
        Adam steps of a participant in a round.
    learning_rate : float
    shrinkage : float
        Strength of the pull to the prior, see `shrinkage_for`.
    alone_steps : int
        Adam steps of the models that a participant trains alone.
    baselines : {"all", "ewma"}
        What the model is compared with: all naive forecasts and models trained alone, or the EWMA
        only, for runs of many participants whose baselines another run has computed.

    Raises
    ------
    ValueError
        If an argument lies outside of its range.
    """

    name = "risk"
    sums = ("nowcast", "moments")
    learned = ("moments",)
    min_history_bars = 40
    horizon_bars = 1

    def __init__(
        self,
        network: NetworkFactory,
        *,
        levels: Sequence[float] = (0.05, 0.025, 0.01),
        base_volatility: Literal["ewma", "har_mix"] = "ewma",
        local_steps: int = 10,
        learning_rate: float = 0.02,
        shrinkage: float = 2.0,
        alone_steps: int = 100,
        baselines: Literal["all", "ewma"] = "all",
    ) -> None:
        if base_volatility not in ("ewma", "har_mix"):
            raise ValueError(
                f"base_volatility must be 'ewma' or 'har_mix', got {base_volatility!r}."
            )
        if baselines not in ("all", "ewma"):
            raise ValueError(f"baselines must be 'all' or 'ewma', got {baselines!r}.")
        if local_steps < 1 or alone_steps < 1:
            raise ValueError(
                f"local_steps and alone_steps must be at least 1, got {local_steps}, {alone_steps}."
            )
        if not learning_rate > 0.0 or not shrinkage >= 0.0:
            raise ValueError(
                "learning_rate must be positive and shrinkage not negative, "
                f"got {learning_rate} and {shrinkage}."
            )
        self._network = network(N_FEATURES, 1)
        self._head = TailHead(levels)
        self._base_volatility = base_volatility
        self.local_steps = local_steps
        self._learning_rate = learning_rate
        self._shrinkage = shrinkage
        self._alone_steps = alone_steps
        self._naive_arms = tuple(NAIVE_FORECASTERS) if baselines == "all" else ("ewma_t6",)
        self._alone_arms = ALONE if baselines == "all" else ()
        self.levels = self._head.levels
        self.headline = Headline("pinball", self.levels[-1], unit="bp", scale=1e4)
        self.totals = tuple(f"{name}@{level}" for level in self.levels for name in TAIL_TOTALS)
        self.daily = (f"pinball@{self.levels[-1]}",)

    def initial(self, seed: int) -> Vector:
        """A network that corrects nothing, with the tail of a Student-t of 6 degrees of freedom."""
        body = self._network.initial(np.random.default_rng(seed))
        return np.concatenate([body, self._head.student_t(PRIOR_DOF)])

    # --- federated sums -------------------------------------------------------------------------

    def local_sum(self, name: str, sample: Sample, shared: Shared) -> NDArray[np.float64]:
        """The participant's part of the nowcast (every bar) or the moments (training bars)."""
        if name == "nowcast":
            state = volatility_state(sample.panel.returns())
            return nowcast_sum(state, sample.rows, sample.n_calendar)
        return self._moments(self._inputs(sample, shared), sample)

    def finish_sum(self, name: str, total: NDArray[np.float64]) -> NDArray[np.float64]:
        """The market nowcast's features, or the moments as they are."""
        return market_nowcast(total) if name == "nowcast" else total

    def _moments(self, inputs: _Inputs, sample: Sample) -> NDArray[np.float64]:
        known, _ = _training_rows(inputs, sample)
        return moment_sum(inputs.raw[: sample.n_train - 1][known])

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
        examples = self.examples(sample, shared)
        if not examples.n_bars:
            return LocalUpdate(np.zeros_like(vector), 0.0, 0, np.zeros_like(vector))
        fit = self._fit(vector, examples, self.local_steps, correction=correction)
        n_examples = len(examples.label_bars)
        return LocalUpdate(fit.vector - vector, fit.loss, n_examples, fit.gradient)

    def examples(self, sample: Sample, shared: Shared) -> RiskExamples:
        """What a participant trains on."""
        scale = Standardiser.from_sum(shared["moments"])
        return _examples(self._inputs(sample, shared), sample, scale)

    def train_many(self, vector: Vector, examples: Sequence[RiskExamples]) -> list[LocalUpdate]:
        """What `train` gives for each of several participants, all computed in one go.

        Fits do not influence each other; beside a loop over participants only the rounding
        differs. Meant for simulations, where one process plays many participants.

        Raises
        ------
        ValueError
            If their numbers of examples differ, or there are none.
        """
        sizes = {len(own.label_bars) for own in examples}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(f"examples must be of one size, not zero; got {sorted(sizes)}.")
        stacked = RiskExamples(
            torch.stack([own.features for own in examples]),
            torch.stack([own.log_base for own in examples]),
            torch.stack([own.returns for own in examples]),
            examples[0].label_bars,
        )
        fit = fit_vectors(
            vector,
            lambda vectors: self._loss(vectors, stacked),
            n_steps=self.local_steps,
            learning_rate=self._learning_rate,
            prior=self.initial(0),
            shrinkages=[shrinkage_for(own.n_bars, self._shrinkage) for own in examples],
        )
        return [
            LocalUpdate(fitted - vector, float(loss), len(own.label_bars), gradient)
            for fitted, loss, gradient, own in zip(*fit, examples, strict=True)
        ]

    def record_training(
        self, sample: Sample, shared: Shared, look_back_bars: int | None
    ) -> RecordTraining:
        """See `TrainsOnRecords`; by the likelihood alone.

        The gradient of the FZ0 score is one over the tail probability at the few bars that hit,
        and nearly zero at all others: clipped, it pulls the quantiles inwards whatever the noise.
        """
        examples = examples_by_blocks(
            sample, look_back_bars, lambda part: self.examples(part, shared)
        )
        return RecordTraining.of(
            examples,
            partial(self._loss, score_weight=0.0),
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
        scale = Standardiser.from_sum(shared["moments"])
        parts = [_examples(self._inputs(sample, shared), sample, scale) for sample in samples]
        pooled = RiskExamples.joined(parts)
        n_steps = n_rounds * self.local_steps
        return self._fit(
            self.initial(0), pooled, n_steps, max(part.n_bars for part in parts)
        ).vector

    def _fit(
        self,
        start: Vector,
        examples: RiskExamples,
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

    def _loss(
        self, vector: Tensor, examples: RiskExamples, score_weight: float = SCORE_WEIGHT
    ) -> Tensor:
        correction, shape = self._network_and_shape(vector, examples.features)
        log_volatility = examples.log_base + correction
        return self._head.losses(shape, log_volatility, examples.returns, score_weight)

    def _network_and_shape(self, vector: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithm of the correction (..., n), and the parameters of the head."""
        split = self._network.n_params
        correction = self._network(vector[..., :split], features)[..., 0]
        return torch.clamp(correction, -LIMIT, LIMIT), vector[..., split:]

    # --- evaluation -----------------------------------------------------------------------------

    def evaluate(self, sample: Sample, shared: Shared, models: Mapping[str, Model]) -> Evaluation:
        """Score naive forecasts, the models given, and models trained on this sample alone."""
        inputs = self._inputs(sample, shared)
        forecasts = self._naive(inputs.returns, sample)
        for arm, model in (self._alone(inputs, sample) | dict(models)).items():
            forecasts[arm] = self._forecast(model, inputs, slice(sample.n_train - 1, -1))
        scored = slice(sample.n_skip, None)
        returns = inputs.returns[sample.n_train :][scored]
        tails = {arm: TailForecast(t.var[scored], t.es[scored]) for arm, t in forecasts.items()}
        scores = [tail_scores(returns, *tail, self.levels) for tail in tails.values()]
        bars = sample.panel.bars[sample.n_train :][scored]
        shown = tails.get(FEDERATED, tails["ewma_t6"])
        return Evaluation(
            arms=tuple(tails),
            bars=bars,
            totals=np.stack([score.totals.reshape(-1) for score in scores]),
            daily=np.stack([score.daily_pinball[:, -1] for score in scores])[None],
            path=ForecastPath(
                sample.panel.assets[0],
                self.levels[-1],
                bars,
                returns[:, 0],
                shown.var[:, 0, -1],
                shown.es[:, 0, -1],
            ),
        )

    def arms(self, models: Iterable[str]) -> tuple[str, ...]:
        """See `NamesArms`."""
        return tuple(dict.fromkeys((*self._naive_arms, *self._alone_arms, *models)))

    def scores(self, totals: NDArray[np.float64], daily: NDArray[np.float64]) -> Sequence[Score]:
        """Proper scores and coverage tests at each level, from the totals."""
        by_level = totals.reshape(len(self.levels), len(TAIL_TOTALS))
        return [
            Score(metric, level, value)
            for level, row in zip(self.levels, by_level, strict=True)
            for metric, value in tail_metrics(row, level).items()
        ]

    def notes(self, daily: Mapping[str, ArrayLike]) -> tuple[str, ...]:
        """Nothing beyond the verdict."""
        return ()

    def forecast(self, model: Model, sample: Sample, shared: Shared) -> Sequence[Forecast]:
        """VaR and ES of each asset's next return at each level."""
        tail = self._forecast(model, self._inputs(sample, shared), slice(-1, None))
        return [
            Forecast(asset, quantity, level, float(values[0, k, j]))
            for k, asset in enumerate(sample.panel.assets)
            for quantity, values in (("var", tail.var), ("es", tail.es))
            for j, level in enumerate(self.levels)
        ]

    def _naive(self, returns: NDArray[np.float64], sample: Sample) -> dict[str, TailForecast]:
        """Tails of shape (n_bars, n_assets, n_levels) by naive arm."""
        out = {}
        for arm in self._naive_arms:
            forecast = NAIVE_FORECASTERS[arm]
            tails = [self._tail(forecast, column, sample.n_train) for column in returns.T]
            out[arm] = TailForecast(
                np.minimum(np.stack([tail.var for tail in tails], axis=1), -LEAST_RISK),
                np.minimum(np.stack([tail.es for tail in tails], axis=1), -LEAST_RISK),
            )
        return out

    def _tail(
        self, forecast: TailForecaster, returns: NDArray[np.float64], n_train: int
    ) -> TailForecast:
        """One asset's tail; the EWMA's where the forecaster cannot be fitted to the asset.

        Such as filtered historical simulation of a price that hardly moved in training: one asset
        must not cost the participant the scores of all.
        """
        try:
            return forecast(returns, n_train, self.levels)
        except ValueError:
            return ewma_t6(returns, n_train, self.levels)

    def _alone(self, inputs: _Inputs, sample: Sample) -> dict[str, Model]:
        """Models of this sample alone: without the nowcast, by default and tuned, and with it."""
        if not self._alone_arms:
            return {}
        moments = self._moments(inputs, sample)
        own = without_nowcast(moments)
        examples = {
            key: _examples(inputs, sample, Standardiser.from_sum(total))
            for key, total in (("own", own), ("nowcast", moments))
        }
        fits = {
            key: fit_alone(
                found,
                self._loss,
                start=self.initial(0),
                prior=self.initial(0),
                shrinkage=shrinkage_for(found.n_bars, self._shrinkage),
                horizon_bars=self.horizon_bars,
                n_steps=self._alone_steps,
                learning_rate=self._learning_rate,
            )
            for key, found in examples.items()
        }
        return {
            "local_default": Model(fits["own"].default, {"moments": own}),
            "local_tuned": Model(fits["own"].tuned, {"moments": own}),
            "local_nowcast": Model(fits["nowcast"].tuned, {"moments": moments}),
        }

    def _forecast(self, model: Model, inputs: _Inputs, rows: slice) -> TailForecast:
        """The model's tail after each of the rows, shapes (n_rows, n_assets, n_levels)."""
        scale = Standardiser.from_sum(model.learned["moments"])
        base = inputs.base[rows].astype(np.float32)
        return self.tail(model.vector, _known(scale(inputs.raw[rows])), base)

    def scored_inputs(self, sample: Sample, shared: Shared) -> ScoredInputs:
        """The inputs of the forecasts of the bars to be scored."""
        inputs = self._inputs(sample, shared)
        scale = Standardiser.from_sum(shared["moments"])
        first = sample.n_train + sample.n_skip
        rows = slice(first - 1, -1)
        return ScoredInputs(
            _known(scale(inputs.raw[rows])),
            inputs.base[rows].astype(np.float32),
            inputs.returns[first:],
        )

    def tail(
        self, vector: Vector, features: NDArray[np.float32], base: NDArray[np.float32]
    ) -> TailForecast:
        """The tail under a vector, shapes (n_bars, n_assets, n_levels); see `ScoredInputs`."""
        with torch.no_grad():
            flat = torch.from_numpy(features.reshape(-1, N_FEATURES))
            parameters = torch.from_numpy(np.asarray(vector, dtype=np.float32))
            correction, tail_shape = self._network_and_shape(parameters, flat)
            volatility = torch.from_numpy(base.reshape(-1)) * torch.exp(correction)
            tail = self._head.forecasts(tail_shape, volatility)
        shape = (*base.shape, len(self.levels))
        return TailForecast(
            tail.var.numpy().astype(np.float64).reshape(shape),
            tail.es.numpy().astype(np.float64).reshape(shape),
        )

    # --- inputs ---------------------------------------------------------------------------------

    def _inputs(self, sample: Sample, shared: Shared) -> _Inputs:
        returns = sample.panel.returns()
        state = volatility_state(returns)
        raw = beside_nowcast(state.own_features(), shared["nowcast"][sample.rows])
        return _Inputs(returns, self._base(returns, state), raw)

    def _base(self, returns: NDArray[np.float64], state: VolatilityState) -> NDArray[np.float64]:
        if self._base_volatility == "ewma":
            return state.s11
        return np.maximum(np.sqrt(har_mix_variance(returns)), LEAST_VOLATILITY)


def _known(features: NDArray[np.float64]) -> NDArray[np.float32]:
    """Features as the network takes them: an unknown one says nothing."""
    return np.nan_to_num(features).astype(np.float32)


def _training_rows(
    inputs: _Inputs, sample: Sample
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which (bar, asset) before the origin can be learned from, and the returns that follow.

    Shapes (n_train - 1, n_assets). Every label ends at the origin or earlier.
    """
    labels = inputs.returns[1 : sample.n_train]
    known = np.isfinite(inputs.raw[: sample.n_train - 1]).all(axis=2)
    return known & np.isfinite(labels), labels


def _examples(inputs: _Inputs, sample: Sample, scale: Standardiser) -> RiskExamples:
    known, labels = _training_rows(inputs, sample)
    features = scale(inputs.raw[: sample.n_train - 1][known])
    bars = np.broadcast_to(sample.rows[1 : sample.n_train, None], known.shape)
    return RiskExamples(
        torch.from_numpy(features.astype(np.float32)),
        torch.from_numpy(np.log(inputs.base[: sample.n_train - 1][known]).astype(np.float32)),
        torch.from_numpy(labels[known].astype(np.float32)),
        bars[known],
    )
