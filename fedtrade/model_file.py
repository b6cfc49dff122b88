"""A trained model as one safetensors file: its arrays, and the settings to rebuild it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedtrade.atomic import write_atomically
from fedtrade.errors import CheckpointError, ConfigurationError
from fedtrade.settings import Settings
from fedtrade.tasks.task import Model
from fedtrade.wire import bar_text

__all__ = ["StoredModel", "read_model", "write_model"]

FORMAT = "fedtrade-model-1"


class StoredModel(NamedTuple):
    """A model, the settings of the run that made it, and what its data were like.

    Attributes
    ----------
    trained_until : str
        The last bar that it has seen.
    bar : str or None
        The usual spacing of its bars; None in files of versions that did not store it.
    """

    model: Model
    settings: Settings
    trained_until: str
    bar: str | None = None


def write_model(
    path: Path, model: Model, settings: Settings, trained_until: int, bar: str | None = None
) -> None:
    """Store the vector and the learned sums.

    Parameters
    ----------
    trained_until : int
        Seconds since 1970 of the last bar of training.
    bar : str or None
        The usual spacing of the bars of training, such as `"1D"`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {"vector": np.ascontiguousarray(model.vector)}
    arrays |= {f"learned.{k}": np.ascontiguousarray(v) for k, v in model.learned.items()}
    metadata = {
        "format": FORMAT,
        "settings": settings.to_json(),
        "trained_until": bar_text(trained_until),
    }
    if bar is not None:
        metadata["bar"] = bar
    write_atomically(path, save(arrays, metadata=metadata))


def read_model(path: str | Path) -> StoredModel:
    """Read back what `write_model` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or not a model of fedtrade.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"there is no model at {path}; name a model.safetensors.") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as a model: {error}.") from error
    if metadata.get("format") != FORMAT or "vector" not in arrays:
        raise CheckpointError(f"{path} is not a model that fedtrade wrote.")
    try:
        settings = Settings.from_json(metadata["settings"])
        trained_until = metadata["trained_until"]
    except (KeyError, ConfigurationError) as error:
        raise CheckpointError(f"{path} has no readable settings: {error}.") from error
    learned = {k.removeprefix("learned."): v for k, v in arrays.items() if k != "vector"}
    return StoredModel(
        Model(arrays["vector"], learned), settings, trained_until, metadata.get("bar")
    )
