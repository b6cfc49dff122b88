import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.robust.screening import capped_weights, is_excessive, trimmed_average

NORMS = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=9)


def _excessive(norms: list[float], ratio: float = 10.0) -> list[bool]:
    return is_excessive(np.array(norms), ratio).tolist()


# --- norms --------------------------------------------------------------------------------------


def test_ten_times_the_median_is_the_most() -> None:
    assert _excessive([1.0, 2.0, 20.0, 2.0, 20.1]) == [False, False, False, False, True]


@pytest.mark.parametrize("norms", [[], [5.0], [1e-9, 5.0]])
def test_fewer_than_three_cannot_be_compared(norms: list[float]) -> None:
    assert not any(_excessive(norms))


def test_half_of_the_clients_cannot_have_the_others_refused() -> None:
    assert _excessive([1e-9, 1e-9, 5.0, 5.0]) == [False] * 4
    assert _excessive([0.0, 0.0, 0.0, 5.0]) == [False] * 4


@given(NORMS, st.floats(1.0, 100.0))
def test_neither_order_nor_unit_matters_and_most_stay(norms: list[float], ratio: float) -> None:
    found = _excessive(norms, ratio)
    assert _excessive(norms[::-1], ratio) == found[::-1]
    assert sum(found) <= len(norms) // 2
    clear = [n for n in norms if n > 1e-200]  # units that do not underflow
    assert _excessive([2.0 * n for n in clear], ratio) == _excessive(clear, ratio)


@pytest.mark.parametrize(
    ("norms", "ratio", "message"),
    [
        ([1.0], 0.5, "max_ratio=0.5"),
        ([1.0], np.nan, "max_ratio=nan"),
        ([np.nan, 1.0], 2.0, "norms must be finite"),
        ([-1.0, 1.0], 2.0, "norms must be finite"),
    ],
)
def test_impossible_norms_and_ratios_are_refused(
    norms: list[float], ratio: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _excessive(norms, ratio)


# --- weights ------------------------------------------------------------------------------------


def test_a_lie_about_examples_is_capped() -> None:
    found = capped_weights(np.array([10.0, 10.0, 2.0**52, 20.0]), 6.0)
    assert found.tolist() == [10.0, 10.0, 60.0, 20.0]


def test_of_two_the_larger_one_is_capped_by_the_smaller() -> None:
    assert capped_weights(np.array([2.0**52, 1.0]), 3.0).tolist() == [3.0, 1.0]


def test_a_cap_below_the_median_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_ratio=0\.5"):
        capped_weights(np.ones(3), 0.5)


# --- losses -------------------------------------------------------------------------------------


def test_extremes_do_not_count() -> None:
    """Of -1e12, 1, 3 and 1e12 the middle two remain: (1 * 1 + 3 * 3) / 4."""
    values = np.array([1e12, 1.0, -1e12, 3.0])
    weights = np.array([7.0, 1.0, 7.0, 3.0])
    assert trimmed_average(values, weights, 1) == 2.5
    assert trimmed_average(values[1::2], weights[1::2], 0) == 2.5


@pytest.mark.parametrize(("values", "expected"), [([5.0], 5.0), ([1.0, 3.0], 2.0), ([0, 1, 9], 1)])
def test_the_middle_stays_however_many_are_dropped(values: list[float], expected: float) -> None:
    assert trimmed_average(np.array(values), np.ones(len(values)), 7) == expected


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=5), st.permutations(range(5)))
def test_two_liars_of_seven_stay_within_the_honest(honest: list[float], order: list[int]) -> None:
    values = np.array([*honest, 1e12, -1e12])
    found = trimmed_average(values, np.ones(7), 2)
    assert min(honest) - 1e-9 <= found <= max(honest) + 1e-9
    shuffled = np.array([*np.array(honest)[order], -1e12, 1e12])
    assert trimmed_average(shuffled, np.ones(7), 2) == pytest.approx(found)
