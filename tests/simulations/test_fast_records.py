"""Inside the block Flower's records give what they give outside, and outside all is as before."""

import ast
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.app.message.typeddict import TypedDict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from simulations.fast_records import fast_records

VIEWS = ("array_records", "metric_records", "config_records")
DTYPES = (
    nps.floating_dtypes(endianness="?")
    | nps.integer_dtypes(endianness="?")
    | nps.boolean_dtypes()
    | nps.complex_number_dtypes()
    | nps.unicode_string_dtypes(min_len=1, max_len=3)
    | nps.datetime64_dtypes()
)
SHAPES = nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def _attributes() -> list[object]:
    records = [RecordDict.__dict__[name] for name in VIEWS]
    access = ("__setitem__", "__getitem__", "items", "values", "keys")
    return [Array.__dict__["numpy"], *records, *(TypedDict.__dict__[name] for name in access)]


@given(nps.arrays(DTYPES, SHAPES), st.booleans(), st.binary(max_size=3))
def test_arrays_are_read_as_numpy_reads_them(
    values: np.ndarray, fortran_order: bool, rest: bytes
) -> None:
    array = Array(np.asarray(values, order="F" if fortran_order else "C"))
    array.data += rest  # np.load ignores what follows an array
    expected = array.numpy()
    with fast_records():
        for _ in range(2):  # the second time its header is known
            got = array.numpy()
            np.testing.assert_array_equal(got, expected, strict=True)
            assert got.dtype == expected.dtype
            assert got.strides == expected.strides
            assert got.flags.writeable
            assert got.flags.aligned


@pytest.mark.parametrize("n_bytes", [0, 5, 9, 60, 131])
def test_truncated_arrays_fail_as_they_do_in_numpy(n_bytes: int) -> None:
    array = Array(np.arange(2, dtype=np.float32))
    assert len(array.data) == 136
    array.data = array.data[:n_bytes]
    with pytest.raises((ValueError, EOFError)) as expected:
        array.numpy()
    with fast_records(), pytest.raises(type(expected.value)) as got:
        array.numpy()
    assert str(got.value) == str(expected.value)


def test_pickled_objects_and_other_serialisations_stay_refused() -> None:
    buffer = BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    objects = Array("object", (1,), "numpy.ndarray", buffer.getvalue())
    foreign = Array("float32", (1,), "other", b"")
    with fast_records():
        with pytest.raises(ValueError, match="allow_pickle"):
            objects.numpy()
        with pytest.raises(TypeError, match="other"):
            foreign.numpy()


def test_newer_header_versions_are_read_too() -> None:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, np.arange(3), version=(2, 0))
    array = Array("int64", (3,), "numpy.ndarray", buffer.getvalue())
    with fast_records():
        np.testing.assert_array_equal(array.numpy(), [0, 1, 2])


def test_reading_twice_gives_two_arrays() -> None:
    array = Array(np.zeros(2))
    with fast_records():
        array.numpy()[0] = 1.0
        np.testing.assert_array_equal(array.numpy(), [0.0, 0.0])


def _records() -> RecordDict:
    return RecordDict(
        {
            "a": ArrayRecord([np.zeros(1)]),
            "m": MetricRecord({"x": 1}),
            "c": ConfigRecord({"y": "z"}),
            "n": MetricRecord({"x": 2}),
        }
    )


@pytest.mark.parametrize("name", VIEWS)
def test_views_of_one_kind_hold_the_same_and_write_through(name: str) -> None:
    plain, fast = _records(), _records()
    expected = getattr(plain, name)
    with fast_records():
        view = getattr(fast, name)
        assert type(view) is type(expected)
        assert dict(view) == dict(expected)
        assert {k for k in view.__dict__ if k != "recorddict"} == {
            k for k in expected.__dict__ if k != "recorddict"
        }
        key = next(iter(view))
        replacement = type(view[key])()
        view["new"] = view[key]
        view[key] = replacement
        assert fast[key] is replacement
        assert "new" in fast
        del view["new"]
        assert "new" not in fast
        with pytest.raises(TypeError, match="Expected"):
            view["x"] = RecordDict()
        with pytest.raises(TypeError, match="for the key"):
            view[3] = replacement


def test_a_subclass_keeps_its_own_ways() -> None:
    class Loud(RecordDict):
        n_set = 0

        def __setitem__(self, key: str, value: object) -> None:
            type(self).n_set += 1
            super().__setitem__(key, value)

    records = Loud({"m": MetricRecord()})
    with fast_records():
        assert list(records.metric_records) == ["m"]
    assert Loud.n_set == 2


def test_typed_dictionaries_behave_as_before() -> None:
    with fast_records():
        record = MetricRecord({"a": 1})
        record["b"] = [1.0]
        assert record["a"] == 1
        assert (list(record.keys()), list(record.values())) == (["a", "b"], [1, [1.0]])
        assert dict(record.items()) == {"a": 1, "b": [1.0]}
        with pytest.raises(KeyError):
            record["c"]
        with pytest.raises(TypeError):
            record["c"] = True
        with pytest.raises(TypeError):
            record[1] = 1
        assert "c" not in record


def test_threads_parse_headers_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syntax trees that threads build beside each other may end in a SystemError of Python's."""
    parse, n_inside, most = ast.literal_eval, 0, 0

    def watched(text: str) -> object:
        nonlocal n_inside, most
        n_inside += 1
        most = max(most, n_inside)
        time.sleep(0.002)
        n_inside -= 1
        return parse(text)

    monkeypatch.setattr(ast, "literal_eval", watched)
    # Lengths of their own, so that no header is known; an empty array is left to Flower.
    arrays = [Array(np.zeros(n)) for n in (*range(9001, 9008), 0)]
    with fast_records(), ThreadPoolExecutor(8) as pool:
        assert [values.size for values in pool.map(Array.numpy, arrays)] == [*range(9001, 9008), 0]
    assert most == 1


def test_the_originals_return_after_nested_and_overlapping_blocks() -> None:
    before = _attributes()
    with fast_records():
        with pytest.raises(RuntimeError, match="stop"), fast_records():
            raise RuntimeError("stop")
        assert Array.__dict__["numpy"] is not before[0]
    assert _attributes() == before

    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with fast_records():
            entered.set()
            leave.wait(5)

    other = threading.Thread(target=hold)
    with fast_records():
        other.start()
        assert entered.wait(5)
    assert Array.__dict__["numpy"] is not before[0]
    leave.set()
    other.join()
    assert _attributes() == before
