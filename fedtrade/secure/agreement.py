"""Settings that all parties of a private sum must have alike.

A member that clips at another bound, say, writes its numbers in other steps, and nobody would see
it in the sum. So the server says its settings in the first message of a run, and each party
compares them with its own. A server that lies says other ones to each, and has those add little
noise on whom the others rely: therefore each party knows the run by a name that is made of its own
settings, too. Every key, mask, commitment and signature of a sum depends on that name, so that
parties with different settings have no sum together.

That name also includes all else that the run brings: with another learning rate for all but one
member, say, the updates of the others would be zero, and the sum that of the one.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.secure.settings import PrivateAggregation

__all__ = ["NAME_BYTES", "RUN_BYTES", "agreed_run", "agreed_settings", "check_agreed"]

NAME_BYTES: Final = 16
"""Of the random name that the server gives a run."""

RUN_BYTES: Final = 32
"""Of the name by which its parties know a run."""

DOMAIN: Final = b"fedtrade agreed run 2"

OWN = {"identities"}
"""A path, which is each party's own."""

NOISE: Final = "privacy.participant"
"""The entry for the noise on sums, which is no setting of the trust mode."""

MOST_CHARACTERS = 10_000
LONGEST = 240


def agreed_settings(settings: PrivateAggregation, noise: Mapping[str, Any] | None = None) -> str:
    """What a party tells the others of its settings, as JSON.

    Parameters
    ----------
    noise : mapping or None
        Plain values that say what noise is on the sums; None if there is none.
    """
    values = settings.model_dump(mode="json", exclude=OWN)
    return json.dumps(values if noise is None else {**values, NOISE: noise}, sort_keys=True)


def agreed_run(
    name: bytes,
    settings: PrivateAggregation,
    noise: Mapping[str, Any] | None = None,
    *,
    brought: str,
) -> bytes:
    """The name by which a party knows a run, of `RUN_BYTES`: a hash of the server's and its own.

    Parameters
    ----------
    name : 16 bytes
        What the server calls the run.
    settings, noise
        The party's own.
    brought : str
        Digest of all settings that the run brought to the party, before its own beat them.

    Raises
    ------
    ProtocolError
        If the server's name is none.
    """
    if len(name) != NAME_BYTES:
        raise ProtocolError(f"the server names a run by {NAME_BYTES} bytes, got {len(name)}.")
    own = json.dumps([agreed_settings(settings, noise), brought]).encode()
    return hashlib.sha256(DOMAIN + name + own).digest()


def check_agreed(
    own: PrivateAggregation, told: object, noise: Mapping[str, Any] | None = None
) -> None:
    """Compare what the server tells with one's own settings.

    Raises
    ------
    ProtocolError
        If it tells nothing that can be compared.
    ConfigurationError
        If they differ; it names the settings, and both values of each.
    """
    theirs, mine = _read(told), _read(agreed_settings(own, noise))
    differing = [
        f"{_key(name)}={_shown(mine, name)} here and {_shown(theirs, name)} at the server"
        for name in sorted({*mine, *theirs})
        if mine.get(name) != theirs.get(name) or (name in mine) != (name in theirs)
    ]
    if differing:
        raise ConfigurationError(
            f"the settings of private sums differ: {'; '.join(differing)[:600]}. Give all parties "
            "the same."
        )


def _key(name: str) -> str:
    return name if name == NOISE else f"aggregation.{name}"


def _read(told: object) -> dict[str, Any]:
    try:
        if isinstance(told, str) and len(told) <= MOST_CHARACTERS:
            found = json.loads(told)
            if isinstance(found, dict):
                return found
    except (ValueError, RecursionError):
        pass
    raise ProtocolError("the server does not say which settings its private sums have.")


def _shown(settings: dict[str, Any], name: str) -> str:
    return repr(settings[name])[:LONGEST] if name in settings else "unknown"
