"""What the benchmark of real nodes makes of the seconds that it has measured."""

import os
import sys

import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.process import Process
from fedtrade.report.records import Record
from simulations.bench import nodes
from simulations.bench.nodes import OURS, PEER, _delay, _pss_mib, _ratios, _round_records


def of(records: list[Record], metric: str) -> dict[str, float | None]:
    return {record.case: record.value for record in records if record.metric == metric}


def test_the_first_round_does_not_count() -> None:
    records = _round_records("plain-warm", [9.0, 2.0, 4.0, 3.0], 25.0)
    assert of(records, "round") == {"plain-warm": 3.0}
    assert of(records, "slowest_round") == {"plain-warm": 4.0}
    assert of(records, "whole_run") == {"plain-warm": 25.0}


def test_a_delay_is_told_from_the_other_rounds() -> None:
    assert _delay([3.0, 2.0, 33.0, 4.0]) == 30.0
    assert _delay([2.0, 32.0]) == 30.0


def test_private_modes_stand_beside_plain_and_plain_beside_the_peer() -> None:
    seconds = {
        ("plain-stock", OURS): 6.0,
        ("plain-stock", PEER): 12.0,
        ("plain-warm", OURS): 3.0,
        ("masked-malicious-warm", OURS): 6.0,
    }
    records = [
        Record(case=case, subject=subject, metric="round", value=value, unit="s")
        for (case, subject), value in seconds.items()
    ]
    assert of(_ratios(records), "vs:plain") == {"masked-malicious-warm": 2.0}
    assert of(_ratios(records), f"speedup_vs:{PEER}") == {"plain-stock": 2.0, "plain-warm": 4.0}
    assert _ratios(records[3:]) == []


def test_memory_is_that_of_the_whole_group() -> None:
    code = (
        "import os, time; ballast = b'x' * (20 << 20); os.fork();"
        "print('up', flush=True); time.sleep(60)"
    )
    process = Process([sys.executable, "-c", code], name="it", environment=os.environ)
    try:
        process.wait_until(lambda: len(process.tail) == 2, 20.0)
        # The ballast of both is the same memory; each counts half of it.
        assert 20.0 < _pss_mib(process.pid) < 40.0
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"n_rounds": 1}, "n_rounds=1 leaves nothing"), ({"modes": ("open",)}, "modes has 'open'")],
)
def test_what_cannot_be_measured_is_refused_at_once(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        nodes.run(**options)  # type: ignore[arg-type]
