"""Tails of the hypergeometric distribution by hand, as fractions and against SciPy."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedtrade.secure.hypergeometric import least_excess, tails


def test_by_hand() -> None:
    """Two of four drawn, two marked: none, one or both with 1/6, 4/6, 1/6."""
    np.testing.assert_allclose(tails(4, 2, 2), [5 / 6, 1 / 6, 0.0])
    assert [least_excess(4, 2, 2, p) for p in (0.9, 0.8, 0.1)] == [0, 1, 2]


@given(st.data())
def test_fractions_agree(data: st.DataObject) -> None:
    population = data.draw(st.integers(1, 60))
    marked = data.draw(st.integers(0, population))
    draws = data.draw(st.integers(0, population))
    masses = [
        Fraction(comb(marked, x) * comb(population - marked, draws - x), comb(population, draws))
        for x in range(draws + 1)
    ]
    exact = [float(sum(masses[x + 1 :])) for x in range(draws + 1)]
    np.testing.assert_allclose(tails(population, marked, draws), exact, rtol=1e-11)


@pytest.mark.parametrize(("population", "marked", "draws"), [(999, 200, 132), (9999, 500, 172)])
def test_scipy_agrees_far_out(population: int, marked: int, draws: int) -> None:
    law = stats.hypergeom(population, marked, draws)
    expected = np.array([law.sf(x) for x in range(draws + 1)])
    found = tails(population, marked, draws)
    seen = expected > 1e-60
    np.testing.assert_allclose(found[seen], expected[seen], rtol=1e-8)
