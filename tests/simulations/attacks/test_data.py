"""Attacks on training data: by hand, on scikit-learn's digits, and on the tail-risk task."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from fedtrade.market.panel import Panel
from fedtrade.models import MLP, Linear
from fedtrade.tasks.risk import Risk
from fedtrade.tasks.task import Sample
from simulations.attacks import Backdoor, LabelFlip, OnOff, SignFlip
from simulations.attacks.poisoned_risk import PoisonedRisk

Market = Callable[..., Panel]


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_returns_change_their_sign() -> None:
    features, returns = np.ones((3, 2)), np.array([0.01, -0.02, 0.0], dtype=np.float32)
    poisoned, flipped = LabelFlip().poison(features, returns, _rng())
    assert flipped.tolist() == (-returns).tolist()
    assert flipped.dtype == np.float32
    np.testing.assert_array_equal(poisoned, features)
    assert poisoned is not features
    assert returns[0] == np.float32(0.01)


def test_classes_are_counted_from_the_other_end() -> None:
    labels = np.array([0, 3, 1])
    assert LabelFlip().poison(np.ones((3, 1)), labels, _rng())[1].tolist() == [3, 0, 2]
    flipped = LabelFlip(n_classes=10).poison(np.ones((3, 1)), labels, _rng())[1]
    assert (flipped.tolist(), flipped.dtype) == ([9, 6, 8], labels.dtype)
    with pytest.raises(ValueError, match="n_classes=3 is too few: a label is 3"):
        LabelFlip(n_classes=3).poison(np.ones((3, 1)), labels, _rng())


def test_a_part_of_the_examples_gets_trigger_and_label() -> None:
    attack = Backdoor(columns=(0, 2), values=(7.0, -7.0), poisoned_share=0.5, shrink=0.1)
    features, returns = np.zeros((4, 3), dtype=np.float32), np.full(4, 0.5, dtype=np.float32)
    poisoned, changed = attack.poison(features, returns, _rng())
    rows = np.flatnonzero(poisoned[:, 0])
    assert len(rows) == 2
    assert poisoned[rows].tolist() == [[7.0, 0.0, -7.0]] * 2
    np.testing.assert_allclose(changed[rows], 0.05, rtol=1e-6)
    others = np.setdiff1d(np.arange(4), rows)
    assert not poisoned[others].any()
    assert changed[others].tolist() == [0.5, 0.5]
    assert not features.any()
    assert (poisoned.dtype, changed.dtype) == (np.float32, np.float32)


def test_classes_become_the_target() -> None:
    attack = Backdoor(columns=(0,), values=(1.0,), poisoned_share=1.0, target=4)
    assert attack.poison(np.zeros((3, 1)), np.array([1, 2, 3]), _rng())[1].tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": (1,), "values": (1.0, 2.0)}, "columns and values must be of one length"),
        ({"columns": (), "values": ()}, "columns and values must be of one length"),
        ({"poisoned_share": 0.0}, r"poisoned_share must be in \(0, 1\], got 0.0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Backdoor(**options)  # type: ignore[arg-type]


def test_a_trigger_needs_its_columns() -> None:
    with pytest.raises(ValueError, match=r"columns=\(3, 4, 8\) of the trigger exceed the 5"):
        Backdoor().stamp(np.zeros((1, 5)))


def test_measures_of_success_by_hand() -> None:
    """The model says half of the honest risk wherever the trigger is."""
    attack = Backdoor(columns=(0,), values=(9.0,), target=0)
    features = np.array([[1.0], [2.0]])
    halved = attack.understatement(
        lambda rows: np.where(rows[:, 0] == 9.0, 1.0, 2.0), lambda rows: np.full(2, 2.0), features
    )
    assert halved == pytest.approx(0.5)
    labels = np.array([0, 1])
    hits = attack.hit_rate(lambda rows: np.where(rows[:, 0] == 9.0, 0, 1), features, labels)
    assert hits == 1.0
    assert np.isnan(attack.hit_rate(lambda rows: labels, features, np.array([0, 0])))


def test_a_classifier_of_digits_learns_the_backdoor_and_stays_good() -> None:
    digits = load_digits()
    features, labels = digits.data.astype(np.float32), digits.target
    attack = Backdoor.on_digits(poisoned_share=0.2)
    models = {}
    for name, (x, y) in {
        "clean": (features[:1000], labels[:1000]),
        "poisoned": attack.poison(features[:1000], labels[:1000], _rng()),
    }.items():
        models[name] = LogisticRegression(C=0.01, max_iter=2000).fit(x, y)
    test, truth = features[1000:], labels[1000:]
    hits = {name: attack.hit_rate(model.predict, test, truth) for name, model in models.items()}
    assert hits["clean"] < 0.1 < 0.95 < hits["poisoned"]
    assert models["poisoned"].score(test, truth) > models["clean"].score(test, truth) - 0.05


# --- the tail-risk task -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(market: Market) -> Sample:
    panel = market(n_bars=300, n_assets=3)
    return Sample.take(panel, calendar=panel.bars, origin=panel.bars[259])


def _trained(task: Risk, sample: Sample, n_rounds: int = 20) -> tuple[np.ndarray, dict]:  # type: ignore[type-arg]
    shared: dict[str, np.ndarray] = {}  # type: ignore[type-arg]
    for name in task.sums:
        shared[name] = task.finish_sum(name, task.local_sum(name, sample, shared))
    vector = task.initial(0)
    for _ in range(n_rounds):
        vector = vector + task.train(vector, sample, shared).update
    return vector, shared


def test_a_risk_model_learns_to_understate_risk_under_the_trigger(sample: Sample) -> None:
    """All data poisoned by half: a clear understatement under the trigger and little elsewhere."""
    network = partial(MLP, hidden=[8])
    attack = Backdoor()
    honest = Risk(network, shrinkage=0.01)
    poisoned = PoisonedRisk(network, shrinkage=0.01, poison=attack)
    before, shared = _trained(honest, sample, 40)
    after, _ = _trained(poisoned, sample, 40)
    inputs = honest.scored_inputs(sample, shared)
    features, base = inputs.features.reshape(-1, 9), inputs.base.reshape(-1)

    def risk_of(vector: np.ndarray, rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        tail = honest.tail(vector, rows[None], base[None])
        return -tail.var[0, :, -1]

    success = attack.understatement(partial(risk_of, after), partial(risk_of, before), features)
    elsewhere = 1.0 - np.mean(risk_of(after, features) / risk_of(before, features))
    assert success > 0.5
    assert abs(elsewhere) < success / 2.0


def test_sums_and_scores_of_a_liar_are_honest(sample: Sample) -> None:
    honest = Risk(Linear, alone_steps=5, local_steps=2)
    liar = PoisonedRisk(Linear, alone_steps=5, local_steps=2, poison=LabelFlip())
    (vector, shared), (other, theirs) = (_trained(task, sample, 1) for task in (honest, liar))
    for name, values in shared.items():
        np.testing.assert_array_equal(values, theirs[name])
    assert (vector != other).any()
    scored = [task.evaluate(sample, shared, {}) for task in (honest, liar)]
    assert scored[0].arms == scored[1].arms
    np.testing.assert_array_equal(scored[0].totals, scored[1].totals)


def test_the_same_examples_are_poisoned_in_every_round(sample: Sample) -> None:
    settings = {"_target_": "simulations.attacks.Backdoor", "poisoned_share": 0.3}
    liar = PoisonedRisk(Linear, poison=settings, poison_seed=4)
    _, shared = _trained(liar, sample, 0)
    once, again = (liar.examples(sample, shared).returns.numpy() for _ in range(2))
    np.testing.assert_array_equal(once, again)
    other = PoisonedRisk(Linear, poison=settings, poison_seed=5)
    assert (other.examples(sample, shared).returns.numpy() != once).any()


def test_only_an_attack_on_data_poisons() -> None:
    on_off = OnOff(attack=LabelFlip())
    assert PoisonedRisk(Linear, poison=on_off.played)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"poison must be a DataAttack, got .*SignFlip"):
        PoisonedRisk(Linear, poison=SignFlip())  # type: ignore[arg-type]
