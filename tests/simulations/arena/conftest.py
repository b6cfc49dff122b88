"""A sweep of a second: five workers, three rounds on digits."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simulations.arena.launch import arena_settings
from simulations.arena.settings import ArenaSettings

TINY = (
    "problems=[digits]",
    "problem.digits.levels=[iid]",
    "problem.digits.n_participants=5",
    "problem.digits.rounds=3",
    "rules=[mean,median]",
    "attacks=[none,sign_flip]",
    "shares=[0.2]",
    "seeds=[0]",
    "n_workers=0",
    "progress=none",
)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., ArenaSettings]:
    """Makes settings of a tiny sweep under further overrides; `out` is a fresh folder."""

    def make(*overrides: str) -> ArenaSettings:
        return arena_settings([*TINY, f"out='{tmp_path / 'arena'}'", *overrides])

    return make


@pytest.fixture
def tiny_overrides(tmp_path: Path) -> list[str]:
    """The overrides of a tiny sweep."""
    return [*TINY, f"out='{tmp_path / 'arena'}'"]
