import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fedtrade.errors import CheckpointError, OutputError
from fedtrade.report.results import (
    Metric,
    Results,
    levels,
    metric,
    parse_results,
    read_results,
    write_results,
)

SCHEMA_PAGE = Path(__file__).parents[2] / "docs" / "results-schema.md"


def test_reads_back_what_was_written(results: Results, tmp_path: Path) -> None:
    write_results(results, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == results


def test_the_file_has_the_documented_layout(content: dict[str, Any], tmp_path: Path) -> None:
    write_results(content, tmp_path / "results.json")
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored == content


def test_numpy_values_are_stored_as_plain_numbers(content: dict[str, Any], tmp_path: Path) -> None:
    plain = parse_results(content)
    content["metrics"][0]["value"] = np.float64(content["metrics"][0]["value"])
    content["rounds"][0]["n_replies"] = np.int64(content["rounds"][0]["n_replies"])
    path = content["series"]["path"]
    path["bars"] = np.array(path["bars"], dtype="datetime64[D]")
    path["var"] = np.array(path["var"])
    content["settings"]["seed"] = np.int64(0)
    content["episodes"][0]["origin"] = np.datetime64("2001-03-02", "D")
    write_results(content, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == plain


def test_missing_values_become_null(content: dict[str, Any], tmp_path: Path) -> None:
    content["metrics"][0]["value"] = math.nan
    content["rounds"][0]["loss"] = np.float32("nan")
    content["series"]["path"]["es"][0] = math.inf
    content["series"]["daily"]["federated"] = np.full(
        len(content["series"]["daily"]["bars"]), np.nan
    )
    content["settings"]["task"]["clip"] = -math.inf
    write_results(content, tmp_path / "results.json")
    stored = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert stored["metrics"][0]["value"] is None
    assert stored["rounds"][0]["loss"] is None
    assert stored["series"]["path"]["es"][0] is None
    assert set(stored["series"]["daily"]["federated"]) == {None}
    assert stored["settings"]["task"]["clip"] is None


@given(st.floats())
def test_every_float_survives_or_becomes_null(value: float) -> None:
    stored = json.dumps(Metric(arm="a", metric="m", value=value).model_dump(), allow_nan=False)
    expected = value if math.isfinite(value) else None
    assert json.loads(stored)["value"] == expected


def test_metric_finds_by_all_four_keys() -> None:
    results = parse_results(
        minimal(
            metrics=[
                {"arm": "a", "metric": "m", "level": 0.01, "participant": "all", "value": 1.0},
                {"arm": "a", "metric": "m", "level": 0.05, "participant": "all", "value": 2.0},
                {"arm": "a", "metric": "m", "level": 0.01, "participant": "3", "value": 3.0},
                {"arm": "b", "metric": "n", "level": None, "participant": "all", "value": None},
            ]
        )
    )
    assert metric(results, "a", "m", 0.01) == 1.0
    assert metric(results, "a", "m", 0.05) == 2.0
    assert metric(results, "a", "m", 0.01, "3") == 3.0
    assert metric(results, "a", "m") is None
    assert metric(results, "b", "n") is None
    assert levels(results, "m") == (0.01, 0.05)
    assert levels(results, "n") == (None,)
    assert results.arms == ("a", "b")
    assert results.participants == ("3",)


def minimal(**changes: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "fedtrade_version": "0.1.0",
        "created": "2026-01-15T09:30:00+00:00",
        "task": "risk",
        "verdict": "",
        "headline": {"metric": "pinball"},
    } | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, r"schema_version must be 1, got 2"),
        ({"headline": {"metric": "m", "scale": 0}}, r"headline\.scale: .*greater than 0 \(got 0\)"),
        ({"surprise": 1}, r"surprise: extra inputs are not permitted"),
        ({"rounds": [{"episode": 0, "round": 1, "n_replies": -1}]}, r"rounds\.0\.n_replies: "),
        ({"rounds": [{"episode": 0, "round": 1}]}, r"rounds\.0\.n_replies: field required"),
        ({"metrics": [{"arm": "a", "metric": "m", "value": "x"}]}, r"metrics\.0\.value: .*'x'"),
        (
            {"metrics": [{"arm": "a", "metric": "m", "value": v} for v in (1.0, 2.0)]},
            r"metrics has two records for \('a', 'm', None, 'all'\)",
        ),
        (
            {"series": {"daily": {"bars": ["2001-01-01"], "ewma": [1.0, 2.0]}}},
            r"series\.daily: ewma has 2 scores for 1 bars",
        ),
        (
            {"privacy": {"mode": "plain", "learns": [], "broken_by": []}},
            r"privacy\.assumptions: field required",
        ),
        ({"series": {"daily": {"bars": ["soon"]}}}, r"series\.daily\.bars: .*got 'soon'"),
    ],
)
def test_wrong_content_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_results(minimal(**changes))


def test_a_run_without_a_privacy_statement_has_none() -> None:
    assert parse_results(minimal()).privacy is None


def test_path_lengths_must_agree(content: dict[str, Any]) -> None:
    del content["series"]["path"]["es"][-1]
    with pytest.raises(ValueError, match=r"series\.path: es has \d+ values for \d+ bars"):
        parse_results(content)


def test_wrong_content_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="verdict"):
        write_results(minimal(verdict=3), tmp_path / "results.json")
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"results\.json is not a valid results file: Expecting"),
        ("[]", r"an object was expected, got list"),
        ('{"x": NaN}', r"NaN is not JSON; a missing value is null"),
        ("{}", r"fedtrade_version: field required; \d more"),
        ('{"schema_version": 9}', r"schema_version must be 1, got 9"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_results(tmp_path / "results.json")


def test_missing_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read_results(tmp_path / "results.json")
    (tmp_path / "results.json").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match="not UTF-8"):
        read_results(tmp_path / "results.json")


def test_a_place_that_cannot_be_written_is_an_output_error(
    results: Results, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_results(results, tmp_path / "file" / "results.json")


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of the schema, as they stand in the file."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key
        for nested in models_in(field.annotation):
            yield from keys(nested, f"{key}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (tuple, Union, UnionType):
        for argument in get_args(annotation):
            yield from models_in(argument)


def test_every_key_is_documented() -> None:
    page = SCHEMA_PAGE.read_text(encoding="utf-8")
    found = set(keys(Results))
    assert {"metrics.value", "series.path.return", "headline.scale"} <= found
    assert {key for key in found if f"`{key}`" not in page} == set()


def test_every_documented_key_exists() -> None:
    page = SCHEMA_PAGE.read_text(encoding="utf-8")
    tables = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| `")]
    dotted = {cell.strip("`") for cell in tables if "." in cell}
    assert dotted - set(keys(Results)) == {"series.daily.<arm>"}
