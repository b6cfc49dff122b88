"""Does a strategy earn anything after costs? A verdict that can say no.

An edge is claimed only where the interval of the mean net return lies above zero and the deflated
Sharpe ratio is convincing for the number of strategies that were tried.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fedtrade.evaluation.comparison import block_bootstrap_interval
from fedtrade.evaluation.sharpe import deflated_sharpe

__all__ = ["Edge", "edge_sentence", "measure_edge"]

CONFIDENCE = 0.95


class Edge(NamedTuple):
    """The mean net return of a bar with its 95 % interval, and how likely skill is.

    Attributes
    ----------
    mean, low, high : float
        As fractions of the capital.
    deflated_probability : float
        Deflated Sharpe ratio; NaN if the returns do not vary.
    n_trials : int
    cost_bps : float
    is_active : bool
        Whether any return differs from zero, that is whether a position was ever taken.
    """

    mean: float
    low: float
    high: float
    deflated_probability: float
    n_trials: int
    cost_bps: float
    is_active: bool

    @property
    def is_found(self) -> bool:
        """Whether there is an edge."""
        return self.low > 0.0 and self.deflated_probability >= CONFIDENCE


def measure_edge(net_returns: ArrayLike, *, n_trials: int, cost_bps: float, seed: int = 0) -> Edge:
    """Measure the net returns of shape (n,), NaN entries left out.

    Parameters
    ----------
    n_trials : int
        Strategies tried before this one was chosen, see `deflated_sharpe`.
    cost_bps : float
        The cost that the returns are net of, for the record.
    seed : int
        Of the block bootstrap.

    Raises
    ------
    ValueError
        If there is no return, or `n_trials` is less than 1.
    """
    values = np.asarray(net_returns, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not values.size:
        raise ValueError("net_returns holds no value; an edge needs at least one bar.")
    interval = block_bootstrap_interval(values, level=CONFIDENCE, seed=seed)
    return Edge(
        float(interval.estimate),
        float(interval.low),
        float(interval.high),
        deflated_sharpe(values, n_trials),
        n_trials,
        cost_bps,
        bool(np.any(values != 0.0)),
    )


def edge_sentence(edge: Edge, over_placebo: Edge | None = None) -> str:
    """Say in plain words whether there is an edge after costs.

    Parameters
    ----------
    over_placebo : Edge, optional
        Of the difference to a placebo, a model trained on shuffled labels. Unless its interval lies
        above zero an edge is not believed: whatever earned it was not what the model learned. The
        placebo's own profit would prove nothing, as a random model may lean towards what works.
    """
    if not edge.is_active:
        return (
            "The trading signal shows no edge after costs: the model found nothing that it "
            "would trade on and never took a position."
        )
    figures = (
        f"{edge.mean * 1e4:+.2f} bp a bar at a cost of {edge.cost_bps:g} bp, 95 % interval "
        f"{edge.low * 1e4:+.2f} to {edge.high * 1e4:+.2f}; deflated Sharpe probability "
        f"{_percent(edge.deflated_probability)} for {edge.n_trials} "
        f"{'trial' if edge.n_trials == 1 else 'trials'}"
    )
    if not edge.is_found:
        return f"The trading signal shows no edge after costs: {figures}."
    if over_placebo is not None and not over_placebo.low > 0.0:
        return (
            f"The trading signal shows no edge after costs that can be believed: {figures}, but it "
            "does no better than a placebo trained on shuffled labels (difference "
            f"{over_placebo.mean * 1e4:+.2f} bp, 95 % interval {over_placebo.low * 1e4:+.2f} to "
            f"{over_placebo.high * 1e4:+.2f})."
        )
    return f"The trading signal shows an edge after costs: {figures}."


def _percent(probability: float) -> str:
    return "n/a" if np.isnan(probability) else f"{probability * 100:.0f} %"
