from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.errors import ConfigurationError, DataError
from fedtrade.market import (
    ByAsset,
    ByHistory,
    ByPeriod,
    BySector,
    DirichletAssets,
    DrawnAssets,
    Own,
    Panel,
    Partitioner,
    Share,
    cut,
)


def panel(n_assets: int = 5, n_bars: int = 10) -> Panel:
    bars = np.datetime64("2020-01-01", "s") + np.arange(n_bars) * np.timedelta64(1, "D")
    names = tuple(f"A{number}" for number in range(n_assets))
    return Panel(bars, names, 1.0 + np.arange(n_bars * n_assets).reshape(n_bars, n_assets))


def test_by_asset_deals_neighbours() -> None:
    shares = ByAsset()(panel(), 2, seed=0)
    assert [share.assets for share in shares] == [("A0", "A1", "A2"), ("A3", "A4")]
    assert shares[0] == Share(("A0", "A1", "A2"))


def test_by_sector_makes_a_participant_of_each() -> None:
    sectors = {"A0": "Tech", "A1": "Energy", "A2": "Tech", "A3": "Energy", "A4": "Tech", "X": "Z"}
    shares = BySector(sectors=sectors)(panel(), None, seed=0)
    assert [share.assets for share in shares] == [("A1", "A3"), ("A0", "A2", "A4")]
    with pytest.raises(ConfigurationError, match=r"n_participants=3.* 2 sectors"):
        BySector(sectors=sectors)(panel(), 3, seed=0)


def test_sectors_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sectors.tsv"
    path.write_text("Sector\tSymbol\tCompany\nTech\t$A0\tOne, Inc.\nEnergy\tA1\tTwo\n")
    shares = BySector(sectors=path)(panel(2), None, seed=0)
    assert [share.assets for share in shares] == [("A1",), ("A0",)]
    with pytest.raises(DataError, match=r"'A2' .3 in all. has no sector"):
        BySector(sectors=str(path))(panel(5), None, seed=0)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'sector'"):
        BySector(sectors=path)(panel(), None, seed=0)
    with pytest.raises(DataError, match=r"cannot read .*absent\.csv"):
        BySector(sectors=tmp_path / "absent.csv")(panel(), None, seed=0)


def test_by_period_cuts_the_calendar() -> None:
    whole = panel()
    pieces = [cut(whole, share) for share in ByPeriod()(whole, 3, seed=0)]
    assert [piece.n_bars for piece in pieces] == [4, 3, 3]
    np.testing.assert_array_equal(np.concatenate([piece.bars for piece in pieces]), whole.bars)
    assert {piece.assets for piece in pieces} == {whole.assets}


def test_by_history_deals_lengths_in_turn() -> None:
    shares = ByHistory(history_bars=[1000, 60])(panel(), 4, seed=0)
    assert [share.history_bars for share in shares] == [1000, 60, 1000, 60]
    assert shares[0].assets == ("A0", "A1")
    assert len(ByHistory(history_bars=[1000, 60])(panel(), None, seed=0)) == 2
    with pytest.raises(ConfigurationError, match="history_bars"):
        ByHistory(history_bars=[60, 0])


RULES = [
    ByAsset(),
    ByHistory(history_bars=60),
    DirichletAssets(alpha=0.1),
    DirichletAssets(alpha=100.0),
]


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None)
@given(n_assets=st.integers(1, 40), data=st.data(), seed=st.integers(0, 1000))
def test_assets_are_covered_once(
    rule: Partitioner, n_assets: int, data: st.DataObject, seed: int
) -> None:
    whole = panel(n_assets, 2)
    count = data.draw(st.integers(1, n_assets))
    shares = rule(whole, count, seed)
    assert len(shares) == count
    assert all(share.assets for share in shares)
    assert sorted(asset for share in shares for asset in share.assets) == sorted(whole.assets)
    assert shares == rule(whole, count, seed)


def test_assets_are_shared_as_equally_as_possible() -> None:
    sizes = [len(share.assets) for share in ByAsset()(panel(23), 7, seed=0)]
    assert max(sizes) - min(sizes) <= 1


def test_a_smaller_alpha_is_less_equal_and_a_seed_matters() -> None:
    def largest(alpha: float) -> float:
        rule = DirichletAssets(alpha=alpha)
        return np.mean(
            [max(len(s.assets) for s in rule(panel(100, 2), 10, seed)) for seed in range(20)]
        )

    assert largest(0.05) > 2 * largest(100.0)
    rule = DirichletAssets(alpha=1.0)
    assert rule(panel(20), 4, seed=1) != rule(panel(20), 4, seed=2)
    with pytest.raises(ConfigurationError, match=r"partition\.alpha must be positive, got 0"):
        DirichletAssets(alpha=0.0)


def test_any_number_of_participants_draw_from_a_few_assets() -> None:
    whole, rule = panel(6, 2), DrawnAssets(n_assets=2)
    shares = rule(whole, 300, seed=1)
    assert all(len(set(share.assets)) == 2 for share in shares)
    assert all(list(share.assets) == sorted(share.assets) for share in shares)
    assert len({share.assets for share in shares}) == 15
    assert shares == rule(whole, 300, seed=1)
    assert shares != rule(whole, 300, seed=2)
    assert len(rule(whole, None, seed=1)) == 6
    with pytest.raises(ConfigurationError, match=r"n_assets=7 are more .* at most 6"):
        DrawnAssets(n_assets=7)(whole, 2, seed=0)
    with pytest.raises(ConfigurationError, match=r"n_assets must be a whole number"):
        DrawnAssets(n_assets=0)


@pytest.mark.parametrize("rule", [*RULES, ByPeriod()])
def test_numbers_that_cannot_be_served_are_refused(rule: Partitioner) -> None:
    with pytest.raises(ConfigurationError, match=r"n_participants=11.* only \d+ (assets|bars)"):
        rule(panel(), 11, seed=0)
    with pytest.raises(ConfigurationError, match=r"federation\.n_participants must be .* got 0"):
        rule(panel(), 0, seed=0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("n_assets", "expected"), [(1, 1), (3, 3), (10, 10), (23, 10)])
def test_the_natural_number_is_one_an_asset_and_ten_at_most(
    rule: Partitioner, n_assets: int, expected: int
) -> None:
    assert len(rule(panel(n_assets, 3), None, seed=0)) == expected


def test_periods_need_a_number() -> None:
    with pytest.raises(ConfigurationError, match=r"set federation\.n_participants"):
        ByPeriod()(panel(), None, seed=0)


def test_one_asset_is_in_the_singular() -> None:
    with pytest.raises(
        ConfigurationError, match=r"only 1 asset to share; use at most 1 participant or .*=short\.$"
    ):
        ByAsset()(panel(1), 2, seed=0)


def test_cut_takes_assets_and_period() -> None:
    own = cut(panel(), Share(("A3",), np.datetime64("2020-01-02"), np.datetime64("2020-01-04")))
    assert own.assets == ("A3",)
    assert own.close[:, 0].tolist() == [9.0, 14.0, 19.0]


def test_own_gives_everybody_all_of_the_panel_and_needs_a_number() -> None:
    assert Own()(panel(2), 3, seed=0) == (Share(("A0", "A1")),) * 3
    with pytest.raises(ConfigurationError, match=r"federation\.n_participants"):
        Own()(panel(2), None, seed=0)
