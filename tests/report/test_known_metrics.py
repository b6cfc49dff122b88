from typing import Any

import pytest

from fedtrade.report.known_metrics import (
    KNOWN_METRICS,
    Column,
    all_columns,
    best_arm,
    describe,
    headline_title,
    level_text,
    number_text,
    percent_text,
    summary_columns,
)
from fedtrade.report.results import Headline, Results, parse_results

Records = tuple[str, str, float | None, float | None]


def with_metrics(headline: str, *records: Records, level: float | None = 0.01) -> Results:
    return parse_results(
        {
            "fedtrade_version": "0",
            "created": "",
            "task": "t",
            "verdict": "",
            "headline": {"metric": headline, "level": level},
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


def columns(headline: str, level: float | None, **recorded: list[float | None]) -> list[str]:
    """Titles of the summary's columns of a run with these metrics at these levels."""
    records: list[Records] = [
        ("federated", name, at, 0.1) for name, levels in recorded.items() for at in levels
    ]
    return [c.title for c in summary_columns(with_metrics(headline, *records, level=level))]


def test_columns_of_a_trading_signal() -> None:
    costs: list[float | None] = [0.0, 1.0, 5.0, 10.0]
    names = ("net_return", "net_sharpe", "psr", "dsr", "max_drawdown")
    recorded = dict.fromkeys(names, costs) | {
        name: [None] for name in ("turnover", "rank_ic", "rank_ic_t", "n_trials")
    }
    assert columns("net_return", 5.0, **recorded) == [
        "Net return 5 bp",
        "Rank IC",
        "Net Sharpe 0 bp",
        "Net Sharpe 5 bp",
        "DSR 5 bp",
        "Turnover",
    ]


def test_columns_of_volatility_forecasts() -> None:
    horizons: list[float | None] = [1.0, 5.0]
    found = columns("qlike", 5.0, qlike=horizons, log_mse=horizons)
    assert found == ["QLIKE 1 bar", "QLIKE 5 bars", "Log MSE 5 bars"]


def test_without_the_headlines_level_the_strictest_one_is_shown() -> None:
    found = columns("rank_ic", None, rank_ic=[None], net_return=[0.0, 5.0], hit_rate=[0.01, 0.05])
    assert found == ["Rank IC", "Hit rate 1 %", "Net return 5 bp"]


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("pinball", 0.025, "2.5 % VaR pinball"),
        ("fz0", 0.01, "1 % FZ0 loss"),
        ("qlike", 5.0, "QLIKE, 5 bars ahead"),
        ("log_mse", 1.0, "log MSE, 1 bar ahead"),
        ("net_return", 5.0, "net return at 5 bp cost"),
        ("rank_ic", None, "Rank IC"),
        ("macro_f1", None, "macro f1"),
    ],
)
def test_the_headline_has_a_name_in_a_sentence(
    name: str, level: float | None, expected: str
) -> None:
    assert headline_title(Headline(metric=name, level=level)) == expected


def test_the_headline_metric_is_shown_in_the_headlines_unit() -> None:
    headline = Headline(metric="net_return", level=5.0, unit="bp/day", scale=1e4)
    assert describe("net_return", headline).unit == "bp/day"
    assert describe("pinball", headline) == KNOWN_METRICS["pinball"]
    assert describe("net_return", Headline(metric="net_return")) == KNOWN_METRICS["net_return"]


def test_an_unknown_headline_metric_uses_the_headline() -> None:
    headline: dict[str, Any] = {"metric": "macro_f1", "scale": 100, "unit": "%"}
    known = describe("macro_f1", Headline(**headline, lower_is_better=False))
    assert (known.title, known.scale, known.unit, known.better) == ("macro f1", 100, "%", "higher")
    assert describe("other_score", Headline(metric="macro_f1")).title == "other score"
