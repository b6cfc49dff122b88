import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.evaluation import (
    acerbi_szekely_z2,
    christoffersen,
    fz0,
    hit_counts,
    kupiec,
    pinball,
    transition_counts,
)
from fedtrade.evaluation.tail_scores import TAIL_TOTALS, TailScores, tail_metrics, tail_scores

LEVELS = (0.05, 0.01)


def _data(n_bars: int = 120, n_assets: int = 3, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0, 0.01, (n_bars, n_assets))
    volatility = rng.uniform(0.004, 0.012, (n_bars, n_assets, 1))
    return returns, -volatility * [1.6, 2.3], -volatility * [2.0, 2.7]


def _sums(scores: TailScores, level: int = 0) -> dict[str, float]:
    return dict(zip(TAIL_TOTALS, scores.totals[level], strict=True))


def test_totals_by_hand() -> None:
    """Returns 0, -3, -3 % against a VaR of -2 %: pinball 5 % of 2 %, then twice 95 % of 1 %."""
    returns = np.array([[0.0], [-0.03], [-0.03]])
    var, es = np.full((3, 1, 1), -0.02), np.full((3, 1, 1), -0.025)
    scores = tail_scores(returns, var, es, [0.05])
    sums = _sums(scores)
    assert sums["n"] == 3
    assert sums["hits"] == 2
    assert sums["pinball"] == pytest.approx(0.05 * 0.02 + 2 * 0.95 * 0.01)
    assert [sums[name] for name in ("n00", "n01", "n10", "n11")] == [0, 1, 0, 1]
    assert sums["fz0"] == pytest.approx(3 * (0.8 + np.log(0.025) - 1.0) + 2 * 0.01 / (0.05 * 0.025))
    assert scores.daily_pinball[:, 0] == pytest.approx([0.001, 0.0095, 0.0095])


def test_metrics_are_those_of_the_single_functions() -> None:
    """Pooled over assets; transitions within each asset only."""
    returns, var, es = _data()
    scores = tail_scores(returns, var, es, LEVELS)
    for k, level in enumerate(LEVELS):
        hits = (returns < var[..., k]).astype(float)
        count = hit_counts(hits)
        transitions = transition_counts(hits)
        metrics = tail_metrics(scores.totals[k], level)
        loss = pinball(returns, var[..., k], level)
        assert metrics["pinball"] == pytest.approx(loss.mean())
        assert scores.daily_pinball[:, k] == pytest.approx(loss.mean(axis=1))
        assert metrics["fz0"] == pytest.approx(fz0(returns, var[..., k], es[..., k], level).mean())
        assert metrics["hit_rate"] == pytest.approx(hits.mean())
        assert metrics["kupiec_p"] == pytest.approx(kupiec(*count, level).p_value)
        expected = christoffersen(*transitions, level).conditional_coverage.p_value
        assert metrics["christoffersen_p"] == pytest.approx(expected)
        sums = _sums(scores, k)
        z2 = acerbi_szekely_z2(
            int(sums["n_shortfall"]), sums["shortfall"], sums["shortfall_squares"]
        )
        assert metrics["acerbi_szekely_z2"] == pytest.approx(z2.statistic)
        assert metrics["acerbi_szekely_p"] == pytest.approx(z2.p_value)


@given(seed=st.integers(0, 20), owner=st.lists(st.integers(0, 2), min_size=3, max_size=3))
def test_totals_add_over_participants(seed: int, owner: list[int]) -> None:
    """However assets are dealt, the totals of all are the sum."""
    returns, var, es = _data(40, seed=seed)
    whole = tail_scores(returns, var, es, LEVELS).totals
    parts = [
        tail_scores(returns[:, own], var[:, own], es[:, own], LEVELS).totals
        for own in (np.array(owner) == number for number in set(owner))
    ]
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-9)


def test_nothing_scored_has_no_metrics() -> None:
    assert tail_metrics(np.zeros(len(TAIL_TOTALS)), 0.01) == {}


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_values_are_refused(which: int, value: float) -> None:
    data = _data(5)
    data[which][2] = value
    with pytest.raises(ValueError, match="a return or a tail forecast of the scored bars is miss"):
        tail_scores(*data, LEVELS)


def test_a_shortfall_that_is_not_negative_is_refused() -> None:
    """Its score is not defined."""
    returns, var, es = _data(5)
    es[2, 1, 0] = 0.0
    with pytest.raises(ValueError, match="an expected shortfall must be negative, got 0"):
        tail_scores(returns, var, es, LEVELS)
