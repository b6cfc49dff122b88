"""Ports of this machine."""

import socket
from contextlib import closing

from fedtrade.errors import NodeError

__all__ = ["free_port"]


def free_port(host: str, port: int, key: str) -> int:
    """The port, or a free one for 0, if something can listen there now.

    Parameters
    ----------
    key : str
        The setting that named it.

    Raises
    ------
    NodeError
        If the port is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NodeError(
                f"{key}={port} cannot be listened on at {host} ({error.strerror}); stop what "
                f"listens there, or choose another with {key}=PORT."
            ) from None
        return int(probe.getsockname()[1])
