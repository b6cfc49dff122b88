"""What the members of a masked sum agree on before they choose their neighbours."""

from dataclasses import dataclass
from typing import Literal, get_args

from fedtrade.errors import ConfigurationError

__all__ = ["Adversary", "GraphParameters", "is_malicious"]

Adversary = Literal["semi_honest", "malicious"]
"""Whether the server follows the protocol or may do anything."""


def is_malicious(adversary: Adversary) -> bool:
    """Whether the server may leave the protocol.

    Raises
    ------
    ConfigurationError
        If the adversary is unknown.
    """
    if adversary not in get_args(Adversary):
        raise ConfigurationError(
            f"adversary must be one of {', '.join(get_args(Adversary))}, got {adversary!r}."
        )
    return adversary == "malicious"


@dataclass(frozen=True)
class GraphParameters:
    """The graph of a cohort and the thresholds of its secrets.

    Attributes
    ----------
    n_members : int
        Of the cohort (n).
    degree : int
        Neighbours of each member (k), which hold the shares of its secrets.
    threshold : int
        Shares that open a secret (t).
    most_colluders : int
        Of a member's neighbours that are reckoned with (c).
    committee : int
        Members that sign the set of survivors (K); 0 if the server is trusted to follow the
        protocol.
    quorum : int
        Signatures that a set needs (q); two sets cannot both have them while no more than the
        reckoned colluders of the committee sign twice.
    """

    n_members: int
    degree: int
    threshold: int
    most_colluders: int
    committee: int
    quorum: int

    @property
    def is_complete(self) -> bool:
        """Whether everybody is everybody's neighbour."""
        return self.degree == self.n_members - 1

    @property
    def most_dropouts(self) -> int:
        """Of a member's neighbours that may fail between its shares and their opening."""
        return self.degree - self.threshold
