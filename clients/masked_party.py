"""A participant's side of masked sums; what it must remember stands in the context's state."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from flwr.app import ConfigRecord, Context, Message
from numpy.typing import NDArray

from clients.party import Outgoing, Party
from fedtrade.errors import ConfigurationError, ProtocolError, SignatureError
from fedtrade.secure import MaskedAggregation
from fedtrade.secure.layout import Layout
from fedtrade.secure.masked import IdentityKey, MaskedClient
from fedtrade.secure.payload import SUM, sum_layout, training_layout, training_values
from fedtrade.secure.wire import (
    BY_EXAMPLES,
    CHECK,
    GREETING,
    IDENTITY,
    N_MEMBERS,
    OPEN,
    PLEDGE,
    ROSTER,
    ROUND,
    RUN,
    SESSION,
    SHAPE,
    SHARE,
    UNMASK,
    UPLOAD,
    WORDS,
    pack_roster,
    unpack_roster,
)

__all__ = ["MaskedParty", "check_roster", "own_identity", "read_round"]

Fields: TypeAlias = Mapping[str, Any]

STATE = "secure.masked"
IDENTITY_KEY = "identity-key"
"""The entry of a node's configuration with the path of its private identity key."""


class MaskedParty(Party):
    """Speaks for one participant in one message.

    Parameters
    ----------
    number : int
        Of the participant.
    settings : MaskedAggregation
    context : Context
        Its state keeps the identity key (unless the node's configuration names a file), the run,
        the others' public keys, and the secrets of sums in progress.
    """

    def __init__(self, number: int, settings: MaskedAggregation, context: Context) -> None:
        self._number = number
        self._settings = settings
        self._context = context

    def greet(self, message: Message) -> Outgoing:
        """Begin a run: say the public identity key, and pledge the keys of the first sum."""
        run = message.content.config_records.get(GREETING, ConfigRecord()).get(RUN)
        if not isinstance(run, bytes):
            raise ProtocolError(
                "the server does not say which run this is, and this participant's settings say "
                "aggregation=masked: give all the same settings."
            )
        identity = own_identity(self._context)
        self._context.state[RUN] = ConfigRecord({RUN: run})
        for name in (ROSTER, STATE):
            if name in self._context.state:
                del self._context.state[name]
        answered = self.answer(message).records
        greeting = ConfigRecord({IDENTITY: identity.public_bytes})
        return Outgoing(records={GREETING: greeting, **answered})

    def answer(self, message: Message) -> Outgoing:
        """Go through the stages that the message asks for."""
        asked = message.content.config_records
        if ROSTER in asked:
            self._learn(unpack_roster(asked[ROSTER]))
        client = self._client()
        answers: dict[str, ConfigRecord] = {}
        stages: dict[str, Callable[[int, Fields], Fields]] = {
            CHECK: client.check,
            UNMASK: client.unmask,
            OPEN: client.open,
            SHARE: client.share,
            PLEDGE: lambda session, _: client.pledge(session),
        }
        for stage, act in stages.items():
            if stage in asked:
                session, fields = _session(asked[stage])
                answers[stage] = ConfigRecord({SESSION: session, **act(session, fields)})
        self._keep(client)
        return Outgoing(records=answers)

    def training(
        self, message: Message, update: NDArray[np.float32], n_examples: int, loss: float
    ) -> Outgoing:
        """Contribute the update, weighted and clipped, under masks."""
        n_members, by_examples = read_round(message)
        layout = training_layout(self._settings, len(update), n_members, by_examples=by_examples)
        values = training_values(self._settings, update, n_examples, loss, by_examples=by_examples)
        return self._contribute(message, layout, values, update.shape)

    def part(self, message: Message, values: NDArray[np.float64]) -> Outgoing:
        """Contribute a part of a federated sum under masks."""
        n_members, _ = read_round(message)
        layout = sum_layout(self._settings, values.size, n_members)
        return self._contribute(message, layout, {SUM: values.ravel()}, values.shape)

    def _contribute(
        self,
        message: Message,
        layout: Layout,
        values: Mapping[str, NDArray[np.float64]],
        shape: tuple[int, ...],
    ) -> Outgoing:
        words = layout.encode(values)
        session, fields = _session(message.content.config_records[UPLOAD])
        client = self._client()
        masked = client.upload(session, fields, words)
        self._keep(client)
        reply = ConfigRecord({SESSION: session, SHAPE: [int(n) for n in shape]})
        return Outgoing({WORDS: masked}, records={ROUND: reply, **self.answer(message).records})

    def _client(self) -> MaskedClient:
        state = self._context.state
        if RUN not in state:
            raise ProtocolError("the server skipped the greeting that begins a run.")
        roster = unpack_roster(state.config_records[ROSTER]) if ROSTER in state else {}
        kept: Any = state.get(STATE)
        return MaskedClient(
            self._number,
            own_identity(self._context),
            roster,
            self._settings,
            _secret(state[RUN], RUN),
            None if kept is None else dict(kept),
        )

    def _keep(self, client: MaskedClient) -> None:
        self._context.state[STATE] = ConfigRecord(dict(client.state))

    def _learn(self, roster: Mapping[int, bytes]) -> None:
        """Keep the others' public keys; they are known once and for all of a run."""
        if ROSTER in self._context.state:
            raise SignatureError("the server wants to replace the participants' public keys.")
        check_roster(roster, self._number, own_identity(self._context), self._settings.identities)
        self._context.state[ROSTER] = ConfigRecord({**pack_roster(roster)})


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
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the node's config has {IDENTITY_KEY}={path!r}, which is no private key of 32 "
                f"bytes: {error}."
            ) from error
    if IDENTITY not in context.state:
        private = IdentityKey.generate().private_bytes
        context.state[IDENTITY] = ConfigRecord({IDENTITY: private})
    return IdentityKey.from_private_bytes(_secret(context.state[IDENTITY], IDENTITY))


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
    try:
        listed = json.loads(Path(known).read_text())
        keys = {int(n): bytes.fromhex(key) for n, key in listed.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"aggregation.identities={known!r} must be a JSON file of public keys in hexadecimal "
            f"by participant's number: {error}."
        ) from error
    for other, key in roster.items():
        if keys.get(other) != key:
            raise SignatureError(
                f"the server lists a public key for participant {other} that "
                f"aggregation.identities={known!r} does not have."
            )


def read_round(message: Message) -> tuple[int, bool]:
    """How many members the sum has at most, and whether they count by examples.

    Raises
    ------
    ProtocolError
        If the message asks for no private contribution.
    """
    records = message.content.config_records
    if ROUND not in records or UPLOAD not in records:
        raise ProtocolError(
            "the server asks for a contribution in the clear, and this participant's settings say "
            "aggregation=masked: it gives none."
        )
    n_members, by_examples = records[ROUND].get(N_MEMBERS), records[ROUND].get(BY_EXAMPLES)
    if not isinstance(n_members, int) or n_members < 1 or not isinstance(by_examples, bool):
        raise ProtocolError("the server does not say how many members the sum has.")
    return n_members, by_examples


def _secret(record: object, name: str) -> bytes:
    """An entry of bytes of the own state."""
    value = record.get(name) if isinstance(record, ConfigRecord) else None
    if not isinstance(value, bytes):
        raise ProtocolError(f"the participant's state has no {name}; start the run again.")
    return value


def _session(record: ConfigRecord) -> tuple[int, dict[str, Any]]:
    """A stage's session and its other entries."""
    fields = dict(record)
    session = fields.pop(SESSION, None)
    if not isinstance(session, int) or session < 0:
        raise ProtocolError(f"the server names the sum {session!r}, which is no number from 0.")
    return session, fields
