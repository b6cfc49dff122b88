"""The mode `encrypted`: the server adds ciphertexts, and a key holder opens the sum.

A sum takes two exchanges: members upload ciphertexts, and the key holder opens their sum. Two
exchanges at the start of a run give everybody the public keys, and the key holder those of pads.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from logging import WARNING
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore import log
from numpy.typing import NDArray

from fedtrade.errors import (
    ConfigurationError,
    FedtradeError,
    ProtocolError,
    ReplayError,
    SecureAggregationError,
    ThresholdError,
)
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.secure import EncryptedAggregation
from fedtrade.secure.encrypted import (
    CiphertextSum,
    Contribution,
    EncryptedSum,
    Scheme,
    SignedDigest,
    SignedPadKey,
    Spares,
    check_contribution,
    verify_key,
    verify_pad_key,
)
from fedtrade.secure.encrypted.channels import SCORES, SUMS, TRAINING, channels, layout_of
from fedtrade.secure.layout import Layout
from fedtrade.secure.statement import PrivacyStatement, encrypted_statement
from fedtrade.secure.subject import asked_subject
from fedtrade.secure.wire import (
    BY_EXAMPLES,
    CHUNKS,
    CIPHERTEXTS,
    DECRYPT,
    DIGEST,
    GREETING,
    HOLDER,
    KEY,
    KIND,
    N_MEMBERS,
    NUMBERS,
    PAD,
    PAD_SIGNATURE,
    PUBLIC,
    REFUSED,
    ROSTER,
    ROUND,
    SESSION,
    SIGNATURE,
    SIZE,
    SUBJECT,
    WORDS,
    pack_pads,
    pack_roster,
)
from fedtrade.wire import ARRAYS, SECURE, SUM, printable
from strategies.exchange import Answer, array_record, gather
from strategies.membership import Membership
from strategies.replies import Refusal, plain_reason, read_arms, read_arrays
from strategies.round_rule import RoundRule
from strategies.screening import NOT_IN_TIME
from strategies.trust.private import (
    Asked,
    GroupTotal,
    Opened,
    PrivateMode,
    PrivateSums,
    Upload,
    read_identity,
    read_round,
)

__all__ = ["Encrypted", "EncryptedSums"]

MOST_NUMBERS = 1 << 32
SLOW_PAILLIER = (
    "aggregation.scheme=paillier takes each participant about 5 ms a value, and sums of scores "
    "have thousands: it is for short vectors. aggregation.scheme=bfv is as exact."
)

MOST_KINDS = 3
"""Sums of different shapes that grow side by side until most members' is known."""

SPARES = Spares()
"""Processes that add, kept from one sum to the next. They see ciphertexts only, and no key holder
has its own from here: that one is shown secret keys."""


class Encrypted(PrivateMode):
    """Sums of all participants, opened by a key holder who is none of them.

    Parameters
    ----------
    settings : EncryptedAggregation
    noise : NoisyVectors or None
        What the key holder adds to sums.
    """

    name = "encrypted"

    def __init__(
        self, settings: EncryptedAggregation, noise: NoisyVectors | None = None, *, brought: str
    ) -> None:
        super().__init__(settings, EncryptedSums(settings, noise, brought=brought))
        self._encrypted = settings

    def check(self, rule: RoundRule, n_asked: int, n_liars: int, n_participants: int) -> None:
        """Also whether a scheme holds the sums of so many."""
        super().check(rule, n_asked, n_liars, n_participants)
        channels(self._encrypted, n_participants, self.noise)
        if self._encrypted.scheme == "paillier":
            log(WARNING, SLOW_PAILLIER)

    def check_values(self, n_participants: int, *, by_examples: bool) -> None:
        """Whether the schemes' rings hold sums of so many."""
        for kind, scheme in channels(self._encrypted, n_participants, self.noise).items():
            layout_of(self._encrypted, scheme, kind, 1, by_examples=by_examples, noise=self.noise)

    def statement(self, n_participants: int) -> PrivacyStatement:
        """With the schemes that hold the sums of so many."""
        return encrypted_statement(self._encrypted, n_participants)


class EncryptedSums(PrivateSums):
    """The exchanges with members and the key holder.

    Parameters
    ----------
    settings : EncryptedAggregation
    noise : NoisyVectors or None
        What the key holder adds to sums.
    """

    def __init__(
        self, settings: EncryptedAggregation, noise: NoisyVectors | None = None, *, brought: str
    ) -> None:
        super().__init__(settings, noise, brought=brought)
        self._settings = settings
        self._numbers: dict[int, int] = {}
        self._roster: dict[int, bytes] = {}
        self._pads: dict[int, SignedPadKey] = {}
        self._holder = 0
        self._schemes: Mapping[str, Scheme] = {}
        self._n_members = 0
        self._keys: dict[str, bytes] = {}
        self._session = -1
        self._kind = TRAINING
        self._n_values, self._by_examples = 0, False
        self._growing: dict[tuple[tuple[int, ...], tuple[str, ...]], CiphertextSum] = {}

    # --- joining --------------------------------------------------------------------------------

    def join(self, grid: Grid, members: Membership, ttl_s: float) -> Membership:
        """Let the key holder make keys, and give the public ones to all members.

        Raises
        ------
        ConfigurationError
            If there is not exactly one key holder, or a member is it, too.
        SecureAggregationError
            If it makes no usable keys.
        """
        self._holder = _one(members)
        refusals = self._learn(members)
        answer = members.answers[self._holder]
        number = _holder_number(answer, self._numbers.values())
        self._roster[number] = read_identity(answer)
        if len(set(self._roster.values())) < len(self._roster):
            raise ConfigurationError(
                "the key holder has the identity key of a participant, and nobody may be both: "
                "whoever holds the key could read its fellows' updates with the server's help."
            )
        n_members = self._n_members = len(self._numbers)
        self._schemes = channels(self._settings, n_members, self.noise)
        roster = ConfigRecord({**pack_roster(self._roster)})
        pads = pack_pads({k: self._pads[k] for k in self._numbers.values()})
        wanted = ConfigRecord({N_MEMBERS: n_members, HOLDER: number, **pads})
        keys = self._ask_holder(grid, {ROSTER: roster, KEY: wanted}, ttl_s)
        made = keys.message.content.config_records.get(KEY, ConfigRecord())
        self._take_keys(made, number)
        record = {ROSTER: roster, KEY: ConfigRecord({**made, N_MEMBERS: n_members, HOLDER: number})}
        messages = [self._message(node, record, ttl_s) for node in sorted(self._numbers)]
        replies = grid.send_and_receive(messages, timeout=ttl_s)
        answers, silent = gather(messages, replies, ttl_s)
        joined = {answer.node_id for answer in answers}
        self._numbers = {node: k for node, k in self._numbers.items() if node in joined}
        return replace(
            members,
            participants=self._numbers,
            refusals=(*members.refusals, *refusals, *silent),
        )

    def _learn(self, members: Membership) -> list[Refusal]:
        """Take the participants' public keys, of their identities and of pads."""
        refusals = []
        for node, number in members.participants.items():
            try:
                key = read_identity(members.answers[node])
                if key in self._roster.values():
                    raise ProtocolError("it sent the identity key of another participant")
                pad = _read_pad(members.answers[node])
                verify_pad_key(pad, self.run, number, key)
            except SecureAggregationError as error:
                refusals.append(Refusal(node, printable(str(error))))
            else:
                self._numbers[node], self._roster[number] = number, key
                self._pads[number] = pad
        return refusals

    def _take_keys(self, made: Mapping[str, Any], holder: int) -> None:
        """Check the key holder's public keys before anybody gets them.

        Raises
        ------
        SecureAggregationError
        """
        for kind, scheme in self._schemes.items():
            found = [made.get(f"{kind}-{name}") for name in (PUBLIC, PAD, SIGNATURE)]
            public, pad, signature = (key if isinstance(key, bytes) else None for key in found)
            if public is None or pad is None or signature is None:
                raise ProtocolError(f"the key holder sent no public key for {kind}.")
            verify_key(
                public,
                pad,
                signature,
                self.run,
                scheme,
                holder=holder,
                identity=self._roster[holder],
            )
            self._keys[kind] = public

    # --- one sum --------------------------------------------------------------------------------

    def ask(self, content: RecordDict, asked: Asked) -> list[Message]:
        """One message a member."""
        self._end_sums()
        self._session += 1
        self._asked = asked_subject(asked.message_type, content)
        self._by_examples = asked.by_examples
        round_: dict[str, Any] = {
            SESSION: self._session,
            N_MEMBERS: self._n_members,
            BY_EXAMPLES: asked.by_examples,
        }
        given = RecordDict(dict(content))
        given[ROUND] = ConfigRecord(round_)
        return [
            Message(given, node, asked.message_type, ttl=asked.ttl_s, group_id=asked.group_id)
            for node in asked.nodes
            if node in self._numbers
        ]

    def read(
        self, replies: Iterable[Message], asked: Asked
    ) -> tuple[dict[int, Upload], list[Refusal]]:
        """Signed ciphertexts by node."""
        uploads: dict[int, Upload] = {}
        refusals: dict[int, Refusal] = {}
        for reply in replies:
            node = reply.metadata.src_node_id
            try:
                if node not in self._numbers or node not in asked.nodes:
                    raise ProtocolError("the node was not asked")
                if node in uploads:
                    raise ReplayError("the node answered more than once")
                if read_arrays(reply):
                    raise ProtocolError("nobody asked for the arrays in its reply")
                shape = read_round(reply, self._session, asked.group_id)
                uploads[node] = self._add(node, reply, shape, asked)
            except (ValueError, SecureAggregationError) as error:
                refusals.setdefault(node, Refusal(node, printable(str(error))))
            except BaseException:
                self._end_sums()
                raise
        for node in asked.nodes:
            if node not in uploads and node not in refusals:
                refusals[node] = Refusal(node, NOT_IN_TIME)
        return uploads, list(refusals.values())

    def layout(self, n_values: int, asked: Asked) -> Layout:
        """Of the ring of the scheme that adds this kind of vector."""
        self._kind, self._n_values = self._kind_of(asked), n_values
        return layout_of(
            self._settings,
            self._schemes[self._kind],
            self._kind,
            n_values,
            by_examples=asked.by_examples,
            noise=self.noise,
        )

    def _kind_of(self, asked: Asked) -> str:
        """Of sum; see `channels`."""
        if asked.is_training:
            return TRAINING
        return SUMS if self.noise is None or asked.message_type == SUM else SCORES

    def decode(
        self, layout: Layout, total: NDArray[Any], n_members: int
    ) -> Mapping[str, NDArray[np.float64]]:
        """What a total stands for; the noise of an approximate one may exceed its bound."""
        is_exact = self._schemes[self._kind].is_exact
        return layout.decode(total, n_members if is_exact else None)

    def open(
        self, grid: Grid, uploads: Mapping[int, Upload], layout: Layout, ttl_s: float | None
    ) -> Opened:
        """Add the ciphertexts as they are, and have the sum opened."""
        refusals: list[Refusal] = []
        signed = {self._numbers[node]: upload.parts for node, upload in uploads.items()}
        kinds = {(upload.shape, upload.arms) for upload in uploads.values()}
        least = self._settings.min_contributors
        try:
            if len(signed) < least:
                raise ThresholdError(
                    f"{len(signed)} participants contributed, and no sum of fewer than "
                    f"aggregation.min_contributors={least} is opened"
                )
            (kind,) = kinds
            closed = self._growing[kind].close()
            total = self._opened(grid, closed, signed, layout, ttl_s)
        except FedtradeError as error:
            return Opened([], refusals, printable(str(error)))
        finally:
            self._end_sums()
        return Opened([GroupTotal(tuple(sorted(uploads)), total)], refusals)

    def _add(self, node: int, reply: Message, shape: tuple[int, ...], asked: Asked) -> Upload:
        """Check a contribution and add it at once to those of its shape and arms.

        Raises
        ------
        SecureAggregationError
        """
        number, arms = self._numbers[node], read_arms(reply)
        contribution = self._contribution(reply, number)
        growing = self._growing.get((shape, arms))
        if asked.n_values is not None and shape != (asked.n_values,):
            raise ProtocolError(f"its part has the shape {shape} and not {(asked.n_values,)}")
        if growing is None:
            if len(self._growing) >= MOST_KINDS:
                raise ProtocolError(
                    f"its part has the shape {shape}, and {MOST_KINDS} others came before"
                )
            size = self.layout(math.prod(shape), asked).size
            scheme, key = self._schemes[self._kind], self._keys[self._kind]
            growing = CiphertextSum(scheme, key, size, spares=SPARES)
        try:
            growing.add(number, contribution.chunks)
        finally:
            if growing.numbers:  # a shape that somebody only claimed takes nobody's place
                self._growing[shape, arms] = growing
            else:
                growing.end()
        return Upload(contribution.signed, shape, arms)

    def _end_sums(self) -> None:
        for growing in self._growing.values():
            growing.end()
        self._growing = {}

    def _contribution(self, reply: Message, number: int) -> Contribution:
        """A member's ciphertexts, signed by it for this sum.

        Raises
        ------
        SecureAggregationError
        """
        record = reply.content.config_records.get(CIPHERTEXTS, ConfigRecord())
        chunks, digest, signature = (record.get(name) for name in (CHUNKS, DIGEST, SIGNATURE))
        if (
            not isinstance(chunks, list)
            or not all(isinstance(chunk, bytes) for chunk in chunks)
            or not isinstance(digest, bytes)
            or not isinstance(signature, bytes)
        ):
            raise ProtocolError("its reply has no signed ciphertexts")
        parts: tuple[Any, ...] = tuple(chunks)
        found = Contribution(parts, SignedDigest(number, digest, signature))
        check_contribution(found, self.run, self._session, self._roster[number])
        return found

    def _opened(
        self,
        grid: Grid,
        closed: EncryptedSum,
        signed: Mapping[int, SignedDigest],
        layout: Layout,
        ttl_s: float | None,
    ) -> NDArray[np.int64]:
        """The sum in the clear, from the key holder.

        Raises
        ------
        SecureAggregationError
            If it refuses, does not answer, or answers what cannot be.
        """
        ordered = [signed[number] for number in closed.numbers]
        fields: dict[str, Any] = {
            SESSION: self._session,
            KIND: self._kind,
            SUBJECT: self._asked,
            SIZE: self._n_values,
            BY_EXAMPLES: self._by_examples,
            CHUNKS: list(closed.chunks),
            NUMBERS: [each.number for each in ordered],
            DIGEST: b"".join(each.digest for each in ordered),
            SIGNATURE: b"".join(each.signature for each in ordered),
        }
        answer = self._ask_holder(grid, {DECRYPT: ConfigRecord(fields)}, ttl_s)
        told = answer.message.content.config_records.get(DECRYPT, ConfigRecord())
        if REFUSED in told:
            raise ProtocolError(f"the key holder opens no sum: {told[REFUSED]!s}")
        if told.get(SESSION) != self._session:
            raise ProtocolError(
                f"the key holder's answer is to sum {told.get(SESSION)!r}, and this is "
                f"{self._session}."
            )
        words = answer.arrays.get(WORDS)
        if words is None or words.dtype != np.int64 or words.shape != (layout.size,):
            raise ProtocolError("the key holder's answer is no sum of this size.")
        if (np.abs(words.astype(np.float64)) > layout.modulus / 2).any():
            raise ProtocolError("the key holder's answer is not of the scheme's ring.")
        return words

    def _ask_holder(
        self, grid: Grid, records: Mapping[str, ConfigRecord], ttl_s: float | None
    ) -> Answer:
        """The key holder's answer.

        Raises
        ------
        ProtocolError
            If there is none.
        """
        messages = [self._message(self._holder, records, ttl_s)]
        replies = grid.send_and_receive(messages, timeout=ttl_s)
        answers, refusals = gather(messages, replies, ttl_s)
        if refusals:
            raise ProtocolError(f"the key holder: {plain_reason(refusals[0].reason)}")
        return answers[0]

    @staticmethod
    def _message(node: int, records: Mapping[str, ConfigRecord], ttl_s: float | None) -> Message:
        content = RecordDict({ARRAYS: array_record({}), **records})
        return Message(content, node, SECURE, ttl=ttl_s)


def _one(members: Membership) -> int:
    """The node that holds the key."""
    found = members.key_holders
    if len(found) == 1:
        return found[0]
    said = f"{len(found)} nodes say they are" if found else "no node says it is"
    raise ConfigurationError(
        f"aggregation=encrypted needs one key holder, and {said} one: start a node without data "
        'of its own with role="key-holder" in its configuration, or take aggregation=masked.'
        + members.left_out
    )


def _read_pad(answer: Message) -> SignedPadKey:
    """The public key of pads in a participant's answer to the greeting.

    Raises
    ------
    ProtocolError
        If there is none.
    """
    record = answer.content.config_records.get(GREETING, ConfigRecord())
    public, signature = record.get(PAD), record.get(PAD_SIGNATURE)
    if not isinstance(public, bytes) or not isinstance(signature, bytes):
        raise ProtocolError("it sent no signed public key of pads")
    return SignedPadKey(public, signature)


def _holder_number(answer: Message, numbers: Iterable[int]) -> int:
    """The key holder's own number, if it knows one, or the next behind the participants'."""
    told = answer.content.config_records[GREETING].get(HOLDER)
    most = max(numbers, default=-1)
    if told is None:
        return most + 1
    if type(told) is not int or not most < told < MOST_NUMBERS:
        raise ConfigurationError(
            f"the key holder says that its number is {told!r}, and must have one behind the "
            f"participants', the last of whom has {most}."
        )
    return told
