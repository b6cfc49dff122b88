"""What a party checks of the list of members and key holder, before keys are made or taken."""

from collections.abc import Mapping
from typing import Any

from clients.identity import check_roster, read_identities
from fedtrade.errors import ConfigurationError, ProtocolError, SignatureError
from fedtrade.secure import EncryptedAggregation
from fedtrade.secure.masked import IdentityKey
from fedtrade.secure.wire import HOLDER, N_MEMBERS

__all__ = ["check_key_roster", "listed_number"]


def check_key_roster(
    settings: EncryptedAggregation,
    roster: Mapping[int, bytes],
    record: Mapping[str, Any],
    number: int,
    identity: IdentityKey,
) -> tuple[int, int]:
    """How many members there are, and which number the key holder has.

    Its number is the last one, in the roster as in the file of `settings.identities`.

    Parameters
    ----------
    roster : mapping of int to 32 bytes
        Public identity keys by number, as the server lists them.
    record : mapping
        Where the server says both.
    number, identity
        The party's own.

    Raises
    ------
    SignatureError
        If a key is another one than is known, or somebody has two roles.
    ProtocolError
        If the server does not say both, or too few or more members than it lists.
    ConfigurationError
        If the file cannot be read.
    """
    check_roster(roster, number, identity, settings.identities)
    if len(set(roster.values())) < len(roster):
        raise SignatureError("the server lists one key for two parties, and each has one role.")
    n_members, holder = record.get(N_MEMBERS), record.get(HOLDER)
    if type(n_members) is not int or type(holder) is not int:
        raise ProtocolError(
            "the server does not say how many members there are, and who holds the key."
        )
    if not settings.min_contributors <= n_members < len(roster):
        raise ProtocolError(
            f"the server says that there are {n_members} members and lists {len(roster) - 1}, and "
            f"min_contributors={settings.min_contributors}."
        )
    last = max(roster if settings.identities is None else read_identities(settings.identities))
    if holder != last:
        raise SignatureError(
            f"the server says that {holder} holds the key; the key holder is the last, {last}."
        )
    return n_members, holder


def listed_number(public: bytes, path: str) -> int:
    """The number under which a file lists a key.

    Raises
    ------
    ConfigurationError
        If the file does not list it, or cannot be read.
    """
    found = [number for number, key in read_identities(path).items() if key == public]
    if len(found) != 1:
        raise ConfigurationError(
            f"aggregation.identities={path!r} lists the key holder's own key {len(found)} times; "
            "list it once, behind the participants'."
        )
    return found[0]
