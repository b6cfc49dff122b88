"""The runtime `inprocess`: all participants in this process, without Ray."""

from typing import Literal

from fedtrade.holdings import with_participants
from fedtrade.settings import Settings
from simulations.grid import simulate

__all__ = ["run"]


def run(
    settings: Settings,
    *,
    n_workers: int = 0,
    workers: Literal["processes", "threads"] = "processes",
) -> None:
    """Run the settings; the ServerApp writes the results to `settings.out`.

    Parameters
    ----------
    n_workers : int
        0 lets participants compute one after the other in the caller's thread.

    Raises
    ------
    FedtradeError
        As the ServerApp.
    """
    settings = with_participants(settings)
    simulate(
        "strategies.server_app:app",
        "clients.client_app:app",
        n_participants=settings.federation.n_participants or 1,
        run_config={"settings": settings.to_json()},
        seed=settings.seed,
        n_workers=n_workers,
        workers=workers,
    )
