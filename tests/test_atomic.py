import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedtrade.atomic import replacing, write_atomically
from fedtrade.errors import OutputError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def small_files() -> Iterator[None]:
    """The operating system refuses files of more than 4 kB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_writes_bytes_and_text(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"\x00\xff")
    write_atomically(tmp_path / "b", "é\n")
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b").read_bytes() == b"\xc3\xa9\n"
    assert names(tmp_path) == {"a", "b"}


def test_makes_missing_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x" / "y" / "a", "1")
    assert (tmp_path / "x" / "y" / "a").read_text() == "1"


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_the_greatest_length_of_a_name_works(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("a" * 255), "1")
    assert names(tmp_path) == {"a" * 255}


def test_a_reader_sees_the_earlier_file_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "half"


@pytest.mark.usefixtures("small_files")
def test_what_does_not_fit_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_atomically(path, "old")
    with pytest.raises(OutputError, match=r"results\.json could not be written \(File too large\)"):
        write_atomically(path, b"x" * 10_000)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"results.json"}


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, r"\(No space left on device\): free some space or .* out=DIR\.$"),
        (errno.EACCES, r"\(Permission denied\): choose a folder that you may write to"),
        (errno.EROFS, r"\(Read-only file system\): choose a folder that you may write to"),
        (errno.EIO, r"\(Input/output error\): choose another folder"),
    ],
)
def test_errors_name_reason_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    (tmp_path / "a").write_text("old")

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match=sentence) as caught:
        write_atomically(tmp_path / "a", "new")
    assert str(tmp_path / "a") in str(caught.value)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == {"a"}


def test_a_file_in_place_of_a_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        write_atomically(tmp_path / "file" / "a", "1")


def test_a_folder_in_place_of_the_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="remove that folder or choose another name"):
        write_atomically(tmp_path / "folder", "1")
    assert names(tmp_path) == {"folder"}


def test_other_exceptions_pass_and_leave_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == set()
