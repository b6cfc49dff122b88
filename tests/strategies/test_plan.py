from collections.abc import Callable

import numpy as np
import pytest

from conf import compose
from fedtrade.errors import DataError
from fedtrade.settings import Settings
from strategies.plan import FINAL_FOLD, SMALL, episode_calendar, plan

Make = Callable[..., Settings]
CALENDAR = np.datetime64("2000-01-01", "s") + np.arange(180) * np.timedelta64(1, "D")


def _day(seconds: int) -> int:
    """The position of a bar in the calendar."""
    return int((seconds - 946_684_800) / 86_400)


def test_episodes_by_hand(tiny: Make) -> None:
    """Windows of 25 bars end at bar 179: with 60 of history, four fit and two are spread."""
    episodes = plan(tiny(), CALENDAR, horizon_bars=1)
    found = [(e.number, e.fold, _day(e.origin), _day(e.test_end), e.n_skip) for e in episodes]
    assert found == [(0, 0, 79, 104, 0), (1, 0, 154, 179, 0), (2, FINAL_FOLD, 179, 179, 0)]


def test_purge_and_embargo_leave_bars_unscored(tiny: Make) -> None:
    """A label of five bars and an embargo of three: the origin lies seven bars earlier."""
    episodes = plan(tiny("evaluation.embargo_bars=3"), CALENDAR, horizon_bars=5)
    assert [(_day(e.origin), _day(e.test_end), e.n_skip) for e in episodes[:2]] == [
        (72, 104, 7),
        (147, 179, 7),
    ]


def test_halves_swap_at_each_origin_of_a_cold_start(tiny: Make) -> None:
    settings = tiny("federation=cold_start", "federation.incumbent_bars=80")
    found = [(e.fold, _day(e.origin)) for e in plan(settings, CALENDAR, horizon_bars=1)]
    assert found == [(0, 79), (1, 79), (0, 154), (1, 154), (FINAL_FOLD, 179)]


def test_an_episode_takes_the_longest_history_and_the_test_bars(tiny: Make) -> None:
    settings = tiny("federation=cold_start", "federation.incumbent_bars=80")
    first, *_, final = plan(settings, CALENDAR, horizon_bars=1)
    calendar = episode_calendar(settings, CALENDAR, first)
    np.testing.assert_array_equal(calendar, CALENDAR[0:105])
    np.testing.assert_array_equal(episode_calendar(settings, CALENDAR, final), CALENDAR[100:])


def test_later_bars_do_not_move_what_is_before_an_origin(tiny: Make) -> None:
    """An origin's training bars are the same whatever comes after its test."""
    (episode, *_) = plan(tiny(), CALENDAR, horizon_bars=1)
    short = episode_calendar(tiny(), CALENDAR[:106], episode)
    np.testing.assert_array_equal(short, episode_calendar(tiny(), CALENDAR, episode))


def test_too_short_a_calendar_is_refused(tiny: Make) -> None:
    with pytest.raises(
        DataError, match=r"2 test windows of 25 bars.*try federation=small .*short\.$"
    ):
        plan(tiny(), CALENDAR[:100], horizon_bars=1)


def test_the_smallest_windows_are_not_advised_to_those_who_have_them() -> None:
    settings = compose(["federation=small", "evaluation=short"])
    evaluation = settings.evaluation
    windows = (settings.federation.history_bars, evaluation.test_bars, evaluation.n_origins)
    assert windows == SMALL
    with pytest.raises(DataError, match=r"needs 180 bars, but the data has 100") as caught:
        plan(settings, CALENDAR[:100], horizon_bars=1)
    assert "try federation" not in str(caught.value)
