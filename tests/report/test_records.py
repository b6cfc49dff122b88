import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedtrade.report.records import print_records, read_records, write_records


def record(**changes: Any) -> dict[str, Any]:
    return {
        "case": "grid_1000",
        "subject": "fedtrade",
        "metric": "seconds",
        "value": 0.61234567,
        "unit": "s",
    } | changes


def printed(records: list[dict[str, Any]], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_records(records, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_records_are_a_table() -> None:
    text = printed([record(), record(subject="ray", value=41.7), record(case="[b]", value=12345.6)])
    head, _, first, second, _, third = text.splitlines()[1:7]
    assert head.split() == ["case", "subject", "metric", "value", "unit"]
    assert first.split() == ["grid_1000", "fedtrade", "seconds", "0.6123", "s"]
    assert second.split() == ["grid_1000", "ray", "seconds", "41.7", "s"]
    assert third.split() == ["[b]", "fedtrade", "seconds", "12,346", "s"]


def test_what_was_not_measured_is_said_so() -> None:
    assert "n/a" in printed([record(value=None)])
    assert "n/a" in printed([record(value=float("nan"))])


def test_no_records_is_an_empty_table() -> None:
    assert printed([]).split()[:5] == ["case", "subject", "metric", "value", "unit"]


def test_written_records_are_flat_json_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "grid.json"
    write_records([record(), record(value=float("inf"))], path)
    assert json.loads(path.read_text(encoding="utf-8")) == [record(), record(value=None)]
    assert [r.model_dump() for r in read_records(path)] == [record(), record(value=None)]
    assert [p.name for p in path.parent.iterdir()] == ["grid.json"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (record(value="fast"), "record 1: value='fast'"),
        (record(case=""), "record 1: case=''"),
        (record(extra=1), "record 1: extra=1"),
        ({"case": "x"}, "record 1: subject="),
    ],
)
def test_a_wrong_record_is_named_and_nothing_is_written(
    wrong: dict[str, Any], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "grid.json"
    path.write_text("earlier", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^record 1: ") as caught:
        write_records([record(), wrong], path)
    assert str(caught.value).startswith(named)
    assert path.read_text(encoding="utf-8") == "earlier"
