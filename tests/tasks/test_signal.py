"""The trading-signal task, called without messages."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.errors import DataError
from fedtrade.features.momentum import N_RELATIVE
from fedtrade.market.panel import Panel
from fedtrade.models import MLP, Linear
from fedtrade.tasks import signal as signal_module
from fedtrade.tasks.signal import Signal
from fedtrade.tasks.task import Evaluation, Model, Sample

BARS = np.datetime64("2000-01-01", "s") + np.arange(2000) * np.timedelta64(1, "D")
ARMS = {
    "buy_and_hold",
    "momentum",
    "reversal",
    "local_default",
    "local_tuned",
    "local_nowcast",
    "placebo",
}


def _panel(returns: np.ndarray) -> Panel:
    close = 100.0 * np.cumprod(np.vstack([np.ones(returns.shape[1]), 1.0 + returns]), axis=0)
    assets = tuple(f"a{number}" for number in range(returns.shape[1]))
    return Panel(BARS[: len(close)], assets, close)


def _noise(n_bars: int, n_assets: int, seed: int = 0) -> np.ndarray:
    """Independent returns with a common factor."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0, 0.01, (n_bars, 1))
    return market + rng.normal(0.0, 0.02, (n_bars, n_assets))


def _reverting(n_bars: int, n_assets: int, strength: float, seed: int = 0) -> np.ndarray:
    """Returns of which the own part is followed by a part of its opposite."""
    returns = _noise(n_bars, n_assets, seed)
    own = returns - returns.mean(axis=1, keepdims=True)
    returns[1:] -= strength * own[:-1]
    return returns


def _samples(
    returns: np.ndarray, *, n_train: int, n_participants: int, n_skip: int = 0
) -> list[Sample]:
    panel = _panel(returns)
    groups = np.array_split(np.array(panel.assets), n_participants)
    return [
        Sample.take(
            panel.select(list(group)),
            calendar=panel.bars,
            origin=panel.bars[n_train - 1],
            n_skip=n_skip,
        )
        for group in groups
    ]


def _sums(task: Signal, samples: list[Sample]) -> dict[str, np.ndarray]:
    shared: dict[str, np.ndarray] = {}
    for name in task.sums:
        total = np.sum([task.local_sum(name, sample, shared) for sample in samples], axis=0)
        shared[name] = task.finish_sum(name, total)
    return shared


def _federate(task: Signal, samples: list[Sample], rounds: int = 5) -> tuple[Model, dict]:
    shared = _sums(task, samples)
    vector = task.initial(0)
    for _ in range(rounds):
        updates = [task.train(vector, sample, shared) for sample in samples]
        vector = vector + np.mean([update.update for update in updates], axis=0)
    return Model(vector, {"moments": shared["moments"]}), shared


def _run(task: Signal, samples: list[Sample]) -> list[Evaluation]:
    model, shared = _federate(task, samples)
    return [task.evaluate(sample, shared, {"federated": model}) for sample in samples]


def _daily(task: Signal, evaluations: list[Evaluation], arm: str) -> np.ndarray:
    """The layers of one arm, mean over participants."""
    return np.mean([e.daily[:, e.arms.index(arm)] for e in evaluations], axis=0)


# --- sums and labels ----------------------------------------------------------------------------


def test_label_is_the_next_excess_return_in_volatilities() -> None:
    """Row t belongs to the return of bar t + 1 less that bar's market; the last has none."""
    (sample,) = _samples(_noise(60, 3), n_train=50, n_participants=1)
    market = signal_module._own_market(sample)
    inputs = signal_module._inputs(sample, market)
    returns = sample.panel.returns()
    expected = (returns[41] - returns[41].mean()) / inputs.volatility[40]
    assert inputs.labels[40] == pytest.approx(expected)
    assert np.isnan(inputs.labels[-1]).all()


def test_market_and_moments_add_up_to_those_of_one_holder() -> None:
    task = Signal(Linear)
    returns = _noise(100, 6)
    one = _sums(task, _samples(returns, n_train=80, n_participants=1))
    three = _sums(task, _samples(returns, n_train=80, n_participants=3))
    for name in task.sums:
        assert three[name] == pytest.approx(one[name], nan_ok=True)
    assert one["moments"][0].tolist() == [58 * 6.0] * 3 + [19 * 6.0, 0.0] + [58 * 6.0] * 3


def test_a_feature_that_nobody_has_is_muted() -> None:
    """Momentum over 250 bars, learned from 60, stays zero when it becomes known later."""
    moments = np.ones((3, N_RELATIVE))
    moments[:, 4] = 0.0
    found = signal_module._standardised(np.full((1, 1, N_RELATIVE), 3.0), moments)
    assert found[0, 0, 4] == 0.0
    assert np.delete(found[0, 0], 4) == pytest.approx(np.full(N_RELATIVE - 1, 2.0))


def test_moments_of_nobody_are_refused() -> None:
    with pytest.raises(ValueError, match="no participant has a training example"):
        signal_module._standardised(np.ones((1, 1, N_RELATIVE)), np.zeros((3, N_RELATIVE)))


# --- no look-ahead ------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(changed_from=st.integers(45, 118), seed=st.integers(0, 5), n_participants=st.integers(1, 3))
def test_nothing_at_a_bar_changes_when_later_bars_do(
    changed_from: int, seed: int, n_participants: int
) -> None:
    """Market, features and scores use data up to their bar, labels up to the bar after."""
    task = Signal(Linear)
    before = _noise(120, 4, seed)
    after = before.copy()
    after[changed_from:] = _noise(120, 4, seed + 100)[changed_from:]
    last = changed_from  # returns[k] ends at bar k + 1: bars up to `changed_from` are unchanged
    weights = np.random.default_rng(seed).normal(size=1 + N_RELATIVE).astype(np.float32)
    found = []
    for returns in (before, after):
        samples = _samples(returns, n_train=40, n_participants=n_participants)
        shared = _sums(task, samples)
        inputs = [signal_module._inputs(s, signal_module._market(s, shared)) for s in samples]
        model = Model(weights, {"moments": shared["moments"]})
        scores = [task._score(model, own) for own in inputs]
        found.append((shared, inputs, scores))
    (market, inputs, scores), (market2, inputs2, scores2) = found
    keep, label_keep = slice(0, last + 1), slice(0, last)
    np.testing.assert_array_equal(market["market"][keep], market2["market"][keep])
    assert not np.allclose(market["market"][last + 1], market2["market"][last + 1])
    np.testing.assert_array_equal(market["moments"], market2["moments"])
    for a, b, score, score2 in zip(inputs, inputs2, scores, scores2, strict=True):
        np.testing.assert_array_equal(a.raw[keep], b.raw[keep])
        np.testing.assert_array_equal(a.volatility[keep], b.volatility[keep])
        np.testing.assert_array_equal(a.labels[label_keep], b.labels[label_keep])
        np.testing.assert_array_equal(score[keep], score2[keep])


@pytest.mark.parametrize("changed_bar", [101, 110, 119])
def test_results_and_training_do_not_see_later_bars(changed_bar: int) -> None:
    """Each arm's daily values before a change of price stay as they were, as does the model."""
    task = Signal(Linear, alone_steps=5)
    returns = _noise(120, 4)
    changed = returns.copy()
    changed[changed_bar - 1 :] *= -1.5
    runs = [
        _run(task, _samples(values, n_train=100, n_participants=2)) for values in (returns, changed)
    ]
    unchanged = changed_bar - 100
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a.daily[..., :unchanged], b.daily[..., :unchanged])
        assert not np.allclose(a.daily[..., unchanged], b.daily[..., unchanged])
        # What was traded to get into the position of the changed bar was decided before it.
        np.testing.assert_array_equal(a.daily[-1, :, unchanged], b.daily[-1, :, unchanged])


def test_a_model_is_trained_on_bars_up_to_the_origin_only() -> None:
    task = Signal(Linear)
    returns = _noise(120, 4)
    changed = returns.copy()
    changed[99:] *= -1.5  # the return of bar 100 is the first after the origin at bar 99
    vectors = [
        _federate(task, _samples(values, n_train=100, n_participants=2))[0].vector
        for values in (returns, changed)
    ]
    np.testing.assert_array_equal(*vectors)
    changed[98] *= -1.5
    moved = _federate(task, _samples(changed, n_train=100, n_participants=2))[0].vector
    assert not np.array_equal(vectors[0], moved)


# --- positions and costs ------------------------------------------------------------------------


def test_arms_and_layers_have_their_names_and_shapes() -> None:
    task = Signal(Linear, alone_steps=5)
    evaluation = _run(task, _samples(_noise(80, 4), n_train=60, n_participants=2, n_skip=3))[0]
    assert set(evaluation.arms) == ARMS | {"federated"}
    assert len(evaluation.bars) == 18
    assert evaluation.bars[0] == BARS[63]
    assert evaluation.daily.shape == (len(task.daily), len(evaluation.arms), 18)
    assert evaluation.totals.shape == (len(evaluation.arms), len(task.totals))
    assert task.daily[0] == f"{task.headline.metric}@{task.headline.level:g}" == "net_return@5"


def test_buying_and_holding_pays_for_the_entry_once() -> None:
    """Inverse volatility at the decision, the test window starts flat, and the cost is known."""
    task = Signal(Linear, alone_steps=5)
    (sample,) = _samples(_noise(80, 3), n_train=60, n_participants=1)
    evaluation = _run(task, [sample])[0]
    daily = dict(zip(task.daily, evaluation.daily[:, 0], strict=True))
    volatility = signal_module._inputs(sample, signal_module._own_market(sample)).volatility[59]
    weights = (1.0 / volatility) / (1.0 / volatility).sum()
    returns = sample.panel.returns()[60:]
    assert daily["net_return@0"] == pytest.approx(returns @ weights)
    assert daily["turnover"] == pytest.approx([1.0] + [0.0] * 20)
    assert daily["net_return@10"][0] == pytest.approx(returns[0] @ weights - 10e-4)


def test_net_return_is_gross_less_cost_of_turnover_in_every_arm() -> None:
    task = Signal(Linear, alone_steps=5)
    evaluation = _run(task, _samples(_noise(90, 4), n_train=60, n_participants=2))[0]
    layers = dict(zip(task.daily, evaluation.daily, strict=True))
    for cost in (1.0, 5.0, 10.0):
        expected = layers["net_return@0"] - cost * 1e-4 * layers["turnover"]
        assert layers[f"net_return@{cost:g}"] == pytest.approx(expected)
    assert (layers["turnover"] >= 0.0).all()
    assert layers["turnover"][:, 1:].max() <= 0.4 + 1e-9, "a fifth of the way at most"


def test_reversal_and_momentum_are_hand_made() -> None:
    """Of a pair, reversal buys the loser of the last five bars with a share of half the capital."""
    task = Signal(Linear, alone_steps=5, trade_share=1.0)
    (sample,) = _samples(_noise(70, 2, seed=3), n_train=60, n_participants=1)
    evaluation = _run(task, [sample])[0]
    returns = sample.panel.returns()
    spread = 0.5 * (returns[60, 0] - returns[60, 1])
    gross = evaluation.daily[task.daily.index("net_return@0"), :, 0]
    volatility = signal_module._inputs(sample, signal_module._own_market(sample)).volatility
    assert volatility[59].min() > 0.0
    is_loser = (returns[55:60, 0] - returns[55:60, 1]).sum() < 0.0
    expected = spread if is_loser else -spread
    assert gross[evaluation.arms.index("reversal")] == pytest.approx(expected)


def test_the_untrained_model_holds_nothing() -> None:
    task = Signal(Linear, alone_steps=5)
    samples = _samples(_noise(80, 4), n_train=60, n_participants=2)
    shared = _sums(task, samples)
    start = Model(task.initial(0), {"moments": shared["moments"]})
    evaluation = task.evaluate(samples[0], shared, {"federated": start})
    assert evaluation.arms == task.arms(["federated"])
    assert not evaluation.daily[:, evaluation.arms.index("federated")].any()


def test_a_single_asset_is_scored_against_the_market() -> None:
    """Participants with one asset each take part; its sign is compared with the market's."""
    task = Signal(Linear, alone_steps=5)
    evaluations = _run(task, _samples(_noise(90, 3), n_train=60, n_participants=3))
    layer = task.daily.index("rank_ic")
    ic = evaluations[0].daily[layer, evaluations[0].arms.index("federated")]
    assert set(np.unique(ic)) == {-1.0, 1.0}


# --- does it learn, and only what is there? ------------------------------------------------------


def _found(returns: np.ndarray) -> tuple[str, dict[tuple[str, float | None], float]]:
    """The note and the federated scores of three participants with four assets each."""
    task = Signal(Linear, trade_share=1.0, alone_steps=5)
    evaluations = _run(task, _samples(returns, n_train=350, n_participants=3))
    arms = ("federated", "placebo")
    daily = {arm: _daily(task, evaluations, arm) for arm in arms}
    totals = np.sum([e.totals[e.arms.index("federated")] for e in evaluations], axis=0)
    scores = {(s.metric, s.level): s.value for s in task.scores(totals, daily["federated"])}
    return task.notes({arm: layers[0] for arm, layers in daily.items()})[0], scores


def test_a_planted_edge_is_found_and_shuffling_time_destroys_it() -> None:
    """A third of a bar's own return is given back in the next one, unless bars are shuffled."""
    returns = _reverting(600, 12, strength=0.3)
    note, scores = _found(returns)
    assert note.startswith("The trading signal shows an edge after costs: +")
    assert scores["net_sharpe", 5.0] > 3.0
    assert scores["dsr", 5.0] > 0.95
    assert scores["rank_ic", None] > 0.1
    assert scores["rank_ic_t", None] > 5.0
    shuffled = np.random.default_rng(7).permutation(returns)
    note, scores = _found(shuffled)
    assert note.startswith("The trading signal shows no edge after costs")
    assert scores["dsr", 5.0] < 0.95


def test_shuffled_labels_keep_their_sizes_and_lose_their_mean() -> None:
    """A participant whose assets all did well must not say so through its placebo."""
    labels = torch.arange(1.0, 1001.0)
    examples = signal_module._Examples(torch.zeros(1000, 8), labels, np.arange(1000))
    shuffled = examples.shuffled()
    assert torch.equal(shuffled.labels.abs().sort().values, labels)
    assert abs(float(shuffled.labels.mean())) < 50.0, "the labels' mean is 500"
    assert torch.equal(shuffled.labels, examples.shuffled().labels)
    assert abs(np.corrcoef(shuffled.labels.abs(), labels)[0, 1]) < 0.1


def test_shuffled_labels_teach_nothing() -> None:
    """The placebo federation does not find the planted edge either."""
    samples = _samples(_reverting(600, 12, strength=0.25), n_train=400, n_participants=3)
    ics = {}
    for shuffled in (False, True):
        task = Signal(Linear, alone_steps=5, shuffle_labels=shuffled)
        layers = _daily(task, _run(task, samples), "federated")
        ics[shuffled] = layers[task.daily.index("rank_ic")].mean()
    assert ics[False] > 0.08
    assert abs(ics[True]) < 0.08 / 2


def test_the_local_placebo_learns_nothing_where_the_model_does() -> None:
    task = Signal(Linear, alone_steps=40)
    evaluations = _run(
        task, _samples(_reverting(700, 10, strength=0.3), n_train=400, n_participants=2)
    )
    layer = task.daily.index("rank_ic")
    ic = {arm: _daily(task, evaluations, arm)[layer].mean() for arm in ("local_nowcast", "placebo")}
    assert ic["local_nowcast"] > 0.1
    assert abs(ic["placebo"]) < ic["local_nowcast"] / 2


def test_pooled_model_and_rounds_reach_the_same_place() -> None:
    """One participant, full participation: both minimise the same loss."""
    task = Signal(Linear, local_steps=40)
    samples = _samples(_reverting(400, 8, strength=0.3), n_train=400, n_participants=1)
    model, shared = _federate(task, samples, rounds=5)
    pooled = task.fit_pooled(samples, shared, 5)
    assert np.abs(pooled - model.vector).max() < 0.005
    assert pooled[1] < -0.05, "the weight of the last bar's return"
    assert task.solve(shared) == {}


def test_a_network_with_hidden_units_works_as_well() -> None:
    task = Signal(partial(MLP, hidden=(4,)), alone_steps=5)
    samples = _samples(_noise(80, 4), n_train=60, n_participants=2)
    assert np.isfinite(_run(task, samples)[0].daily[0]).all()


# --- scores, notes, arguments -------------------------------------------------------------------


def test_scores_of_two_bars_by_hand() -> None:
    task = Signal(Linear, cost_bps=(0.0, 5.0))
    daily = np.array([[0.01, -0.03], [0.02, -0.02], [1.0, 0.0], [0.4, 0.2]])
    found = {(s.metric, s.level): s.value for s in task.scores(np.array([3.0, 9.0, 4.0]), daily)}
    assert found["net_return", 5.0] == pytest.approx(-0.01)
    assert found["net_return", 0.0] == pytest.approx(0.0)
    assert found["max_drawdown", 5.0] == pytest.approx(0.03)
    assert found["rank_ic", None] == 0.5
    assert found["turnover", None] == pytest.approx(0.3)
    assert found["pooled_ic", None] == pytest.approx(0.5)
    assert found["n_trials", None] == 8.0
    assert np.isnan(found["net_sharpe", 5.0]), "two bars are too few for a ratio"


def test_more_trials_deflate_the_sharpe_ratio() -> None:
    daily = np.random.default_rng(0).normal(0.0005, 0.01, (6, 500))
    few, many = (
        {(s.metric, s.level): s.value for s in Signal(Linear, n_trials=n).scores(np.ones(3), daily)}
        for n in (1, 100)
    )
    assert few["dsr", 5.0] == pytest.approx(few["psr", 5.0])
    assert many["dsr", 5.0] < few["dsr", 5.0]


def test_there_is_no_note_without_a_federated_arm() -> None:
    assert Signal(Linear).notes({"momentum": [0.01, 0.02]}) == ()


def test_an_edge_that_the_placebo_shares_is_not_believed() -> None:
    profits = np.random.default_rng(0).normal(10e-4, 50e-4, 1000)
    task = Signal(Linear)
    (alone,) = task.notes({"federated": profits})
    (shared,) = task.notes({"federated": profits, "placebo": profits[::-1]})
    assert alone.startswith("The trading signal shows an edge after costs")
    assert "no edge after costs that can be believed" in shared


def test_a_note_reads_results_in_which_missing_values_are_none() -> None:
    (note,) = Signal(Linear).notes({"federated": [None, 0.01, -0.01, 0.02, None, 0.0, -0.03]})
    assert note.startswith("The trading signal shows no edge after costs: -20.00 bp a bar")


def test_results_are_the_same_each_time() -> None:
    task = Signal(Linear, alone_steps=5)
    runs = [_run(task, _samples(_noise(80, 4), n_train=60, n_participants=2)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0][0].daily, runs[1][0].daily)


def test_too_little_history_to_learn_from_gives_no_update() -> None:
    task = Signal(Linear)
    long, short = _samples(_noise(120, 4), n_train=100, n_participants=2)
    shared = _sums(task, [long])
    panel = short.panel.rows(85, 100)
    brief = Sample.take(panel, calendar=BARS[:121], origin=BARS[99])
    update = task.train(task.initial(0), brief, shared)
    assert update.n_examples == 0
    assert not update.update.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost_bps": ()}, "cost_bps"),
        ({"cost_bps": (5.0, -1.0)}, "cost_bps"),
        ({"cost_bps": (5.0, 5.0)}, "different"),
        ({"headline_cost_bps": 3.0}, "headline_cost_bps"),
        ({"full_score": 0.0}, "full_score"),
        ({"gross_limit": -1.0}, "gross_limit"),
        ({"trade_share": 1.5}, "trade_share"),
        ({"bars_per_year": 0.0}, "bars_per_year"),
        ({"n_trials": 0}, "n_trials"),
        ({"local_steps": 0}, "local_steps"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"shrinkage": -1.0}, "shrinkage"),
        ({"alone_steps": 0}, "alone_steps"),
    ],
)
def test_refuses_arguments_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Signal(Linear, **options)


def test_hourly_bars_need_their_own_bars_per_year() -> None:
    (sample,) = _samples(_noise(80, 2), n_train=60, n_participants=1)
    hourly = replace(sample, panel=replace(sample.panel, bar="1h"))
    with pytest.raises(DataError, match=r"bars of 1h, .*=252 .*task\.bars_per_year=6240"):
        Signal(Linear).local_sum("market", hourly, {})
    found = Signal(Linear, bars_per_year=6240).local_sum("market", hourly, {})
    np.testing.assert_array_equal(found, Signal(Linear).local_sum("market", sample, {}))


def test_a_pooled_model_without_rounds_is_untrained() -> None:
    task = Signal(Linear)
    samples = _samples(_noise(80, 2), n_train=60, n_participants=1)
    vector = task.fit_pooled(samples, _sums(task, samples), 0)
    np.testing.assert_array_equal(vector, task.initial(0))
