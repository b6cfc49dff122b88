import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedtrade.errors import DataError
from fedtrade.market import Panel, history_window, rolling_origins


def calendar(n_bars: int) -> np.ndarray:
    return np.datetime64("2020-01-01", "s") + np.arange(n_bars) * np.timedelta64(1, "D")


def positions(bars: np.ndarray, **options: int) -> list[tuple[int, ...]]:
    """The origins as positions on the calendar."""
    return [
        tuple(int(np.searchsorted(bars, moment)) for moment in window)
        for window in rolling_origins(bars, **options)
    ]


def test_windows_stand_side_by_side_and_end_with_the_data() -> None:
    found = positions(calendar(10), test_bars=3, min_train_bars=4)
    assert found == [(3, 4, 6), (6, 7, 9)]


def test_purge_and_embargo_move_the_origin_back() -> None:
    found = positions(calendar(12), test_bars=3, min_train_bars=3, purge_bars=2, embargo_bars=1)
    assert found == [(2, 6, 8), (5, 9, 11)]


def test_fewer_origins_are_spread_with_both_ends() -> None:
    origins = [o for o, _, _ in positions(calendar(100), test_bars=10, min_train_bars=10)]
    assert origins == [9, 19, 29, 39, 49, 59, 69, 79, 89]
    for n_origins, expected in [(1, [89]), (2, [9, 89]), (3, [9, 49, 89])]:
        found = positions(calendar(100), test_bars=10, min_train_bars=10, n_origins=n_origins)
        assert [o for o, _, _ in found] == expected


def test_too_little_history_names_both_numbers() -> None:
    with pytest.raises(
        DataError, match=r"1 test window of 10 bars .* needs 113 bars, but the data has 112"
    ):
        rolling_origins(calendar(112), test_bars=10, min_train_bars=100, purge_bars=3)
    with pytest.raises(DataError, match=r"2 test windows .* need 120 bars, but the data has 115"):
        rolling_origins(calendar(115), test_bars=10, min_train_bars=100, n_origins=2)


@pytest.mark.parametrize("name", ["test_bars", "min_train_bars", "purge_bars", "n_origins"])
def test_negative_numbers_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        rolling_origins(calendar(50), **({"test_bars": 5, "min_train_bars": 5} | {name: -1}))


@settings(deadline=None)
@given(
    n_bars=st.integers(1, 300),
    test_bars=st.integers(1, 20),
    min_train_bars=st.integers(1, 60),
    purge_bars=st.integers(0, 6),
    embargo_bars=st.integers(0, 6),
    n_origins=st.one_of(st.none(), st.integers(1, 8)),
)
def test_laws_of_rolling_origins(n_origins: int | None, n_bars: int, **options: int) -> None:
    gap = options["purge_bars"] + options["embargo_bars"]
    n_fitting = (n_bars - options["min_train_bars"] - gap) // options["test_bars"]
    assume(n_fitting >= (n_origins or 1))
    found = positions(calendar(n_bars), n_origins=n_origins, **options)
    assert len(found) == (n_origins or n_fitting)
    assert found[-1][2] == n_bars - 1
    assert found[0][0] >= options["min_train_bars"] - 1
    for origin, start, end in found:
        assert start - origin - 1 == gap
        assert end - start + 1 == options["test_bars"]
    starts = np.array([start for _, start, _ in found])
    assert (np.diff(starts) >= options["test_bars"]).all()
    assert (np.diff(starts) % options["test_bars"] == 0).all()
    if n_origins is not None and n_origins > 1:
        steps = np.diff(starts) // options["test_bars"]
        assert steps.max() - steps.min() <= 1
        assert starts[0] < options["min_train_bars"] + gap + options["test_bars"]


def test_history_begins_so_many_bars_before_the_origin() -> None:
    bars = calendar(20)
    panel = Panel(bars, ("A",), np.arange(1.0, 21.0)[:, None])
    window = history_window(panel, origin=bars[9], history_bars=4, test_end=bars[12])
    assert window.close[:, 0].tolist() == [7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0]


def test_history_counts_on_the_calendar_of_the_federation() -> None:
    bars = calendar(20)
    late = Panel(bars[8:], ("A",), np.ones((12, 1)))
    options = {"origin": "2020-01-10", "history_bars": 5, "test_end": "2020-01-10"}
    assert history_window(late, calendar=bars, **options).n_bars == 2
    with pytest.raises(DataError, match=r"5 bars of history .* the data has 2"):
        history_window(late, **options)
