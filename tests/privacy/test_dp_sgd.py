"""Private training: its gradients, its clip, its noise, its lots, and how far one bar reaches."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2

from fedtrade.errors import ConfigurationError, PrivacyError
from fedtrade.market.panel import Panel
from fedtrade.models import MLP, Linear
from fedtrade.models.fitting import fit_vectors
from fedtrade.privacy.accountant import spent
from fedtrade.privacy.dp_sgd import (
    STEPS,
    PrivateSums,
    RecordNoise,
    _drawn,
    _ExactNoise,
    record_gradients,
    train_on_records,
)
from fedtrade.privacy.events import Gaussian
from fedtrade.privacy.groups import group_event
from fedtrade.privacy.settings import RecordLevel
from fedtrade.tasks import volatility
from fedtrade.tasks.record_training import RecordTraining, TrainsOnRecords, blocks
from fedtrade.tasks.risk import Risk
from fedtrade.tasks.signal import Signal
from fedtrade.tasks.task import Sample, Task
from fedtrade.tasks.volatility import Volatility

Market = Callable[..., Panel]

N_TRAIN = 200
ALARM = 1e-9
"""Probability that a test of chance fails without a fault."""

TASKS: dict[str, Callable[[], Task]] = {
    "risk": partial(Risk, partial(MLP, hidden=(4,)), shrinkage=0.1),
    "signal": partial(Signal, Linear, shrinkage=0.1),
    "volatility": partial(Volatility, Linear, shrinkage=0.1),
}


def prepared(task: Task, panel: Panel) -> tuple[Sample, dict[str, np.ndarray]]:
    """The first participant's sample, and the sums of two."""
    samples = [
        Sample.take(panel.select(own), calendar=panel.bars, origin=panel.bars[N_TRAIN - 1])
        for own in (list(panel.assets[:2]), list(panel.assets[2:]))
    ]
    shared: dict[str, np.ndarray] = {}
    for name in task.sums:
        total = np.sum([task.local_sum(name, sample, shared) for sample in samples], axis=0)
        shared[name] = task.finish_sum(name, total)
    return samples[0], shared


def training_of(name: str, panel: Panel, look_back: int | None = None) -> RecordTraining:
    task = TASKS[name]()
    assert isinstance(task, TrainsOnRecords)
    return task.record_training(*prepared(task, panel), look_back)


def noise(**changes: object) -> RecordNoise:
    values = {"clip": 1.0, "sampling_probability": 1.0, "stddev": 1.0, "unit_records": 1}
    return RecordNoise(**{**values, "secure": False, **changes})  # type: ignore[arg-type]


def made_up(n: int, losses: Callable[[torch.Tensor, np.ndarray], torch.Tensor]) -> RecordTraining:
    """Two parameters, one step."""
    zeros = np.zeros(2, np.float32)
    return RecordTraining(n, n, lambda chosen: np.zeros((len(chosen), 1)), losses, zeros, 0, 0.1, 1)


# --- records ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TASKS))
def test_each_records_gradient_is_its_own(name: str, market: Market) -> None:
    """All by one backward pass are what each gives alone."""
    training = training_of(name, market(260, 4))
    vector = torch.from_numpy(training.prior + np.float32(0.01))
    chosen = np.array([5, 0, training.n_records - 1])
    together = record_gradients(training, vector, chosen)
    for row, record in zip(together, chosen, strict=True):
        alone = record_gradients(training, vector, np.array([record]))[0]
        torch.testing.assert_close(row, alone)
    assert len(np.unique(together.numpy().round(6), axis=0)) == 3
    assert record_gradients(training, vector, np.array([], dtype=np.intp)).shape == (0, len(vector))


@pytest.mark.parametrize("name", ["signal", "volatility"])
def test_records_together_are_the_whole_loss(name: str, market: Market) -> None:
    """Every bar has as many examples here, so that the means over records and examples agree."""
    task = TASKS[name]()
    panel = market(260, 4)
    training = training_of(name, panel)
    sample, shared = prepared(task, panel)
    vector = training.prior + np.float32(0.01)
    mean = record_gradients(training, torch.from_numpy(vector), np.arange(training.n_records)).mean(
        0
    )
    expected = task.train(vector, sample, shared).gradient
    assert expected is not None
    np.testing.assert_allclose(mean.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_bar_is_in_the_labels_of_as_many_records_as_they_are_long(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another variance at one bar, in the labels alone."""
    task = TASKS["volatility"]()
    sample, shared = prepared(task, market(260, 4))
    inputs = volatility._inputs(sample, shared)
    variance = inputs.volatility.variance.copy()
    variance[120] *= 4.0
    moved = inputs.volatility._replace(variance=variance)
    changed = replace(inputs, volatility=moved)

    def gradients() -> np.ndarray:
        assert isinstance(task, TrainsOnRecords)
        training = task.record_training(sample, shared, None)
        vector = torch.from_numpy(training.prior + np.float32(0.02))
        return record_gradients(training, vector, np.arange(training.n_records)).numpy()

    before = gradients()
    monkeypatch.setattr(volatility, "_inputs", lambda *_: changed)
    assert (gradients() != before).any(axis=1).sum() == task.horizon_bars == 5


def test_a_label_of_several_bars_costs_as_many_records() -> None:
    level = RecordLevel(unit="label", epsilon=2.0)
    one, five = (RecordNoise.of(level, 20, horizon_bars) for horizon_bars in (1, 5))
    assert five.stddev == pytest.approx(5.0 * one.stddev, rel=1e-2)
    assert five.event(20) == five.label_event(20)
    day = RecordNoise.of(RecordLevel(look_back_bars=44), 20, 5)
    assert day.label_event(20) == group_event(Gaussian(day.stddev / day.clip, 1.0, 20), 5)
    assert day.event(20) == group_event(Gaussian(day.stddev / day.clip, 1.0, 20), 44)


def test_shuffled_labels_are_refused(market: Market) -> None:
    task = Signal(Linear, shuffle_labels=True)
    sample, shared = prepared(task, market(260, 4))
    with pytest.raises(ConfigurationError, match="shuffle_labels=true deals a day's returns"):
        task.record_training(sample, shared, 44)


@pytest.mark.parametrize("name", list(TASKS))
@pytest.mark.parametrize("look_back", [44, 64])
def test_a_bar_is_part_of_no_more_records_than_promised(
    name: str, look_back: int, market: Market
) -> None:
    """Other returns at any one bar: count the records whose gradients change."""
    panel = market(260, 4)
    task = TASKS[name]()
    assert isinstance(task, TrainsOnRecords)
    sample, shared = prepared(task, panel)

    def gradients(prices: Sample, look_back: int | None) -> np.ndarray:
        training = task.record_training(prices, shared, look_back)
        vector = torch.from_numpy(training.prior + np.float32(0.02))
        return record_gradients(training, vector, np.arange(training.n_records)).numpy()

    before, unbound = gradients(sample, look_back), gradients(sample, None)
    reached = []
    for bar in (1, 21, 43, 44, 60, 64, 90, 128, 150, N_TRAIN - 2):
        close = sample.panel.close.copy()
        close[bar:] *= np.array([0.9, 1.1])
        other = Sample(
            Panel(sample.panel.bars, sample.panel.assets, close),
            sample.rows,
            sample.n_calendar,
            sample.n_train,
        )
        changed = (gradients(other, look_back) != before).any(axis=1).sum()
        assert changed <= look_back
        reached.append(changed)
        if bar == 60:
            # Without the bound a bar is remembered for good.
            far = (gradients(other, None) != unbound).any(axis=1).sum()
            assert far > look_back
    assert max(reached) > look_back // 2


def test_blocks_learn_from_every_label_once(market: Market) -> None:
    sample, _ = prepared(TASKS["risk"](), market(260, 4))
    parts = blocks(sample, 64)
    learned = [row for part, first in parts for row in part.rows if row >= first]
    assert sorted(learned) == list(sample.rows[:N_TRAIN])
    assert all(part.n_train <= 64 for part, _ in parts)
    (whole,) = blocks(sample, None)
    assert whole[0].n_train == N_TRAIN


# --- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True])
def test_without_a_clip_and_noise_it_is_plain_training(secure: bool, market: Market) -> None:
    training = training_of("signal", market(260, 4))
    start = training.prior + np.float32(0.05)
    silent = noise(clip=1e9, stddev=1e-6, secure=secure)
    trained = train_on_records(start, training, silent)
    everything = np.arange(training.n_records)

    def loss(vectors: torch.Tensor) -> torch.Tensor:
        return training.losses(vectors.expand(len(everything), -1), everything)[None]

    plain = fit_vectors(
        start,
        loss,
        n_steps=training.n_steps,
        learning_rate=training.learning_rate,
        prior=training.prior,
        shrinkages=(training.shrinkage,),
    )
    np.testing.assert_allclose(trained, plain.vectors[0], atol=1e-4)
    assert np.abs(trained - start).max() > 1e-3


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("size", [1.0, 1e6, 1e30])
def test_no_record_adds_more_than_the_clip(size: float, secure: bool) -> None:
    """Whatever its gradient."""
    sums = PrivateSums(7, noise(clip=0.5, stddev=1e-7, secure=secure))
    others = torch.full((3, 7), 0.01)
    with_it = torch.cat([others, torch.full((1, 7), size)])
    change = sums.release(with_it) - sums.release(others)
    assert torch.linalg.norm(change) <= 0.5 + 1e-5
    assert torch.linalg.norm(change) >= 0.49


def test_a_loss_that_overflows_tells_nothing() -> None:
    def losses(vectors: torch.Tensor, chosen: np.ndarray) -> torch.Tensor:
        each = vectors.sum(dim=-1)
        return torch.where(torch.from_numpy(chosen == 1), each * float("inf"), each)

    training = made_up(3, losses)
    found = record_gradients(training, torch.ones(2), np.arange(3))
    assert torch.isfinite(found).all()
    assert np.isfinite(train_on_records(np.ones(2, np.float32), training, noise())).all()


@pytest.mark.parametrize("secure", [False, True])
def test_noise_is_as_wide_as_promised(secure: bool) -> None:
    sums = PrivateSums(50, noise(stddev=3.0, secure=secure))
    rows = torch.full((2, 50), 0.1)
    exact = 2 * rows[0]
    drawn = torch.stack([sums.release(rows) - exact for _ in range(20)]).double().numpy()
    total = float(np.square(drawn / 3.0).sum())
    assert chi2.ppf(ALARM, drawn.size) < total < chi2.isf(ALARM, drawn.size)
    assert len(np.unique(drawn)) > 0.99 * drawn.size


def test_low_bits_of_secure_noise_do_not_tell_the_sum() -> None:
    """The attack of Mironov (2012): 1.0 plus a double has no bit below 2^-53, and may end near 0.

    Whoever sees such a number below 2^-5 knows that the exact sum was not 0.
    """
    n, exact = 4000, 1.0

    def gives_itself_away(released: np.ndarray) -> np.ndarray:
        small = released[np.abs(released) < 2.0**-5]
        assert len(small) > 10
        return small * 2.0**53 % 1.0 == 0.0

    naive = exact + np.random.default_rng(0).normal(size=n)
    assert gives_itself_away(naive).all()
    noisy = _ExactNoise(n, noise(stddev=1.0, secure=True))
    for value in (exact, float(np.pi), 0.0):
        ours = noisy.added_to(torch.full((n,), value, dtype=torch.float64)).numpy()
        on_lattice = ours * STEPS  # the same numbers can come out, whatever the sum
        np.testing.assert_array_equal(on_lattice, np.rint(on_lattice))
        assert len(np.unique(on_lattice)) > 0.99 * n


def test_noise_too_small_for_the_lattice_is_refused() -> None:
    tiny = _ExactNoise(1, noise(stddev=1e-12, secure=True))
    with pytest.raises(PrivacyError, match="too small beside the sums"):
        tiny.added_to(torch.ones(1, dtype=torch.float64))


def test_records_in_another_order_are_their_own(market: Market) -> None:
    """All records at once are kept from step to step; some of them, or in disorder, are not."""
    training = training_of("risk", market(260, 4))
    vector = torch.from_numpy(training.prior + np.float32(0.01))
    whole = record_gradients(training, vector, np.arange(training.n_records))
    backwards = np.arange(training.n_records)[::-1].copy()
    torch.testing.assert_close(record_gradients(training, vector, backwards), whole.flip(0))


def test_lots_are_drawn_by_record_and_not_by_seed() -> None:
    n, probability, steps = 400, 0.3, 50
    np.random.seed(0)  # noqa: NPY002  # what a server knows
    torch.manual_seed(0)
    first = [_drawn(n, probability) for _ in range(steps)]
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    second = [_drawn(n, probability) for _ in range(steps)]
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(first, second, strict=True))
    total = sum(map(len, first))
    low, high = binom.ppf([ALARM, 1 - ALARM], n * steps, probability)
    assert low <= total <= high
    each = np.bincount(np.concatenate(first), minlength=n)
    assert each.max() <= binom.isf(ALARM / n, steps, probability)
    np.testing.assert_array_equal(_drawn(5, 1.0), np.arange(5))


def test_two_trainings_of_one_seed_differ(market: Market) -> None:
    training = training_of("risk", market(260, 4))
    torch.manual_seed(0)
    one = train_on_records(training.prior, training, noise())
    torch.manual_seed(0)
    other = train_on_records(training.prior, training, noise())
    assert (one != other).any()


def test_nothing_to_train_on_is_refused() -> None:
    none = made_up(0, lambda vectors, _: vectors.sum(-1))
    with pytest.raises(ValueError, match="no record"):
        train_on_records(np.zeros(2, np.float32), none, noise())


# --- what it costs ------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["day", "label"])
@pytest.mark.parametrize("probability", [1.0, pytest.param(0.02, marks=pytest.mark.slow)])
def test_the_promise_is_kept_and_no_more(unit: str, probability: float) -> None:
    level = RecordLevel(
        epsilon=4.0, delta=1e-5, clip=8.0, unit=unit, sampling_probability=probability
    )
    found = RecordNoise.of(level, 100)
    assert 0.99 * 4.0 <= spent([found.event(100)], 1e-5) <= 4.0
    assert found.unit_records == (64 if unit == "day" else 1)
    assert spent([found.event(101)], 1e-5) > 3.99


def test_sampling_bars_hides_a_day_as_much_as_it_hides_a_bar() -> None:
    """Of 44 bars each by its own lot a tenth take part: so does a tenth of what they add."""
    whole = RecordNoise.of(RecordLevel(look_back_bars=44), 20)
    tenth = RecordNoise.of(RecordLevel(look_back_bars=44, sampling_probability=0.1), 20)
    assert 0.1 < tenth.stddev / whole.stddev < 0.11
    looser = RecordLevel(look_back_bars=44, sampling_probability=0.1, accountant="rdp")
    assert RecordNoise.of(looser, 20).stddev > 0.5 * whole.stddev


def test_a_day_takes_as_much_more_noise_as_it_has_records() -> None:
    """Group privacy of a Gaussian is exact: it is the sensitivity."""
    day = RecordNoise.of(RecordLevel(unit="day", look_back_bars=50), 10)
    label = RecordNoise.of(RecordLevel(unit="label"), 10)
    assert day.stddev == pytest.approx(50 * label.stddev)
