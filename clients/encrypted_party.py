"""A participant's side of encrypted sums; what it must remember stands in the context's state."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MessageType
from numpy.typing import NDArray

from clients.brought import BROUGHT, brought_digest
from clients.contributed import asked_of, kind_of, note_contribution
from clients.identity import own_bytes, own_identity, read_round, read_run
from clients.key_roster import check_key_roster
from clients.party import Outgoing, Party, clip_of, encoded
from fedtrade.errors import ProtocolError, ReplayError
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.secure import EncryptedAggregation
from fedtrade.secure.encrypted import (
    PadKeys,
    Scheme,
    contribute,
    sign_pad_key,
    verify_key,
)
from fedtrade.secure.encrypted.channels import (
    SCORES,
    SUMS,
    TRAINING,
    channels,
    layout_of,
    noise_on,
)
from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.payload import SUM, training_values
from fedtrade.secure.subject import subject_of
from fedtrade.secure.wire import (
    CHUNKS,
    CIPHERTEXTS,
    DIGEST,
    GREETING,
    IDENTITY,
    KEY,
    N_MEMBERS,
    PAD,
    PAD_SIGNATURE,
    PUBLIC,
    REFUSED,
    ROSTER,
    ROUND,
    RUN,
    SESSION,
    SHAPE,
    SIGNATURE,
    unpack_roster,
)
from fedtrade.wire import SUM as SUM_QUERY

__all__ = ["EncryptedParty"]

LAST = "secure.last"
PAD_KEY = "secure.pad"


class EncryptedParty(Party):
    """Speaks for one participant in one message.

    Parameters
    ----------
    number : int
        Of the participant.
    settings : EncryptedAggregation
    context : Context
        Its state keeps the identity key (unless the node's configuration names a file), the run,
        the own key of pads, the public keys of the key holder, and the last sum that it took part
        in.
    noise : NoisyVectors or None
        What the key holder adds to sums.
    """

    def __init__(
        self,
        number: int,
        settings: EncryptedAggregation,
        context: Context,
        noise: NoisyVectors | None = None,
    ) -> None:
        self._noise = noise
        self._number = number
        self._settings = settings
        self._context = context
        self._due: tuple[int, bool] | None = None

    def greet(self, message: Message) -> Outgoing:
        """Begin a run: say the public identity key, and that of pads.

        Raises
        ------
        ReplayError
            If the run has begun: a server could have another key holder in the middle of it.
        FedtradeError
            If the server's version or settings are others.
        """
        if KEY in self._context.state:
            raise ReplayError(
                "the server greets again in the middle of a run, and could put another in the "
                "place of the key holder: start the run anew."
            )
        brought = brought_digest(self._context)
        run = read_run(message, self._settings, self._noise, brought)
        identity = own_identity(self._context)
        self._context.state[RUN] = ConfigRecord({RUN: run, BROUGHT: brought})
        if PAD_KEY not in self._context.state:
            made = AgreementKey().private_bytes
            self._context.state[PAD_KEY] = ConfigRecord({PAD: made})
        public, signature = sign_pad_key(
            identity, run, self._number, self._agreement().public_bytes
        )
        greeting: dict[str, Any] = {IDENTITY: identity.public_bytes, PAD: public}
        return Outgoing(records={GREETING: ConfigRecord({**greeting, PAD_SIGNATURE: signature})})

    def answer(self, message: Message) -> Outgoing:
        """Take the key holder's public keys, once a run.

        Raises
        ------
        SecureAggregationError
            If they are not signed by the key holder, or the server is.
        """
        asked = message.content.config_records
        if KEY not in asked or ROSTER not in asked or KEY in self._context.state:
            raise ProtocolError("a participant takes the key holder's keys once, and nothing else.")
        record, roster = asked[KEY], unpack_roster(asked[ROSTER])
        identity = own_identity(self._context)
        n_members, holder = check_key_roster(self._settings, roster, record, self._number, identity)
        if holder == self._number:
            raise ProtocolError("the server makes this participant the key holder, too.")
        run = own_bytes(self._context.state.get(RUN), RUN)
        for kind, scheme in channels(self._settings, n_members, self._noise).items():
            keys = [record.get(f"{kind}-{name}") for name in (PUBLIC, PAD, SIGNATURE)]
            public, pad, signature = (key if isinstance(key, bytes) else None for key in keys)
            if public is None or pad is None or signature is None:
                raise ProtocolError(f"the server gives no signed public key for {kind}.")
            verify_key(public, pad, signature, run, scheme, holder=holder, identity=roster[holder])
        self._context.state[KEY] = record
        return Outgoing()

    def training(
        self, message: Message, update: NDArray[np.float32], n_examples: int, loss: float
    ) -> Outgoing:
        """Contribute the update, weighted and clipped, under encryption."""
        _, by_examples = self._expected()
        values: Mapping[str, NDArray[Any]]
        if self._noise is not None:
            values = self._noise.update_values(update, clip_of(message))
        else:
            values = training_values(
                self._settings, update, n_examples, loss, by_examples=by_examples
            )
        return self._contribute(message, TRAINING, values, update.shape, by_examples=by_examples)

    def part(self, message: Message, values: NDArray[np.float64]) -> Outgoing:
        """Contribute a part of a federated sum under encryption."""
        kind = self._kind_of(message)
        noise = noise_on(kind, self._noise)
        part: Mapping[str, NDArray[Any]] = {SUM: values.ravel()}
        if noise is not None:
            part = noise.sum_values(values)
        return self._contribute(message, kind, part, values.shape)

    def check(self, message: Message) -> None:
        """Refuse what is no part of a sum that is due, and remember that it was asked for."""
        _, by_examples = read_round(message)
        self._key()
        session = message.content.config_records[ROUND].get(SESSION)
        last = self._context.state.config_records.get(LAST, ConfigRecord()).get(SESSION, -1)
        if type(session) is not int or not isinstance(last, int) or session <= last:
            raise ReplayError(f"sum {session!r} is asked for, and sum {last!r} was contributed to.")
        if self._noise is not None and kind_of(message) == MessageType.TRAIN:
            clip_of(message)
        note_contribution(message, self._context)
        self._due = session, by_examples

    def refuse(self, message: Message, reason: str) -> Outgoing:
        """See `Party.refuse`."""
        session, _ = self._expected()
        return Outgoing(records={ROUND: ConfigRecord({SESSION: session, REFUSED: reason})})

    def has_noise(self, message: Message) -> bool:
        """Of the key holder."""
        return noise_on(self._kind_of(message), self._noise) is not None

    def _kind_of(self, message: Message) -> str:
        if kind_of(message) == MessageType.TRAIN:
            return TRAINING
        return SUMS if self._noise is None or kind_of(message) == SUM_QUERY else SCORES

    def _expected(self) -> tuple[int, bool]:
        """The sum, and whether members count by examples, as `check` found."""
        if self._due is None:
            raise ProtocolError("nothing was asked for that is due.")
        return self._due

    def _scheme(self, kind: str) -> Scheme:
        n_members = self._key().get(N_MEMBERS)
        assert isinstance(n_members, int)  # checked when it was taken
        return channels(self._settings, n_members, self._noise)[kind]

    def _key(self) -> ConfigRecord:
        if KEY not in self._context.state:
            raise ProtocolError("the server asks for a contribution before it gave any keys.")
        return self._context.state.config_records[KEY]

    def _agreement(self) -> AgreementKey:
        return AgreementKey(own_bytes(self._context.state.get(PAD_KEY), PAD))

    def _pad_key(self, kind: str, session: int, subject: bytes) -> bytes:
        """Of the pad of one sum, which the server does not know."""
        run = own_bytes(self._context.state.get(RUN), RUN)
        theirs = own_bytes(self._key(), f"{kind}-{PAD}")
        return PadKeys(self._agreement(), theirs, run, self._number, kind).of(session, subject)

    def _contribute(
        self,
        message: Message,
        kind: str,
        values: Mapping[str, NDArray[Any]],
        shape: tuple[int, ...],
        *,
        by_examples: bool = False,
    ) -> Outgoing:
        session, _ = self._expected()
        scheme = self._scheme(kind)
        layout = layout_of(
            self._settings,
            scheme,
            kind,
            math.prod(shape),
            by_examples=by_examples,
            noise=self._noise,
        )
        words = encoded(layout, values).astype(np.int64, copy=False)
        contribution = contribute(
            scheme.encryptor(own_bytes(self._key(), f"{kind}-{PUBLIC}")),
            own_identity(self._context),
            own_bytes(self._context.state.get(RUN), RUN),
            session,
            self._number,
            words,
            self._pad_key(kind, session, subject_of(asked_of(message), layout)),
        )
        self._context.state[LAST] = ConfigRecord({SESSION: session})
        return Outgoing(
            records={
                ROUND: ConfigRecord({SESSION: session, SHAPE: [int(n) for n in shape]}),
                CIPHERTEXTS: ConfigRecord(
                    {
                        CHUNKS: list(contribution.chunks),
                        DIGEST: contribution.signed.digest,
                        SIGNATURE: contribution.signed.signature,
                    }
                ),
            }
        )
