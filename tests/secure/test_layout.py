"""Fixed point in a ring: by hand, against Python's integers, and at every edge."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import ConfigurationError, ProtocolError, RangeError
from fedtrade.secure.layout import Layout, Segment

RINGS: list[dict[str, int]] = [
    {},
    {"word_bits": 32},
    {"word_bits": 64},
    {"modulus": 2**40 - 87},
    {"modulus": 2**62},
]


def _centred(number: int, modulus: int) -> int:
    rest = number % modulus
    return rest - modulus if 2 * rest > modulus else rest


def test_by_hand() -> None:
    """Three members within 1: 3 * 2^k < 2^31 for k = 29, so the step is 2^-29."""
    layout = Layout([Segment("update", 2, 1.0, 1e-3)], 3)
    assert layout.word_bits == 32
    assert layout.dtype == np.uint32
    assert layout.steps == (2.0**-29,)
    words = layout.encode({"update": [1.0, -0.5]})
    assert words.dtype == np.uint32
    assert words.tolist() == [2**29, 2**32 - 2**28]
    total = words.copy()
    layout.add(total, words)
    assert total.tolist() == [2**30, 2**32 - 2**29]
    assert layout.decode(total)["update"].tolist() == [2.0, -1.0]


def test_the_bound_is_strict() -> None:
    """One member within 1 at modulus 16: 2^3 < 8 fails, so 4 steps; at 17 it is 8 < 8.5."""
    assert Layout([Segment("x", 1, 1.0, 1.0)], 1, modulus=16).steps == (0.25,)
    assert Layout([Segment("x", 1, 1.0, 1.0)], 1, modulus=17).steps == (0.125,)


def test_the_smallest_ring_that_is_fine_enough_is_taken() -> None:
    """At step 2^-20 and 1,000 members 1000 * 2^20 < 2^31; at 2^-21 the words must be longer."""
    assert Layout([Segment("x", 1, 1.0, 2.0**-20)], 1000).word_bits == 32
    assert Layout([Segment("x", 1, 1.0, 2.0**-21)], 1000).word_bits == 32
    assert Layout([Segment("x", 1, 1.0, 2.0**-22)], 1000).word_bits == 64
    assert 1000 * 2**21 < 2**31 < 1000 * 2**22


def test_each_segment_has_its_own_step() -> None:
    segments = [Segment("a", 1, 1.0, 0.1), Segment("b", 2, 1000.0, 0.1)]
    layout = Layout(segments, 10)
    assert layout.steps == (2.0**-27, 2.0**-17)
    assert layout.size == 3
    found = layout.decode(layout.encode({"b": [1.0, -1000.0], "a": [0.5]}))
    assert {name: values.tolist() for name, values in found.items()} == {
        "a": [0.5],
        "b": [1.0, -1000.0],
    }


def test_ties_go_to_even_steps() -> None:
    layout = Layout([Segment("x", 4, 2.0, 1.0)], 1, modulus=5)
    assert layout.steps == (1.0,)
    assert layout.encode({"x": [0.5, 1.5, -0.5, -1.5]}).tolist() == [0, 2, 0, -2]


@st.composite
def _layouts(draw: st.DrawFn) -> Layout:
    ring = draw(st.sampled_from(RINGS))
    n_members = draw(st.integers(1, 40))
    exponents = st.floats(-30.0, 30.0)
    segments = []
    for name in draw(st.sampled_from(["a", "ab", "abc"])):
        bound = 2.0 ** draw(exponents)
        resolution = bound / 2.0 ** draw(st.floats(0.0, 18.0))
        segments.append(Segment(name, draw(st.integers(1, 4)), bound, resolution))
    return Layout(segments, n_members, **ring)


@given(_layouts())
def test_steps_are_the_finest_that_cannot_wrap(layout: Layout) -> None:
    for segment, step in zip(layout.segments, layout.steps, strict=True):
        bound, exact = Fraction(segment.bound), Fraction(step)
        assert exact.numerator == 1 or exact.denominator == 1
        assert step <= segment.resolution
        most = layout.n_members * -(-bound // exact)
        finer = layout.n_members * -(-bound // (exact / 2))
        assert 2 * most < layout.modulus <= 2 * finer


@given(_layouts(), st.integers(0, 1000), st.data())
def test_sums_are_those_of_integers_and_near_those_of_numbers(
    layout: Layout, seed: int, data: st.DataObject
) -> None:
    """n members, some of them at the ends of their range."""
    rng = np.random.default_rng(seed)
    n_members = data.draw(st.integers(1, layout.n_members))
    members = []
    for _ in range(n_members):
        values = {}
        for each in layout.segments:
            spread = rng.uniform(-each.bound, each.bound, each.size)
            ends = rng.choice([-each.bound, 0.0, each.bound], each.size)
            values[each.name] = np.where(rng.random(each.size) < 0.5, spread, ends)
        members.append(values)
    encoded = [layout.encode(values) for values in members]
    total = np.zeros(layout.size, dtype=layout.dtype)
    for words in encoded:
        layout.add(total, words)
    integers = [
        sum(_centred(int(word), layout.modulus) for word in column)
        for column in zip(*encoded, strict=True)
    ]
    assert [_centred(int(word), layout.modulus) for word in total] == integers
    decoded = layout.decode(total, n_members)
    start = 0
    for segment, step in zip(layout.segments, layout.steps, strict=True):
        found = decoded[segment.name]
        for place in range(segment.size):
            assert found[place] == integers[start + place] * step
            exact = sum(Fraction(values[segment.name][place]) for values in members)
            error = abs(Fraction(integers[start + place]) * Fraction(step) - exact)
            assert error <= Fraction(n_members) * Fraction(step) / 2
        start += segment.size


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("n_members", [1, 2, 7, 1000])
@pytest.mark.parametrize("bound", [1.0, 0.3, 5.0, 4095.99])
def test_the_extremes_never_wrap(
    ring: dict[str, int], sign: float, n_members: int, bound: float
) -> None:
    layout = Layout([Segment("x", 1, bound, bound / 64)], n_members, **ring)
    words = layout.encode({"x": [sign * bound]})
    total = np.zeros_like(words)
    for _ in range(n_members):
        layout.add(total, words)
    quanta = round(Fraction(bound) / Fraction(layout.steps[0]))
    assert layout.decode(total)["x"].tolist() == [sign * n_members * quanta * layout.steps[0]]


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.nextafter(1.0, 2.0), -1.01, 1e300])
def test_values_outside_of_the_range_are_refused(ring: dict[str, int], value: float) -> None:
    """Without telling them: an error goes to the server, who may have chosen the bound."""
    layout = Layout([Segment("x", 3, 1.0, 0.01)], 5, **ring)
    with pytest.raises(RangeError, match=r"segment 'x': entry 1 must .* within ±1\.0") as caught:
        layout.encode({"x": [0.0, value, 2.0]})
    assert f"{value}" not in str(caught.value).replace("finite", "")


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_totals_that_nobody_honest_makes_are_refused(ring: dict[str, int], sign: int) -> None:
    layout = Layout([Segment("x", 2, 1.0, 0.01)], 3, **ring)
    quanta = int(1.0 / layout.steps[0])
    most = np.array([0, sign * 3 * quanta], dtype=np.int64).astype(layout.dtype)
    assert layout.decode(most)["x"].tolist() == [0.0, sign * 3.0]
    beyond = np.array([0, sign * (3 * quanta + 1)], dtype=np.int64).astype(layout.dtype)
    with pytest.raises(RangeError, match=r"segment 'x': .* 3 members of bound 1\.0 make 3 at most"):
        layout.decode(beyond)
    with pytest.raises(RangeError, match=r"2 members of bound 1\.0 make 2 at most"):
        layout.decode(most, 2)


def test_the_ends_of_the_ring_are_no_total() -> None:
    """The most negative word has no positive counterpart."""
    for bits in (32, 64):
        layout = Layout([Segment("x", 1, 1.0, 0.01)], 3, word_bits=bits)
        with pytest.raises(RangeError, match="no honest member sends"):
            layout.decode(np.array([1 << (bits - 1)], dtype=layout.dtype))


@pytest.mark.parametrize("modulus", [3, 16, 17, 2**62])
def test_other_moduli_add_as_integers_do(modulus: int) -> None:
    layout = Layout([Segment("x", 1, 1.0, 1.0)], 1, modulus=modulus)
    ends = [0, 1, modulus // 2, modulus - 1, -(modulus // 2)]
    for left in ends:
        for right in ends:
            total = np.array([left], dtype=np.int64)
            layout.add(total, np.array([right], dtype=np.int64))
            assert (int(total[0]) - left - right) % modulus == 0
            assert abs(int(total[0])) <= modulus // 2


@pytest.mark.parametrize("ring", RINGS)
def test_fields_make_an_equal_layout(ring: dict[str, int]) -> None:
    segments = [Segment("a", 3, 2.0, 0.01), Segment("b", 1, 7.0, 1.0)]
    layout = Layout(segments, 9, **ring)
    fields = layout.to_fields()
    assert {type(value) for value in fields.values()} == {int, list}
    again = Layout.from_fields(fields)
    assert again == layout
    assert hash(again) == hash(layout)
    assert again != Layout(segments, 10, **ring)
    assert again != Layout(segments[::-1], 9, **ring)
    assert again != "layout"


def test_layouts_differ_by_their_ring() -> None:
    segments = [Segment("a", 3, 2.0, 0.01)]
    assert Layout(segments, 9) == Layout(segments, 9, word_bits=32)
    assert Layout(segments, 9) != Layout(segments, 9, word_bits=64)
    assert Layout(segments, 9) != Layout(segments, 9, modulus=2**32)
    assert repr(Layout(segments, 9)).endswith("n_members=9, 32 bits)")
    assert repr(Layout(segments, 9, modulus=2**32)).endswith("modulus=4294967296)")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sizes": [1, 2]}, "differ in length"),
        ({"sizes": [1.0]}, "'sizes' of a layout must hold int"),
        ({"sizes": [True]}, "'sizes' of a layout must hold int"),
        ({"bounds": 1.0}, "'bounds' of a layout must hold float"),
        ({"n_members": "3"}, "'n_members' of a layout must hold int"),
        ({"more": 1}, "a layout has the fields"),
    ],
)
def test_fields_that_are_malformed(changed: dict[str, Any], message: str) -> None:
    fields = Layout([Segment("a", 3, 2.0, 0.01)], 9).to_fields()
    with pytest.raises(ProtocolError, match=message):
        Layout.from_fields({**fields, **changed})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", 0, 1.0, 0.1), "segment 'x': size must be at least 1, got 0"),
        (("x", 1, 0.0, 0.0), "resolution=0.0 and bound=0.0"),
        (("x", 1, 1.0, 2.0), "resolution=2.0 and bound=1.0"),
        (("x", 1, np.nan, 0.1), "bound=nan"),
        (("x", 1, np.inf, 0.1), "bound=inf"),
        (("x", 1, 1.0, -0.1), "resolution=-0.1"),
    ],
)
def test_segments_that_cannot_be(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Segment(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_members": 0}, "n_members must be at least 1, got 0"),
        ({"segments": []}, r"different names, got \[\]"),
        ({"segments": [Segment("x", 1, 1.0, 0.1)] * 2}, r"different names, got \['x', 'x'\]"),
        ({"word_bits": 16}, "word_bits must be 32 or 64"),
        ({"word_bits": 32, "modulus": 99}, "None if a modulus is given"),
        ({"modulus": 2}, r"modulus must be 3 to 2\*\*62, got 2"),
        ({"modulus": 2**62 + 1}, r"modulus must be 3 to 2\*\*62"),
        (
            {"n_members": 1000, "modulus": 16_000},
            r"step 2\*\*-4, .* = 1000 \* 16 must be below modulus / 2 = 16000 / 2",
        ),
        ({"n_members": 2**40, "modulus": 99}, "could wrap"),
        (
            {"segments": [Segment("x", 1, 1e16, 1e-3)], "n_members": 100},
            r"sums of 100 members with bound=1e\+16 could wrap: .* / 2 = 18446744073709551616 / 2",
        ),
    ],
)
def test_layouts_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    defaults: dict[str, Any] = {"segments": [Segment("x", 1, 1.0, 0.1)], "n_members": 3}
    with pytest.raises(ConfigurationError, match=message):
        Layout(**defaults | arguments)


def test_vectors_of_another_layout_are_refused() -> None:
    layout = Layout([Segment("x", 2, 1.0, 0.1)], 3)
    total = np.zeros(2, dtype=np.uint32)
    for other in (np.zeros(3, np.uint32), np.zeros(2, np.uint64), np.zeros((1, 2), np.uint32)):
        with pytest.raises(ProtocolError, match=r"is uint32 of shape \(2,\), got"):
            layout.add(total, other)
        with pytest.raises(ProtocolError, match=r"is uint32 of shape \(2,\), got"):
            layout.decode(other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": [0.0]}, "segment 'x' has 2 entries, got 1"),
        ({"y": [0.0, 0.0]}, r"must be given for \['x'\], got \['y'\]"),
        ({}, r"must be given for \['x'\], got \[\]"),
        ({"x": [0.0, 0.0], "y": []}, r"got \['x', 'y'\]"),
    ],
)
def test_values_of_another_layout_are_refused(values: Any, message: str) -> None:
    layout = Layout([Segment("x", 2, 1.0, 0.1)], 3)
    with pytest.raises(ValueError, match=message):
        layout.encode(values)


@pytest.mark.parametrize("n_members", [-1, 4])
def test_more_members_than_can_be_are_refused(n_members: int) -> None:
    layout = Layout([Segment("x", 2, 1.0, 0.1)], 3)
    with pytest.raises(ValueError, match=f"n_members must be 0 to 3, got {n_members}"):
        layout.decode(np.zeros(2, dtype=np.uint32), n_members)


@pytest.mark.parametrize("exponent", [-1022, -300, 300, 900])
def test_the_smallest_and_largest_bounds_work(exponent: int) -> None:
    bound = 2.0**exponent
    layout = Layout([Segment("x", 2, bound, bound)], 3)
    found = layout.decode(layout.encode({"x": [bound, -bound]}))
    assert found["x"].tolist() == [bound, -bound]
