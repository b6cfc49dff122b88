"""Realised volatility of each asset over the next bar and the next five.

The variance is a base, the fixed HAR mixture, times the exponential of a function of nine
standardised features: five of a heterogeneous autoregression on the asset's own past and four of
the market nowcast. Two learners fit that function: a ridge regression from federated sums, exact
and without rounds (arm `federated_exact`), and the configured network, trained in rounds by QLIKE
(arm `federated`). Both are drawn to the base, the more so the shorter the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.corrections import Correction
from fedtrade.evaluation import log_squared_error, qlike
from fedtrade.features import Standardiser, market_nowcast, moment_sum, nowcast_sum
from fedtrade.features.nowcast import N_NOWCAST, beside_nowcast, without_nowcast
from fedtrade.features.realised_volatility import (
    N_HAR,
    RealisedVolatility,
    mean_over,
    realised_volatility,
)
from fedtrade.features.volatility import FLOOR
from fedtrade.lazy_torch import torch
from fedtrade.models import Linear, Network, NetworkFactory
from fedtrade.models.ridge import RidgeSums, ridge_weights
from fedtrade.models.variance_ridge import (
    fit_variance_ridge,
    log_ratios,
    smearing_sum,
    variance_ridge_vector,
)
from fedtrade.tasks.local_training import TUNING_GRID, LocalFit, fit_one
from fedtrade.tasks.record_training import RecordTraining, examples_by_blocks
from fedtrade.tasks.shrinkage import shrinkage_for
from fedtrade.tasks.task import (
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
from fedtrade.tasks.validation import strongest_within_one_error, validation_split

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HORIZONS", "Volatility"]

FloatArray = NDArray[np.float64]

HORIZONS = (1, 5)
"""Bars over which the variance is forecast, as a mean."""
LONGEST = max(HORIZONS)
N_FEATURES = N_HAR + N_NOWCAST
PENALTY = "penalty"
"""Marks a model that `solve` made: its vector is linear, whatever the configured network."""
MONTH_BARS = 22
NAIVE = ("ewma", "har_mix", "mean_22", "expanding")
ALONE = ("local_default", "local_tuned", "local_nowcast")
SCORE_TOTALS = ("n", "qlike", "n_log", "log_squared_error")


@dataclass(frozen=True, eq=False)
class _Examples:
    """Features (n, 9), realised over base variance (n, 2), and the bar at which both labels end."""

    features: FloatArray
    ratios: FloatArray
    label_bars: NDArray[np.intp]

    def where(self, keep: NDArray[np.bool_]) -> _Examples:
        return _Examples(self.features[keep], self.ratios[keep], self.label_bars[keep])

    def at(self, index: NDArray[np.intp]) -> _Examples:
        """Those at an index of any shape, with that shape in front."""
        return _Examples(self.features[index], self.ratios[index], self.label_bars[index])

    @staticmethod
    def joined(parts: Iterable[_Examples]) -> _Examples:
        """All examples of several lots."""
        parts = list(parts)
        return _Examples(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.ratios for part in parts]),
            np.concatenate([part.label_bars for part in parts]),
        )

    @cached_property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Features and ratios as float32."""
        return (
            torch.from_numpy(self.features.astype(np.float32)),
            torch.from_numpy(self.ratios.astype(np.float32)),
        )

    @property
    def n_bars(self) -> int:
        return len(np.unique(self.label_bars))


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """What is known after each bar of a sample; `raw` is (n_bars, n_assets, 9), unscaled."""

    volatility: RealisedVolatility
    raw: FloatArray


class Volatility:
    """Realised volatility over 1 and 5 bars.

    Parameters
    ----------
    network : NetworkFactory
        From nine features to the logarithms of both variances' corrections.
    local_steps : int
        Adam steps of a participant in a round.
    learning_rate : float
    shrinkage : float
        Strength of the pull to the base, of the network as of the ridge, see `shrinkage_for`.

    Raises
    ------
    ValueError
        If an argument lies outside of its range.
    """

    name = "volatility"
    headline = Headline("qlike", float(LONGEST))
    sums = ("nowcast", "moments", "products", "smearing")
    learned = ("moments", "products", "smearing")
    totals = tuple(f"{name}@{horizon}" for horizon in HORIZONS for name in SCORE_TOTALS)
    daily = tuple(f"qlike@{horizon}" for horizon in reversed(HORIZONS))
    min_history_bars = 45
    horizon_bars = LONGEST

    def __init__(
        self,
        network: NetworkFactory,
        *,
        local_steps: int = 10,
        learning_rate: float = 0.02,
        shrinkage: float = 0.3,
    ) -> None:
        if local_steps < 1:
            raise ValueError(f"local_steps must be at least 1, got {local_steps}.")
        if not learning_rate > 0.0 or not shrinkage > 0.0:
            raise ValueError(
                f"learning_rate and shrinkage must be positive, got {learning_rate}, {shrinkage}."
            )
        self._network = network(N_FEATURES, len(HORIZONS))
        self._linear = Linear(N_FEATURES, len(HORIZONS))
        self.local_steps = local_steps
        self._learning_rate = learning_rate
        self._shrinkage = shrinkage

    def initial(self, seed: int) -> Vector:
        """A network that corrects nothing."""
        return self._network.initial(np.random.default_rng(seed))

    # --- federated sums -------------------------------------------------------------------------

    def local_sum(self, name: str, sample: Sample, shared: Shared) -> FloatArray:
        """The participant's part of a sum: the nowcast of every bar, others of training bars."""
        if name == "nowcast":
            state = realised_volatility(sample.panel).state
            return nowcast_sum(state, sample.rows, sample.n_calendar)
        inputs = _inputs(sample, shared)
        if name == "moments":
            return _moments(inputs, sample)
        own = _examples(inputs, sample, Standardiser.from_sum(shared["moments"]))
        if name == "products":
            return RidgeSums.of(own.features, log_ratios(own.ratios), own.n_bars).to_array()
        return smearing_sum(self._exact_weights(shared)[0], own.features, own.ratios)

    def finish_sum(self, name: str, total: FloatArray) -> FloatArray:
        """The market nowcast's features, or the sums as they are."""
        return market_nowcast(total) if name == "nowcast" else total

    def solve(self, shared: Shared) -> Mapping[str, Model]:
        """The ridge that pooled data would give, as `federated_exact`."""
        weights, penalty = self._exact_weights(shared)
        vector = variance_ridge_vector(weights, shared["smearing"], penalty)
        learned = {name: shared[name] for name in self.learned}
        return {"federated_exact": Model(vector, learned | {PENALTY: np.array([penalty])})}

    def _exact_weights(self, shared: Shared) -> tuple[FloatArray, float]:
        """Weights (2, 9) and the penalty that they were found with."""
        total = RidgeSums.from_array(shared["products"], N_FEATURES)
        penalty = shrinkage_for(total.n_bars, self._shrinkage)
        return ridge_weights(total.products, penalty), penalty

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
        scale = Standardiser.from_sum(shared["moments"])
        examples = _examples(_inputs(sample, shared), sample, scale)
        if not examples.n_bars:
            return LocalUpdate(np.zeros_like(vector), 0.0, 0, np.zeros_like(vector))
        n_steps, n_bars = self.local_steps, examples.n_bars
        fit = self._fit(vector, examples, n_steps, n_bars, correction)
        n_examples = len(examples.label_bars)
        return LocalUpdate(fit.vector - vector, fit.loss, n_examples, fit.gradient)

    def record_training(
        self, sample: Sample, shared: Shared, look_back_bars: int | None
    ) -> RecordTraining:
        """See `TrainsOnRecords`."""
        scale = Standardiser.from_sum(shared["moments"])
        examples = examples_by_blocks(
            sample, look_back_bars, lambda part: _examples(_inputs(part, shared), part, scale)
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

    def fit_pooled(self, samples: Sequence[Sample], shared: Shared, n_rounds: int) -> Vector:
        """The network on all examples in one place; without rounds the untrained one."""
        if n_rounds == 0:
            return self.initial(0)
        scale = Standardiser.from_sum(shared["moments"])
        parts = [_examples(_inputs(sample, shared), sample, scale) for sample in samples]
        pooled = _Examples.joined(parts)
        n_bars = max(part.n_bars for part in parts)
        return self._fit(self.initial(0), pooled, n_rounds * self.local_steps, n_bars).vector

    def _fit(
        self,
        start: Vector,
        examples: _Examples,
        n_steps: int,
        n_bars: int,
        correction: Correction | None = None,
    ) -> LocalFit:
        return fit_one(
            start,
            examples,
            self._loss,
            prior=self.initial(0),
            shrinkage=shrinkage_for(n_bars, self._shrinkage),
            n_steps=n_steps,
            learning_rate=self._learning_rate,
            correction=correction,
        )

    def _loss(self, vector: Tensor, examples: _Examples) -> Tensor:
        """QLIKE without its constant, added over horizons."""
        features, ratios = examples.tensors
        correction = self._network(vector, features)
        return (ratios * torch.exp(-correction) + correction).sum(dim=-1)

    # --- evaluation -----------------------------------------------------------------------------

    def evaluate(self, sample: Sample, shared: Shared, models: Mapping[str, Model]) -> Evaluation:
        """Score naive forecasts, the models given, and ridges of this sample alone.

        A forecast is scored at the last of the bars that it is for, and at the earliest where it
        was made at the origin.
        """
        inputs = _inputs(sample, shared)
        forecasts = _naive(inputs.volatility)
        for arm, model in (self._alone(inputs, sample) | dict(models)).items():
            forecasts[arm] = self._variance(model, inputs)
        first = sample.n_train + max(sample.n_skip, LONGEST - 1)
        outcomes = _outcomes(inputs.volatility)[first:]
        has_range = inputs.volatility.has_range[first:]
        scores = [
            _score(_ending_at(forecast)[first:], outcomes, has_range)
            for forecast in forecasts.values()
        ]
        return Evaluation(
            arms=tuple(forecasts),
            bars=sample.panel.bars[first:],
            totals=np.stack([totals for totals, _ in scores]),
            daily=np.stack([daily for _, daily in scores], axis=1),
        )

    def arms(self, models: Iterable[str]) -> tuple[str, ...]:
        """See `NamesArms`."""
        return tuple(dict.fromkeys((*NAIVE, *ALONE, *models)))

    def scores(self, totals: FloatArray, daily: FloatArray) -> Sequence[Score]:
        """QLIKE of the variance at each horizon, and the log error of the volatility.

        The latter only where its outcomes are more than one squared return, whose logarithm is
        mostly noise.
        """
        found = []
        for horizon, row in zip(HORIZONS, totals.reshape(len(HORIZONS), -1), strict=True):
            n, loss, n_log, log_error = row.tolist()
            if n:
                found.append(Score("qlike", float(horizon), loss / n))
            if n_log:
                found.append(Score("log_mse", float(horizon), log_error / n_log))
        return found

    def notes(self, daily: Mapping[str, ArrayLike]) -> tuple[str, ...]:
        """Nothing beyond the verdict."""
        return ()

    def forecast(self, model: Model, sample: Sample, shared: Shared) -> Sequence[Forecast]:
        """Volatility per bar of each asset over the bars that follow."""
        volatility = np.sqrt(self._variance(model, _inputs(sample, shared))[-1])
        return [
            Forecast(asset, "volatility", float(horizon), float(volatility[column, k]))
            for column, asset in enumerate(sample.panel.assets)
            for k, horizon in enumerate(HORIZONS)
        ]

    def _alone(self, inputs: _Inputs, sample: Sample) -> dict[str, Model]:
        """Ridges of this sample alone: without the nowcast, by default and tuned, and with it."""
        moments = _moments(inputs, sample)
        own = without_nowcast(moments)
        examples = _examples(inputs, sample, Standardiser.from_sum(own))
        informed = _examples(inputs, sample, Standardiser.from_sum(moments))
        default = shrinkage_for(examples.n_bars, self._shrinkage)
        return {
            "local_default": _fit_ridge(examples, default, own),
            "local_tuned": _fit_ridge(examples, self._tuned_penalty(examples, default), own),
            "local_nowcast": _fit_ridge(informed, self._tuned_penalty(informed, default), moments),
        }

    def _tuned_penalty(self, examples: _Examples, default: float) -> float:
        """The strongest penalty that did about as well as the best on the last bars."""
        grid = [default * multiple for multiple in TUNING_GRID]
        early, late = validation_split(examples.label_bars, self.horizon_bars)
        if not early.any():
            return grid[-1]
        earlier, later = examples.where(early), examples.where(late)
        vectors = [fit_variance_ridge(earlier.features, earlier.ratios, p) for p in grid]
        corrections = [_apply(self._linear, vector, later.features) for vector in vectors]
        losses = [qlike(later.ratios, np.exp(c)).sum(axis=1) for c in corrections]
        chosen = strongest_within_one_error(np.stack(losses), later.label_bars, self.horizon_bars)
        return grid[chosen]

    def _variance(self, model: Model, inputs: _Inputs) -> FloatArray:
        """The model's forecast after each bar, shape (n_bars, n_assets, 2)."""
        scale = Standardiser.from_sum(model.learned["moments"])
        features = np.nan_to_num(scale(inputs.raw))  # an unknown feature says nothing
        network = self._linear if PENALTY in model.learned else self._network
        correction = _apply(network, model.vector, features.reshape(-1, N_FEATURES))
        base = inputs.volatility.base[..., None]
        return base * np.exp(correction.reshape(*base.shape[:2], len(HORIZONS)))


def _inputs(sample: Sample, shared: Shared) -> _Inputs:
    """Own features and the nowcast side by side."""
    volatility = realised_volatility(sample.panel)
    raw = beside_nowcast(volatility.har_features(), shared["nowcast"][sample.rows])
    return _Inputs(volatility, raw)


def _training_rows(inputs: _Inputs, sample: Sample) -> tuple[NDArray[np.bool_], FloatArray]:
    """Which (bar, asset) can be learned from, and the ratios (..., 2) of what followed.

    Rows are the first `n_train - 5`: every label ends at the origin or earlier.
    """
    n_rows = max(sample.n_train - LONGEST, 0)
    outcomes = _outcomes(inputs.volatility)
    following = [outcomes[h : h + n_rows, :, k] for k, h in enumerate(HORIZONS)]
    ratios = np.stack(following, axis=-1) / inputs.volatility.base[:n_rows, :, None]
    both = np.concatenate([inputs.raw[:n_rows], ratios], axis=2)
    known: NDArray[np.bool_] = np.isfinite(both).all(axis=2)
    return known, ratios


def _moments(inputs: _Inputs, sample: Sample) -> FloatArray:
    known, _ = _training_rows(inputs, sample)
    return moment_sum(inputs.raw[: len(known)][known])


def _examples(inputs: _Inputs, sample: Sample, scale: Standardiser) -> _Examples:
    known, ratios = _training_rows(inputs, sample)
    n_rows = len(known)
    bars = np.broadcast_to(sample.rows[LONGEST : LONGEST + n_rows, None], known.shape)
    return _Examples(scale(inputs.raw[:n_rows][known]), ratios[known], bars[known])


def _fit_ridge(examples: _Examples, penalty: float, moments: FloatArray) -> Model:
    vector = fit_variance_ridge(examples.features, examples.ratios, penalty)
    return Model(vector, {"moments": moments, PENALTY: np.array([penalty])})


def _apply(network: Network, vector: Vector, features: FloatArray) -> FloatArray:
    """The corrections (n, 2) of features (n, 9)."""
    with torch.no_grad():
        values = network(
            torch.from_numpy(np.asarray(vector, dtype=np.float32)),
            torch.from_numpy(features.astype(np.float32)),
        )
    return values.numpy().astype(np.float64)


def _naive(volatility: RealisedVolatility) -> dict[str, FloatArray]:
    """Variances of shape (n_bars, n_assets, 2) by naive arm: the same at each horizon."""
    slow = np.square(volatility.state.s_all)
    variances = {
        "ewma": np.square(volatility.state.s11),
        "har_mix": volatility.base,
        "mean_22": np.maximum(mean_over(volatility.variance, MONTH_BARS), FLOOR**2 * slow),
        "expanding": slow,
    }
    return {arm: np.stack([v] * len(HORIZONS), axis=-1) for arm, v in variances.items()}


def _outcomes(volatility: RealisedVolatility) -> FloatArray:
    """Mean variance over the bars up to and including each, shape (n_bars, n_assets, 2)."""
    return np.stack([mean_over(volatility.variance, h) for h in HORIZONS], axis=-1)


def _ending_at(forecast: FloatArray) -> FloatArray:
    """Forecasts (n_bars, n_assets, 2), each moved to the last bar that it is for."""
    moved = np.full_like(forecast, np.nan)
    for k, horizon in enumerate(HORIZONS):
        moved[horizon:, :, k] = forecast[:-horizon, :, k]
    return moved


def _score(
    forecast: FloatArray, outcome: FloatArray, has_range: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """The task's `totals` (n_totals,) and `daily` (n_daily, n_bars) of one arm."""
    loss = qlike(outcome, forecast)
    log_error = log_squared_error(np.sqrt(outcome), np.sqrt(forecast))
    totals, daily = [], []
    for k, horizon in enumerate(HORIZONS):
        smooth = has_range if horizon == 1 else np.ones_like(has_range)
        log_errors = log_error[..., k][smooth]
        totals += [loss[..., k].size, loss[..., k].sum(), log_errors.size, log_errors.sum()]
        daily.append(loss[..., k].mean(axis=1))
    return np.array(totals, dtype=np.float64), np.stack(daily[::-1])
