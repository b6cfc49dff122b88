"""Flower apps by name: `module:attribute`."""

import importlib
from typing import TypeVar

from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

__all__ = ["load_client_app", "load_server_app"]

_App = TypeVar("_App", ClientApp, ServerApp)


def load_client_app(reference: str) -> ClientApp:
    """Import the ClientApp at `reference`, such as ``"clients.client_app:app"``.

    Raises
    ------
    ValueError
        If the reference has no colon.
    ImportError
        If the module cannot be imported.
    TypeError
        If there is no ClientApp under that name.
    """
    return _load(reference, ClientApp)


def load_server_app(reference: str) -> ServerApp:
    """Import the ServerApp at `reference`; raises as `load_client_app` does."""
    return _load(reference, ServerApp)


def _load(reference: str, kind: type[_App]) -> _App:
    module, colon, attribute = reference.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"an app is named 'module:attribute', got {reference!r}")
    app = getattr(importlib.import_module(module), attribute, None)
    if not isinstance(app, kind):
        raise TypeError(f"{reference!r} is {type(app)}, not a {kind.__name__}")
    return app
