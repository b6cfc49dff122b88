"""A verdict on net returns that can say yes and no."""

import numpy as np
import pytest

from fedtrade.evaluation.edge import Edge, edge_sentence, measure_edge


def _edge(**changes: object) -> Edge:
    found = Edge(2e-4, 1e-4, 3e-4, 0.97, 8, 5.0, True)
    return found._replace(**changes)


def test_steady_profits_are_an_edge_and_the_same_losses_are_not() -> None:
    """Mean 10 bp with a standard deviation of 50 bp over 1,000 bars: t is about 6."""
    profits = np.random.default_rng(0).normal(10e-4, 50e-4, 1000)
    found = measure_edge(profits, n_trials=8, cost_bps=5.0)
    assert found.low < found.mean < found.high
    assert found.mean == pytest.approx(profits.mean())
    assert found.is_found
    assert not measure_edge(-profits, n_trials=8, cost_bps=5.0).is_found


def test_many_trials_take_a_weak_edge_away() -> None:
    """The mean is 2.5 standard errors: enough for one strategy, not for the best of 1,000."""
    returns = np.random.default_rng(3).normal(size=1000)
    returns = (returns - returns.mean()) / returns.std() + 2.5 / np.sqrt(1000)
    assert measure_edge(returns, n_trials=1, cost_bps=5.0).is_found
    assert not measure_edge(returns, n_trials=1000, cost_bps=5.0).is_found


def test_noise_is_rarely_an_edge() -> None:
    rng = np.random.default_rng(1)
    found = [measure_edge(rng.normal(size=250), n_trials=8, cost_bps=0.0) for _ in range(10)]
    assert sum(edge.is_found for edge in found) <= 1


def test_sentence_states_an_edge_with_its_probability() -> None:
    assert edge_sentence(_edge()) == (
        "The trading signal shows an edge after costs: +2.00 bp a bar at a cost of 5 bp, 95 % "
        "interval +1.00 to +3.00; deflated Sharpe probability 97 % for 8 trials."
    )


@pytest.mark.parametrize(
    "changes", [{"low": -1e-4}, {"deflated_probability": 0.9}, {"deflated_probability": np.nan}]
)
def test_sentence_denies_what_either_measure_denies(changes: dict[str, float]) -> None:
    sentence = edge_sentence(_edge(**changes))
    assert sentence.startswith("The trading signal shows no edge after costs: +2.00 bp")


def test_an_edge_that_is_no_better_than_a_placebo_is_not_believed() -> None:
    sentence = edge_sentence(_edge(), over_placebo=_edge(mean=5e-5, low=-1e-4))
    assert sentence.startswith("The trading signal shows no edge after costs that can be believed")
    assert "(difference +0.50 bp, 95 % interval -1.00 to +3.00)" in sentence
    assert "shows an edge" in edge_sentence(_edge(), over_placebo=_edge(low=1e-6))


def test_a_model_that_never_traded_has_no_edge() -> None:
    found = measure_edge(np.zeros(50), n_trials=8, cost_bps=5.0)
    assert not found.is_found
    assert "never took a position" in edge_sentence(found)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one bar"):
        measure_edge([np.nan], n_trials=1, cost_bps=5.0)
