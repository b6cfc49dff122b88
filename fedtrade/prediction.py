"""Forecast the next bar from a file of prices with a stored model."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.atomic import write_atomically
from fedtrade.components import build
from fedtrade.errors import DataError
from fedtrade.holdings import build_task
from fedtrade.market import Panel
from fedtrade.market.bar_time import usual_bar
from fedtrade.model_file import StoredModel, read_model
from fedtrade.settings import Component
from fedtrade.tasks.task import Forecast, Sample, Shared, Task

__all__ = ["Prediction", "predict_file", "print_prediction", "write_prediction"]

_LOG = logging.getLogger(__name__)

PARQUET_SUFFIXES = (".parquet", ".pq")


class Prediction(NamedTuple):
    """Forecasts made after a bar.

    Attributes
    ----------
    after : str
        The last bar of the prices, ISO-8601.
    task : str
    forecasts : sequence of Forecast
        By asset.
    """

    after: str
    task: str
    forecasts: Sequence[Forecast]


def predict_file(
    model_file: str | Path,
    data: str | Path,
    market: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Prediction:
    """Forecast the next bar of every asset in a file whose prices reach its last bar.

    A federation knows the day's market nowcast from all of its members. Outside of one it is
    computed from the prices in `market`, or from those in `data` itself.

    Parameters
    ----------
    model_file
        The `model.safetensors` of a run.
    data, market
        CSV or Parquet files (or folders of CSV files), see `fedtrade.market.csv`.
    options
        How to read them: keyword arguments of `fedtrade.market.csv` or `parquet`. `assets` chooses
        what is forecast, and leaves the market whole.

    Raises
    ------
    CheckpointError
        If the model cannot be read.
    ConfigurationError
        If an option is unknown or has no such value.
    DataError
        If the prices cannot be used, or no asset has enough of them.
    """
    stored = read_model(model_file)
    task = build_task(stored.settings)
    options = options or {}
    own = _load(data, options)
    shared_options = {key: value for key, value in options.items() if key != "assets"}
    everyone = own if market is None else _load(market, shared_options)
    _warn_of_differences(stored, own)
    calendar = np.union1d(own.bars, everyone.bars[everyone.bars <= own.bars[-1]])
    shared = _shared(task, everyone.until(own.bars[-1]), calendar)
    forecasts: list[Forecast] = []
    for group in _together(own, task.min_history_bars):
        sample = Sample.take(group, calendar=calendar, origin=group.bars[-1])
        forecasts += task.forecast(stored.model, sample, shared)
    if not forecasts:
        raise DataError(
            f"no asset in {data} has the {task.min_history_bars} bars up to {own.bars[-1]} that "
            f"the task {task.name} needs."
        )
    return Prediction(str(own.bars[-1]).removesuffix("T00:00:00"), task.name, forecasts)


def write_prediction(prediction: Prediction, path: Path) -> None:
    """Write the forecasts as JSON: `after`, `task`, and a list of flat records."""
    records = [forecast._asdict() for forecast in prediction.forecasts]
    content = {"after": prediction.after, "task": prediction.task, "forecasts": records}
    write_atomically(path, json.dumps(content, indent=2))


def print_prediction(prediction: Prediction) -> None:
    """Print one row an asset."""
    from rich.console import Console
    from rich.table import Table

    columns = list(dict.fromkeys((f.quantity, f.level) for f in prediction.forecasts))
    table = Table(title=f"Forecasts after {prediction.after}", title_justify="left")
    table.add_column("asset")
    for quantity, level in columns:
        table.add_column(_title(quantity, level), justify="right")
    values = {(f.asset, f.quantity, f.level): f.value for f in prediction.forecasts}
    for asset in dict.fromkeys(f.asset for f in prediction.forecasts):
        cells = [_cell(quantity, values[asset, quantity, level]) for quantity, level in columns]
        table.add_row(asset, *cells)
    Console().print(table)


def _cell(quantity: str, value: float) -> str:
    return f"{value:+.3f}" if quantity == "score" else f"{100 * value:.2f}"


def _title(quantity: str, level: float | None) -> str:
    """The quantity, its level, and the unit of its values."""
    name = {"var": "VaR", "es": "ES"}.get(quantity, quantity)
    unit = {"score": "", "position": r" \[% of capital]"}.get(quantity, r" \[%]")
    if level is None:
        return f"{name}{unit}"
    if level < 1:
        return f"{name} {100 * level:g} %{unit}"
    return f"{name} {level:g} {'bar' if level == 1 else 'bars'}{unit}"


def _together(panel: Panel, min_bars: int) -> list[Panel]:
    """Assets with prices up to the last bar, those that begin on the same bar side by side."""
    groups: dict[np.datetime64, list[str]] = {}
    for asset in panel.assets:
        life = _life(panel, asset)
        if life.n_bars < min_bars or life.bars[-1] != panel.bars[-1]:
            _LOG.warning(
                "%s is left out: it has %s bars up to %s; %s bars up to %s are needed.",
                asset,
                life.n_bars,
                life.bars[-1] if life.n_bars else "none",
                min_bars,
                panel.bars[-1],
            )
            continue
        groups.setdefault(life.bars[0], []).append(asset)
    return [panel.select(assets).since(start) for start, assets in groups.items()]


def _warn_of_differences(stored: StoredModel, own: Panel) -> None:
    """Say so where the prices are not of the kind that the model was trained on."""
    bar = usual_bar(own.bars)
    if stored.bar not in (None, bar):
        _LOG.warning(
            "The prices have bars of %s, but the model was trained on bars of %s: "
            "do not rely on its forecasts.",
            bar,
            stored.bar,
        )
    least = stored.settings.federation.history_bars
    if own.n_bars < least:
        _LOG.warning(
            "The prices have %d bars, but in training everybody had %d or more: "
            "the forecasts may be worse than the report says.",
            own.n_bars,
            least,
        )


def _load(path: str | Path, options: Mapping[str, Any]) -> Panel:
    kind = "parquet" if str(path).endswith(PARQUET_SUFFIXES) else "csv"
    values = {"_target_": f"fedtrade.market.files.{kind}", **options, "path": str(path)}
    panel: Panel = build(Component.model_validate(values), "data")
    return panel


def _shared(task: Task, market: Panel, calendar: NDArray[np.datetime64]) -> Shared:
    """The sums that are of the day and not of the model, from every asset of the market."""
    shared: dict[str, NDArray[np.float64]] = {}
    for name in task.sums:
        if name in task.learned:
            continue
        lives = [_life(market, asset) for asset in market.assets]
        parts = [
            task.local_sum(name, Sample.take(life, calendar=calendar, origin=life.bars[-1]), shared)
            for life in lives
            if life.n_bars >= task.min_history_bars
        ]
        if not parts:
            raise DataError(
                f"no asset of the market has the {task.min_history_bars} bars that are needed."
            )
        shared[name] = task.finish_sum(name, np.sum(parts, axis=0))
    return shared


def _life(panel: Panel, asset: str) -> Panel:
    """One asset from its first price to its last."""
    alone = panel.select([asset])
    known = np.flatnonzero(np.isfinite(alone.close[:, 0]))
    return alone.rows(int(known[0]), int(known[-1]) + 1) if known.size else alone.rows(0, 0)
