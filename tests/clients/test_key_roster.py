"""Who the members are, and who holds the key, as each party checks it."""

import json
from pathlib import Path
from typing import Any

import pytest

from clients.key_roster import check_key_roster, listed_number
from fedtrade.errors import ConfigurationError, FedtradeError, ProtocolError, SignatureError
from fedtrade.secure import EncryptedAggregation
from fedtrade.secure.masked import IdentityKey

KEYS = [IdentityKey.generate() for _ in range(6)]
ROSTER = {number: key.public_bytes for number, key in enumerate(KEYS)}
HOLDER = 5


def _check(
    roster: dict[int, bytes] | None = None, known: str | None = None, **record: Any
) -> tuple[int, int]:
    named = {"n-members": 5, "holder": HOLDER} | {
        name.replace("_", "-"): value for name, value in record.items()
    }
    settings = EncryptedAggregation(identities=known)
    return check_key_roster(settings, ROSTER if roster is None else roster, named, 1, KEYS[1])


def _file(tmp_path: Path, roster: dict[int, bytes]) -> str:
    path = tmp_path / "known.json"
    path.write_text(json.dumps({number: key.hex() for number, key in roster.items()}))
    return str(path)


def test_members_and_key_holder_are_as_they_should_be(tmp_path: Path) -> None:
    assert _check() == (5, HOLDER)
    assert _check(known=_file(tmp_path, ROSTER)) == (5, HOLDER)
    absent = {number: key for number, key in ROSTER.items() if number != 4}
    assert _check(absent, _file(tmp_path, ROSTER), n_members=4) == (4, HOLDER)


@pytest.mark.parametrize(
    ("roster", "record", "kind", "said"),
    [
        ({**ROSTER, 1: ROSTER[2]}, {}, SignatureError, "another public key for participant 1"),
        ({**ROSTER, 2: ROSTER[3]}, {}, SignatureError, "one key for two parties"),
        ({**ROSTER, 2: ROSTER[HOLDER]}, {}, SignatureError, "one key for two parties"),
        (ROSTER, {"holder": 4}, SignatureError, "4 holds the key; the key holder is the last, 5"),
        (ROSTER, {"holder": 7}, SignatureError, "7 holds the key; the key holder is the last, 5"),
        (ROSTER, {"holder": "5"}, ProtocolError, "does not say how many members"),
        (ROSTER, {"n_members": 6}, ProtocolError, "there are 6 members and lists 5"),
        (ROSTER, {"n_members": 2}, ProtocolError, "there are 2 members"),
        (ROSTER, {"n_members": 5.0}, ProtocolError, "does not say how many members"),
    ],
)
def test_whatever_deviates_is_refused(
    roster: dict[int, bytes], record: dict[str, Any], kind: type[FedtradeError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        _check(roster, **record)


def test_a_known_key_holder_is_not_left_out(tmp_path: Path) -> None:
    """The server cannot promote the last participant, whose key the file has as well."""
    known = _file(tmp_path, ROSTER)
    without = {number: key for number, key in ROSTER.items() if number != HOLDER}
    with pytest.raises(SignatureError, match="4 holds the key; the key holder is the last, 5"):
        _check(without, known, n_members=4, holder=4)
    # Without a file nobody can tell.
    assert _check(without, n_members=4, holder=4) == (4, 4)


def test_the_own_number_is_found_by_the_key(tmp_path: Path) -> None:
    known = _file(tmp_path, ROSTER)
    assert listed_number(KEYS[HOLDER].public_bytes, known) == HOLDER
    with pytest.raises(ConfigurationError, match="lists the key holder's own key 0 times"):
        listed_number(IdentityKey.generate().public_bytes, known)
    twice = _file(tmp_path, {**ROSTER, 9: ROSTER[HOLDER]})
    with pytest.raises(ConfigurationError, match="lists the key holder's own key 2 times"):
        listed_number(KEYS[HOLDER].public_bytes, twice)
    with pytest.raises(ConfigurationError, match=r"none.json' cannot be read \(No such file"):
        listed_number(KEYS[HOLDER].public_bytes, str(tmp_path / "none.json"))
