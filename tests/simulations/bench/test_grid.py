"""The Grid benchmark reports flat records and finds what it compares with."""

import math

import pytest

from simulations.bench import grid as bench
from simulations.bench.record import Record, table


def test_records_of_both_runtimes_and_their_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.ray_runtime, "is_installed", lambda: True)
    monkeypatch.setattr(bench.ray_runtime, "run", lambda **_: 100.0)
    records = bench.run(n_participants=(20,), n_ray_participants=20, n_repeats=1)
    found = {(r["case"], r["subject"], r["metric"]): r for r in records}
    ours = found["train-20", "fedtrade", "duration"]
    assert 0 < ours["value"] < 5
    assert ours["unit"] == "s"
    assert ("train-evaluate-20", "fedtrade", "peak_rss_beyond_imports") in found
    assert found["train-20", "flwr-ray", "duration"]["value"] == 100.0
    speedup = found["train-20", "fedtrade", "speedup_vs:flwr-ray"]["value"]
    assert speedup == pytest.approx(100.0 / ours["value"])
    assert all(set(record) == set(Record.__annotations__) for record in records)
    assert all(math.isfinite(record["value"]) for record in records)


def test_without_ray_the_peer_is_left_out_with_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.ray_runtime, "is_installed", lambda: False)
    assert bench.run(n_participants=()) == []
    assert "Ray is not installed" in capsys.readouterr().err


def test_a_table_is_aligned() -> None:
    records = [
        Record(case="a", subject="fedtrade", metric="m", value=1.23456, unit="s"),
        Record(case="longer", subject="x", metric="m", value=1234.0, unit="MiB"),
    ]
    assert table(records).splitlines() == [
        "case    subject   metric  value  unit",
        "a       fedtrade  m       1.235  s",
        "longer  x         m       1234   MiB",
    ]


@pytest.mark.slow
def test_the_promised_speed() -> None:
    records = bench.run(n_participants=(1_000, 10_000), ray=False)
    found = {(r["case"], r["metric"]): r["value"] for r in records}
    assert found["train-1000", "duration"] <= 0.7
    assert found["train-10000", "duration"] <= 7.0
    assert found["train-evaluate-10000", "duration"] <= 12.0
    assert found["train-evaluate-10000", "peak_rss_beyond_imports"] <= 300.0
