from collections import Counter
from math import exp, nan, tanh
from typing import Any

import numpy as np
import pytest
from scipy.stats import laplace as continuous_laplace
from scipy.stats import norm

from fedtrade.errors import AccountingError, PrivacyError
from fedtrade.privacy import DiscreteGaussian, Gaussian, Pure, noise_multiplier, spent
from fedtrade.privacy.mechanisms import (
    discrete_gaussian,
    discrete_laplace,
    gaussian,
    histogram,
    laplace,
)
from tests.privacy.mechanisms.frequencies import assert_frequencies

N_DRAWS = 4_000
CUTS = np.array([-2.0, -0.7, 0.0, 0.1, 1.3])
LOUD = 60.0
"""An epsilon at which noise on whole numbers is zero but for a probability of 1e-25."""


def test_discrete_laplace_noise_has_its_probabilities() -> None:
    """At epsilon 1 and clip 1: tanh(1/2) exp(-|k|)."""
    noise = discrete_laplace(np.zeros((1, N_DRAWS), dtype=int), clip=1, epsilon=1.0).value
    expected = {k: tanh(0.5) * exp(-abs(k)) for k in range(-4, 5)}
    assert_frequencies(Counter(noise.tolist()), expected, N_DRAWS)


def test_discrete_gaussian_noise_has_its_probabilities() -> None:
    found = discrete_gaussian(np.zeros((1, N_DRAWS), dtype=int), clip=1, epsilon=4.0, delta=1e-5)
    assert isinstance(found.event, DiscreteGaussian)
    weights = {k: exp(-(k**2) / (2.0 * found.event.stddev**2)) for k in range(-60, 61)}
    total = sum(weights.values())
    expected = {k: weights[k] / total for k in range(-3, 4)}
    assert_frequencies(Counter(found.value.tolist()), expected, N_DRAWS)


def cut(noise: np.ndarray) -> Counter[object]:
    return Counter(np.searchsorted(CUTS, noise).tolist())


def between(cumulative: Any) -> dict[object, float]:
    edges = np.concatenate([[0.0], cumulative(CUTS), [1.0]])
    return dict(enumerate(np.diff(edges).tolist()))


def test_laplace_noise_has_the_scale_of_clip_over_epsilon() -> None:
    found = laplace(np.zeros((1, N_DRAWS)), clip=3.0, epsilon=2.0)
    assert_frequencies(cut(found.value), between(continuous_laplace(scale=1.5).cdf), N_DRAWS)


def test_gaussian_noise_has_the_analytic_width() -> None:
    found = gaussian(np.zeros((1, N_DRAWS)), clip=0.5, epsilon=2.0, delta=1e-5)
    sigma = 0.5 * noise_multiplier(2.0, 1e-5, 1)
    assert_frequencies(cut(found.value), between(norm(scale=sigma).cdf), N_DRAWS)


def test_numbers_are_noised_apart() -> None:
    """Products of neighbouring draws have the mean 0; its standard error is 1 / sqrt(n)."""
    noise = gaussian(np.zeros((1, N_DRAWS)), clip=1.0, epsilon=1.0, delta=1e-5).value
    standard = noise / noise_multiplier(1.0, 1e-5, 1)
    assert abs(np.mean(standard[1:] * standard[:-1])) < 7.0 / np.sqrt(N_DRAWS)


def test_a_sum_of_clipped_contributions_is_released() -> None:
    rows = np.array([[3, 4], [1, 0], [0, -1]])
    assert discrete_laplace(rows, clip=7, epsilon=7 * LOUD).value.tolist() == [4, 3]
    assert discrete_laplace(rows, clip=1, epsilon=LOUD).value.tolist() == [1, -1]
    assert discrete_laplace([5, 1], clip=2, epsilon=2 * LOUD).value.tolist() == [3]


def test_continuous_sums_are_clipped_as_well() -> None:
    rows = np.array([[3.0, 4.0], [0.5, 0.0]])
    near = laplace(rows, clip=1.0, epsilon=1e4).value
    assert near == pytest.approx([3 / 7 + 0.5, 4 / 7], abs=0.01)
    near = gaussian(rows, clip=1.0, epsilon=1e4, delta=1e-5).value
    assert near == pytest.approx([0.6 + 0.5, 0.8], abs=0.15)


def test_events_cost_what_was_asked_for() -> None:
    for pure in (
        laplace([0.5], clip=0.3, epsilon=0.7).event,
        discrete_laplace([1], clip=3, epsilon=0.7).event,
        histogram([1], [0.0, 2.0], epsilon=0.7).event,
    ):
        assert isinstance(pure, Pure)
        assert 0.7 * (1.0 - 1e-9) < pure.epsilon <= 0.7
    continuous = gaussian([0.5], clip=0.3, epsilon=0.7, delta=1e-6).event
    assert isinstance(continuous, Gaussian)
    assert 0.6999 < spent([continuous], 1e-6) <= 0.7
    discrete = discrete_gaussian([5], clip=100, epsilon=0.7, delta=1e-6).event
    assert 0.99 * 0.7 < spent([discrete], 1e-6) <= 0.7


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0 / 3.0, 1e-13, 0.7 + 1e-16])
def test_outcomes_lie_on_one_lattice_whatever_the_input(value: float) -> None:
    """The hole that Mironov found in 2012: low bits told what noise was added to."""
    rows = np.full((2, 50), value)
    noisy = laplace(rows, clip=100.0, epsilon=1.0).value
    assert np.array_equal(noisy * 2.0**14, np.rint(noisy * 2.0**14))
    noisy = gaussian(rows, clip=100.0, epsilon=1.0, delta=1e-5).value
    assert np.array_equal(noisy * 2.0**14, np.rint(noisy * 2.0**14))


def test_naive_noise_would_not_pass() -> None:
    """Control of the test above."""
    noisy = 1.0 / 3.0 + np.random.default_rng(0).laplace(size=50)
    assert not np.array_equal(noisy * 2.0**14, np.rint(noisy * 2.0**14))


def test_a_histogram_counts_each_unit_once() -> None:
    values = [-5.0, 0.0, 0.5, 1.0, 1.5, 2.0, 99.0]
    found = histogram(values, [0.0, 1.0, 2.0], epsilon=LOUD)
    assert found.value.tolist() == [3, 4]


def test_an_empty_histogram_has_noise_alone() -> None:
    assert histogram([], [0.0, 1.0, 2.0], epsilon=LOUD).value.tolist() == [0, 0]


@pytest.mark.parametrize("edges", [[1.0], [1.0, 1.0], [2.0, 1.0], [0.0, nan]])
def test_edges_rise(edges: list[float]) -> None:
    with pytest.raises(PrivacyError, match="edges"):
        histogram([0.0], edges, epsilon=1.0)


def test_a_histogram_takes_finite_numbers() -> None:
    with pytest.raises(PrivacyError, match="finite"):
        histogram([nan], [0.0, 1.0], epsilon=1.0)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, nan])
def test_an_epsilon_that_is_no_promise_is_refused(epsilon: float) -> None:
    for mechanism, options in (
        (laplace, {}),
        (gaussian, {"delta": 1e-5}),
        (discrete_laplace, {}),
        (discrete_gaussian, {"delta": 1e-5}),
    ):
        with pytest.raises(AccountingError, match="epsilon="):
            mechanism([1], clip=1, epsilon=epsilon, **options)  # type: ignore[operator]


@pytest.mark.parametrize("delta", [0.0, 1.0, nan])
def test_a_delta_out_of_range_is_refused(delta: float) -> None:
    for mechanism in (gaussian, discrete_gaussian):
        with pytest.raises(AccountingError, match="delta="):
            mechanism([1], clip=1, epsilon=1.0, delta=delta)  # type: ignore[operator]


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(PrivacyError, match="row 0"):
        laplace([nan], clip=1.0, epsilon=1.0)
    with pytest.raises(PrivacyError, match="row 0"):
        gaussian([nan], clip=1.0, epsilon=1.0, delta=1e-5)


def test_an_epsilon_that_hides_nothing_is_refused() -> None:
    with pytest.raises(PrivacyError, match="hides nothing"):
        laplace([1.0], clip=1.0, epsilon=1e7)
    with pytest.raises(PrivacyError, match="hides nothing"):
        gaussian([1.0], clip=1.0, epsilon=1e14, delta=1e-5)


def test_a_delta_at_which_a_unit_could_be_published_is_refused() -> None:
    for mechanism in (gaussian, discrete_gaussian):
        with pytest.raises(AccountingError, match=r"delta=0\.5 must be less than 0\.1"):
            mechanism([1], clip=1, epsilon=1.0, delta=0.5)  # type: ignore[operator]
        with pytest.raises(AccountingError, match=r"delta=0\.01 .* one over the 100"):
            mechanism([1], clip=1, epsilon=1.0, delta=0.01, n_units=100)  # type: ignore[operator]
        mechanism([1], clip=1, epsilon=1.0, delta=0.01, n_units=99)  # type: ignore[operator]


def test_sums_of_no_numbers_are_empty() -> None:
    assert laplace(np.ones((2, 0)), clip=1.0, epsilon=1.0).value.shape == (0,)
    assert gaussian(np.ones((2, 0)), clip=1.0, epsilon=1.0, delta=1e-5).value.shape == (0,)
