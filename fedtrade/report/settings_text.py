"""Nested settings as text: flat dotted keys, and YAML to read."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_./][\w./-]*")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", ".", ".inf", ".nan"}


def settings_yaml(settings: Mapping[str, Any]) -> str:
    """Settings as YAML: a block for each group, each value on a line of its own."""
    return "".join(f"{line}\n" for line in _yaml_lines(settings, ""))


def _yaml_lines(settings: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_yaml_value(key)}:"
            yield from _yaml_lines(value, f"{indent}  ")
        else:
            yield f"{indent}{_yaml_value(key)}: {_yaml_value(value)}"


def _yaml_value(value: Any) -> str:
    """A value as JSON, which YAML reads too; text without quotes where it stays text."""
    is_plain = (
        isinstance(value, str)
        and _PLAIN.fullmatch(value) is not None
        and value.lower() not in _NOT_TEXT
    )
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)


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
