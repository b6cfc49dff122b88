"""The list of participants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import ProtocolError
from fedtrade.secure.masked import Roster


def _key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@given(st.sets(st.integers(0, 2**32 - 1), min_size=1, max_size=40), st.data())
def test_bits_stand_for_numbers(numbers: set[int], data: st.DataObject) -> None:
    roster = Roster({number: _key(number) for number in numbers})
    chosen = data.draw(st.sets(st.sampled_from(sorted(numbers))))
    bits = roster.to_bits(np.array(sorted(chosen), dtype=np.int64))
    assert len(bits) == -(-len(numbers) // 8)
    assert roster.from_bits(bits).tolist() == sorted(chosen)


def test_it_is_a_mapping() -> None:
    keys = {5: _key(1), 2: _key(2)}
    roster = Roster(keys)
    assert dict(roster) == keys
    assert roster.numbers.tolist() == [2, 5]
    assert Roster.of(roster) is roster
    assert dict(Roster.of(keys)) == keys


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({-1: _key(1)}, "0 to 4294967295: -1"),
        ({2**32: _key(1)}, "0 to 4294967295"),
        ({1: b"short"}, "participant 1 must have 32 bytes, got 5"),
        ({1: _key(1), 2: _key(1)}, "the same identity key"),
    ],
)
def test_other_lists_are_refused(keys: dict[int, bytes], reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        Roster(keys)
