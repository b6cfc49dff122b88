"""Sizes as text, and the rows that tables show."""

import pytest

from fedtrade.privacy import ParticipantLevel, RecordLevel
from fedtrade.privacy.participant import NoisyVectors, ReleasePlan, adders
from fedtrade.privacy.participant.statement import with_noise
from fedtrade.privacy.record_statement import with_record_level
from fedtrade.report.privacy import (
    TRAFFIC_HEAD,
    Privacy,
    Traffic,
    bytes_text,
    privacy_record,
    promises,
    traffic_rows,
)
from fedtrade.secure import PlainAggregation
from fedtrade.secure.statement import plain_statement


def traffic(kind: str = "training", party: str = "participants", n_times: int = 10) -> Traffic:
    return Traffic(
        party=party,
        kind=kind,
        n_times=n_times,
        n_exchanges=30,
        mean_bytes_down=2_000,
        most_bytes_down=4_000,
        mean_bytes_up=12_340,
        most_bytes_up=50_000,
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999.4, "999 B"),
        (999.5, "1 kB"),
        (1_234, "1.23 kB"),
        (999_499, "999 kB"),
        (5e6, "5 MB"),
        (2.5e9, "2.5 GB"),
        (7.2e12, "7.2e+03 GB"),
    ],
)
def test_sizes_have_three_digits(size: float, text: str) -> None:
    assert bytes_text(size) == text


def test_rows_are_of_one_time_and_one_party() -> None:
    privacy = privacy_record(
        plain_statement(PlainAggregation()),
        [traffic(), traffic(party="key holder"), traffic("run", n_times=1)],
    )
    training, run = traffic_rows(privacy, "participants")
    assert training == ("A round of training", "10", "3", "200 B", "1.23 kB", "400 B", "5 kB")
    assert run == ("The whole run", "", "30", "2 kB", "12.3 kB", "4 kB", "50 kB")
    assert len(training) == len(TRAFFIC_HEAD)
    assert len(traffic_rows(privacy, "key holder")) == 1


def test_what_never_happened_is_no_division_by_zero() -> None:
    privacy = privacy_record(plain_statement(PlainAggregation()), [traffic(n_times=0)])
    assert traffic_rows(privacy, "participants")[0][2] == "30"


def test_a_record_holds_the_whole_statement() -> None:
    statement = plain_statement(PlainAggregation(group_size=3))
    found = privacy_record(statement, [traffic()], is_whole=False)
    assert [(each.party, each.what) for each in found.learns] == list(statement.learns)
    assert [(p.name, p.value) for p in found.parameters] == [("group_size", 3)]
    assert found.broken_by == statement.broken_by
    assert not found.traffic_is_whole
    assert Privacy.model_validate_json(found.model_dump_json()) == found


def test_a_promise_says_epsilon_delta_and_unit() -> None:
    """Of the record level 2 for a model, more for two; of participants 8 for the whole run."""
    plain = PlainAggregation()
    statement = plain_statement(plain)
    assert promises(privacy_record(statement, ())) == []
    level = RecordLevel(epsilon=2.0, unit="label", delta=1e-6)
    own = with_record_level(statement, level, n_steps=10, n_models=2)
    (record,) = promises(privacy_record(own, ()))
    assert record.startswith("Each training day as a label of a participant: epsilon 2 for one")
    total = float(record.split(" for the whole run (2 models)")[0].split()[-1])
    assert 2.0 < total < 4.0
    assert "delta 1e-06" in record
    plan = ReleasePlan(ParticipantLevel(), 3, 5, 0)
    both = with_noise(own, NoisyVectors(plan, adders(plain, 10)))
    first, second = promises(privacy_record(both, ()))
    assert first == record
    assert second.startswith("All that one participant contributes (its updates): epsilon ")
    assert "epsilon 4.22 for one model, 7.99 for the whole run (3 models)" in second
    assert second.endswith("delta 1e-05; noise by the server.")
