"""The protocol of a task: what a participant computes, and what the federation adds up.

A task knows nothing of messages. In each episode (one origin of the walk-forward) the server
first asks for the task's *sums*, one after the other: each participant computes an array from its
own data (`local_sum`), only the total over participants is used (`finish_sum`), and the outcome is
shared with everybody. Then follow rounds of training, in which a participant turns the global
vector into an update (`train`), and one evaluation on bars after the origin (`evaluate`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrade.corrections import Correction
from fedtrade.errors import DataError
from fedtrade.market.panel import Panel

__all__ = [
    "FEDERATED",
    "Evaluation",
    "Forecast",
    "ForecastPath",
    "Headline",
    "LocalUpdate",
    "Model",
    "NamesArms",
    "Sample",
    "Score",
    "Shared",
    "Task",
]

FEDERATED = "federated"
"""The arm of the model that is trained together."""

Vector: TypeAlias = NDArray[np.float32]

Shared: TypeAlias = Mapping[str, NDArray[np.float64]]
"""What everybody knows in an episode: the outcome of each federated sum by its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One participant's prices in one episode: its history, then the bars to be scored.

    Attributes
    ----------
    panel : Panel
        Assets that have a price at every bar of the history; the last price of one that ends
        later is carried forward.
    rows : int of shape (n_bars,)
        Where each bar stands in the calendar of the federation.
    n_calendar : int
        Bars in that calendar, which runs from the earliest start of a history to the last bar.
    n_train : int
        Bars up to and including the origin.
    n_skip : int
        Bars after the origin that are not scored (purge and embargo).
    """

    panel: Panel
    rows: NDArray[np.intp]
    n_calendar: int
    n_train: int
    n_skip: int = 0

    @property
    def n_score(self) -> int:
        """The bars to be scored."""
        return self.panel.n_bars - self.n_train - self.n_skip

    def training_bars(self, start: int, stop: int) -> "Sample":
        """The training bars from `start` up to `stop` alone, as a sample without scored bars."""
        part = self.panel.rows(start, stop)
        return Sample(part, self.rows[start:stop], self.n_calendar, stop - start)

    @classmethod
    def take(
        cls,
        panel: Panel,
        *,
        calendar: NDArray[np.datetime64],
        origin: np.datetime64,
        n_skip: int = 0,
    ) -> "Sample":
        """Keep the assets of `panel` that have a price at each bar up to the origin.

        What happens later must not decide who takes part: an asset that ends among the bars to be
        scored stays, with its last price carried forward (a return of zero). Bars that are not in
        the calendar of the federation are left out.

        Parameters
        ----------
        panel : Panel
            The participant's own history and test bars, already cut.

        Raises
        ------
        DataError
            If no asset is left.
        """
        panel = _on_calendar(panel, calendar)
        rows = np.searchsorted(calendar, panel.bars)
        n_train = int(np.searchsorted(panel.bars, origin, "right"))
        whole = np.isfinite(panel.close[:n_train]).all(axis=0)
        kept = [panel.assets[column] for column in np.flatnonzero(whole)]
        if not n_train or not kept:
            raise DataError(
                f"no asset of {', '.join(panel.assets)} has a price at every bar from "
                f"{calendar[0]} to {origin}; use a shorter history or later origins."
            )
        carried = _carried_forward(panel.select(kept))
        return cls(carried, rows, len(calendar), n_train, n_skip)


def _on_calendar(panel: Panel, calendar: NDArray[np.datetime64]) -> Panel:
    """The panel without bars that the calendar lacks."""
    known = np.isin(panel.bars, calendar)
    if known.all():
        return panel
    ohlv = panel.ohlv and {name: values[known] for name, values in panel.ohlv.items()}
    return Panel(panel.bars[known], panel.assets, panel.close[known], panel.bar, ohlv)


def _carried_forward(panel: Panel) -> Panel:
    """The panel with each asset's last price at all bars after it."""
    if np.isfinite(panel.close[-1]).all():
        return panel
    last = panel.close[panel.n_prices - 1, np.arange(panel.n_assets)]
    close = np.where(np.isnan(panel.close), last, panel.close)
    return Panel(panel.bars, panel.assets, close, panel.bar, panel.ohlv)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A trained model: its parameters and the sums that belong to them.

    Attributes
    ----------
    vector : float32 of shape (n_params,)
    learned : mapping of str to float64 array
        The task's `learned` sums, such as the moments by which features are standardised.
    """

    vector: Vector
    learned: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


class LocalUpdate(NamedTuple):
    """What a participant gives back in a round.

    Attributes
    ----------
    update : float32 of shape (n_params,)
        Its vector minus the global one.
    loss : float
        Mean loss at the global vector's end of training, without the pull to the prior.
    n_examples : int
    gradient : float32 of shape (n_params,) or None
        Of the mean loss at the global vector, without the pull to the prior and without a
        correction. Needed by control variates alone.
    """

    update: Vector
    loss: float
    n_examples: int
    gradient: Vector | None = None


class Headline(NamedTuple):
    """The score by which arms are compared.

    Attributes
    ----------
    metric, level
        As in the results.
    unit, scale
        `value * scale` is shown in `unit`.
    lower_is_better : bool
        Whether it is a loss.
    relative : bool
        Whether a gain is a share of the other arm's score, or else a plain difference.
    """

    metric: str
    level: float | None = None
    unit: str = ""
    scale: float = 1.0
    lower_is_better: bool = True
    relative: bool = True


class Score(NamedTuple):
    """One number of one arm."""

    metric: str
    level: float | None
    value: float


class Forecast(NamedTuple):
    """What a model says of one asset's next bar (or bars).

    Attributes
    ----------
    asset : str
    quantity : str
        Such as `var`, `es`, `volatility` or `position`.
    level : float or None
        Tail probability or horizon in bars, where there is one.
    value : float
        Returns and volatilities as fractions.
    """

    asset: str
    quantity: str
    level: float | None
    value: float


class ForecastPath(NamedTuple):
    """One asset's returns with their forecast tail, each of shape (n_bars,)."""

    asset: str
    level: float
    bars: NDArray[np.datetime64]
    returns: NDArray[np.float64]
    var: NDArray[np.float64]
    es: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How each arm did on one participant's scored bars.

    Attributes
    ----------
    arms : tuple of str
    bars : datetime64 of shape (n_bars,)
    totals : float64 of shape (n_arms, n_totals)
        The task's `totals`, sums over bars and assets: they add over participants and episodes.
    daily : float64 of shape (n_daily, n_arms, n_bars)
        The task's `daily`, means over the participant's assets; the headline score comes first.
    path : ForecastPath or None
        For a picture; only where the data may be seen by all.
    """

    arms: tuple[str, ...]
    bars: NDArray[np.datetime64]
    totals: NDArray[np.float64]
    daily: NDArray[np.float64]
    path: ForecastPath | None = None


class Task(Protocol):
    """One thing to learn together; see the head of this module for the order of calls.

    Attributes
    ----------
    name : str
    headline : Headline
    sums : tuple of str
        Federated sums in the order in which they are asked for.
    learned : tuple of str
        Those of `sums` that belong to a trained model.
    totals, daily : tuple of str
        Names of the columns of `Evaluation.totals` and the layers of `Evaluation.daily`.
    min_history_bars : int
        The shortest history that can be trained on.
    horizon_bars : int
        Bars that a label looks ahead.
    """

    name: str
    headline: Headline
    sums: tuple[str, ...]
    learned: tuple[str, ...]
    totals: tuple[str, ...]
    daily: tuple[str, ...]
    min_history_bars: int
    horizon_bars: int

    def local_sum(self, name: str, sample: Sample, shared: Shared) -> NDArray[np.float64]:
        """What this participant adds to the sum `name`, from bars it may use."""
        ...

    def finish_sum(self, name: str, total: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is shared with everybody, from the total over participants."""
        ...

    def initial(self, seed: int) -> Vector:
        """The vector at which training starts, shape (n_params,)."""
        ...

    def train(
        self,
        vector: Vector,
        sample: Sample,
        shared: Shared,
        *,
        correction: Correction | None = None,
    ) -> LocalUpdate:
        """Train from the global vector on the sample's training bars.

        A task without the keyword `correction` works as long as the strategy asks for none.
        """
        ...

    def solve(self, shared: Shared) -> Mapping[str, Model]:
        """Models that follow from the sums alone, by arm; usually none."""
        ...

    def fit_pooled(self, samples: Sequence[Sample], shared: Shared, n_rounds: int) -> Vector:
        """Train one model on everybody's samples in one place, as an upper mark.

        It takes as many steps as a participant takes in `n_rounds` rounds; after none it is
        `initial(0)`.
        """
        ...

    def evaluate(self, sample: Sample, shared: Shared, models: Mapping[str, Model]) -> Evaluation:
        """Score the given models, naive forecasts and models trained on the sample alone."""
        ...

    def scores(self, totals: NDArray[np.float64], daily: NDArray[np.float64]) -> Sequence[Score]:
        """Metrics of one arm from its totals (n_totals,) and daily values (n_daily, n_bars).

        Called for each participant, and for all together with the added totals and the mean of
        the daily values over participants.
        """
        ...

    def notes(self, daily: Mapping[str, ArrayLike]) -> tuple[str, ...]:
        """Plain sentences that a reader must not miss, usually none.

        `daily` holds the headline score by bar of each arm, the mean over participants.
        """
        ...

    def forecast(self, model: Model, sample: Sample, shared: Shared) -> Sequence[Forecast]:
        """What the model says of each asset after the sample's last bar."""
        ...


@runtime_checkable
class NamesArms(Protocol):
    """A task that can tell the arms of an evaluation without one; tasks need not.

    Where scores are only summed, a participant that is not scored adds zeros: without this it
    evaluates all the same, only to learn how many.
    """

    def arms(self, models: Iterable[str]) -> tuple[str, ...]:
        """The arms of `evaluate` with models of these names, in its order, of any sample."""
        ...
