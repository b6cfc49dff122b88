"""Differential privacy: what accountants say and take, how well noise is calibrated, what it costs.

Each part is a benchmark of its own too, with options: `fedtrade bench privacy_noise`.
"""

from collections.abc import Sequence
from importlib import import_module

from fedtrade.errors import ConfigurationError
from fedtrade.report.records import Record

__all__ = ["PARTS", "run"]

PARTS = ("accounting", "noise", "update", "training", "ledger")
"""Each is the module `simulations.bench.privacy_<part>`."""


def run(*, parts: Sequence[str] = PARTS) -> list[Record]:
    """Run the parts with their defaults, one after the other.

    Raises
    ------
    ConfigurationError
        If one is unknown.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ConfigurationError(f"bench.parts={unknown[0]!r} is none of {', '.join(PARTS)}.")
    found: list[Record] = []
    for part in parts:
        found += import_module(f"simulations.bench.privacy_{part}").run()
    return found
