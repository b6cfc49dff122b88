"""The key holder's side of encrypted sums; its keys stand in the context's state."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ConfigRecord, Context, Message
from numpy.typing import NDArray

from clients.brought import BROUGHT, brought_digest
from clients.identity import own_identity, read_run
from clients.key_roster import check_key_roster, listed_number
from clients.party import Outgoing
from fedtrade.errors import FedtradeError, ProtocolError, ReplayError, SignatureError
from fedtrade.privacy.participant import NoisyVectors, add_noise
from fedtrade.secure import EncryptedAggregation
from fedtrade.secure.encrypted import (
    KeyHolder,
    Scheme,
    SignedDigest,
    SignedPadKey,
    Spares,
    verify_pad_key,
)
from fedtrade.secure.encrypted.channels import TRAINING, channels, layout_of, noise_on
from fedtrade.secure.layout import Layout
from fedtrade.secure.subject import SUBJECT_BYTES, subject_of
from fedtrade.secure.wire import (
    BY_EXAMPLES,
    CHUNKS,
    DECRYPT,
    DIGEST,
    GREETING,
    HOLDER,
    IDENTITY,
    KEY,
    KIND,
    LARGEST_SUM,
    N_MEMBERS,
    NUMBERS,
    PAD,
    PADS,
    PUBLIC,
    REFUSED,
    ROSTER,
    RUN,
    SESSION,
    SIGNATURE,
    SIZE,
    SUBJECT,
    WORDS,
    pack_roster,
    unpack_pads,
    unpack_roster,
)

__all__ = ["KeyHolderParty"]

DIGEST_BYTES, SIGNATURE_BYTES = 32, 64

PAD_PUBLICS = f"secure.{PADS}"

SPARES = Spares()
"""Processes that decrypt, kept from one sum to the next; they know secret keys, so nobody else
takes one."""


class KeyHolderParty:
    """Speaks for a key holder in one message.

    Parameters
    ----------
    settings : EncryptedAggregation
        Its own, whatever the server says.
    context : Context
        Its state keeps the identity key, the members' public keys (also of pads), and the secret
        keys.
    noise : NoisyVectors or None
        What it adds to each sum that it opens, by its own settings.
    """

    def __init__(
        self,
        settings: EncryptedAggregation,
        context: Context,
        noise: NoisyVectors | None = None,
    ) -> None:
        self._noise = noise
        self._settings = settings
        self._context = context

    def greet(self, message: Message) -> Outgoing:
        """Begin a run: say the public identity key, and the own number if a file lists it.

        Raises
        ------
        ReplayError
            If keys were made already in this run.
        FedtradeError
            If the server's version or settings are others, or the file does not list the key.
        """
        if KEY in self._context.state:
            raise ReplayError(
                "the server greets again in the middle of a run, whose keys are made: start the "
                "run anew."
            )
        brought = brought_digest(self._context)
        run = read_run(message, self._settings, self._noise, brought)
        public = own_identity(self._context).public_bytes
        greeting = ConfigRecord({IDENTITY: public})
        if self._settings.identities is not None:
            greeting[HOLDER] = listed_number(public, self._settings.identities)
        self._context.state[RUN] = ConfigRecord({RUN: run, BROUGHT: brought})
        return Outgoing(records={GREETING: greeting})

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
        if RUN not in self._context.state:
            raise ProtocolError("the server skipped the greeting that begins a run.")
        roster, identity = unpack_roster(asked[ROSTER]), own_identity(self._context)
        own = _own_number(roster, identity.public_bytes)
        n_members, number = check_key_roster(self._settings, roster, asked[KEY], own, identity)
        if number != own:
            raise ProtocolError(
                f"the server makes {number} the key holder, and this one has {own}."
            )
        run: Any = self._context.state.config_records[RUN][RUN]
        pads = _checked_pads(asked[KEY], run, roster, number)
        self._context.state[ROSTER] = ConfigRecord({**pack_roster(roster)})
        self._context.state[PAD_PUBLICS] = ConfigRecord({**pack_roster(pads)})
        self._context.state[KEY] = ConfigRecord({N_MEMBERS: n_members, HOLDER: number})
        made: dict[str, Any] = {}
        made_for: dict[str, KeyHolder] = {}
        for kind, scheme in channels(self._settings, n_members, self._noise).items():
            name = _state_name(scheme)
            if name not in made_for:
                made_for[name] = self._holder(scheme)
            holder = made_for[name]
            self._context.state[name] = ConfigRecord({**holder.state})
            made |= {
                f"{kind}-{PUBLIC}": holder.public,
                f"{kind}-{PAD}": holder.pad_public,
                f"{kind}-{SIGNATURE}": holder.signature,
            }
        return Outgoing(records={KEY: ConfigRecord(made)})

    def _open(self, asked: Mapping[str, Any]) -> Outgoing:
        if KEY not in self._context.state:
            raise ProtocolError("no keys were made in this run.")
        n_members = _whole(self._context.state.config_records[KEY])
        schemes = channels(self._settings, n_members, self._noise)
        wish = _read_wish(asked)
        if wish.kind not in schemes:
            raise ProtocolError(f"there are no sums of the kind {wish.kind[:64]!r}.")
        scheme = schemes[wish.kind]
        holder, session = self._holder(scheme), wish.session
        try:
            self._check_session(session)
            layout = self._layout(scheme, wish)
            words = holder.decrypt(
                session,
                layout.size,
                wish.chunks,
                wish.contributors,
                kind=wish.kind,
                subject=subject_of(wish.asked, layout),
            )
            self._add_noise(words, layout, wish.kind)
            answer = Outgoing({WORDS: words}, records={DECRYPT: ConfigRecord({SESSION: session})})
        except FedtradeError as error:
            # Told, not raised: a turn that raises would leave the session unspent.
            told: dict[str, Any] = {SESSION: session, REFUSED: f"{type(error).__name__}: {error}"}
            answer = Outgoing(records={DECRYPT: ConfigRecord(told)})
        finally:
            self._context.state[_state_name(scheme)] = ConfigRecord({**holder.state})
        return answer

    def _layout(self, scheme: Scheme, wish: "_Wish") -> Layout:
        """Of the words of a sum, as its members have it.

        Raises
        ------
        ProtocolError
            If no contribution has so many values.
        """
        if not 0 < wish.n_values <= LARGEST_SUM:
            raise ProtocolError(f"no contribution has {wish.n_values} values.")
        return layout_of(
            self._settings,
            scheme,
            wish.kind,
            wish.n_values,
            by_examples=wish.by_examples,
            noise=self._noise,
        )

    def _add_noise(self, words: NDArray[np.int64], layout: Layout, kind: str) -> None:
        """Add what protects participants to an opened sum, in place, before anybody sees it."""
        noise = noise_on(kind, self._noise)
        if noise is None:
            return
        if kind == TRAINING:
            drawn = noise.update_noise(noise.n_values(words.size))
        else:
            drawn = noise.sum_noise(words.size)
        add_noise(words, layout, drawn)

    def _check_session(self, session: int) -> None:
        """Refuse a sum that was opened, of whatever kind: each has a number of its own.

        Raises
        ------
        ReplayError
        """
        records = self._context.state.config_records
        kept: Any = [records[name] for name in records if name.startswith(f"{KEY}.")]
        spent = max(record["next_session"] for record in kept)
        if session < spent:
            raise ReplayError(
                f"a sum of session {session} is asked for, and session {spent - 1} was opened; "
                "each is opened once, in order."
            )

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
            unpack_roster(state.config_records[PAD_PUBLICS]),
            state=None if kept is None else dict(kept),
            spares=SPARES,
        )


def _own_number(roster: Mapping[int, bytes], public: bytes) -> int:
    found = [number for number, key in roster.items() if key == public]
    if len(found) != 1:
        raise SignatureError(
            f"the server lists the key holder's own key {len(found)} times, and each party has one "
            "role."
        )
    return found[0]


def _checked_pads(
    asked: Mapping[str, Any], run: bytes, roster: Mapping[int, bytes], holder: int
) -> dict[int, bytes]:
    """The members' public keys of pads, each signed by its member for this run.

    Raises
    ------
    SecureAggregationError
    """
    members = {number: key for number, key in roster.items() if number != holder}
    pads = unpack_pads(asked, members)
    for number, signed in pads.items():
        verify_pad_key(SignedPadKey(*signed), run, number, members[number])
    return {number: public for number, (public, _) in pads.items()}


def _state_name(scheme: Scheme) -> str:
    return f"{KEY}.{scheme.name}.{int(scheme.weighted)}"


def _whole(record: ConfigRecord) -> int:
    value = record[N_MEMBERS]
    assert isinstance(value, int)
    return value


class _Wish(NamedTuple):
    """What the server wants opened: `asked_subject`, and values of a contribution."""

    session: int
    kind: str
    asked: bytes
    n_values: int
    by_examples: bool
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
    subject, by_examples = (asked.get(name) for name in (SUBJECT, BY_EXAMPLES))
    chunks, digests, signatures = (asked.get(name) for name in (CHUNKS, DIGEST, SIGNATURE))
    if (
        type(session) is not int
        or type(kind) is not str
        or type(size) is not int
        or type(subject) is not bytes
        or len(subject) != SUBJECT_BYTES
        or type(by_examples) is not bool
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
    return _Wish(session, kind, subject, size, by_examples, chunks, contributors)
