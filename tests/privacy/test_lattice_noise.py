"""Discrete Gaussian noise against its exact probabilities."""

import hashlib
import math
import os
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chi2

from fedtrade.errors import PrivacyError
from fedtrade.privacy import lattice_noise
from fedtrade.privacy.lattice_noise import LARGEST_SIGMA, discrete_gaussian

ALARM = 1e-9
"""Probability that a test fails by chance; seeds are fixed, so that none ever does."""


def _seeded(seed: int) -> Callable[[int], bytes]:
    return lambda n: hashlib.shake_256(seed.to_bytes(8, "little")).digest(n)


def _probabilities(sigma: float, most: int) -> np.ndarray:
    """Of -most to most."""
    weights = np.exp(-np.square(np.arange(-most, most + 1)) / (2.0 * sigma**2))
    return weights / weights.sum()


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 1.7, 4.0, 12.25])
def test_each_integer_is_as_frequent_as_it_should_be(sigma: float) -> None:
    n = 200_000
    found = discrete_gaussian(n, sigma, _seeded(1))
    most = math.ceil(5 * sigma) + 1
    expected = n * _probabilities(sigma, most)
    kept = expected > 10
    counts = np.array([(found == k).sum() for k in range(-most, most + 1)])
    statistic = float((np.square(counts - expected)[kept] / expected[kept]).sum())
    assert statistic < chi2.isf(ALARM, kept.sum())
    assert counts[~kept].sum() <= n * 1e-3


@pytest.mark.parametrize("sigma", [1000.0, 3000.5, 1e6, 2.0**31])
def test_wide_noise_has_the_moments_of_a_gaussian(sigma: float) -> None:
    n = 100_000
    unit = discrete_gaussian(n, sigma, _seeded(2)) / sigma
    limit = 6.0 / math.sqrt(n)
    assert abs(unit.mean()) < limit
    assert abs(np.square(unit).mean() - 1.0) < limit * math.sqrt(2.0)
    assert abs((unit**4).mean() - 3.0) < limit * math.sqrt(96.0)
    assert abs((np.abs(unit) < 0.674489750196).mean() - 0.5) < limit / 2.0


def test_the_lowest_bits_of_wide_noise_are_even() -> None:
    found = discrete_gaussian(100_000, 1e6, _seeded(3))
    counts = np.bincount(found & 15, minlength=16)
    statistic = float((np.square(counts - 6250.0) / 6250.0).sum())
    assert statistic < chi2.isf(ALARM, 15)


def test_what_is_in_doubt_is_decided_as_floats_would_where_these_are_sure() -> None:
    stream = lattice_noise._Stream(bytes(range(48)))
    words = stream.words(2000)
    fast = lattice_noise._geometric(words, 37, stream, 0.0)
    exact = lattice_noise._geometric(words, 37, stream, 1.0)
    assert (fast == exact).all()
    for word in words[:500]:
        coin = stream.more(int(word))
        x = (20 - 37.0**2 / 38) ** 2 / (2 * 37.0**2)
        assert lattice_noise._accepts(coin, 20, 37.0) == (float(coin) < math.exp(-x))


def test_everything_in_doubt_gives_the_same_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice_noise, "DOUBT", 2.0)
    n, sigma = 1500, 0.9
    found = discrete_gaussian(n, sigma, _seeded(4))
    expected = n * _probabilities(sigma, 5)[3:-3]
    counts = np.array([(found == k).sum() for k in range(-2, 3)])
    assert float((np.square(counts - expected) / expected).sum()) < chi2.isf(ALARM, 5)


def test_the_same_bytes_give_the_same_noise() -> None:
    """A known answer, so that no change of numpy or of this module goes unseen."""
    assert discrete_gaussian(8, 100.0, lambda n: bytes(n)).tolist() == KNOWN


def test_fresh_bytes_give_other_noise_each_time() -> None:
    first, second = (discrete_gaussian(64, 50.0, os.urandom) for _ in range(2))
    assert (first != second).any()
    assert discrete_gaussian(0, 1.0, os.urandom).shape == (0,)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf, 2.0 * LARGEST_SIGMA])
def test_a_deviation_that_is_none_is_refused(sigma: float) -> None:
    with pytest.raises(PrivacyError, match="sigma must be"):
        discrete_gaussian(1, sigma, bytes)


KNOWN = [44, 173, -140, 110, 71, -39, 37, -180]
