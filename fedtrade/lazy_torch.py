"""torch, imported when something of it is first used.

That takes more than a second, and of a run's messages only training and scoring need it.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["torch"]

if TYPE_CHECKING:
    import torch
else:

    class _Torch(ModuleType):
        """Stands for the module, and remembers what was asked of it."""

        def __getattr__(self, name: str) -> Any:
            value = getattr(import_module("torch"), name)
            setattr(self, name, value)
            return value

    torch = _Torch("torch")
