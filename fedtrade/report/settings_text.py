"""Nested settings as flat dotted keys."""

from collections.abc import Iterator, Mapping
from typing import Any


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key, such as `strategy.n_rounds`; lists stay values."""
    return dict(_pairs(settings, ""))


def find_setting(settings: Mapping[str, Any], name: str) -> Any:
    """Value of the shallowest key whose last part is `name`; None if there is none."""
    found = [
        (key.count("."), key, value)
        for key, value in flatten(settings).items()
        if key.rsplit(".", 1)[-1] == name
    ]
    return min(found, key=lambda item: item[:2])[2] if found else None


def data_source(settings: Mapping[str, Any]) -> str:
    """Name of the data that a run used, with its file if it has one; empty if not recorded."""
    data = settings.get("data", "")
    if not isinstance(data, Mapping):
        return str(data)
    parts = [str(data.get("_target_", data.get("name", ""))).rsplit(".", 1)[-1]]
    parts += [str(data["path"])] if "path" in data else []
    return " ".join(part for part in parts if part)


def _pairs(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
