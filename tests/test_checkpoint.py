import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedtrade.checkpoint import FOLDER, Checkpoints, can_resume, fingerprint
from fedtrade.errors import CheckpointError, OutputError
from fedtrade.market.panel import Panel
from fedtrade.outcome import EpisodeOutcome
from fedtrade.settings import Settings
from fedtrade.tasks.task import Model
from fedtrade.wire import EpisodeRecord

Make = Callable[..., Settings]
EPISODE = EpisodeRecord(1, 0, 946_857_600, 946_944_000, 0)


def _outcome(value: float = 1.0) -> EpisodeOutcome:
    models = {"federated": Model(np.full(3, value, dtype=np.float32))}
    return EpisodeOutcome(EPISODE, 2, models=models)


def test_what_was_saved_last_is_loaded(tiny: Make, tmp_path: Path) -> None:
    Checkpoints(tmp_path, tiny()).save(_outcome(1.0))
    writer = Checkpoints(tmp_path, tiny("resume=true"))
    writer.save(_outcome(2.0))
    found = Checkpoints(tmp_path, tiny("resume=true")).load(EPISODE)
    assert found is not None
    assert found.models["federated"].vector.tolist() == [2.0] * 3
    assert writer.load(EpisodeRecord(2, 0, 0, 1, 0)) is None


def test_a_new_run_removes_the_checkpoint_of_the_last(tiny: Make, tmp_path: Path) -> None:
    Checkpoints(tmp_path, tiny()).save(_outcome())
    assert Checkpoints(tmp_path, tiny()).load(EPISODE) is None


def test_nothing_else_in_the_folder_is_removed(tiny: Make, tmp_path: Path) -> None:
    Checkpoints(tmp_path, tiny()).save(_outcome())
    (tmp_path / "notes").mkdir()
    for name in ("mine.txt", "episode.npz", "notes/episode-0001.npz"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    Checkpoints(tmp_path, tiny())
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"run.json", "mine.txt", "episode.npz", "notes", "notes/episode-0001.npz"}


def test_a_checkpoint_that_cannot_be_removed(tiny: Make, tmp_path: Path) -> None:
    (tmp_path / "episode-0001.npz").mkdir()
    with pytest.raises(OutputError, match=r"episode-0001\.npz .* could not be removed .* out=DIR"):
        Checkpoints(tmp_path, tiny())


def test_changed_data_are_refused(tiny: Make, tmp_path: Path) -> None:
    """The same settings and origins, but a price was corrected since."""
    Checkpoints(tmp_path, tiny(), "a" * 64).save(_outcome())
    with pytest.raises(CheckpointError, match="other data: what `data` names has changed"):
        Checkpoints(tmp_path, tiny("resume=true"), "b" * 64)
    assert Checkpoints(tmp_path, tiny("resume=true"), "a" * 64).load(EPISODE) is not None
    assert json.loads((tmp_path / "run.json").read_text())["data_sha256"] == "a" * 64


@pytest.mark.parametrize(("before", "now"), [("a" * 64, None), (None, "b" * 64), (None, None)])
def test_data_that_cannot_be_seen_are_not_compared(
    tiny: Make, tmp_path: Path, before: str | None, now: str | None
) -> None:
    Checkpoints(tmp_path, tiny(), before).save(_outcome())
    assert Checkpoints(tmp_path, tiny("resume=true"), now).load(EPISODE) is not None


def test_the_fingerprint_is_of_everything_in_a_panel() -> None:
    bars = np.array([0, 86_400], dtype="datetime64[s]")
    close = np.array([[1.0, np.nan], [2.0, 3.0]])
    panel = Panel(bars, ("A", "B"), close, ohlv={"open": close})
    found = fingerprint(panel)
    assert re.fullmatch("[0-9a-f]{64}", found)
    assert fingerprint(Panel(bars.copy(), ("A", "B"), close.copy(), ohlv={"open": close})) == found
    others = [
        Panel(bars + np.timedelta64(1, "s"), ("A", "B"), close, ohlv={"open": close}),
        Panel(bars, ("A", "C"), close, ohlv={"open": close}),
        Panel(bars, ("A", "B"), np.nextafter(close, 9.0), ohlv={"open": close}),
        Panel(bars, ("A", "B"), close, bar="1h", ohlv={"open": close}),
        Panel(bars, ("A", "B"), close, ohlv={"high": close}),
        Panel(bars, ("A", "B"), close, ohlv={"open": 2.0 * close}),
        Panel(bars, ("A", "B"), close),
    ]
    assert len({found, *map(fingerprint, others)}) == 8


def test_nothing_to_resume(tiny: Make, tmp_path: Path) -> None:
    folder = tmp_path / "none"
    with pytest.raises(CheckpointError, match=f"nothing to resume: {folder} has no checkpoint"):
        Checkpoints(folder, tiny("resume=true"))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=7", "seed=0, the settings say 7"),
        ("federation.rounds=5", "federation.rounds=2, the settings say 5"),
        ("task.learning_rate=0.5", "task.learning_rate=0.02, the settings say 0.5"),
        ("model=mlp", r"model._target_='fedtrade.models.Linear', the settings say '.*MLP'"),
        ("~task.local_steps", "task.local_steps=3, the settings say None"),
    ],
)
def test_the_key_in_which_another_run_differs_is_named(
    tiny: Make, tmp_path: Path, override: str, message: str
) -> None:
    Checkpoints(tmp_path, tiny()).save(_outcome())
    with pytest.raises(CheckpointError, match=f"belongs to another run: it has .*{message}"):
        Checkpoints(tmp_path, tiny("resume=true", override))
    assert Checkpoints(tmp_path, tiny("resume=true")).load(EPISODE) is not None


@pytest.mark.parametrize(
    "override",
    [
        "progress=plain",
        "runtime.n_workers=2",
        "federation.reply_timeout_s=30",
        "federation.join_timeout_s=90",
        "federation.quorum=0.5",
    ],
)
def test_settings_without_effect_may_differ(tiny: Make, tmp_path: Path, override: str) -> None:
    Checkpoints(tmp_path, tiny()).save(_outcome())
    assert Checkpoints(tmp_path, tiny("resume=true", override)).load(EPISODE) is not None


def test_whether_a_run_can_go_on_is_told_without_changing_anything(
    tiny: Make, tmp_path: Path
) -> None:
    assert not can_resume(tmp_path, tiny())
    Checkpoints(tmp_path / FOLDER, tiny()).save(_outcome())
    assert can_resume(tmp_path, tiny())
    assert not can_resume(tmp_path, tiny("seed=7"))
    assert Checkpoints(tmp_path / FOLDER, tiny("resume=true")).load(EPISODE) is not None


def test_an_episode_of_other_data_is_refused(tiny: Make, tmp_path: Path) -> None:
    """The same settings, but the price file has grown: origins have moved."""
    checkpoints = Checkpoints(tmp_path, tiny())
    checkpoints.save(_outcome())
    other = EpisodeRecord(1, 0, EPISODE.origin + 86_400, EPISODE.test_end, 0)
    with pytest.raises(
        CheckpointError, match="other data: its episode 1 has the origin 2000-01-03"
    ):
        checkpoints.load(other)


def test_a_damaged_episode_is_refused(tiny: Make, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, tiny())
    checkpoints.save(_outcome())
    (file,) = tmp_path.glob("episode-*")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="a checkpoint is damaged"):
        checkpoints.load(EPISODE)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"3"])
def test_damaged_settings_are_refused(tiny: Make, tmp_path: Path, content: bytes) -> None:
    Checkpoints(tmp_path, tiny())
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be read|belongs to another run"):
        Checkpoints(tmp_path, tiny("resume=true"))


def test_a_folder_that_cannot_be_written(tiny: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be written"):
        Checkpoints(tmp_path / "file" / "checkpoint", tiny())
