"""What a node of a party with settings of its own is started with, and messages to it."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

from conf import compose
from fedtrade.nodes.local_settings import LOCAL_SETTINGS, write_local_settings
from fedtrade.nodes.settings import ClientSettings
from fedtrade.wire import CONFIG, DESCRIBE, VERSION, own_version

__all__ = ["RUN_ID", "context", "count", "greeting", "message", "node_config", "remember"]

RUN_ID = 7


def node_config(folder: Path, *, role: str = "participant", **changes: Any) -> dict[str, Any]:
    """Of participant 0, or of a key holder; the settings lie in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "ca.crt").write_text("the consortium's")
    settings = ClientSettings.from_mapping(
        {
            "name": "alpha",
            "role": role,
            "number": 0,
            "superlink": "localhost:1",
            "root_certificates": str(folder / "ca.crt"),
            "key": str(folder / "node.key"),
            "state": str(folder / "state"),
            **changes,
        }
    )
    path = write_local_settings(settings)
    return {
        "role": role.replace("_", "-"),
        "partition-id": settings.number,
        LOCAL_SETTINGS: str(path),
    }


def context(config: dict[str, Any], *overrides: str, run_id: int = RUN_ID) -> Context:
    """As a SuperNode makes it when it first hears of a run."""
    return Context(run_id, 1, config, RecordDict(), {"settings": _settings(overrides)})


@cache
def _settings(overrides: tuple[str, ...]) -> str:
    return compose(["aggregation=masked", "federation.n_participants=4", *overrides]).to_json()


def message(kind: str = "query.secure", **config: Any) -> Message:
    """A message that asks for nothing but what `config` says."""
    content = RecordDict({CONFIG: ConfigRecord(config)}) if config else RecordDict()
    return Message(content, 1, kind)


def greeting(version: str | None = None) -> Message:
    """The first message of a run, from a server of this version unless another is given."""
    return message(DESCRIBE, **{VERSION: own_version() if version is None else version})


def remember(asked: Message, own: Context) -> Message:
    """An app that counts in its state."""
    n = count(own)
    own.state["n"] = MetricRecord({"n": n + 1})
    own.state["secret"] = ConfigRecord({"key": bytes([n] * 32)})
    own.state["mask"] = ArrayRecord({"mask": Array(np.arange(3.0))})
    return asked


def count(own: Context) -> int:
    """How often it has."""
    record = own.state.get("n", MetricRecord({"n": 0}))
    assert isinstance(record, MetricRecord)
    return int(record["n"])  # type: ignore[arg-type]
