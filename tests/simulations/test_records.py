"""Copies are equal to their originals, share array bytes and nothing that can change."""

import copy
import string

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from hypothesis import given
from hypothesis import strategies as st

from simulations.records import copy_context, copy_message, copy_once, copy_records
from simulations.task_identity import Identity, task_identity

KEYS = st.text(string.ascii_lowercase, min_size=1, max_size=4)
FLOATS = st.floats(allow_nan=False)
NUMBERS = st.integers(-9, 9) | FLOATS | st.lists(FLOATS, max_size=3)
ARRAYS = st.integers(0, 5).map(lambda n: Array(np.arange(n, dtype=np.float32)))
RECORDS = st.dictionaries(
    KEYS,
    st.dictionaries(KEYS, NUMBERS, max_size=3).map(MetricRecord)
    | st.dictionaries(KEYS, ARRAYS, max_size=3).map(ArrayRecord)
    | st.dictionaries(KEYS, NUMBERS | KEYS | st.binary(max_size=9) | st.booleans(), max_size=3).map(
        ConfigRecord
    ),
    max_size=4,
).map(RecordDict)


def _example() -> RecordDict:
    return RecordDict(
        {
            "arrays": ArrayRecord([np.arange(3.0)]),
            "metrics": MetricRecord({"loss": 0.5, "history": [1.0, 2.0]}),
            "config": ConfigRecord({"name": "a", "layers": [1, 2], "key": b"k"}),
        }
    )


@given(RECORDS)
def test_a_copy_equals_its_original_and_serialises_alike(records: RecordDict) -> None:
    copied = copy_records(records)
    assert copied == records
    assert list(copied) == list(records)
    assert [type(record) for record in copied.values()] == [type(r) for r in records.values()]
    assert copied.object_id == records.object_id


def test_a_copy_shares_the_bytes_of_arrays() -> None:
    records = _example()
    assert copy_records(records)["arrays"]["0"].data is records["arrays"]["0"].data


def test_no_change_of_a_copy_shows_in_the_original() -> None:
    records = _example()
    expected = copy.deepcopy(records)
    copied = copy_records(records)
    copied["arrays"]["0"].data = b""
    copied["arrays"]["1"] = Array(np.zeros(1))
    copied["metrics"]["history"].append(3.0)
    copied["metrics"]["loss"] = 9.0
    copied["config"]["layers"].clear()
    del copied["config"]["name"]
    copied["new"] = ConfigRecord()
    assert records == expected


def test_a_copy_still_checks_what_is_put_into_it() -> None:
    copied = copy_records(_example())
    with pytest.raises(TypeError):
        copied["x"] = 3
    with pytest.raises(TypeError):
        copied["metrics"]["x"] = "text"
    with pytest.raises(TypeError):
        copied["arrays"]["x"] = 3


def test_a_buffer_that_can_change_is_not_shared() -> None:
    records = _example()
    buffer = bytearray(records["arrays"]["0"].data)
    records["arrays"]["0"].data = buffer
    copied = copy_records(records)
    buffer[-8:] = b"\0" * 8
    np.testing.assert_array_equal(copied["arrays"]["0"].numpy(), [0.0, 1.0, 2.0])


@pytest.mark.parametrize("content", [{"a": MetricRecord()}, None, MetricRecord()])
def test_content_of_another_type_is_refused(content: object) -> None:
    with pytest.raises(TypeError, match="RecordDict"):
        copy_records(content)


def test_one_copy_serves_all_messages_that_share_their_content() -> None:
    records, copies = _example(), {}
    assert copy_once(records, copies) is copy_once(records, copies)
    assert copy_once(records, None) is not copy_once(records, None)


def test_messages_and_contexts_are_copied_with_all_their_parts() -> None:
    with task_identity(Identity(run_id=7)):
        message = Message(_example(), 5, "train", ttl=60.0, group_id="g")
        failed = Message(Error(2, "why"), reply_to=message)
    copied = copy_message(message)
    assert (copied.metadata, copied.content) == (message.metadata, message.content)
    copied.metadata.ttl = 1.0
    assert message.metadata.ttl == 60.0
    assert copy_message(failed).error == failed.error
    context = Context(7, 5, {"partition-id": 0}, _example(), {"a": 1}, series_id=3)
    twin = copy_context(context)
    assert twin == context
    twin.node_config["partition-id"] = 9
    twin.run_config["a"] = 9
    twin.state.clear()
    assert (context.node_config, context.run_config) == ({"partition-id": 0}, {"a": 1})
    assert len(context.state) == 3
