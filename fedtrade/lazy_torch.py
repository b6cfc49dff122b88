"""torch, imported when something of it is first used.

That takes more than a second, and of a run's messages only training and scoring need it. A fourth
of it would go into 500 looks for garbage among what stays as long as the process does; all that is
frozen, or the first look behind it would go through it.
"""

import gc
import sys
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
            value = getattr(_loaded(), name)
            setattr(self, name, value)
            return value

    def _loaded() -> ModuleType:
        if "torch" in sys.modules:
            return import_module("torch")
        collects = gc.isenabled()
        gc.disable()
        try:
            module = import_module("torch")
            gc.freeze()
        finally:
            if collects:
                gc.enable()
        return module

    torch = _Torch("torch")
