from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from fedtrade.baselines import har_mix_variance
from fedtrade.evaluation import qlike
from fedtrade.market import Panel
from fedtrade.models import MLP, Linear
from fedtrade.tasks import Evaluation, Model, Sample, Shared
from fedtrade.tasks.volatility import Volatility

N_HISTORY, N_TEST = 120, 40
N_BARS = N_HISTORY + N_TEST
CALENDAR = np.datetime64("2020-01-01", "s") + np.arange(N_BARS) * np.timedelta64(1, "D")
NAIVE = ("ewma", "har_mix", "mean_22", "expanding")
ALONE = ("local_default", "local_tuned", "local_nowcast")


def prices(seed: int, n_assets: int = 2) -> np.ndarray:
    """Prices whose volatility clusters."""
    rng = np.random.default_rng(seed)
    log_volatility = np.zeros((N_BARS, n_assets))
    for t in range(1, N_BARS):
        log_volatility[t] = 0.9 * log_volatility[t - 1] + 0.3 * rng.normal(size=n_assets)
    returns = 0.01 * np.exp(log_volatility) * rng.normal(size=(N_BARS, n_assets))
    return 100.0 * np.exp(np.cumsum(returns, axis=0))


def sample_of(close: np.ndarray, n_history: int = N_HISTORY, n_skip: int = 4) -> Sample:
    names = tuple(f"A{k}" for k in range(close.shape[1]))
    start = N_HISTORY - n_history
    panel = Panel(CALENDAR[start:], names, close[start:])
    return Sample.take(panel, calendar=CALENDAR, origin=CALENDAR[N_HISTORY - 1], n_skip=n_skip)


def federation(seed: int = 0) -> list[Sample]:
    """Two incumbents and one with a shorter history."""
    histories = (N_HISTORY, N_HISTORY, 60)
    return [sample_of(prices(seed + k), n) for k, n in enumerate(histories)]


def add_up(task: Volatility, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    shared: dict[str, np.ndarray] = {}
    for name in task.sums:
        parts = [task.local_sum(name, sample, shared) for sample in samples]
        shared[name] = task.finish_sum(name, np.sum(parts, axis=0))
    return shared


def models_of(task: Volatility, shared: Shared, vector: np.ndarray) -> dict[str, Model]:
    learned = {name: shared[name] for name in task.learned}
    return {"federated": Model(vector, learned), **task.solve(shared)}


def row(task: Volatility, evaluation: Evaluation, arm: str) -> dict[str, float]:
    totals = evaluation.totals[evaluation.arms.index(arm)]
    return dict(zip(task.totals, totals.tolist(), strict=True))


def test_the_untrained_network_is_the_har_mixture_at_both_horizons() -> None:
    """And its score is that of the mean square of the returns that end at each scored bar."""
    task, samples = Volatility(Linear), federation()
    shared = add_up(task, samples)
    evaluation = task.evaluate(samples[0], shared, models_of(task, shared, task.initial(0)))
    assert evaluation.arms == (*NAIVE, *ALONE, "federated", "federated_exact")
    assert evaluation.arms == task.arms(["federated", "federated_exact"])
    assert evaluation.bars[0] == CALENDAR[N_HISTORY + 4]
    assert len(evaluation.bars) == N_TEST - 4
    assert row(task, evaluation, "federated") == pytest.approx(row(task, evaluation, "har_mix"))

    returns = samples[0].panel.returns()
    base = har_mix_variance(returns)
    squares = np.square(returns)
    for t in range(21, N_BARS):  # a price that stood still is rounding
        squares[t] = np.maximum(squares[t], 1e-4 * np.square(returns[1:t]).mean(axis=0))
    for horizon, layer in ((1, 1), (5, 0)):
        expected = np.array(
            [
                [
                    qlike(np.mean(squares[t - horizon + 1 : t + 1, k]), h)
                    for k, h in enumerate(base[t - horizon])
                ]
                for t in range(N_HISTORY + 4, N_BARS)
            ]
        )
        assert task.daily[layer] == f"qlike@{horizon}"
        har_mix = evaluation.daily[layer, evaluation.arms.index("har_mix")]
        np.testing.assert_allclose(har_mix, expected.mean(axis=1), rtol=1e-9)
        totals = row(task, evaluation, "har_mix")
        assert totals[f"qlike@{horizon}"] == pytest.approx(expected.sum())
        assert totals[f"n@{horizon}"] == expected.size


def test_the_headline_is_the_first_daily_layer() -> None:
    task = Volatility(Linear)
    assert task.daily[0] == f"{task.headline.metric}@{task.headline.level:g}"


def test_scores_are_means_and_empty_ones_are_left_out() -> None:
    """Closing prices have a log error at 5 bars only: one squared return is mostly noise."""
    scores = Volatility(Linear).scores(np.array([4, 6, 0, 0, 2, 1, 2, 3.0]), np.zeros((2, 3)))
    found = {(s.metric, s.level): s.value for s in scores}
    assert found == {("qlike", 1.0): 1.5, ("qlike", 5.0): 0.5, ("log_mse", 5.0): 1.5}


def test_with_a_range_one_bar_has_a_log_error_too() -> None:
    close = prices(0)
    first = np.vstack([close[:1], close[:-1]])
    high, low = np.maximum(first, close) * 1.002, np.minimum(first, close) * 0.998
    ohlv = {"open": first, "high": high, "low": low}
    panel = Panel(CALENDAR, ("A", "B"), close, ohlv=ohlv)
    sample = Sample.take(panel, calendar=CALENDAR, origin=CALENDAR[N_HISTORY - 1], n_skip=4)
    task = Volatility(Linear)
    totals = row(task, task.evaluate(sample, add_up(task, [sample]), {}), "har_mix")
    assert totals["n_log@1"] == totals["n@1"] == 2 * (N_TEST - 4)


def pooled_examples(
    task: Volatility, samples: Sequence[Sample], shared: Shared
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features and variance ratios of everybody, bar by bar in a loop."""
    from fedtrade.features import Standardiser
    from fedtrade.features.realised_volatility import realised_volatility

    scale = Standardiser.from_sum(shared["moments"])
    features, ratios = [], []
    for sample in samples:
        volatility = realised_volatility(sample.panel)
        own = volatility.har_features()
        for t in range(sample.n_train - 5):
            for k in range(sample.panel.n_assets):
                raw = np.concatenate([own[t, k], shared["nowcast"][sample.rows[t]]])
                if np.isfinite(raw).all():
                    ahead = volatility.variance[t + 1 : t + 6, k]
                    features.append(scale(raw))
                    ratios.append([ahead[0], ahead.mean()] / volatility.base[t, k])
    return np.array(features), np.array(ratios)


def test_the_exact_federated_model_is_the_pooled_ridge() -> None:
    """Weights of scikit-learn on everybody's examples; levels that make the mean ratio right."""
    task, samples = Volatility(Linear), federation()
    shared = add_up(task, samples)
    model = task.solve(shared)["federated_exact"]
    (penalty,) = model.learned["penalty"]
    features, ratios = pooled_examples(task, samples, shared)
    ridge = Ridge(alpha=penalty * len(features), solver="svd")
    ridge.fit(features, np.log(np.maximum(ratios, 0.01)))
    np.testing.assert_allclose(model.vector[2:].reshape(2, 9), ridge.coef_, rtol=1e-5, atol=1e-7)
    levels = np.log(np.mean(ratios / np.exp(features @ ridge.coef_.T), axis=0)) / (1.0 + penalty)
    np.testing.assert_allclose(model.vector[:2], levels, rtol=1e-5)


def test_the_split_of_the_data_does_not_matter_to_the_exact_model() -> None:
    """Two participants with the same calendar or one with all of their assets."""
    task = Volatility(Linear)
    close = prices(3, 4)
    apart = add_up(task, [sample_of(close[:, :2]), sample_of(close[:, 2:])])
    whole = add_up(task, [sample_of(close)])
    for name in task.sums:
        np.testing.assert_allclose(apart[name], whole[name], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(
        task.solve(apart)["federated_exact"].vector, task.solve(whole)["federated_exact"].vector
    )


def test_more_history_means_less_penalty() -> None:
    task = Volatility(Linear)
    penalties = []
    for n_history in (60, 120):
        shared = add_up(task, [sample_of(prices(0), n_history)])
        penalties.append(task.solve(shared)["federated_exact"].learned["penalty"][0])
    assert penalties[0] > 10.0 * penalties[1]


def test_rounds_of_training_approach_the_pooled_network() -> None:
    """With equal histories, and the loss falls on the way."""
    task = Volatility(Linear, shrinkage=0.01)
    samples = [sample_of(prices(k)) for k in range(3)]
    shared = add_up(task, samples)
    vector, losses = task.initial(0), []
    for _ in range(8):
        updates = [task.train(vector, sample, shared) for sample in samples]
        losses.append(np.mean([update.loss for update in updates]))
        vector = vector + np.mean([update.update for update in updates], axis=0)
    pooled = task.fit_pooled(samples, shared, 8)
    assert losses[-1] < losses[0]
    assert np.linalg.norm(vector - pooled) < 0.5 * np.linalg.norm(pooled)


def test_a_deep_network_and_the_exact_model_are_told_apart() -> None:
    task, samples = Volatility(MLP), federation()
    shared = add_up(task, samples)
    update = task.train(task.initial(0), samples[0], shared)
    assert update.update.shape == task.initial(0).shape
    assert update.n_examples == 2 * (N_HISTORY - 22 - 5)
    models = models_of(task, shared, task.initial(0))
    evaluation = task.evaluate(samples[0], shared, models)
    linear = Volatility(Linear)
    same = linear.evaluate(samples[0], shared, models_of(linear, shared, linear.initial(0)))
    for arm in ("federated", "federated_exact"):
        assert row(task, evaluation, arm) == pytest.approx(row(task, same, arm))


def test_only_the_control_sees_the_nowcast() -> None:
    task, sample = Volatility(Linear), sample_of(prices(0))
    shared = add_up(task, [sample])
    moved = shared | {"nowcast": shared["nowcast"] * np.linspace(-1.0, 3.0, N_BARS)[:, None]}
    first, second = (task.evaluate(sample, s, {}) for s in (shared, moved))
    for arm in ("local_default", "local_tuned"):
        assert row(task, first, arm) == pytest.approx(row(task, second, arm))
    exact = (task.evaluate(sample, s, task.solve(shared)) for s in (shared, moved))
    before, after = (row(task, evaluation, "federated_exact") for evaluation in exact)
    assert before != pytest.approx(after)


def test_a_forecast_is_the_volatility_after_the_last_bar() -> None:
    task, samples = Volatility(Linear), federation()
    shared = add_up(task, samples)
    models = models_of(task, shared, task.initial(0))
    forecasts = task.forecast(models["federated"], samples[0], shared)
    base = np.sqrt(har_mix_variance(samples[0].panel.returns())[-1])
    assert [(f.asset, f.quantity, f.level) for f in forecasts] == [
        (asset, "volatility", horizon) for asset in ("A0", "A1") for horizon in (1.0, 5.0)
    ]
    np.testing.assert_allclose([f.value for f in forecasts], np.repeat(base, 2), rtol=1e-6)


def changed_after(close: np.ndarray, t: int, seed: int) -> np.ndarray:
    factor = np.exp(0.1 * np.random.default_rng(seed).normal(size=close.shape))
    factor[: t + 1] = 1.0
    return close * factor


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000))
def test_training_does_not_know_what_follows_the_origin(seed: int) -> None:
    """Sums, updates and the exact model stay when prices after the origin change."""
    task = Volatility(Linear)
    close = prices(seed)
    origin = N_HISTORY - 1
    first, second = (sample_of(c) for c in (close, changed_after(close, origin, seed)))
    shared, other = add_up(task, [first]), add_up(task, [second])
    for name in ("moments", "products", "smearing"):
        np.testing.assert_array_equal(shared[name], other[name])
    np.testing.assert_array_equal(shared["nowcast"][: origin + 1], other["nowcast"][: origin + 1])
    assert not np.array_equal(shared["nowcast"], other["nowcast"])
    start = task.initial(0)
    np.testing.assert_array_equal(
        task.train(start, first, shared).update, task.train(start, second, other).update
    )


def test_the_last_training_labels_end_at_the_origin() -> None:
    """A move at the origin is learned from, so the property above is not one bar too cautious."""
    task = Volatility(Linear)
    close = prices(0)
    moved = changed_after(close, N_HISTORY - 2, 1)
    shared, other = (add_up(task, [sample_of(c)]) for c in (close, moved))
    assert np.array_equal(shared["moments"], other["moments"])
    assert not np.array_equal(shared["products"], other["products"])


@settings(deadline=None, max_examples=8)
@given(st.integers(N_HISTORY + 4, N_BARS - 2), st.integers(0, 1000))
def test_no_score_changes_when_later_prices_change(t: int, seed: int) -> None:
    """Scores up to bar t, hence forecasts made before it, do not know prices after t."""
    task = Volatility(Linear)
    close = prices(seed)
    first, second = (sample_of(c) for c in (close, changed_after(close, t, seed)))
    outcomes = []
    for sample in (first, second):
        shared = add_up(task, [sample])
        vector = task.train(task.initial(0), sample, shared).update
        outcomes.append(task.evaluate(sample, shared, models_of(task, shared, vector)))
    until = t - (N_HISTORY + 4) + 1
    before, after = (evaluation.daily for evaluation in outcomes)
    np.testing.assert_array_equal(before[..., :until], after[..., :until])
    assert not np.array_equal(before, after)


def test_no_scored_forecast_is_older_than_the_origin() -> None:
    """Even without a purge: five bars that began before the origin were partly trained on."""
    task = Volatility(Linear)
    sample = replace(sample_of(prices(0)), n_skip=0)
    evaluation = task.evaluate(sample, add_up(task, [sample]), {})
    assert evaluation.bars[0] == CALENDAR[N_HISTORY + 4]


def test_a_stretch_without_any_movement_has_finite_scores() -> None:
    close = prices(0)
    close[70:100] = close[70]
    close[125:135, 0] = close[125, 0]
    task, sample = Volatility(Linear), sample_of(close)
    shared = add_up(task, [sample])
    evaluation = task.evaluate(sample, shared, models_of(task, shared, task.initial(0)))
    assert np.isfinite(evaluation.totals).all()
    assert np.isfinite(evaluation.daily).all()


def test_the_shortest_history_can_be_trained_and_scored() -> None:
    task = Volatility(Linear)
    sample = sample_of(prices(0), task.min_history_bars)
    shared = add_up(task, [sample])
    evaluation = task.evaluate(sample, shared, models_of(task, shared, task.initial(0)))
    assert np.isfinite(evaluation.totals).all()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"local_steps": 0}, "local_steps must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "must be positive, got 0.0"),
        ({"shrinkage": -1.0}, "must be positive, got 0.02, -1.0"),
    ],
)
def test_options_out_of_range(option: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Volatility(Linear, **option)  # type: ignore[arg-type]


def test_a_pooled_model_without_rounds_is_untrained() -> None:
    task = Volatility(Linear)
    samples = federation()
    vector = task.fit_pooled(samples, add_up(task, samples), 0)
    np.testing.assert_array_equal(vector, task.initial(0))
