"""Refuse a run that cannot work with those who are to take part, before anybody is waited for."""

from typing import Final

from fedtrade.components import build
from fedtrade.settings import Component, Settings

__all__ = ["check_ahead"]

CHECK: Final = Component(target="strategies.preconditions.check_ahead")
"""What the ServerApp does first: it knows Flower, and is reached by name alone."""


def check_ahead(settings: Settings) -> None:
    """Check the strategy and the trust mode against `federation.n_participants`.

    Raises
    ------
    FedtradeError
        Naming what does not fit, and the remedy.
    """
    build(CHECK, "run", settings=settings)
