from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from fedtrade.errors import CheckpointError, OutputError
from fedtrade.model_file import read_model, write_model
from fedtrade.settings import Settings
from fedtrade.tasks.task import Model

Make = Callable[..., Settings]
MODEL = Model(np.arange(4, dtype=np.float32), {"moments": np.arange(6.0).reshape(3, 2).T})
FORMAT = {"format": "fedtrade-model-1"}


def test_a_model_comes_back(tiny: Make, tmp_path: Path) -> None:
    settings = tiny()
    write_model(tmp_path / "m.safetensors", MODEL, settings, 946_857_600)
    found = read_model(str(tmp_path / "m.safetensors"))
    assert found.settings == settings
    assert found.trained_until == "2000-01-03"
    np.testing.assert_array_equal(found.model.vector, MODEL.vector)
    assert found.model.vector.dtype == np.float32
    np.testing.assert_array_equal(found.model.learned["moments"], MODEL.learned["moments"])


def test_the_spacing_of_bars_may_be_missing(tiny: Make, tmp_path: Path) -> None:
    for bar in ("1h", None):
        write_model(tmp_path / "m", MODEL, tiny(), 0, bar)
        assert read_model(tmp_path / "m").bar == bar


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no model at .*none.safetensors"):
        read_model(tmp_path / "none.safetensors")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read as a model"):
        read_model(tmp_path)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xff" * 100])
def test_a_damaged_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(CheckpointError, match="cannot be read as a model"):
        read_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not a model that fedtrade wrote"),
        ({"format": "other"}, "not a model that fedtrade wrote"),
        (FORMAT, "no readable settings"),
        (FORMAT | {"settings": "{", "trained_until": "2000"}, "no readable settings"),
        (FORMAT | {"settings": "{}", "trained_until": "2000"}, "no readable settings"),
    ],
)
def test_a_file_of_somebody_else_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None, message: str
) -> None:
    (tmp_path / "m").write_bytes(save({"vector": MODEL.vector}, metadata=metadata))
    with pytest.raises(CheckpointError, match=message):
        read_model(tmp_path / "m")


def test_a_model_without_the_last_bar_is_refused(tiny: Make, tmp_path: Path) -> None:
    metadata = FORMAT | {"settings": tiny().to_json()}
    (tmp_path / "m").write_bytes(save({"vector": MODEL.vector}, metadata=metadata))
    with pytest.raises(CheckpointError, match="no readable settings: 'trained_until'"):
        read_model(tmp_path / "m")


def test_a_place_that_cannot_be_written(tiny: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be written"):
        write_model(tmp_path / "file" / "m", MODEL, tiny(), 0)
