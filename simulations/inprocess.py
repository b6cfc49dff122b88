"""The runtime `inprocess`: all participants in this process, without Ray."""

from typing import Literal

from fedtrade.holdings import Holdings
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
    n_participants = Holdings.of(settings).n_participants
    settings = settings.model_copy(
        update={
            "federation": settings.federation.model_copy(update={"n_participants": n_participants})
        }
    )
    simulate(
        "strategies.server_app:app",
        "clients.client_app:app",
        n_participants=n_participants,
        run_config={"settings": settings.to_json()},
        seed=settings.seed,
        n_workers=n_workers,
        workers=workers,
    )
