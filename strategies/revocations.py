"""Members that are taken out of the register while a run goes on."""

import os
from collections.abc import Mapping
from pathlib import Path

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.registry import REGISTRY_VARIABLE, Party, Registry, stamp_of
from strategies.replies import Refusal

__all__ = ["Revocations"]


class Revocations:
    """Looks at the register, and says each revocation once.

    Parameters
    ----------
    parties : mapping of int to Party
        Registered parties by node.
    path : Path or None
        Of the register; None for that of the environment, if there is one.

    Attributes
    ----------
    nodes : set of int
        Of those who have been revoked so far.
    """

    def __init__(self, parties: Mapping[int, Party], path: Path | None = None) -> None:
        place = os.environ.get(REGISTRY_VARIABLE)
        self._path = path or (Path(place) if place else None)
        self._parties = parties
        self._seen: object = None
        self.nodes: set[int] = set()

    def found(self) -> list[Refusal]:
        """Those who have been revoked since this was asked last."""
        if self._path is None:
            return []
        stamp = stamp_of(self._path)
        if stamp == self._seen:
            return []
        try:
            revoked = {p.node_key for p in Registry.read(self._path).parties if p.revoked}
        except ConfigurationError:
            return []  # the server says so; it is looked at again
        self._seen = stamp
        new = [
            Refusal(node, f"{party.name} has been revoked")
            for node, party in sorted(self._parties.items())
            if party.node_key in revoked and node not in self.nodes
        ]
        self.nodes.update(refusal.node_id for refusal in new)
        return new
