import json
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fedtrade.errors import CheckpointError
from simulations.arena.console import print_arena
from simulations.arena.report import arena_report, write_arena_report
from simulations.arena.results import (
    ArenaRecord,
    ArenaResults,
    Failure,
    Refusal,
    read_arena,
    write_arena,
)

PLACE = {"problem": "digits", "heterogeneity": "sorted", "seed": 0}


@pytest.fixture
def results() -> ArenaResults:
    """Two rules, one of a stranger's making, two attacks, two shares."""
    values = {
        ("mean", "none", 0.2): 0.95,
        ("mean", "alie", 0.2): 0.8,
        ("mean", "ipm", 0.2): 0.123,
        ("mean", "ipm", 0.4): 0.3,
        ("<b>ours</b>", "alie", 0.2): 0.777,
        ("<b>ours</b>", "ipm", 0.4): 0.9,
    }
    records = [
        ArenaRecord(**PLACE, rule=r, attack=a, share=s, metric=m, value=factor * v)
        for (r, a, s), v in values.items()
        for m, factor in (("accuracy", 1.0), ("worst_class_accuracy", 0.5))
    ]
    place = {**PLACE, "attack": "ipm", "share": 0.4}
    return ArenaResults(
        fedtrade_version="0.0",
        created="2024-01-01T00:00:00+00:00",
        settings={"seeds": [0]},
        headlines={"digits": "accuracy"},
        also={"digits": ("worst_class_accuracy",)},
        records=tuple(records),
        refusals=(Refusal(**place, rule="krum", reason="krum needs n >= 2f + 3"),),
        failures=(Failure(**place, rule="odd", reason="a <mistake>"),),
    )


def _text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_page_names_the_worst_case_of_each_rule(results: ArenaResults) -> None:
    text = _text(arena_report(results))
    assert "has the best worst case, accuracy 77.7 % (alie at 20 %)" in text
    assert "Plain averaging: 12.3 % (ipm at 20 %)" in text
    assert "krum needs n >= 2f + 3".replace(">", "&gt;") in text
    assert "1 cells failed" in text
    assert "Worst class accuracy" in text


def test_the_page_stands_alone_and_escapes_names(results: ArenaResults) -> None:
    html = arena_report(results)
    assert html.startswith("<!DOCTYPE html>")
    assert "<b>ours</b>" not in html
    assert "<mistake>" not in html
    assert not re.search(r'(src|href)="(?!#)', html.replace('xlink:href="#', ""))
    assert "<script" not in html
    assert html.count("<svg") == 3  # a heat map at each share, and the worst case by share


def test_a_page_of_nothing_says_so() -> None:
    empty = ArenaResults(fedtrade_version="0", created="now", headlines={"digits": "accuracy"})
    assert "No cell is finished yet." in arena_report(empty)


def test_the_terminal_names_the_worst_case(results: ArenaResults) -> None:
    out = StringIO()
    print_arena(results, Console(file=out, width=140))
    lines = out.getvalue().splitlines()
    mean = next(line for line in lines if line.strip().startswith("mean"))
    assert re.search(r"mean +95.0 +40.8 +12.3 +ipm at 20 % +12.3 +30.0", mean)
    assert any("<b>ours</b>" in line and "alie at 20 %" in line for line in lines)
    assert any("failed: odd against ipm" in line for line in lines)


def test_results_are_read_back(results: ArenaResults, tmp_path: Path) -> None:
    path = tmp_path / "a" / "arena.json"
    write_arena(results, path)
    assert read_arena(path) == results
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["schema_version"] == 1
    keys = {*PLACE, "rule", "group_size", "attack", "share", "metric", "value"}
    assert set(content["records"][0]) == keys


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "cannot be read"),
        ("[]", "an object was expected"),
        ('{"schema_version": 2}', "schema_version must be 1, got 2"),
        ('{"schema_version": 1}', "cannot be read"),
    ],
)
def test_another_file_is_refused(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "arena.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=named):
        read_arena(path)


def test_the_report_is_written_as_a_whole(results: ArenaResults, tmp_path: Path) -> None:
    write_arena_report(results, tmp_path / "arena.html")
    assert [path.name for path in tmp_path.iterdir()] == ["arena.html"]


def test_without_values_a_reader_sees_a_mark(results: ArenaResults) -> None:
    """A cell without a number is neither zero nor an error."""
    records = tuple(r.model_copy(update={"value": None}) for r in results.records)
    text = _text(arena_report(results.model_copy(update={"records": records})))
    assert "n/a" in text


def test_an_interval_stands_beside_its_metric(results: ArenaResults) -> None:
    """Of the worst case, as does the value without the liars."""
    ends = {"accuracy_low": 0.011, "accuracy_high": 0.222, "lost_accuracy": 0.444}
    worst = next(r for r in results.records if (r.rule, r.attack, r.share) == ("mean", "ipm", 0.2))
    more = [worst.model_copy(update={"metric": m, "value": v}) for m, v in ends.items()]
    text = _text(arena_report(results.model_copy(update={"records": (*results.records, *more)})))
    assert "12.3 1.1 to 22.2 12.3 44.4 ipm at 20 %" in text
    assert "interval Lowest" not in _text(arena_report(results))


def test_long_names_have_room(results: ArenaResults) -> None:
    """A drawing without room would warn, and warnings are errors."""
    records = [r for r in results.records if (r.rule, r.attack) == ("mean", "alie")]
    long = [r.model_copy(update={"attack": "alie(" + 40 * "z" + ")"}) for r in records]
    assert "zzz…" in arena_report(results.model_copy(update={"records": tuple(long)}))
