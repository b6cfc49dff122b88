"""The key holder's side of encrypted sums; its keys stand in the context's state."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flwr.app import ConfigRecord, Context, Message

from clients.identity import check_roster, own_identity, read_run
from clients.party import Outgoing
from fedtrade.errors import ProtocolError, SecureAggregationError
from fedtrade.secure import EncryptedAggregation
from fedtrade.secure.encrypted import KeyHolder, Scheme, SignedDigest
from fedtrade.secure.encrypted.channels import channels
from fedtrade.secure.wire import (
    CHUNKS,
    DECRYPT,
    DIGEST,
    GREETING,
    HOLDER,
    IDENTITY,
    KEY,
    KIND,
    N_MEMBERS,
    NUMBERS,
    REFUSED,
    ROSTER,
    RUN,
    SESSION,
    SIGNATURE,
    SIZE,
    WORDS,
    pack_roster,
    unpack_roster,
)

__all__ = ["KeyHolderParty"]

DIGEST_BYTES, SIGNATURE_BYTES = 32, 64


class KeyHolderParty:
    """Speaks for a key holder in one message.

    Parameters
    ----------
    settings : EncryptedAggregation
        Its own, whatever the server says.
    context : Context
        Its state keeps the identity key, the members' public keys, and the secret keys.
    """

    def __init__(self, settings: EncryptedAggregation, context: Context) -> None:
        self._settings = settings
        self._context = context

    def greet(self, message: Message) -> Outgoing:
        """Begin a run: say the public identity key, and forget the keys of runs before."""
        run = read_run(message)
        identity = own_identity(self._context)
        for name in [ROSTER, KEY, *[n for n in self._context.state if n.startswith(f"{KEY}.")]]:
            if name in self._context.state:
                del self._context.state[name]
        self._context.state[RUN] = ConfigRecord({RUN: run})
        return Outgoing(records={GREETING: ConfigRecord({IDENTITY: identity.public_bytes})})

    def answer(self, message: Message) -> Outgoing:
        """Make keys, or open a sum."""
        asked = message.content.config_records
        if KEY in asked:
            return self._make_keys(asked)
        if DECRYPT in asked:
            return self._open(asked[DECRYPT])
        raise ProtocolError("a key holder makes keys and opens sums; the server asks for neither.")

    def _make_keys(self, asked: Mapping[str, ConfigRecord]) -> Outgoing:
        if KEY in self._context.state or ROSTER not in asked:
            raise ProtocolError("keys are made once a run, for members whose keys are known.")
        n_members, number = asked[KEY].get(N_MEMBERS), asked[KEY].get(HOLDER)
        if not isinstance(n_members, int) or not isinstance(number, int):
            raise ProtocolError("the server does not say how many members there are.")
        roster = unpack_roster(asked[ROSTER])
        identity = own_identity(self._context)
        check_roster(roster, number, identity, self._settings.identities)
        if n_members > len(roster) - 1:
            raise ProtocolError(f"{n_members} members are announced, and {len(roster) - 1} listed.")
        self._context.state[ROSTER] = ConfigRecord({**pack_roster(roster)})
        self._context.state[KEY] = ConfigRecord({N_MEMBERS: n_members, HOLDER: number})
        made: dict[str, Any] = {}
        made_for: dict[str, KeyHolder] = {}
        for kind, scheme in channels(self._settings, n_members).items():
            name = _state_name(scheme)
            holder = made_for.setdefault(name, self._holder(scheme))
            self._context.state[name] = ConfigRecord({**holder.state})
            made |= {f"{kind}-{KEY}": holder.public, f"{kind}-{SIGNATURE}": holder.signature}
        return Outgoing(records={KEY: ConfigRecord(made)})

    def _open(self, asked: Mapping[str, Any]) -> Outgoing:
        if KEY not in self._context.state:
            raise ProtocolError("no keys were made in this run.")
        schemes = channels(self._settings, _whole(self._context.state.config_records[KEY]))
        wish = _read_wish(asked)
        if wish.kind not in schemes:
            raise ProtocolError(f"there are no sums of the kind {wish.kind[:64]!r}.")
        scheme = schemes[wish.kind]
        holder = self._holder(scheme)
        try:
            words = holder.decrypt(wish.session, wish.size, wish.chunks, wish.contributors)
            answer = Outgoing({WORDS: words})
        except SecureAggregationError as error:
            # Told, not raised: a turn that raises would leave the session unspent.
            answer = Outgoing(records={DECRYPT: ConfigRecord({REFUSED: str(error)})})
        self._context.state[_state_name(scheme)] = ConfigRecord({**holder.state})
        return answer

    def _holder(self, scheme: Scheme) -> KeyHolder:
        state = self._context.state
        kept: Any = state.get(_state_name(scheme))
        roster = unpack_roster(state.config_records[ROSTER])
        own = state.config_records[KEY].get(HOLDER)
        run: Any = state.config_records[RUN][RUN]
        return KeyHolder(
            scheme,
            self._settings,
            run,
            own_identity(self._context),
            {number: key for number, key in roster.items() if number != own},
            state=None if kept is None else dict(kept),
        )


def _state_name(scheme: Scheme) -> str:
    return f"{KEY}.{scheme.name}.{int(scheme.weighted)}"


def _whole(record: ConfigRecord) -> int:
    value = record[N_MEMBERS]
    assert isinstance(value, int)
    return value


class _Wish(NamedTuple):
    """What the server wants opened."""

    session: int
    kind: str
    size: int
    chunks: list[bytes]
    contributors: list[SignedDigest]


def _read_wish(asked: Mapping[str, Any]) -> _Wish:
    """The sum that the server wants opened, and who signed for it.

    Raises
    ------
    ProtocolError
        If an entry is missing or of another type or size.
    """
    session, kind, size, numbers = (asked.get(name) for name in (SESSION, KIND, SIZE, NUMBERS))
    chunks, digests, signatures = (asked.get(name) for name in (CHUNKS, DIGEST, SIGNATURE))
    if (
        type(session) is not int
        or type(kind) is not str
        or type(size) is not int
        or not isinstance(numbers, list)
        or not isinstance(chunks, list)
        or not isinstance(digests, bytes)
        or not isinstance(signatures, bytes)
        or not all(type(number) is int for number in numbers)
        or not all(type(chunk) is bytes for chunk in chunks)
        or len(digests) != DIGEST_BYTES * len(numbers)
        or len(signatures) != SIGNATURE_BYTES * len(numbers)
    ):
        raise ProtocolError("the server's wish to open a sum is malformed.")
    contributors = [
        SignedDigest(
            number,
            digests[DIGEST_BYTES * i : DIGEST_BYTES * (i + 1)],
            signatures[SIGNATURE_BYTES * i : SIGNATURE_BYTES * (i + 1)],
        )
        for i, number in enumerate(numbers)
    ]
    return _Wish(session, kind, size, chunks, contributors)
