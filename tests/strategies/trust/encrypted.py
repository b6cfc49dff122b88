"""Federations with a key holder for the tests of encrypted sums."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from fedtrade.errors import FedtradeError, ProtocolError
from fedtrade.settings import Settings
from simulations.grid import InProcessGrid
from tests.strategies.trust.federation import Fate, Federation

__all__ = [
    "ALL",
    "APP",
    "EQUAL",
    "FIRST_ROUND",
    "HOLDER",
    "Make",
    "N",
    "encrypted",
    "failing",
    "federated",
    "refused",
]

Make = Callable[..., Settings]

APP = "clients.client_app:app"
N = 5
ALL = set(range(N))
HOLDER = N
"""The node behind the participants."""
EQUAL = "strategy.weights=equal"
FIRST_ROUND = 2
"""The sum of the first round: two federated sums of the task come before."""


@contextmanager
def federated(settings: Settings, fate: Fate | None = None, **options: Any) -> Iterator[Federation]:
    """A run that can begin; the options are the grid's."""
    run_config = {"settings": settings.to_json()}
    with InProcessGrid(APP, settings.n_nodes or 1, run_config=run_config, **options) as grid:
        yield Federation(grid, settings, fate)


def encrypted(make: Make, *overrides: str) -> Settings:
    """Settings of encrypted sums of members that count alike."""
    return make("aggregation=encrypted", EQUAL, *overrides)


def refused(
    make: Make,
    fate: Fate | None = None,
    *overrides: str,
    kind: type[FedtradeError] = ProtocolError,
    **options: Any,
) -> str:
    """What a run that does not begin says."""
    settings = encrypted(make, *overrides)
    run_config = {"settings": settings.to_json()}
    with InProcessGrid(APP, settings.n_nodes or 1, run_config=run_config, **options) as grid:
        with pytest.raises(kind) as caught:
            Federation(grid, settings, fate)
        return str(caught.value)


def failing(numbers: set[int], stage: str, sessions: range, how: str) -> Fate:
    """The fate of some when they are asked for a stage of these sums."""

    def fate(number: int, stages: Mapping[str, int]) -> str | None:
        return how if number in numbers and stages.get(stage, -9) in sessions else None

    return fate
