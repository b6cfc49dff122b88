"""The tail-risk task, called without messages."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.baselines import fhs, har_mix_t6
from fedtrade.baselines.ewma import ewma_t6
from fedtrade.errors import FedtradeError
from fedtrade.evaluation.quantile_scores import pinball
from fedtrade.evaluation.tail_scores import TAIL_TOTALS
from fedtrade.market import history_window
from fedtrade.market.panel import Panel
from fedtrade.models import MLP, Linear
from fedtrade.tasks.risk import Risk
from fedtrade.tasks.task import Evaluation, Model, Sample

Market = Callable[..., Panel]
Shared = dict[str, np.ndarray]

N_TRAIN = 100
N_BARS = 130
ALONE = ("local_default", "local_tuned", "local_nowcast")
NAIVE = ("ewma_t6", "har_mix_t6", "fhs", "gjr_garch_t")
quick = partial(Risk, Linear, alone_steps=5)


def _samples(panel: Panel, n_participants: int = 2, n_skip: int = 0) -> list[Sample]:
    """Assets dealt in blocks; the first `N_TRAIN` bars are history."""
    return [
        Sample.take(
            panel.select(block.tolist()),
            calendar=panel.bars,
            origin=panel.bars[N_TRAIN - 1],
            n_skip=n_skip,
        )
        for block in np.array_split(np.array(panel.assets), n_participants)
    ]


def _sums(task: Risk, samples: list[Sample]) -> Shared:
    shared: Shared = {}
    for name in task.sums:
        total = np.sum([task.local_sum(name, sample, shared) for sample in samples], axis=0)
        shared[name] = task.finish_sum(name, total)
    return shared


def _model(task: Risk, shared: Shared, vector: np.ndarray | None = None) -> Model:
    vector = task.initial(0) if vector is None else vector
    return Model(vector, {"moments": shared["moments"]})


def _totals(evaluation: Evaluation, arm: str) -> np.ndarray:
    return evaluation.totals[evaluation.arms.index(arm)]


def _with_prices(panel: Panel, first: int, factor: float) -> Panel:
    """Other prices from bar `first` on."""
    close = panel.close.copy()
    close[first:] *= factor * np.linspace(1.0, 1.3, len(close) - first)[:, None]
    return Panel(panel.bars, panel.assets, close)


# --- the untrained model ------------------------------------------------------------------------


def test_linear_model_has_seventeen_parameters() -> None:
    """Ten of the linear network and seven of the head."""
    assert quick().initial(0).shape == (17,)
    assert (quick().initial(0)[:10] == 0.0).all()


@pytest.mark.parametrize(
    ("base", "arm"), [("ewma", "ewma_t6"), ("har_mix", "har_mix_t6")], ids=["ewma", "har_mix"]
)
@pytest.mark.parametrize("network", [Linear, MLP])
def test_untrained_model_is_its_naive_arm(
    market: Market, base: str, arm: str, network: type
) -> None:
    """Up to single precision, in every total at every level."""
    task = Risk(network, base_volatility=base, alone_steps=1)
    (sample,) = _samples(market(N_BARS, 2), 1)
    shared = _sums(task, [sample])
    evaluation = task.evaluate(sample, shared, {"federated": _model(task, shared)})
    assert evaluation.arms == task.arms(["federated"])
    np.testing.assert_allclose(
        _totals(evaluation, "federated"), _totals(evaluation, arm), rtol=1e-4
    )


def test_baselines_can_be_left_to_another_run(market: Market) -> None:
    (sample,) = _samples(market(N_BARS, 2), 1)
    few, all_of_them = quick(baselines="ewma"), quick()
    shared = _sums(few, [sample])
    models = {"federated": _model(few, shared)}
    found, whole = (task.evaluate(sample, shared, models) for task in (few, all_of_them))
    assert found.arms == few.arms(["federated"]) == ("ewma_t6", "federated")
    for arm in found.arms:
        np.testing.assert_array_equal(_totals(found, arm), _totals(whole, arm))
    with pytest.raises(ValueError, match="baselines must be"):
        quick(baselines="none")


@pytest.mark.parametrize(
    ("base", "naive"), [("ewma", ewma_t6), ("har_mix", har_mix_t6)], ids=["ewma", "har_mix"]
)
def test_untrained_forecast_of_the_next_bar_is_the_naive_one(
    market: Market, base: str, naive: Callable
) -> None:
    """A naive forecaster is asked for the next bar by appending a missing return."""
    task = quick(base_volatility=base)
    (sample,) = _samples(market(N_BARS, 2), 1)
    shared = _sums(task, [sample])
    found = task.forecast(_model(task, shared), sample, shared)
    assert len(found) == 2 * 2 * 3
    for column, asset in zip(sample.panel.returns().T, sample.panel.assets, strict=True):
        tail = naive(np.append(column, np.nan), N_BARS, task.levels)
        for quantity, expected in (("var", tail.var), ("es", tail.es)):
            values = [f.value for f in found if (f.asset, f.quantity) == (asset, quantity)]
            assert values == pytest.approx(expected[0].tolist(), rel=1e-4)


def test_without_freedom_training_leaves_the_prior(market: Market) -> None:
    """With an infinite pull every model trained alone is the untrained one."""
    task = quick(shrinkage=float("inf"))
    (sample,) = _samples(market(N_BARS, 2), 1)
    shared = _sums(task, [sample])
    evaluation = task.evaluate(sample, shared, {})
    for arm in ALONE:
        np.testing.assert_allclose(
            _totals(evaluation, arm), _totals(evaluation, "ewma_t6"), rtol=1e-4
        )
    assert (task.train(task.initial(0), sample, shared).update == 0.0).all()


# --- federated sums -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_participants", [2, 3, 6])
def test_sums_do_not_depend_on_who_holds_what(market: Market, n_participants: int) -> None:
    panel = market(N_BARS, 6)
    one, many = (_sums(quick(), _samples(panel, n)) for n in (1, n_participants))
    for name in quick().sums:
        np.testing.assert_allclose(many[name], one[name], rtol=1e-9, atol=1e-12)


def test_moments_count_the_training_examples(market: Market) -> None:
    """Features from bar 21 on (20 returns of warm-up, then a shock); labels end at the origin."""
    (sample,) = _samples(market(N_BARS, 2), 1)
    shared = _sums(quick(), [sample])
    assert shared["moments"][0].tolist() == [2.0 * (N_TRAIN - 1 - 21)] * 9


# --- training -----------------------------------------------------------------------------------


def test_one_participant_trains_as_one_place(market: Market) -> None:
    """A round of one participant is the pooled fit of one round."""
    task = quick(local_steps=7)
    (sample,) = _samples(market(N_BARS, 2), 1)
    shared = _sums(task, [sample])
    result = task.train(task.initial(0), sample, shared)
    pooled = task.fit_pooled([sample], shared, n_rounds=1)
    np.testing.assert_allclose(task.initial(0) + result.update, pooled, atol=1e-6)
    assert result.n_examples == shared["moments"][0, 0]


def test_equal_data_give_equal_updates(market: Market) -> None:
    """Their average is then the update of each."""
    task = quick()
    panel = market(N_BARS, 2)
    samples = [_samples(panel, 1)[0] for _ in range(3)]
    shared = _sums(task, samples)
    updates = [task.train(task.initial(0), sample, shared).update for sample in samples]
    assert all((update == updates[0]).all() for update in updates)
    assert np.abs(updates[0]).max() > 1e-3


def test_training_lowers_the_loss(market: Market) -> None:
    task = quick(shrinkage=0.0)
    samples = _samples(market(N_BARS, 4))
    shared = _sums(task, samples)
    vector, losses = task.initial(0), []
    for _ in range(8):
        results = [task.train(vector, sample, shared) for sample in samples]
        losses.append(np.mean([result.loss for result in results]))
        vector = vector + np.mean([result.update for result in results], axis=0)
    assert losses[-1] < losses[0] - 0.015


def test_a_history_without_examples_gives_nothing(market: Market) -> None:
    """Fewer bars than the warm-up: a zero update with no weight."""
    task = quick()
    panel = market(N_BARS, 2)
    shared = _sums(task, _samples(panel, 1))
    late = Sample.take(
        panel.rows(N_TRAIN - 15, N_BARS), calendar=panel.bars, origin=panel.bars[N_TRAIN - 1]
    )
    result = task.train(task.initial(0), late, shared)
    assert (result.update == 0.0).all()
    assert (result.loss, result.n_examples) == (0.0, 0)


EXTREME = {
    "stands still": lambda close: np.full_like(close, 100.0),
    "stops": lambda close: np.where(np.arange(len(close))[:, None] < 60, close, close[60]),
    "starts late": lambda close: np.where(np.arange(len(close))[:, None] < 60, close[60], close),
    "halves and doubles": lambda close: (
        100.0 * 2.0 ** -(np.arange(len(close))[:, None] % 2) + 0.0 * close
    ),
}


@pytest.mark.parametrize("base", ["ewma", "har_mix"])
@pytest.mark.parametrize("name", EXTREME)
def test_extreme_prices_give_finite_updates_and_scores(
    market: Market, name: str, base: str
) -> None:
    panel = market(N_BARS, 3)
    close = panel.close.copy()
    close[:, :1] = EXTREME[name](close[:, :1])
    task = quick(base_volatility=base)
    (sample,) = _samples(Panel(panel.bars, panel.assets, close), 1)
    shared = _sums(task, [sample])
    assert np.isfinite(task.train(task.initial(0), sample, shared).update).all()
    inputs = task._inputs(sample, shared)
    tail = task._forecast(_model(task, shared), inputs, slice(N_TRAIN - 1, -1))
    assert np.isfinite(tail.es).all()
    assert (tail.es <= tail.var).all()
    assert (tail.var < 0.0).all()


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), size=st.sampled_from([1e1, 1e3, 1e6, 1e30]))
def test_huge_vectors_give_finite_updates_and_ordered_forecasts(
    market: Market, seed: int, size: float
) -> None:
    """Whatever the federation agreed on, no participant answers with NaN."""
    task = quick(local_steps=3)
    (sample,) = _samples(market(N_BARS, 2), 1)
    shared = _sums(task, [sample])
    vector = (size * np.random.default_rng(seed).normal(size=17)).astype(np.float32)
    result = task.train(vector, sample, shared)
    assert np.isfinite(result.update).all()
    assert np.isfinite(result.loss)
    by = {
        (f.asset, f.quantity, f.level): f.value
        for f in task.forecast(_model(task, shared, vector), sample, shared)
    }
    for asset in sample.panel.assets:
        var = [by[asset, "var", level] for level in task.levels]
        es = [by[asset, "es", level] for level in task.levels]
        assert np.isfinite(es).all()
        assert (np.diff(var) <= 0.0).all()
        assert all(e <= v < 0.0 for e, v in zip(es, var, strict=True))


# --- no look-ahead ------------------------------------------------------------------------------


@settings(max_examples=12)
@given(
    changed_from=st.integers(30, N_BARS - 1),
    factor=st.floats(0.5, 2.0),
    seed=st.integers(0, 3),
    base=st.sampled_from(["ewma", "har_mix"]),
)
def test_nothing_up_to_a_bar_changes_when_later_prices_do(
    market: Market, changed_from: int, factor: float, seed: int, base: str
) -> None:
    """Nowcast, features, labels, moments, update and forecasts, over messages' worth of steps."""
    task = quick(local_steps=3, base_volatility=base)
    old_panel = market(N_BARS, 4, seed)
    new_panel = _with_prices(old_panel, changed_from, factor)
    (old, *_), (new, *_) = _samples(old_panel), _samples(new_panel)
    one, two = _sums(task, _samples(old_panel)), _sums(task, _samples(new_panel))
    same = slice(None, changed_from)
    np.testing.assert_array_equal(two["nowcast"][same], one["nowcast"][same])
    before, after = task._inputs(old, one), task._inputs(new, two)
    for left, right in ((before.raw, after.raw), (before.base, after.base)):
        np.testing.assert_array_equal(right[same], left[same])
    if changed_from >= N_TRAIN:  # what is learned ends at the origin
        np.testing.assert_array_equal(two["moments"], one["moments"])
        updates = [
            task.train(task.initial(0), sample, shared).update
            for sample, shared in ((old, one), (new, two))
        ]
        np.testing.assert_array_equal(updates[1], updates[0])
    model = _model(task, one, np.linspace(-1.0, 1.0, 17).astype(np.float32))
    tails = [task._forecast(model, inputs, same) for inputs in (before, after)]
    np.testing.assert_array_equal(tails[1].var, tails[0].var)
    np.testing.assert_array_equal(tails[1].es, tails[0].es)


@pytest.mark.parametrize("n_same", [1, 9])
def test_no_arm_sees_the_bar_that_it_forecasts(market: Market, n_same: int) -> None:
    """Prices change from test bar `n_same` on: the scores of all bars before it stay.

    The forecast of that bar itself stays too, which the disclosed path shows.
    """
    task = quick()
    panel = market(N_BARS, 2)
    evaluations = []
    for prices in (panel, _with_prices(panel, N_TRAIN + n_same, 0.7)):
        (sample,) = _samples(prices, 1)
        shared = _sums(task, [sample])
        vector = task.initial(0) + task.train(task.initial(0), sample, shared).update
        models = {"federated": _model(task, shared, vector)}
        evaluations.append(task.evaluate(sample, shared, models))
    old, new = evaluations
    np.testing.assert_array_equal(new.daily[..., :n_same], old.daily[..., :n_same])
    np.testing.assert_array_equal(new.path.var[: n_same + 1], old.path.var[: n_same + 1])
    np.testing.assert_array_equal(new.path.es[: n_same + 1], old.path.es[: n_same + 1])
    assert (new.daily[..., n_same] != old.daily[..., n_same]).all()


def test_a_longer_calendar_changes_no_training_data(market: Market) -> None:
    """Bars that come later do not move what an origin has seen."""
    task = quick()
    panel = market(N_BARS, 2)
    found = []
    for end in (N_TRAIN + 5, N_BARS):
        own = history_window(
            panel, origin=panel.bars[N_TRAIN - 1], history_bars=80, test_end=panel.bars[end - 1]
        )
        sample = Sample.take(own, calendar=panel.bars[:end], origin=panel.bars[N_TRAIN - 1])
        shared = _sums(task, [sample])
        found.append(task.train(task.initial(0), sample, shared))
    np.testing.assert_array_equal(found[0].update, found[1].update)
    assert found[0].n_examples == found[1].n_examples == 2 * (80 - 1 - 21)


# --- evaluation ---------------------------------------------------------------------------------


def test_evaluation_has_all_arms_and_shapes(market: Market) -> None:
    task = quick()
    (sample,) = _samples(market(N_BARS, 3), 1, n_skip=4)
    shared = _sums(task, [sample])
    evaluation = task.evaluate(sample, shared, {"federated": _model(task, shared)})
    assert set(evaluation.arms) == {*NAIVE, *ALONE, "federated"}
    n_scored = N_BARS - N_TRAIN - 4
    assert evaluation.bars.tolist() == sample.panel.bars[N_TRAIN + 4 :].tolist()
    assert evaluation.totals.shape == (8, 3 * len(TAIL_TOTALS)) == (8, len(task.totals))
    assert evaluation.daily.shape == (1, 8, n_scored)
    assert (evaluation.totals[:, 0] == 3 * n_scored).all()
    path = evaluation.path
    assert path is not None
    assert (path.asset, path.level) == (sample.panel.assets[0], 0.01)
    np.testing.assert_array_equal(path.returns, sample.panel.returns()[N_TRAIN + 4 :, 0])


def test_skipped_bars_are_forecast_but_not_scored(market: Market) -> None:
    """The scores with an embargo are those without it, less the first bars."""
    task = quick()
    (whole,), (later,) = (_samples(market(N_BARS, 2), 1, n_skip=n) for n in (0, 6))
    shared = _sums(task, [whole])
    one, two = (task.evaluate(sample, shared, {}) for sample in (whole, later))
    np.testing.assert_array_equal(two.daily, one.daily[..., 6:])


def test_models_without_the_nowcast_do_not_see_it(market: Market) -> None:
    task = quick(shrinkage=0.0)
    (sample,) = _samples(market(N_BARS, 2), 1)
    shared = _sums(task, [sample])
    other = shared | {"nowcast": np.square(shared["nowcast"]) - 1.0}
    one, two = (task.evaluate(sample, nowcast, {}) for nowcast in (shared, other))
    for arm in ("local_default", "local_tuned"):
        np.testing.assert_array_equal(_totals(one, arm), _totals(two, arm))
    assert (_totals(one, "local_default") != _totals(one, "ewma_t6")).any()


def test_scores_are_named_by_metric_and_level(market: Market) -> None:
    task = quick()
    (sample,) = _samples(market(N_BARS, 2), 1)
    evaluation = task.evaluate(sample, _sums(task, [sample]), {})
    scores = task.scores(evaluation.totals[0], evaluation.daily[:, 0])
    by_name = {(score.metric, score.level): score.value for score in scores}
    headline = by_name[task.headline.metric, task.headline.level]
    assert headline == pytest.approx(evaluation.daily[0, 0].mean())
    assert {level for _, level in by_name} == {0.05, 0.025, 0.01}


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_volatility": "garch"}, "base_volatility must be 'ewma' or 'har_mix', got 'garch'"),
        ({"local_steps": 0}, "local_steps and alone_steps must be at least 1, got 0"),
        ({"alone_steps": 0}, "local_steps and alone_steps must be at least 1, got 10, 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"shrinkage": -1.0}, "shrinkage not negative, got 0.02 and -1.0"),
        ({"shrinkage": float("nan")}, "shrinkage not negative"),
        ({"levels": [0.01, 0.05]}, "levels must be different, fall"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Risk(Linear, **options)
    assert not isinstance(caught.value, FedtradeError)


def test_a_sample_gives_the_same_update_each_time(market: Market) -> None:
    task = quick()
    (sample,) = _samples(market(N_BARS, 2), 1)
    shared = _sums(task, [sample])
    torch.manual_seed(1)
    one = task.train(task.initial(0), sample, shared).update
    torch.manual_seed(2)
    two = task.train(task.initial(0), sample, shared).update
    np.testing.assert_array_equal(one, two)


def test_an_asset_that_a_naive_model_refuses_gets_the_ewma(market: Market) -> None:
    """A price that moves in the last 5 training bars only has too few residuals for FHS."""
    panel = market(n_bars=N_BARS, n_assets=2)
    close = panel.close.copy()
    close[: N_TRAIN - 5, 1] = close[N_TRAIN - 5, 1]
    (sample,) = _samples(Panel(panel.bars, panel.assets, close), n_participants=1)
    returns = sample.panel.returns()
    task = quick()
    with pytest.raises(ValueError, match="the price moved in only"):
        fhs(returns[:, 1], N_TRAIN, task.levels)
    shared = _sums(task, [sample])
    evaluation = task.evaluate(sample, shared, {})
    assert np.isfinite(evaluation.totals).all()
    assert set(NAIVE) <= set(evaluation.arms)
    naive = task._naive(returns, sample)
    np.testing.assert_array_equal(naive["fhs"].var[:, 1], naive["ewma_t6"].var[:, 1])
    np.testing.assert_array_equal(
        naive["fhs"].var[:, 0], np.minimum(fhs(returns[:, 0], N_TRAIN, task.levels).var, -1e-6)
    )


def test_a_pooled_model_without_rounds_is_untrained(market: Market) -> None:
    task = quick()
    samples = _samples(market(n_bars=N_BARS))
    vector = task.fit_pooled(samples, _sums(task, samples), 0)
    np.testing.assert_array_equal(vector, task.initial(0))


# --- many participants at once ------------------------------------------------------------------


@pytest.mark.parametrize("network", [Linear, MLP])
def test_training_many_at_once_is_training_each(market: Market, network: type) -> None:
    """The same updates, losses and numbers of examples up to rounding."""
    task = Risk(network, alone_steps=1)
    samples = _samples(market(N_BARS, 6), 3)
    shared = _sums(task, samples)
    vector = task.initial(0)
    vector[:10] = 0.1
    many = task.train_many(vector, [task.examples(sample, shared) for sample in samples])
    for found, sample in zip(many, samples, strict=True):
        alone = task.train(vector, sample, shared)
        np.testing.assert_allclose(found.update, alone.update, atol=2e-5)
        assert found.loss == pytest.approx(alone.loss, abs=1e-5)
        assert found.n_examples == alone.n_examples


def test_examples_of_different_sizes_cannot_be_stacked(market: Market) -> None:
    task = quick()
    one, two = _samples(market(N_BARS, 3), 2)
    shared = _sums(task, [one, two])
    examples = [task.examples(sample, shared) for sample in (one, two)]
    with pytest.raises(ValueError, match=r"must be of one size, not zero; got \[\d+, \d+\]"):
        task.train_many(task.initial(0), examples)


def test_scored_inputs_give_the_forecasts_that_are_scored(market: Market) -> None:
    """Their tails have the daily score that an evaluation gives to the same model."""
    task = quick()
    (sample,) = _samples(market(N_BARS, 3), 1, n_skip=2)
    shared = _sums(task, [sample])
    vector = task.initial(0)
    vector[:10] = 0.2
    evaluation = task.evaluate(sample, shared, {"federated": _model(task, shared, vector)})
    features, base, returns = task.scored_inputs(sample, shared)
    assert features.shape == (N_BARS - N_TRAIN - 2, 3, 9)
    found = pinball(returns[..., None], task.tail(vector, features, base).var, task.levels)
    expected = evaluation.daily[0, evaluation.arms.index("federated")]
    np.testing.assert_allclose(found.mean(axis=1)[:, -1], expected, rtol=1e-6)
