"""What participants and server call things in the messages of private sums.

A message that asks for a contribution has a record `secure.round`: the number of the sum, how many
members it has at most, and whether they count by examples. Each stage of a protocol that is asked
for besides has a record `secure.STAGE`; a reply has the answers under the same names, and the
contribution itself under `arrays` (masked words) or `secure.ciphertexts`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fedtrade.errors import ProtocolError

__all__ = [
    "BY_EXAMPLES",
    "CHECK",
    "CHUNKS",
    "CIPHERTEXTS",
    "DECRYPT",
    "DIGEST",
    "GREETING",
    "HOLDER",
    "IDENTITY",
    "KEY",
    "KEY_BYTES",
    "KIND",
    "LARGEST_SUM",
    "NUMBERS",
    "N_MEMBERS",
    "OPEN",
    "PAD",
    "PADS",
    "PAD_SIGNATURE",
    "PLEDGE",
    "PROTOCOL_VERSION",
    "PUBLIC",
    "REFUSED",
    "ROSTER",
    "ROUND",
    "RUN",
    "SESSION",
    "SETTINGS",
    "SHAPE",
    "SHARE",
    "SIGNATURE",
    "SIZE",
    "SUBJECT",
    "UNMASK",
    "UPLOAD",
    "VERSION",
    "WORDS",
    "pack_pads",
    "pack_roster",
    "unpack_pads",
    "unpack_roster",
]

GREETING = "secure.greeting"
ROSTER = "secure.roster"
ROUND = "secure.round"

PLEDGE = "secure.pledge"
OPEN = "secure.open"
SHARE = "secure.share"
UPLOAD = "secure.upload"
CHECK = "secure.check"
UNMASK = "secure.unmask"

KEY = "secure.key"
CIPHERTEXTS = "secure.ciphertexts"
DECRYPT = "secure.decrypt"
HOLDER = "holder"
KIND = "kind"
CHUNKS = "chunks"
NUMBERS = "numbers"
DIGEST = "digest"
SIGNATURE = "signature"
SIZE = "size"
PUBLIC = "public"
PAD = "pad"
PAD_SIGNATURE = "pad-signature"
PADS = "pads"
REFUSED = "refused"

RUN = "run"
VERSION = "version"
SETTINGS = "settings"
SESSION = "session"
IDENTITY = "identity"
N_MEMBERS = "n-members"
BY_EXAMPLES = "by-examples"
SHAPE = "shape"
WORDS = "words"
SUBJECT = "subject"

LARGEST_SUM = 1 << 24
"""Values of a contribution: no task has more, and a length is a stranger's claim."""

KEY_BYTES = 32
SIGNATURE_BYTES = 64
PROTOCOL_VERSION = 5
"""Of the messages here; parties of other versions cannot work together."""


def pack_roster(identities: Mapping[int, bytes]) -> dict[str, bytes]:
    """Public identity keys of 32 bytes by participant's number, as two entries of a record."""
    numbers = sorted(identities)
    return {
        NUMBERS: np.array(numbers, dtype="<u4").tobytes(),
        "keys": b"".join(identities[number] for number in numbers),
    }


def unpack_roster(fields: Mapping[str, Any]) -> dict[int, bytes]:
    """The inverse of `pack_roster`.

    Raises
    ------
    ProtocolError
        If the entries do not fit each other, or a participant appears twice.
    """
    numbers, keys = fields.get(NUMBERS), fields.get("keys")
    if not isinstance(numbers, bytes) or not isinstance(keys, bytes):
        raise ProtocolError("the roster has no numbers and keys of participants.")
    if len(numbers) % 4 or len(keys) != len(numbers) // 4 * KEY_BYTES:
        raise ProtocolError(
            f"the roster has {len(numbers)} bytes of numbers and {len(keys)} of keys, and should "
            f"have 4 and {KEY_BYTES} of each participant."
        )
    found = np.frombuffer(numbers, dtype="<u4").tolist()
    roster = {n: keys[KEY_BYTES * i : KEY_BYTES * (i + 1)] for i, n in enumerate(found)}
    if len(roster) != len(found):
        raise ProtocolError("a participant appears twice in the roster.")
    return roster


def pack_pads(pads: Mapping[int, tuple[bytes, bytes]]) -> dict[str, bytes]:
    """Public pad keys of 32 bytes with their signatures, in the order of members' numbers."""
    signed = [pads[number] for number in sorted(pads)]
    return {
        PADS: b"".join(public for public, _ in signed),
        PAD_SIGNATURE: b"".join(signature for _, signature in signed),
    }


def unpack_pads(
    fields: Mapping[str, Any], numbers: Iterable[int]
) -> dict[int, tuple[bytes, bytes]]:
    """The inverse of `pack_pads` for members of these numbers.

    Raises
    ------
    ProtocolError
        If the entries do not fit them.
    """
    ordered, keys, signatures = sorted(numbers), fields.get(PADS), fields.get(PAD_SIGNATURE)
    n = len(ordered)
    if (
        not isinstance(keys, bytes)
        or not isinstance(signatures, bytes)
        or (len(keys), len(signatures)) != (KEY_BYTES * n, SIGNATURE_BYTES * n)
    ):
        raise ProtocolError(f"the server gives no signed pad keys of {n} members.")
    return {
        number: (
            keys[KEY_BYTES * i : KEY_BYTES * (i + 1)],
            signatures[SIGNATURE_BYTES * i : SIGNATURE_BYTES * (i + 1)],
        )
        for i, number in enumerate(ordered)
    }
