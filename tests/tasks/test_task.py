"""What of a participant's prices an episode takes."""

import numpy as np
import pytest

from fedtrade.errors import DataError
from fedtrade.market.panel import Panel
from fedtrade.tasks.task import Sample

BARS = np.datetime64("2000-01-01", "s") + np.arange(10) * np.timedelta64(1, "D")


def _panel(close: np.ndarray | None = None, bars: np.ndarray = BARS) -> Panel:
    close = np.full((len(bars), 2), 100.0) if close is None else close
    return Panel(bars, ("A", "B"), close)


def test_counts_by_hand() -> None:
    """Bars 3 to 9 of the calendar, origin at 6: four to learn from, one skipped, two scored."""
    sample = Sample.take(_panel(bars=BARS[3:]), calendar=BARS, origin=BARS[6], n_skip=1)
    assert sample.rows.tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert (sample.n_calendar, sample.n_train, sample.n_skip, sample.n_score) == (10, 4, 1, 2)


def test_an_origin_between_bars_counts_those_before() -> None:
    origin = BARS[6] + np.timedelta64(3, "h")
    assert Sample.take(_panel(), calendar=BARS, origin=origin).n_train == 7


def test_assets_without_a_price_at_every_bar_are_left_out() -> None:
    close = np.full((10, 2), 100.0)
    close[:3, 0] = np.nan
    sample = Sample.take(_panel(close), calendar=BARS, origin=BARS[6])
    assert sample.panel.assets == ("B",)


@pytest.mark.parametrize("n_bars", [10, 0])
def test_without_an_asset_the_assets_and_the_remedy_are_named(n_bars: int) -> None:
    close = np.full((n_bars, 2), 100.0)
    close[:1] = np.nan
    with pytest.raises(DataError, match=r"no asset of A, B has a price.*shorter history"):
        Sample.take(_panel(close, BARS[:n_bars]), calendar=BARS, origin=BARS[6])


@pytest.mark.parametrize("calendar", [BARS[:-1], BARS[1:], np.delete(BARS, 4)])
def test_a_bar_outside_of_the_calendar_is_left_out(calendar: np.ndarray) -> None:
    close = np.arange(1.0, 2 * len(BARS) + 1).reshape(-1, 2)
    ohlv = {"high": close + 1.0}
    sample = Sample.take(
        Panel(BARS, ("A", "B"), close, "1D", ohlv), calendar=calendar, origin=BARS[5]
    )
    assert (sample.panel.bars == calendar).all()
    assert (sample.rows == np.arange(len(calendar))).all()
    kept = np.isin(BARS, calendar)
    assert (sample.panel.close == close[kept]).all()
    assert (sample.panel.ohlv["high"] == close[kept] + 1.0).all()


def test_an_asset_that_ends_after_the_origin_keeps_its_last_price() -> None:
    """What happens after the origin does not decide who takes part."""
    close = np.arange(1.0, 2 * len(BARS) + 1).reshape(-1, 2)
    close[8:, 1] = np.nan
    sample = Sample.take(Panel(BARS, ("A", "B"), close), calendar=BARS, origin=BARS[5])
    assert sample.panel.assets == ("A", "B")
    assert (sample.panel.close[8:, 1] == close[7, 1]).all()
    assert (sample.panel.returns()[8:, 1] == 0.0).all()


def test_what_is_taken_does_not_depend_on_prices_after_a_bar() -> None:
    """Nor does the training part on bars that come to the calendar later."""
    later = np.full((10, 2), 100.0)
    later[7:] *= 3.0
    old = Sample.take(_panel(), calendar=BARS, origin=BARS[6])
    new = Sample.take(_panel(later), calendar=BARS, origin=BARS[6])
    short = Sample.take(_panel(bars=BARS[:8]), calendar=BARS[:8], origin=BARS[6])
    assert old.n_train == new.n_train == short.n_train
    for other in (new, short):
        assert other.panel.rows(0, 7).equals(old.panel.rows(0, 7))
