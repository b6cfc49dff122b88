"""Who a participant is in a run: its long-term key, the others' public keys, and the run itself."""

import json
from collections.abc import Mapping
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message

from fedtrade.errors import ConfigurationError, ProtocolError, SignatureError
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.secure import PrivateAggregation
from fedtrade.secure.agreement import agreed_run, check_agreed
from fedtrade.secure.masked import IdentityKey
from fedtrade.secure.wire import (
    BY_EXAMPLES,
    GREETING,
    IDENTITY,
    N_MEMBERS,
    PROTOCOL_VERSION,
    ROUND,
    RUN,
    SETTINGS,
    VERSION,
)

__all__ = [
    "check_roster",
    "own_bytes",
    "own_identity",
    "read_identities",
    "read_round",
    "read_run",
]

IDENTITY_KEY = "identity-key"
"""The entry of a node's configuration with the path of its private identity key."""


def own_identity(context: Context) -> IdentityKey:
    """The participant's long-term key: of the node's file, or else made at the first contact.

    Raises
    ------
    ConfigurationError
        If the file cannot be read.
    """
    path = context.node_config.get(IDENTITY_KEY)
    if path is not None:
        try:
            return IdentityKey.from_private_bytes(Path(str(path)).read_bytes())
        except OSError as error:
            raise ConfigurationError(
                f"the node's config has {IDENTITY_KEY}={path!r}, which cannot be read "
                f"({error.strerror}); name the private identity key of the party's start kit."
            ) from error
        except ValueError as error:
            raise ConfigurationError(
                f"the node's config has {IDENTITY_KEY}={path!r}, which is no private key of 32 "
                f"bytes: {error}."
            ) from error
    if IDENTITY not in context.state:
        private = IdentityKey.generate().private_bytes
        context.state[IDENTITY] = ConfigRecord({IDENTITY: private})
    return IdentityKey.from_private_bytes(own_bytes(context.state[IDENTITY], IDENTITY))


def check_roster(
    roster: Mapping[int, bytes], number: int, identity: IdentityKey, known: str | None
) -> None:
    """Compare the server's list of public keys with what the participant knows itself.

    Parameters
    ----------
    known : str or None
        Path of a JSON file with public keys in hexadecimal by participant's number.

    Raises
    ------
    SignatureError
        If a key is another one.
    ConfigurationError
        If the file cannot be read.
    """
    if roster.get(number) != identity.public_bytes:
        raise SignatureError(
            f"the server lists another public key for participant {number} than its own."
        )
    if known is None:
        return
    keys = read_identities(known)
    for other, key in roster.items():
        if keys.get(other) != key:
            raise SignatureError(
                f"the server lists a public key for participant {other} that "
                f"aggregation.identities={known!r} does not have."
            )


def read_identities(path: str) -> dict[int, bytes]:
    """The public keys by number in a JSON file.

    Raises
    ------
    ConfigurationError
        If the file cannot be read.
    """
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8"))
        return {int(n): bytes.fromhex(key) for n, key in listed.items()}
    except OSError as error:
        raise ConfigurationError(
            f"aggregation.identities={path!r} cannot be read ({error.strerror}); name the JSON "
            "file of the participants' public identity keys, or null to trust the server's list."
        ) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"aggregation.identities={path!r} must be a JSON file of public keys in hexadecimal "
            f"by participant's number: {error}."
        ) from error


def read_run(
    message: Message,
    settings: PrivateAggregation,
    noise: NoisyVectors | None,
    brought: str,
) -> bytes:
    """The run that a greeting begins, by the name that includes this party's own settings.

    Parameters
    ----------
    brought : str
        Digest of all settings that the run brought (`clients.brought`).

    Raises
    ------
    ProtocolError
        If the message is no greeting of a private mode, or one of another version.
    ConfigurationError
        If the server's settings of private sums are other ones.
    """
    greeting = message.content.config_records.get(GREETING, ConfigRecord())
    run, version = greeting.get(RUN), greeting.get(VERSION)
    if not isinstance(run, bytes):
        raise ProtocolError(
            "the server does not say which run this is, and this participant's settings want "
            "private sums: give all the same settings."
        )
    if version != PROTOCOL_VERSION:
        raise ProtocolError(
            f"the server speaks version {version!r} of private sums, and this participant version "
            f"{PROTOCOL_VERSION}: install the same fedtrade everywhere."
        )
    agreed = None if noise is None else noise.agreed()
    check_agreed(settings, greeting.get(SETTINGS), agreed)
    return agreed_run(run, settings, agreed, brought=brought)


def read_round(message: Message) -> tuple[int, bool]:
    """How many members the sum has at most, and whether they count by examples.

    Raises
    ------
    ProtocolError
        If the message asks for no private contribution.
    """
    records = message.content.config_records
    if ROUND not in records:
        raise ProtocolError(
            "the server asks for a contribution in the clear, and this participant's settings "
            "want private sums: it gives none."
        )
    n_members, by_examples = records[ROUND].get(N_MEMBERS), records[ROUND].get(BY_EXAMPLES)
    if not isinstance(n_members, int) or n_members < 1 or not isinstance(by_examples, bool):
        raise ProtocolError("the server does not say how many members the sum has.")
    return n_members, by_examples


def own_bytes(record: object, name: str) -> bytes:
    """An entry of bytes of the own state."""
    value = record.get(name) if isinstance(record, ConfigRecord) else None
    if not isinstance(value, bytes):
        raise ProtocolError(f"the participant's state has no {name}; start the run again.")
    return value
