"""The Grid benchmark reports flat records and finds what it compares with."""

import math

import pytest

from simulations.bench import grid as bench


def test_records_of_both_runtimes_and_their_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.ray_runtime, "is_installed", lambda: True)
    monkeypatch.setattr(bench.ray_runtime, "run_apps", lambda **_: 100.0)
    records = bench.run(n_participants=(20,), n_ray_participants=20, n_repeats=1)
    found = {(r.case, r.subject, r.metric): r for r in records}
    ours = found["train-20", "fedtrade", "duration"]
    assert 0 < ours.value < 5
    assert ours.unit == "s"
    assert ("train-evaluate-20", "fedtrade", "peak_rss_beyond_imports") in found
    assert found["train-20", "flwr-ray", "duration"].value == 100.0
    speedup = found["train-20", "fedtrade", "speedup_vs:flwr-ray"].value
    assert speedup == pytest.approx(100.0 / ours.value)
    assert all(record.value is not None and math.isfinite(record.value) for record in records)


def test_without_ray_the_peer_is_left_out_with_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.ray_runtime, "is_installed", lambda: False)
    assert bench.run(n_participants=()) == []
    assert "Ray is not installed" in capsys.readouterr().err
