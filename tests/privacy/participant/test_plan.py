"""How much noise a run needs: by independent accountants, and by hand."""

import math
from typing import Any

import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.privacy import DiscreteGaussian, Gaussian, ParticipantLevel, spent
from fedtrade.privacy.participant import QUANTA, ReleasePlan, next_clip
from fedtrade.privacy.participant.adders import Adders
from fedtrade.privacy.participant.claim import Claim
from fedtrade.privacy.participant.vectors import NoisyVectors
from fedtrade.privacy.settings import AdaptiveClip


def _plan(n_models: int = 1, n_rounds: int = 5, n_sums: int = 0, **given: Any) -> ReleasePlan:
    return ReleasePlan(ParticipantLevel(**given), n_models, n_rounds, n_sums)


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_the_target_is_reached_and_not_exceeded(epsilon: float) -> None:
    plan = _plan(n_models=3, epsilon=epsilon)
    found = spent(plan.events(), 1e-5, "rdp")
    assert 0.99 * epsilon <= found <= epsilon


@pytest.mark.parametrize("n_honest", [1, 7, 70])
def test_the_noise_of_honest_adders_alone_is_enough(n_honest: int) -> None:
    """By the bound for sums of discrete Gaussians, with 10,000 numbers a round."""
    plan = _plan(n_models=2)
    event = DiscreteGaussian(
        stddev=plan.update_noise * QUANTA / math.sqrt(n_honest),
        l2_sensitivity=float(QUANTA),
        l1_sensitivity=QUANTA * 100.0,
        n_params=10_000,
        n_summands=n_honest,
        count=10,
    )
    assert spent([event], 1e-5, "rdp") <= 8.0


def test_a_continuous_gaussian_of_that_deviation_would_cost_little_less() -> None:
    plan = _plan()
    tight = spent([Gaussian(plan.update_noise, count=5)], 1e-5, "pld")
    assert 0.85 * 8.0 < tight < 8.0


def test_updates_and_sums_share_the_privacy() -> None:
    plan = _plan(n_models=2, n_rounds=5, n_sums=2, sum_share=0.25)
    assert 10 * plan.round_rho == pytest.approx(0.75 * plan.rho)
    assert 4 * plan.sum_rho == pytest.approx(0.25 * plan.rho)
    assert plan.sum_noise == pytest.approx(math.sqrt(0.5 / plan.sum_rho))
    assert (plan.most_rounds, plan.most_sums) == (10, 4)
    assert spent(plan.events(), 1e-5, "rdp") <= 8.0


def test_without_rounds_all_goes_to_sums() -> None:
    plan = _plan(n_rounds=0, n_sums=2)
    assert 2 * plan.sum_rho == pytest.approx(plan.rho)


def test_a_promise_for_each_model_costs_more_for_all() -> None:
    run, model = _plan(n_models=13), _plan(n_models=13, scope="model")
    assert run.update_noise == pytest.approx(math.sqrt(13.0) * model.update_noise)
    claim = Claim.of(NoisyVectors(model, Adders("server", 1, 1)))
    assert claim.model_epsilon <= 8.0 < 30.0 < claim.epsilon
    assert claim.excludes[-1] == "its parts of federated sums"


def test_the_count_behind_an_adaptive_clip_takes_its_share() -> None:
    """Andrew et al. (2021), theorem 1: z_update = (z^-2 - (2 sigma_b)^-2)^-1/2."""
    fixed, adaptive = _plan(), _plan(adaptive=AdaptiveClip(count_noise=2.0))
    z = fixed.update_noise
    assert adaptive.update_noise == pytest.approx((z**-2 - 4.0**-2) ** -0.5)
    with pytest.raises(ConfigurationError, match=r"count_noise=0.1 takes the whole privacy"):
        _plan(adaptive=AdaptiveClip(count_noise=0.1))


def test_a_run_that_releases_nothing_needs_no_promise() -> None:
    with pytest.raises(ConfigurationError, match="covers nothing in this run"):
        _plan(n_rounds=0)


def test_the_clip_follows_the_quantile() -> None:
    settings = AdaptiveClip(target_quantile=0.5, learning_rate=0.2)
    assert next_clip(1.0, 0.5, settings) == 1.0
    assert next_clip(1.0, 1.0, settings) == pytest.approx(math.exp(-0.1))
    assert next_clip(1.0, -3.0, settings) == pytest.approx(math.exp(0.1))  # noise, held to 0
    clip = 100.0
    for _ in range(300):
        clip = next_clip(clip, float(clip >= 2.0), settings)
    assert clip == pytest.approx(2.0, rel=0.11)
