"""What joining is worth: the federated tail-risk model against every other arm, out of time.

Every origin of the default data, in the settings that matter: a cold start of newcomers with 60
days, everyone with 250 days, everyone with 60. The figures are those of `fedtrade simulate` with
`evaluation=all_origins`; nothing is tuned on the test periods.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from conf import compose
from fedtrade.components import factory
from fedtrade.report.comparisons import comparisons
from fedtrade.report.records import Record
from fedtrade.report.results import Results, metric, read_results
from fedtrade.tasks.task import FEDERATED

__all__ = ["CASES", "run"]

CASES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "cold_start_60": ("federation=cold_start", "federation.history_bars=60"),
        "same_history_250": ("federation=same_history", "federation.history_bars=250"),
        "same_history_60": ("federation=same_history", "federation.history_bars=60"),
    }
)


def run(
    *,
    cases: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    n_workers: int = 2,
    out: str | None = None,
) -> list[Record]:
    """Run each case and give flat records; subjects other than `fedtrade` are the other arms.

    Parameters
    ----------
    cases : sequence of str or None
        Names in `CASES`; all by default.
    overrides : sequence of str
        Further Hydra overrides, such as another market.
    out : str or None
        Where to keep the reports of the runs; nowhere by default.
    """
    with TemporaryDirectory() as scratch:
        root = Path(out or scratch)
        return [
            record
            for case in cases or CASES
            for record in _records(case, _simulate(root / case, case, overrides, n_workers))
        ]


def _simulate(folder: Path, case: str, overrides: Sequence[str], n_workers: int) -> Results:
    settings = compose(
        [
            *CASES[case],
            "evaluation=all_origins",
            f"out='{folder}'",
            f"runtime.n_workers={n_workers}",
            *overrides,
        ]
    )
    simulation = factory(settings.runtime, "runtime", settings=settings)
    simulation()
    return read_results(folder / "results.json")


def _records(case: str, results: Results) -> list[Record]:
    headline = results.headline
    records = []
    for arm in results.arms:
        subject = "fedtrade" if arm == FEDERATED else arm
        score = metric(results, arm, headline.metric, headline.level)
        hits = metric(results, arm, "hit_rate", headline.level)
        records.append((subject, headline.metric, _scaled(score, headline.scale), headline.unit))
        records.append((subject, "hit_rate", _scaled(hits, 100.0), "%"))
    for found in comparisons(results):
        for name, value, scale, unit in (
            ("gain_vs", found.gain, 100.0, "%"),
            ("gain_low_vs", found.low, 100.0, "%"),
            ("gain_high_vs", found.high, 100.0, "%"),
            ("t_vs", found.t, 1.0, ""),
            ("share_better_vs", found.share_better, 100.0, "%"),
            ("worst_gain_vs", found.worst_gain, 100.0, "%"),
        ):
            records.append(("fedtrade", f"{name}:{found.against}", _scaled(value, scale), unit))
    return [
        Record(case=case, subject=subject, metric=name, value=value, unit=unit)
        for subject, name, value, unit in records
    ]


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value
