"""Panels that are kept are those that a file holds, and nothing else."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedtrade.errors import DataError
from fedtrade.market import Panel, csv
from fedtrade.market import kept_panels as module
from fedtrade.market.kept_panels import MOST_PANELS, keeping_panels

LONG_AGO_NS = 10**18


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state" / "prices"


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    return written(tmp_path / "prices.csv", last=12.0)


def written(path: Path, last: float, at_ns: int = LONG_AGO_NS) -> Path:
    rows = ["date,asset,open,close,volume"]
    for day, price in enumerate((10.0, 11.0, last), start=1):
        rows.append(f"2024-01-{day:02d},Ä,{price + 1},{price},5")
        rows.append(f"2024-01-{day:02d},B,,{2 * price},7")
    path.write_text("\n".join(rows), encoding="utf-8")
    os.utime(path, ns=(at_ns, at_ns))
    return path


def read(path: Path, place: Path | None, **options: object) -> Panel:
    with keeping_panels(place):
        return csv(path, **options)  # type: ignore[arg-type]


def refuse_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the files were read")

    monkeypatch.setattr("fedtrade.market.files._read_panel", fail)


def assert_same(one: Panel, other: Panel) -> None:
    assert (one.assets, one.bar) == (other.assets, other.bar)
    np.testing.assert_array_equal(one.bars, other.bars)
    np.testing.assert_array_equal(one.close, other.close)
    assert (one.ohlv is None) == (other.ohlv is None)
    assert list(one.ohlv or {}) == list(other.ohlv or {})
    for name in one.ohlv or {}:
        np.testing.assert_array_equal((one.ohlv or {})[name], (other.ohlv or {})[name])


@pytest.mark.parametrize("options", [{}, {"assets": ["B"], "adjusted": False}])
def test_what_was_kept_is_what_was_read(
    prices: Path, place: Path, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = read(prices, None, **options)
    first = read(prices, place, **options)
    refuse_to_read(monkeypatch)
    again = read(prices, place, **options)
    assert_same(first, plain)
    assert_same(again, plain)
    with pytest.raises(AssertionError, match="were read"):
        read(prices, None, **options)


def test_close_alone_is_kept_without_other_fields(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "close.csv"
    path.write_text("date,close\n2024-01-01,1\n2024-01-02,2\n")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    first = read(path, place)
    refuse_to_read(monkeypatch)
    again = read(path, place)
    assert again.ohlv is None
    assert_same(again, first)


def test_a_new_process_needs_no_pandas_for_it(prices: Path, place: Path) -> None:
    read(prices, place)
    code = (
        "import sys; from pathlib import Path; from fedtrade.market import csv\n"
        "from fedtrade.market.kept_panels import keeping_panels\n"
        f"with keeping_panels(Path({str(place)!r})): panel = csv({str(prices)!r})\n"
        "assert panel.assets == ('Ä', 'B'), panel\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-X", "utf8", "-c", code], check=True)


def test_other_files_options_and_code_are_read_anew(
    prices: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(prices, place).close[-1, 0] == 12.0
    assert read(prices, place, end="2024-01-02").n_bars == 2
    # The same size and the same time of change: the times of the file's entry tell.
    written(prices, last=13.0)
    assert read(prices, place).close[-1, 0] == 13.0
    written(prices, last=14.0, at_ns=LONG_AGO_NS + 1)
    assert read(prices, place).close[-1, 0] == 14.0
    refuse_to_read(monkeypatch)
    monkeypatch.setattr(module, "_code", lambda: "another version")
    with pytest.raises(AssertionError, match="were read"):
        read(prices, place)


def test_a_folder_that_gains_a_file_is_read_anew(tmp_path: Path, place: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("one", "two"):
        path = folder / f"{name}.csv"
        path.write_text("date,close\n2024-01-01,1\n2024-01-02,2\n")
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
        panel = read(folder, place)
    assert panel.assets == ("one", "two")


def test_a_file_that_may_still_change_is_not_kept(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "now.csv"
    path.write_text("date,close\n2024-01-01,1\n2024-01-02,2\n")
    read(path, place)
    assert not place.exists()


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    prices: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = module.kept_or_read

    def changing(files: list[Path], options: object, reader: object) -> Panel:
        def changed() -> Panel:
            panel: Panel = reader()  # type: ignore[operator]
            written(prices, last=13.0, at_ns=LONG_AGO_NS + 1)
            return panel

        return whole(files, options, changed)

    monkeypatch.setattr("fedtrade.market.files.kept_or_read", changing)
    assert read(prices, place).close[-1, 0] == 12.0
    assert not place.exists()


@pytest.mark.parametrize("damage", [b"", b"no panel", b"cut"])
def test_what_is_damaged_is_read_anew_and_mended(
    prices: Path, place: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(prices, place)
    (kept,) = place.iterdir()
    kept.write_bytes(kept.read_bytes()[:-100] if damage == b"cut" else damage)
    assert_same(read(prices, place), first)
    refuse_to_read(monkeypatch)
    assert_same(read(prices, place), first)


def test_only_its_owner_can_read_it(prices: Path, place: Path) -> None:
    read(prices, place)
    (kept,) = place.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_where_nothing_can_be_kept_it_is_read(prices: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert read(prices, tmp_path / "file").n_assets == 2
    assert (tmp_path / "file").read_text() == ""


def test_what_was_used_longest_ago_goes_first(
    prices: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(MOST_PANELS):
        read(prices, place, max_gap=day)
        for file in place.iterdir():
            os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns - 10**9))
    read(prices, place, max_gap=0)  # used again
    read(prices, place, max_gap=MOST_PANELS)  # takes the place of the second
    assert len(list(place.iterdir())) == MOST_PANELS
    refuse_to_read(monkeypatch)
    read(prices, place, max_gap=0)
    with pytest.raises(AssertionError, match="were read"):
        read(prices, place, max_gap=1)


def test_no_more_bytes_are_kept_than_may_be(
    prices: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(prices, place)
    (kept,) = place.iterdir()
    monkeypatch.setattr(module, "MOST_BYTES", 2 * kept.stat().st_size)
    for day in range(4):
        read(prices, place, max_gap=day)
    assert len(list(place.iterdir())) == 2


def test_what_cannot_be_used_is_said_each_time(tmp_path: Path, place: Path) -> None:
    for _ in range(2):
        with pytest.raises(DataError, match="no such file"):
            read(tmp_path / "none.csv", place)
    path = tmp_path / "bad.csv"
    path.write_text("date,close\n2024-01-01,-1\n2024-01-02,2\n")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    for _ in range(2):
        with pytest.raises(DataError, match="close of bad at 2024-01-01 is -1"):
            read(path, place)
