from typing import Any

import pytest

from fedtrade.report.known_metrics import (
    KNOWN_METRICS,
    Column,
    all_columns,
    best_arm,
    describe,
    level_text,
    number_text,
    percent_text,
    summary_columns,
)
from fedtrade.report.results import Headline, Results, parse_results


def with_metrics(headline: str, *records: tuple[str, str, float | None, float | None]) -> Results:
    return parse_results(
        {
            "fedtrade_version": "0",
            "created": "",
            "task": "t",
            "verdict": "",
            "headline": {"metric": headline, "level": 0.01},
            "metrics": [
                {"arm": arm, "metric": name, "level": level, "value": value}
                for arm, name, level, value in records
            ],
        }
    )


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [
        (6.546, 2, False, "6.55"),
        (1234.5, 1, False, "1,234.5"),
        (0.3, 1, True, "+0.3"),
        (-0.04, 1, True, "0.0"),
        (0.04, 1, True, "0.0"),
        (-0.04, 1, False, "0.0"),
        (-3.0, 0, True, "-3"),
    ],
)
def test_numbers(value: float, digits: int, signed: bool, text: str) -> None:
    assert number_text(value, digits, is_signed=signed) == text


def test_percentages() -> None:
    assert percent_text(0.031, is_signed=True) == "+3.1 %"
    assert percent_text(1.0, 0) == "100 %"
    assert percent_text(None) == "n/a"


def test_levels_have_the_unit_of_their_metric() -> None:
    assert level_text(KNOWN_METRICS["pinball"], 0.025) == "2.5 %"
    assert level_text(KNOWN_METRICS["qlike"], 5.0) == "5 bars"
    assert level_text(KNOWN_METRICS["qlike"], 1.0) == "1 bar"
    assert level_text(KNOWN_METRICS["net_sharpe"], 10.0) == "10 bp"


def test_a_column_scales_its_values() -> None:
    column = Column(KNOWN_METRICS["pinball"], 0.01)
    assert column.title == "Pinball loss 1 %"
    assert column.text(6.546e-4) == "6.55"
    assert column.text(None) == "n/a"


def test_the_best_is_lowest_highest_or_closest_to_the_level() -> None:
    results = with_metrics(
        "pinball",
        ("a", "pinball", 0.01, 1.0),
        ("b", "pinball", 0.01, 2.0),
        ("a", "hit_rate", 0.01, 0.001),
        ("b", "hit_rate", 0.01, 0.012),
        ("a", "rank_ic", None, 0.01),
        ("b", "rank_ic", None, 0.02),
        ("a", "kupiec_p", 0.01, 0.3),
        ("b", "kupiec_p", 0.01, 0.4),
        ("a", "fz0", 0.01, 0.3),
    )
    best = {c.metric.name: best_arm(results, c) for c in all_columns(results)}
    expected = {"pinball": "a", "hit_rate": "b", "rank_ic": "b", "kupiec_p": None, "fz0": None}
    assert best == expected


def test_columns_start_with_the_headline_and_leave_comparisons_out(results: Results) -> None:
    names = [(c.metric.name, c.level) for c in summary_columns(results)]
    pinball = [("pinball", level) for level in (0.01, 0.025, 0.05)]
    assert names == [*pinball, ("fz0", 0.01), ("hit_rate", 0.01)]
    assert len(all_columns(results)) == 6 * 3


def test_columns_of_another_task() -> None:
    records: list[tuple[str, str, float | None, float | None]] = [
        ("federated", "turnover", None, 0.2),
        ("federated", "net_sharpe", 0.0, 0.3),
        ("federated", "net_sharpe", 5.0, -0.2),
        ("federated", "rank_ic", None, 0.003),
    ]
    titles = [c.title for c in summary_columns(with_metrics("rank_ic", *records))]
    assert titles == ["Rank IC", "Net Sharpe 0 bp", "Net Sharpe 5 bp", "Turnover"]


def test_an_unknown_headline_metric_uses_the_headline() -> None:
    headline: dict[str, Any] = {"metric": "macro_f1", "scale": 100, "unit": "%"}
    known = describe("macro_f1", Headline(**headline, lower_is_better=False))
    assert (known.title, known.scale, known.unit, known.better) == ("macro f1", 100, "%", "higher")
    assert describe("other_score", Headline(metric="macro_f1")).title == "other score"
