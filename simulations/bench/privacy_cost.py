"""What privacy costs: the tail-risk model by epsilon and number of participants, out of time.

Each participant holds three of the default data's stocks, drawn at random, and 250 days of them;
one model is trained and scored on the four years after. Epsilon is that of this one model.
Baselines do not depend on it: they are computed in the run without noise alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from conf import compose
from fedtrade.components import factory
from fedtrade.report.records import Record
from fedtrade.report.results import Results, metric, read_results
from fedtrade.report.sweep import gather, write_cost, write_sweep
from fedtrade.tasks.task import FEDERATED

__all__ = ["LEVELS", "run"]

LEVELS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "participant": (
            "privacy=participant",
            "privacy.participant.scope=model",
        ),
        "day": ("privacy=record", "privacy.record.unit=day"),
        "label": ("privacy=record", "privacy.record.unit=label"),
    }
)
"""What is protected: all updates of a participant, each of its days, or each day as a label."""

_COMMON = (
    "federation=same_history",
    "partition=drawn",
    "strategy.weights=equal",
    "evaluation.test_bars=1044",
    "evaluation.n_origins=1",
    "evaluation.pooled=false",
    "evaluation.public_bars=0",
    "evaluation.show_path=false",
)


def run(
    *,
    n_participants: Sequence[int] = (10, 100, 1_000),
    epsilons: Sequence[float] = (1.0, 2.0, 8.0),
    levels: Sequence[str] = tuple(LEVELS),
    n_repeats: Sequence[int] = (3, 2, 1),
    overrides: Sequence[str] = (),
    n_workers: int = 2,
    out: str | None = None,
) -> list[Record]:
    """Run each case and give flat records; subjects are fedtrade and the baselines.

    Parameters
    ----------
    levels : sequence of str
        Names in `LEVELS`.
    n_repeats : sequence of int
        Of each private run, by number of participants: noise differs each time.
    overrides : sequence of str
        Further Hydra overrides, such as another market.
    out : str or None
        Where to keep the runs, and the curves in `sweep.html` and `cost.png`; nowhere by default.
    """
    with TemporaryDirectory() as scratch:
        root = Path(out or scratch)
        runs: dict[str, Results] = {}
        records: list[Record] = []
        for n, n_again in zip(n_participants, n_repeats, strict=True):
            for name, own in _cases(epsilons, levels, n_again):
                folder = root / f"{n}_{name}"
                _simulate(folder, [f"federation.n_participants={n}", *own, *overrides], n_workers)
                runs[folder.name] = read_results(folder / "results.json")
                records += _records(folder.name, runs[folder.name])
        sweep = gather(runs)
        write_sweep(sweep, root)
        write_cost(sweep, root / "cost.png")
        return records


def _cases(
    epsilons: Sequence[float], levels: Sequence[str], n_again: int
) -> Iterator[tuple[str, Sequence[str]]]:
    yield "exact", ()
    for level in levels:
        for epsilon in epsilons:
            for again in range(n_again):
                key = "participant" if level == "participant" else "record"
                own = (*LEVELS[level], f"privacy.{key}.epsilon={epsilon}", "task.baselines=ewma")
                yield f"{level}_{epsilon:g}_{again}", own


def _simulate(folder: Path, overrides: Sequence[str], n_workers: int) -> None:
    settings = compose([*_COMMON, f"out='{folder}'", f"runtime.n_workers={n_workers}", *overrides])
    factory(settings.runtime, "runtime", settings=settings)()


def _records(case: str, results: Results) -> list[Record]:
    headline = results.headline
    numbers = []
    for arm in results.arms:
        subject = "fedtrade" if arm == FEDERATED else arm
        score = metric(results, arm, headline.metric, headline.level)
        hits = metric(results, arm, "hit_rate", headline.level)
        numbers.append((subject, headline.metric, _scaled(score, headline.scale), headline.unit))
        numbers.append((subject, "hit_rate", _scaled(hits, 100.0), "%"))
    return [
        Record(case=case, subject=subject, metric=name, value=value, unit=unit)
        for subject, name, value, unit in numbers
    ]


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value
