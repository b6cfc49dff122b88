"""The audit: its bound against exact probabilities, and mechanisms that are sound or broken."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from fedtrade.errors import ConfigurationError
from fedtrade.market.panel import Panel
from fedtrade.models import MLP
from fedtrade.privacy.audit.audit import audit
from fedtrade.privacy.audit.canaries import audit_training
from fedtrade.privacy.audit.inversion import attack_gradients, features_from_gradient
from fedtrade.privacy.audit.membership import attack_membership
from fedtrade.privacy.audit.one_run import (
    Guesses,
    best_bound,
    canaries_needed,
    epsilon_lower_bound,
    guesses,
    reachable_bound,
)
from fedtrade.privacy.audit.report import print_audit, write_audit
from fedtrade.privacy.dp_sgd import RecordNoise
from fedtrade.privacy.settings import RecordLevel
from fedtrade.settings import Settings
from fedtrade.tasks.record_training import RecordTraining
from fedtrade.tasks.risk import Risk
from fedtrade.tasks.task import Sample

Make = Callable[..., Settings]
Market = Callable[..., Panel]


def trainings(
    market: Market, n: int, *, hidden: int = 48, n_bars: int = 120, steps: int = 5
) -> list[RecordTraining]:
    """Participants with one asset each, a network of many parameters, no pull to the prior."""
    panel = market(n_bars, max(n, 2))
    task = Risk(
        partial(MLP, hidden=(hidden,)), shrinkage=0.0, local_steps=steps, learning_rate=0.05
    )
    samples = [
        Sample.take(panel.select([asset]), calendar=panel.bars, origin=panel.bars[-1])
        for asset in panel.assets
    ]
    shared: dict[str, np.ndarray] = {}
    for name in task.sums:
        total = np.sum([task.local_sum(name, sample, shared) for sample in samples], axis=0)
        shared[name] = task.finish_sum(name, total)
    return [task.record_training(sample, shared, None) for sample in samples[:n]]


# --- the bound ----------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_the_bound_holds_for_randomised_response(epsilon: float) -> None:
    """The mechanism for which it is tight: exceeded no more often than the confidence allows."""
    m, confidence = 300, 0.9
    right = 1.0 / (1.0 + np.exp(-epsilon))
    wrong = 0.0
    for v in range(m + 1):
        if epsilon_lower_bound(Guesses(m, m, v), 0.0, confidence) > epsilon:
            wrong += float(binom.pmf(v, m, right))
    assert wrong <= 1.0 - confidence
    assert wrong > 0.04
    likely = epsilon_lower_bound(Guesses(m, m, round(m * right)), 0.0, confidence)
    assert 0.5 * epsilon < likely < epsilon


def test_the_bound_of_a_published_case() -> None:
    """All of m guesses right: the p-value is a power of the probability of being right."""
    found = epsilon_lower_bound(Guesses(100, 100, 100), 0.0, 0.95)
    right = 0.05 ** (1 / 100)
    assert found == pytest.approx(np.log(right / (1 - right)), rel=1e-6)


def test_the_bound_falls_with_delta_and_confidence_and_rises_with_right_guesses() -> None:
    def bound(v: int, delta: float = 1e-5, confidence: float = 0.95) -> float:
        return epsilon_lower_bound(Guesses(1000, 200, v), delta, confidence)

    assert bound(100) == 0.0
    assert 0.0 < bound(140) < bound(160) < bound(200)
    assert bound(160, delta=0.0) >= bound(160) >= bound(160, delta=1e-3)
    assert bound(160, confidence=0.5) > bound(160) > bound(160, confidence=0.999)


def test_coins_prove_nothing() -> None:
    """With 95 % confidence, over many audits of pure chance."""
    rng = np.random.default_rng(0)
    proven = [best_bound(rng.normal(size=200), rng.random(200) < 0.5, 1e-5)[0] for _ in range(200)]
    assert np.mean(np.array(proven) > 0.0) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_what_all_guesses_right_prove_is_the_most() -> None:
    included = np.arange(500) % 2 == 0
    assert best_bound(included.astype(float), included, 1e-5)[0] == reachable_bound(500, 1e-5)
    assert reachable_bound(500, 1e-5) == pytest.approx(4.65, abs=0.01)
    assert reachable_bound(10_000, 1e-5) == pytest.approx(6.59, abs=0.01)
    assert reachable_bound(50_000, 1e-5) < reachable_bound(10_000, 1e-5)
    assert canaries_needed(8.0, 1e-5) is None
    assert canaries_needed(5.0, 1e-5) == 2_000
    assert reachable_bound(2_000, 1e-5) > 5.0 > reachable_bound(500, 1e-5)


def test_guesses_are_made_at_both_ends() -> None:
    scores = np.array([5.0, -3.0, 0.1, 4.0, -2.0, 0.0])
    included = np.array([True, False, True, False, False, True])
    assert guesses(scores, included, 4) == Guesses(6, 4, 3)
    assert guesses(scores, included, 3) == Guesses(6, 2, 2)


@pytest.mark.parametrize(
    ("found", "delta", "confidence"),
    [
        (Guesses(10, 5, 6), 0.0, 0.95),
        (Guesses(10, 11, 6), 0.0, 0.95),
        (Guesses(0, 0, 0), 0.0, 0.95),
        (Guesses(10, 5, 5), 1.0, 0.95),
        (Guesses(10, 5, 5), 0.0, 1.0),
    ],
)
def test_outcomes_that_cannot_be_are_refused(
    found: Guesses, delta: float, confidence: float
) -> None:
    with pytest.raises(ValueError, match=r"no outcome|must lie"):
        epsilon_lower_bound(found, delta, confidence)


# --- sound and broken trainings -----------------------------------------------------------------


@pytest.fixture(scope="module")
def training(market: Market) -> RecordTraining:
    return trainings(market, 1)[0]


def proven(training: RecordTraining, noise: RecordNoise, size: float = 1.0) -> float:
    rng = np.random.default_rng(1)
    seen = audit_training(training, noise, n_canaries=500, rng=rng, size=size)
    return best_bound(seen.scores, seen.included, 1e-5)[0]


@pytest.mark.parametrize("epsilon", [1.0, 4.0])
@pytest.mark.parametrize("unit", ["label", "day"])
def test_a_sound_training_is_not_refuted(
    unit: str, epsilon: float, training: RecordTraining
) -> None:
    level = RecordLevel(epsilon=epsilon, unit=unit, look_back_bars=44, secure_noise=False)
    noise = RecordNoise.of(level, training.n_steps)
    assert proven(training, noise) <= epsilon
    assert proven(training, noise, size=1000.0) <= epsilon


def test_the_default_noise_is_sound_and_missed_when_it_is_gone(training: RecordTraining) -> None:
    """Exact noise from the operating system's generator, as a run has it."""
    noise = RecordNoise.of(RecordLevel(epsilon=2.0, unit="label"), training.n_steps)
    assert noise.secure
    assert proven(training, noise) <= 2.0 < proven(training, replace(noise, stddev=1e-5))


def test_the_audit_sees_more_where_there_is_more_to_see(training: RecordTraining) -> None:
    def bound(epsilon: float) -> float:
        level = RecordLevel(epsilon=epsilon, unit="label", secure_noise=False)
        return proven(training, RecordNoise.of(level, training.n_steps))

    assert bound(20.0) > 2.0 > bound(1.0)


@pytest.mark.parametrize(
    "broken",
    [
        lambda noise: replace(noise, stddev=1e-9),
        lambda noise: replace(noise, stddev=noise.stddev / 20),
        lambda noise: replace(noise, clip=100 * noise.clip),
    ],
    ids=["without noise", "with a twentieth of it", "without the clip"],
)
def test_a_broken_training_is_caught(
    broken: Callable[[RecordNoise], RecordNoise], training: RecordTraining
) -> None:
    level = RecordLevel(epsilon=2.0, unit="label", secure_noise=False)
    noise = RecordNoise.of(level, training.n_steps)
    assert proven(training, noise) <= 2.0 < proven(training, broken(noise))


# --- attacks ------------------------------------------------------------------------------------


def test_members_are_found_without_privacy_and_not_with_it(market: Market) -> None:
    overfit = trainings(market, 1, hidden=64, n_bars=90, steps=60)[0]
    rng = np.random.default_rng(0)
    exact = attack_membership(overfit, None, n_models=16, n_rounds=2, rng=rng)
    noise = RecordNoise.of(RecordLevel(epsilon=2.0, unit="label", secure_noise=False), 120)
    private = attack_membership(overfit, noise, n_models=16, n_rounds=2, rng=rng)
    assert exact.auc > 0.7 > 0.6 > private.auc
    assert exact.tpr_at_1 > private.tpr_at_1
    with pytest.raises(ValueError, match="n_models=7"):
        attack_membership(overfit, None, n_models=7, n_rounds=1, rng=rng)


def test_a_day_is_read_off_its_own_gradient_alone(market: Market) -> None:
    noise = RecordNoise.of(RecordLevel(epsilon=8.0, unit="label", secure_noise=False), 10)
    plain, summed, whole, noisy = attack_gradients(
        trainings(market, 6),
        noise,
        n_days=20,
        rng=np.random.default_rng(0),
    )
    assert plain.exact > 0.9
    assert plain.error < 0.01
    for other in (summed, whole, noisy):
        assert other.exact == 0.0
        assert other.error > 0.3


def test_a_model_of_unknown_layers_is_not_inverted(market: Market) -> None:
    unknown = [replace(each, n_units=None) for each in trainings(market, 2)]
    assert attack_gradients(unknown, None, n_days=5, rng=np.random.default_rng(0)) == []


def test_nothing_is_read_off_a_gradient_of_zero() -> None:
    np.testing.assert_array_equal(features_from_gradient(np.zeros(12), 2, 5), np.zeros(5))


# --- the whole ----------------------------------------------------------------------------------


def test_a_whole_audit_is_written(
    tiny: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tiny(
        "privacy=record",
        "privacy.record.epsilon=1.5",
        "privacy.record.look_back_bars=44",
        "privacy.record.secure_noise=false",
        "model=mlp",
        "model.hidden=[32]",
    )
    steps: list[str] = []
    found = audit(settings, n_models=8, n_days=5, n_canaries=300, on_step=steps.append)
    assert found.passed
    assert len(steps) == 6
    write_audit(found, tmp_path)
    print_audit(found)
    record = json.loads((tmp_path / "audit.json").read_text())
    assert record["passed"] is True
    assert record["reachable"] == pytest.approx(reachable_bound(300, 1e-5))
    assert [bound["refuted"] for bound in record["bounds"]] == [False, True, True]
    html = (tmp_path / "audit.html").read_text()
    assert "<svg" in html
    assert "The claim of epsilon 1.5 stands" in html
    assert "The claim of epsilon 1.5 stands" in capsys.readouterr().out


def test_without_a_promise_there_is_nothing_to_audit(tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"privacy\.record is not set: add privacy=record"):
        audit(tiny())
    with pytest.raises(ConfigurationError, match=r"noise on sums .* has no audit"):
        audit(tiny("privacy=participant"))


@pytest.mark.parametrize(
    ("epsilon", "remedy"),
    [(8.0, "No number of canaries reaches it"), (5.0, "--canaries 2000")],
)
def test_a_claim_out_of_reach_is_refused_before_anything_is_trained(
    tiny: Make, epsilon: float, remedy: str
) -> None:
    steps: list[str] = []
    settings = tiny("privacy=record", f"privacy.record.epsilon={epsilon}")
    with pytest.raises(ConfigurationError, match=r"at most epsilon 4\.65 .*") as refusal:
        audit(settings, on_step=steps.append)
    assert remedy in str(refusal.value)
    assert "privacy.record.epsilon=2" in str(refusal.value)
    assert not steps
