"""Whether Flower's inner parts are those that a faster path was written for."""

import hashlib
import inspect
from types import ModuleType
from typing import Any, Final

from flwr.supercore.version import package_version

__all__ = ["FLOWER", "lacks", "replace"]

FLOWER: Final = "1.41."


def lacks(module: ModuleType, *names: str, source: str = "") -> str:
    """Why a module cannot be relied on; empty if it can.

    Parameters
    ----------
    names : str
        What it must have.
    source : str
        SHA-256 of its source, in hexadecimal; empty for any.
    """
    if not package_version.startswith(FLOWER):
        return f"Flower is {package_version}, not {FLOWER}x"
    missing = [name for name in names if not hasattr(module, name)]
    if missing:
        return f"{module.__name__} has no {missing[0]}"
    if source and hashlib.sha256(inspect.getsource(module).encode()).hexdigest() != source:
        return f"{module.__name__} is not the one that is known"
    return ""


def replace(module: ModuleType, **meanings: Any) -> None:
    """Give names of a module another meaning in this process."""
    for name, meaning in meanings.items():
        setattr(module, name, meaning)
