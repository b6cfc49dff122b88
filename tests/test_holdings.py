from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError, DataError
from fedtrade.holdings import Holdings, build_task
from fedtrade.settings import Settings
from fedtrade.wire import EpisodeRecord, seconds_of

Make = Callable[..., Settings]


def _episode(holdings: Holdings, origin: int, end: int, fold: int = 0) -> EpisodeRecord:
    seconds = seconds_of(holdings.panel.bars).astype(int).tolist()
    return EpisodeRecord(0, fold, seconds[origin], seconds[end], 0)


def test_assets_are_shared_among_participants(tiny: Make) -> None:
    holdings = Holdings.of(tiny("federation.n_participants=2"))
    assert holdings.n_participants == 2
    assert [holdings.panel_of(k).assets for k in (0, 1)] == [("A00", "A01"), ("A02", "A03")]


def test_a_sample_has_the_history_and_the_test_bars(tiny: Make) -> None:
    """60 bars up to the origin at bar 99, then 20 more."""
    holdings = Holdings.of(tiny())
    calendar = holdings.panel.bars[40:120]
    sample = holdings.sample(1, _episode(holdings, 99, 119), calendar)
    assert (sample.n_train, sample.n_score, sample.n_calendar) == (60, 20, 80)
    np.testing.assert_array_equal(sample.panel.bars, calendar)


def test_a_newcomer_knows_less_than_an_incumbent(tiny: Make) -> None:
    """Halves swap from one fold to the next; nobody is a newcomer to the final model."""
    settings = tiny(
        "federation=cold_start",
        "federation.history_bars=50",
        "federation.incumbent_bars=90",
        "federation.n_participants=2",
    )
    holdings = Holdings.of(settings)
    calendar = holdings.panel.bars[10:120]
    for fold, expected in ((0, [50, 90]), (1, [90, 50]), (-1, [90, 90])):
        episode = _episode(holdings, 99, 119, fold)
        assert [holdings.sample(k, episode, calendar).n_train for k in (0, 1)] == expected


def test_a_share_of_little_history_limits_it(tiny: Make) -> None:
    settings = tiny("partition=by_history", "partition.history_bars=[60,45]")
    holdings = Holdings.of(settings)
    calendar = holdings.panel.bars[40:120]
    episode = _episode(holdings, 99, 119)
    assert [holdings.sample(k, episode, calendar).n_train for k in range(4)] == [60, 45, 60, 45]


def test_data_are_loaded_once(tiny: Make) -> None:
    """Where results go and how progress is shown makes no difference."""
    assert Holdings.of(tiny()) is Holdings.of(tiny("progress=plain", "resume=true"))
    assert Holdings.of(tiny()) is not Holdings.of(tiny("data.assets=[A00,A01,A02,A03]"))


def test_an_unknown_participant_is_named(tiny: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"no participant 4: .* among 4"):
        Holdings.of(tiny()).panel_of(4)


def test_an_asset_without_variance_is_named(tiny: Make, tmp_path: Path) -> None:
    days = np.datetime64("2000-01-03") + np.arange(30)
    lines = [f"{day},{100 + k % 3},7.0" for k, day in enumerate(days)]
    (tmp_path / "flat.csv").write_text("\n".join(["date,A,FLAT", *lines]))
    with pytest.raises(DataError, match=r"FLAT .*has no variance.*data\.assets"):
        Holdings(tiny(f"data.path={tmp_path / 'flat.csv'}", "federation.n_participants=1"))


def test_too_short_a_history_for_the_task_is_refused(tiny: Make) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"federation.history_bars=30 is too short for the"
        r" task risk: it needs at least 40",
    ):
        build_task(tiny("federation.history_bars=30"))


def test_a_task_gets_the_network_of_the_configuration(tiny: Make) -> None:
    assert build_task(tiny()).initial(0).shape == (17,)
    assert build_task(tiny("model=mlp", "model.hidden=[3]")).initial(0).shape == (3 * 10 + 4 + 7,)
