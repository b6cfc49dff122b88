"""What answers need of libraries, loaded before they are asked for."""

import gc
import importlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple, TypeAlias

from fedtrade.nodes.settings import Role

__all__ = ["FIRST", "REST", "Code", "Needs", "preload"]

Code: TypeAlias = Literal["installed", "bundle"]


class Needs(NamedTuple):
    """Modules of libraries, and those of this installation, which a run's own code replaces."""

    libraries: Sequence[str] = ()
    own: Sequence[str] = ()


_EXCHANGE: Final = ("httpcore", "cryptography.hazmat.backends.openssl.backend")

FIRST: Final[Mapping[Role, Needs]] = {
    "participant": Needs(
        (*_EXCHANGE, "pandas", "pyarrow.pandas_compat"),
        (
            "clients.client_app",
            "clients.encrypted_party",
            "clients.masked_party",
            "fedtrade.market",
            "fedtrade.tasks.risk",
            "fedtrade.tasks.signal",
            "fedtrade.tasks.volatility",
        ),
    ),
    "key_holder": Needs(_EXCHANGE, ("clients.client_app", "clients.key_holder_party")),
}
"""What a run's first message needs."""

REST: Final[Mapping[Role, Needs]] = {
    "participant": Needs(("torch",), ("fedtrade.models.tail_loss",)),
    "key_holder": Needs(),
}
"""What the others need besides."""


def preload(needs: Needs, code: Code) -> None:
    """Import modules for forks to share; those of this installation only if it answers.

    What cannot be imported is left out: who needs it says so in its answer.
    """
    for name in (*needs.libraries, *(needs.own if code == "installed" else ())):
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a fork that collects would write to all of their pages, and so share none
