"""A participant's side of masked sums; what it must remember stands in the context's state."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MessageType
from numpy.typing import NDArray

from clients.brought import BROUGHT, brought_digest
from clients.contributed import asked_of, kind_of, note_contribution
from clients.identity import (
    check_roster,
    own_bytes,
    own_identity,
    read_identities,
    read_round,
    read_run,
)
from clients.party import Outgoing, Party, clip_of, encoded
from fedtrade.errors import FedtradeError, ProtocolError, ReplayError, SignatureError
from fedtrade.privacy.participant import NoisyVectors, add_noise, with_least_contributors
from fedtrade.secure import MaskedAggregation
from fedtrade.secure.layout import Layout
from fedtrade.secure.masked import MaskedClient
from fedtrade.secure.payload import SUM, sum_layout, training_layout, training_values
from fedtrade.secure.subject import subject_of
from fedtrade.secure.wire import (
    CHECK,
    GREETING,
    IDENTITY,
    OPEN,
    PLEDGE,
    REFUSED,
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
from fedtrade.wire import SUM as SUM_QUERY

__all__ = ["MaskedParty"]

Fields: TypeAlias = Mapping[str, Any]

STATE = "secure.masked"
STAGES = (CHECK, UNMASK, OPEN, SHARE, PLEDGE)


class _Due(NamedTuple):
    """A contribution that was asked for, and to which sum."""

    n_members: int
    by_examples: bool
    session: int
    fields: Fields
    client: MaskedClient


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
    n_known : int
        Participants of the run as far as its own settings say; 0 if they do not.
    noise : NoisyVectors or None
        What noise is on sums, of which this participant adds its part.
    """

    def __init__(
        self,
        number: int,
        settings: MaskedAggregation,
        context: Context,
        n_known: int = 0,
        noise: NoisyVectors | None = None,
    ) -> None:
        if noise is not None:  # a sum of fewer would have too little of it
            settings = with_least_contributors(settings, n_known)
        self._noise = noise
        self._n_known = n_known
        self._number = number
        self._settings = settings
        self._context = context
        self._due: _Due | None = None

    def greet(self, message: Message) -> Outgoing:
        """Begin a run: say the public identity key, and pledge the keys of the first sum."""
        if ROSTER in self._context.state:
            raise ReplayError(
                "the server greets again in the middle of a run, and could put others in the place "
                "of the participants: start the run anew."
            )
        brought = brought_digest(self._context)
        run = read_run(message, self._settings, self._noise, brought)
        identity = own_identity(self._context)
        self._context.state[RUN] = ConfigRecord({RUN: run, BROUGHT: brought})
        if STATE in self._context.state:
            del self._context.state[STATE]
        answered = self.answer(message).records
        greeting = ConfigRecord({IDENTITY: identity.public_bytes})
        return Outgoing(records={GREETING: greeting, **answered})

    def answer(self, message: Message) -> Outgoing:
        """Go through the stages that the message asks for; one that is refused stops no other."""
        asked = self._read_stages(message)
        client = self._client()
        answers: dict[str, ConfigRecord] = {}
        acts: dict[str, Callable[[int, Fields], Fields]] = {
            CHECK: client.check,
            UNMASK: client.unmask,
            OPEN: client.open,
            SHARE: client.share,
            PLEDGE: lambda session, _: client.pledge(session),
        }
        for stage, (session, fields) in asked.items():
            try:
                given = acts[stage](session, fields)
            except FedtradeError as error:
                given = {REFUSED: str(error)}
            answers[stage] = ConfigRecord({SESSION: session, **given})
        self._keep(client)
        return Outgoing(records=answers)

    def training(
        self, message: Message, update: NDArray[np.float32], n_examples: int, loss: float
    ) -> Outgoing:
        """Contribute the update, weighted and clipped, under masks."""
        due = self._expected()
        if self._noise is not None:
            return self._noisy_training(message, self._noise, update, due.n_members)
        by_examples = due.by_examples
        layout = training_layout(
            self._settings, len(update), due.n_members, by_examples=by_examples
        )
        values = training_values(self._settings, update, n_examples, loss, by_examples=by_examples)
        return self._contribute(message, layout, values, update.shape)

    def _noisy_training(
        self, message: Message, noise: NoisyVectors, update: NDArray[np.float32], n_members: int
    ) -> Outgoing:
        layout = Layout(noise.update_segments(len(update)), n_members)
        values = noise.update_values(update, clip_of(message))
        drawn = noise.update_noise(len(update))
        return self._contribute(message, layout, values, update.shape, drawn)

    def part(self, message: Message, values: NDArray[np.float64]) -> Outgoing:
        """Contribute a part of a federated sum under masks."""
        n_members, noise = self._expected().n_members, self._noise_on(message)
        if noise is not None:
            layout = Layout(noise.sum_segments(values.size), n_members)
            drawn = noise.sum_noise(values.size)
            part = noise.sum_values(values)
            return self._contribute(message, layout, part, values.shape, drawn)
        layout = sum_layout(self._settings, values.size, n_members)
        return self._contribute(message, layout, {SUM: values.ravel()}, values.shape)

    def refuse(self, message: Message, reason: str) -> Outgoing:
        """See `Party.refuse`; it stays part of the next sum."""
        refused = ConfigRecord({SESSION: self._expected().session, REFUSED: reason})
        return Outgoing(records={ROUND: refused, **self.answer(message).records})

    def has_noise(self, message: Message) -> bool:
        """Of which each participant adds its part."""
        return self._noise_on(message) is not None

    def _noise_on(self, message: Message) -> NoisyVectors | None:
        """On the sum that a message asks for."""
        kind, noise = kind_of(message), self._noise
        is_covered = kind == MessageType.TRAIN or (
            kind == SUM_QUERY and noise is not None and noise.covers_sums
        )
        return noise if is_covered else None

    def check(self, message: Message) -> None:
        """Refuse what is no part of a sum that is due, and remember that it was asked for."""
        n_members, by_examples = read_round(message)
        if UPLOAD not in message.content.config_records:
            raise ProtocolError("the server does not say who is to be in the sum.")
        n_known = len(self._roster())
        if not self._settings.min_contributors <= n_members <= n_known:
            raise ProtocolError(
                f"the server says that the sum has {n_members} members, and there are {n_known} "
                f"participants and min_contributors={self._settings.min_contributors}."
            )
        session, fields = _session(message.content.config_records[UPLOAD])
        client = self._client()
        client.check_upload(session, fields)
        self._read_stages(message)  # what is wrong with them is not told after the data
        if kind_of(message) != MessageType.TRAIN and client.is_grouped(session):
            raise ProtocolError(
                f"sum {session} is opened by groups, which is for updates alone: this participant "
                "gives its part of a federated sum to a sum of all."
            )
        if self._noise is not None and kind_of(message) == MessageType.TRAIN:
            clip_of(message)
        note_contribution(message, self._context)
        self._due = _Due(n_members, by_examples, session, fields, client)

    def _read_stages(self, message: Message) -> dict[str, tuple[int, Fields]]:
        """The stages that a message asks for, in their order; keys that come with it are kept.

        Raises
        ------
        ProtocolError, SignatureError
        """
        asked = message.content.config_records
        if ROSTER in asked:
            self._learn(unpack_roster(asked[ROSTER]))
        return {stage: _session(asked[stage]) for stage in STAGES if stage in asked}

    def _expected(self) -> "_Due":
        """What `check` found."""
        if self._due is None:
            raise ProtocolError("nothing was asked for that is due.")
        return self._due

    def _contribute(
        self,
        message: Message,
        layout: Layout,
        values: Mapping[str, NDArray[Any]],
        shape: tuple[int, ...],
        noise: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> Outgoing:
        due, words = self._expected(), encoded(layout, values)
        if noise is not None:
            add_noise(words, layout, noise)
        subject = subject_of(asked_of(message), layout)
        masked = due.client.upload(due.session, due.fields, words, subject)
        self._keep(due.client)
        reply = ConfigRecord({SESSION: due.session, SHAPE: [int(n) for n in shape]})
        return Outgoing({WORDS: masked}, records={ROUND: reply, **self.answer(message).records})

    def _client(self) -> MaskedClient:
        state = self._context.state
        if RUN not in state:
            raise ProtocolError("the server skipped the greeting that begins a run.")
        kept: Any = state.get(STATE)
        return MaskedClient(
            self._number,
            own_identity(self._context),
            self._roster(),
            self._settings,
            own_bytes(state[RUN], RUN),
            None if kept is None else dict(kept),
            n_known=self._n_known,
        )

    def _roster(self) -> dict[int, bytes]:
        """Everybody's public keys; none before the server has sent them."""
        state = self._context.state
        return unpack_roster(state.config_records[ROSTER]) if ROSTER in state else {}

    def _keep(self, client: MaskedClient) -> None:
        self._context.state[STATE] = ConfigRecord(dict(client.state))

    def _learn(self, roster: Mapping[int, bytes]) -> None:
        """Keep the others' public keys; they are known once and for all of a run."""
        if ROSTER in self._context.state:
            if roster != self._roster():
                raise SignatureError("the server wants to replace the participants' public keys.")
            return  # the answer to the message that had it first was lost
        if self._noise is not None and len(roster) > self._n_known:
            raise ProtocolError(
                f"the server lists {len(roster)} participants, and noise is reckoned for "
                f"federation.n_participants={self._n_known}, among whom fewer may collude."
            )
        known = self._settings.identities
        check_roster(roster, self._number, own_identity(self._context), known)
        n_listed = 0 if known is None else len(read_identities(known))
        if n_listed > max(self._n_known, len(roster)):
            raise SignatureError(
                f"aggregation.identities={known!r} has {n_listed} participants, and the server "
                f"lists {len(roster)} of federation.n_participants={self._n_known}: colluders "
                "would be reckoned among too few. Set federation.n_participants to all of them."
            )
        self._context.state[ROSTER] = ConfigRecord({**pack_roster(roster)})


def _session(record: ConfigRecord) -> tuple[int, dict[str, Any]]:
    """A stage's session and its other entries."""
    fields = dict(record)
    session = fields.pop(SESSION, None)
    if type(session) is not int or session < 0:
        raise ProtocolError(f"the server names the sum {session!r}, which is no number from 0.")
    return session, fields
