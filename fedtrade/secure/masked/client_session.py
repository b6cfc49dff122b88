"""What a member remembers of one sum, from its pledge to its part in taking the masks off."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from fedtrade.errors import ReplayError

__all__ = ["OPENED", "PLEDGED", "SHARED", "UPLOADED", "ClientSession", "read_sessions"]

PLEDGED: Final = "pledged"
OPENED: Final = "opened"
SHARED: Final = "shared"
UPLOADED: Final = "uploaded"


@dataclass(slots=True)
class ClientSession:
    """Secrets and agreements of one sum; what is used up is empty again.

    Attributes
    ----------
    stage : str
        The last one that is done.
    nonce : 16 bytes
    mask_secret, channel_secret : 32 bytes
        Private keys of the pairwise masks, and of the channels to the neighbours.
    view : 32 bytes
        Digest of everybody's commitments.
    seed : 32 bytes
        Of the graph.
    whole : bytes
        One byte if there are no groups in this sum, though there are in the run.
    members, participants : bytes
        Who opened, and who shared: a bit for each known participant.
    self_seed : 32 bytes
        Of the own mask.
    mask_keys, channel_keys : 32 bytes for each neighbour
        Public keys of the masks, and keys of the channels.
    subject : 32 bytes
        Of what the words are that were masked.
    signed : 32 bytes
        Digest of the survivors, if this member signed any.
    """

    stage: str = PLEDGED
    nonce: bytes = b""
    mask_secret: bytes = b""
    channel_secret: bytes = b""
    view: bytes = b""
    seed: bytes = b""
    whole: bytes = b""
    members: bytes = b""
    participants: bytes = b""
    self_seed: bytes = b""
    mask_keys: bytes = b""
    channel_keys: bytes = b""
    subject: bytes = b""
    signed: bytes = b""

    def expect(self, stage: str, wanted: str, session: int) -> None:
        """Refuse a stage out of order.

        Raises
        ------
        ReplayError
        """
        if self.stage != wanted:
            raise ReplayError(
                f"{stage} of sum {session} follows {wanted!r} and can be had once; this member has "
                f"{self.stage} already."
                if _ORDER.index(self.stage) > _ORDER.index(wanted)
                else f"{stage} of sum {session} follows {wanted!r}; this member has only "
                f"{self.stage}."
            )

    def to_fields(self, session: int) -> dict[str, str | bytes]:
        """Entries of a message or file, under names that begin with the session's number."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {f"{session}.{name}": value for name, value in found.items() if value}


_ORDER = (PLEDGED, OPENED, SHARED, UPLOADED)


def read_sessions(state: Mapping[str, Any]) -> dict[int, ClientSession]:
    """The inverse of `ClientSession.to_fields` for all sessions of a state.

    Raises
    ------
    ValueError
        If the state is not one that a member stored.
    """
    sessions: dict[int, ClientSession] = {}
    names = {field.name for field in fields(ClientSession)}
    for entry, value in state.items():
        number, dot, name = entry.partition(".")
        if not dot:
            continue
        if not number.isdecimal() or name not in names:
            raise ValueError(f"the state of a masked sum has the unknown entry {entry!r}.")
        setattr(sessions.setdefault(int(number), ClientSession()), name, value)
    return sessions
