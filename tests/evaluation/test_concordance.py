"""Kendall's tau bar by bar."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from fedtrade.evaluation.concordance import concordance


def test_two_assets_agree_or_do_not() -> None:
    signal = [[1.0, 2.0], [1.0, 2.0], [1.0, 1.0]]
    returns = [[0.0, 0.1], [0.1, 0.0], [0.1, 0.0]]
    assert concordance(signal, returns).tolist() == [1.0, -1.0, 0.0]


def test_three_assets_count_their_pairs() -> None:
    """Pairs (0, 1) and (0, 2) are ordered as the returns are, (1, 2) is not."""
    assert concordance([[1.0, 2.0, 3.0]], [[0.0, 0.2, 0.1]]) == pytest.approx([1.0 / 3.0])


def test_unknown_assets_are_left_out() -> None:
    found = concordance([[1.0, np.nan, 2.0], [1.0, np.nan, np.nan]], [[0.1, 0.0, 0.2]] * 2)
    assert found == pytest.approx([1.0, np.nan], nan_ok=True)


def test_agrees_with_scipy_where_nothing_is_tied() -> None:
    rng = np.random.default_rng(1)
    signal, returns = rng.normal(size=(2, 20, 7))
    expected = [kendalltau(s, r).statistic for s, r in zip(signal, returns, strict=True)]
    assert concordance(signal, returns) == pytest.approx(expected)


@pytest.mark.parametrize("n_assets", [2, 5])
def test_its_mean_does_not_depend_on_how_many_assets_are_seen(n_assets: int) -> None:
    """For normal values of correlation r it is 2 / pi * arcsin(r) (Greiner's relation)."""
    returns, noise = np.random.default_rng(2).normal(size=(2, 10_000, n_assets))
    signal = 0.5 * returns + np.sqrt(0.75) * noise
    expected = 2.0 / np.pi * np.arcsin(0.5)
    assert concordance(signal, returns).mean() == pytest.approx(expected, abs=0.03)


def test_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(1, 3\)"):
        concordance([[1.0, 2.0]], [[1.0, 2.0, 3.0]])
