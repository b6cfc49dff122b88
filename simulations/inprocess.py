"""The runtime `inprocess`: all participants in this process, without Ray; some of them may lie."""

from functools import partial
from typing import Literal

from fedtrade.errors import ConfigurationError
from fedtrade.holdings import with_participants
from fedtrade.settings import Settings
from simulations.attacks.cast import Cast
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
    ConfigurationError
        If an argument lies outside of its range.
    FedtradeError
        As the ServerApp.
    """
    if not isinstance(n_workers, int) or n_workers < 0:
        raise ConfigurationError(f"runtime.n_workers must be 0 or more, got {n_workers!r}.")
    if workers not in ("processes", "threads"):
        raise ConfigurationError(
            f"runtime.workers must be 'processes' or 'threads', got {workers!r}."
        )
    settings = with_participants(settings)
    cast = Cast.of(settings)
    poisons_data = cast is not None and cast.poisons_data
    simulate(
        "strategies.server_app:app",
        "simulations.attacks.poisoned_app:app" if poisons_data else "clients.client_app:app",
        n_participants=settings.n_nodes or 1,
        run_config={"settings": settings.to_json()},
        seed=settings.seed,
        n_workers=n_workers,
        workers=workers,
        around=None if cast is None else partial(cast.on, settings=settings),
    )
