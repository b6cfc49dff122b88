"""ByzFL's rules, a peer in benchmarks and an oracle in tests, without the rest of the package.

Its `__init__` imports plots and data sets that need torchvision; its rules need only NumPy, SciPy
and torch.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

__all__ = ["byzfl_module"]


def byzfl_module(name: str) -> ModuleType | None:
    """A module of ByzFL such as `aggregators.aggregators`; None where it is not installed."""
    if "byzfl" not in sys.modules:
        spec = find_spec("byzfl")
        if spec is None or spec.submodule_search_locations is None:
            return None
        package = ModuleType("byzfl")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["byzfl"] = package
    return import_module(f"byzfl.{name}")
