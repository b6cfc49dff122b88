"""What it costs to keep each record private in training: DP-SGD beside plain training.

Both take the same steps on the same participant of the tail-risk task, features and all.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median

import numpy as np

from fedtrade.errors import ConfigurationError
from fedtrade.market.sources import sp500
from fedtrade.models import Linear
from fedtrade.privacy.dp_sgd import RecordNoise, train_on_records
from fedtrade.privacy.settings import RecordLevel
from fedtrade.report.records import Record
from fedtrade.tasks.risk import Risk
from fedtrade.tasks.task import Sample

__all__ = ["run"]


def run(
    *, n_steps: Sequence[int] = (10, 100), n_bars: int = 250, n_assets: int = 2, n_repeats: int = 15
) -> list[Record]:
    """Measure a round of training, with and without.

    Parameters
    ----------
    n_steps : sequence of int
        Of a round; each step is an epoch, as it takes all bars.
    n_bars, n_assets : int
        Of the participant.
    n_repeats : int
        Of each case; one of each kind in turn.

    Raises
    ------
    ConfigurationError
        If a number is too small.
    """
    if n_repeats < 1 or n_bars < 60 or min(n_steps, default=0) < 1:
        raise ConfigurationError(
            f"n_repeats={n_repeats} and n_steps={list(n_steps)} must be at least 1, and "
            f"n_bars={n_bars} at least 60."
        )
    panel = sp500().tail(n_bars)
    panel = panel.select(panel.assets[:n_assets])
    sample = Sample.take(panel, calendar=panel.bars, origin=panel.bars[-1])
    return [record for n in n_steps for record in _round(sample, n, n_repeats)]


def _round(sample: Sample, n_steps: int, n_repeats: int) -> Iterator[Record]:
    task = Risk(Linear, local_steps=n_steps)
    shared: dict[str, np.ndarray] = {}
    for name in task.sums:
        shared[name] = task.finish_sum(name, task.local_sum(name, sample, shared))
    start = task.initial(0)

    def plain() -> None:
        task.train(start, sample, shared)

    def private(level: RecordLevel) -> None:
        training = task.record_training(sample, shared, level.longest_look_back)
        train_on_records(start, training, RecordNoise.of(level, n_steps, task.horizon_bars))

    levels = {
        "day": RecordLevel(unit="day"),
        "label": RecordLevel(unit="label"),
        "label, floating-point noise": RecordLevel(unit="label", secure_noise=False),
    }
    acts = {"plain": plain} | {name: partial(private, level) for name, level in levels.items()}
    found = _medians(acts, n_repeats)
    case = f"a round of {n_steps} steps"
    for name, seconds in found.items():
        yield Record(case=case, subject=name, metric="median", value=1e3 * seconds, unit="ms")
    for name in levels:
        ratio = found[name] / found["plain"]
        yield Record(case=case, subject=name, metric="over plain", value=ratio, unit="")


def _medians(acts: dict[str, Callable[[], None]], n_repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in acts}
    for again in range(n_repeats + 1):
        for name, act in acts.items():
            begin = time.perf_counter()
            act()
            if again:  # the first one loads libraries
                times[name].append(time.perf_counter() - begin)
    return {name: median(each) for name, each in times.items()}
