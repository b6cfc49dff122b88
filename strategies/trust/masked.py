"""The mode `masked`: sums under pairwise masks, over Flower messages.

A sum takes two exchanges, or three against a malicious server: members upload, (sign who is left,)
and help to take the masks off. What the next sum needs is set up on the way: its keys travel with
the uploads, and its shares with the answers that unmask. Two exchanges at the start of a run set
up the first sum.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedtrade.errors import ProtocolError, ReplayError, SecureAggregationError, ThresholdError
from fedtrade.privacy.participant import NoisyVectors, with_least_contributors
from fedtrade.secure import MaskedAggregation
from fedtrade.secure.layout import Layout
from fedtrade.secure.masked import CohortSum, MaskedServer
from fedtrade.secure.masked.cohort import sum_parameters
from fedtrade.secure.parameters import GraphParameters
from fedtrade.secure.payload import sum_layout, training_layout
from fedtrade.secure.statement import PrivacyStatement, masked_statement
from fedtrade.secure.subject import asked_subject, subject_of
from fedtrade.secure.wire import (
    BY_EXAMPLES,
    CHECK,
    N_MEMBERS,
    OPEN,
    PLEDGE,
    REFUSED,
    ROSTER,
    ROUND,
    SESSION,
    SHARE,
    UNMASK,
    UPLOAD,
    WORDS,
    pack_roster,
)
from fedtrade.wire import ARRAYS, SECURE, printable
from strategies.exchange import array_record, gather
from strategies.membership import Membership
from strategies.replies import Refusal, is_refused, read_arms, read_arrays
from strategies.round_rule import RoundRule
from strategies.screening import NOT_IN_TIME
from strategies.trust.grouping import check_groups, n_liars_rounded_up
from strategies.trust.private import (
    Asked,
    GroupTotal,
    Opened,
    PrivateMode,
    PrivateSums,
    Upload,
    lost,
    read_identity,
    read_round,
)

__all__ = ["Masked", "MaskedSums", "parameters_of"]

WRONG_SHARES = (
    "shares of keys that it dealt, or gave as it was dealt them, do not fit what was promised"
)

LEFT_OUT = "it is left out for the rest of the run: a sum failed of its shares"
NOT_SET_UP = (
    "it is no part of this sum: it was not there when the sum was set up, and may join the next"
)


class Masked(PrivateMode):
    """Masked sums of all participants, or of random groups.

    Parameters
    ----------
    settings : MaskedAggregation
    n_known : int
        Participants of the run, present or not, as all of them know.
    noise : NoisyVectors or None
        A part of which each participant adds.
    """

    name = "masked"

    def __init__(
        self,
        settings: MaskedAggregation,
        n_known: int = 0,
        noise: NoisyVectors | None = None,
        *,
        brought: str,
    ) -> None:
        if noise is not None:
            settings = with_least_contributors(settings, n_known)
        super().__init__(settings, MaskedSums(settings, n_known, noise, brought=brought))
        self._masked = settings
        self._n_known = n_known

    def n_rows(self, n_asked: int) -> int:
        """One, or one a group."""
        size = self._masked.group_size
        return 1 if size is None else n_asked // size

    def n_liars(self, share: float, n_asked: int) -> int:
        """Rounded up where groups hide them, down where there is but one sum."""
        if self._masked.group_size is None:
            return super().n_liars(share, n_asked)
        return n_liars_rounded_up(share, n_asked)

    def check(self, rule: RoundRule, n_asked: int, n_liars: int, n_participants: int) -> None:
        """Also whether the graph of masks, and groups, can be as the settings want them."""
        super().check(rule, n_asked, n_liars, n_participants)
        parameters_of(self._masked, n_participants, self._n_known)
        # Federated sums have no groups.
        whole = self._masked.model_copy(update={"group_size": None})
        parameters_of(whole, n_participants, self._n_known)

    def check_values(self, n_participants: int, *, by_examples: bool) -> None:
        """Whether sums of so many cannot wrap around."""
        sum_layout(self._masked, 1, n_participants)
        if self.noise is None:
            training_layout(self._masked, 1, n_participants, by_examples=by_examples)
            return
        Layout(self.noise.update_segments(1), n_participants)
        if self.noise.covers_sums:
            Layout(self.noise.sum_segments(1), n_participants)

    def statement(self, n_participants: int) -> PrivacyStatement:
        """With the graph of masks among so many."""
        parameters = parameters_of(self._masked, n_participants, self._n_known)
        return masked_statement(self._masked, n_participants, parameters)

    def check_rule(self, rule: RoundRule, n_asked: int, n_liars: int) -> None:
        """Whether the rule withstands so many spoilt groups."""
        size = self._masked.group_size
        if size is None:
            super().check_rule(rule, n_asked, n_liars)
        else:
            check_groups(rule, n_asked, n_liars, size, self.settings.min_contributors)


class MaskedSums(PrivateSums):
    """The exchanges around a `MaskedServer`, of which there is one a run.

    Parameters
    ----------
    settings : MaskedAggregation
    n_known, noise
        See `Masked`.
    """

    def __init__(
        self,
        settings: MaskedAggregation,
        n_known: int = 0,
        noise: NoisyVectors | None = None,
        *,
        brought: str,
    ) -> None:
        super().__init__(settings, noise, brought=brought)
        self._settings = settings
        self._n_known = n_known
        self._left_out: set[int] = set()
        self.has_groups = settings.group_size is not None
        self._numbers: dict[int, int] = {}
        self._nodes: dict[int, int] = {}
        self._server = MaskedServer(settings, self.run, {})
        self._roster: dict[str, ConfigRecord] = {}
        self._uninformed: set[int] = set()
        self._session = 0
        self._problem = ""
        self._is_training = False
        self._done: dict[tuple[str, int], set[int]] = {}

    # --- joining --------------------------------------------------------------------------------

    def greeting(self) -> Mapping[str, ConfigRecord]:
        """The run's name, and what the first sum begins with."""
        return {**super().greeting(), PLEDGE: ConfigRecord({SESSION: 0})}

    def join(self, grid: Grid, members: Membership, ttl_s: float) -> Membership:
        """Take the participants' public keys and set up the first sum."""
        identities: dict[int, bytes] = {}
        refusals: list[Refusal] = []
        for node, number in members.participants.items():
            try:
                key = read_identity(members.answers[node])
                if key in identities.values():
                    raise ProtocolError("it sent the identity key of another participant")
            except ProtocolError as error:
                refusals.append(Refusal(node, printable(str(error))))
            else:
                identities[number] = key
        self._numbers = {n: k for n, k in members.participants.items() if k in identities}
        if len(identities) < self._settings.min_contributors:
            reasons = [*(r.reason for r in refusals), *(r.reason for r in members.refusals), ""]
            raise ThresholdError(
                f"{len(identities)} of {len(members.participants)} participants can join masked "
                f"sums, and aggregation.min_contributors={self._settings.min_contributors}: give "
                f"all the same settings. {reasons[0]}".rstrip()
            )
        self._nodes = {number: node for node, number in self._numbers.items()}
        self._server = MaskedServer(self._settings, self.run, identities, n_known=self._n_known)
        for node in self._numbers:
            refusals += self._take(node, members.answers[node], {PLEDGE: 0})
        self._roster = {ROSTER: ConfigRecord({**pack_roster(identities)})}
        self._uninformed = set(self._numbers)
        openings = {node: self._opening(number, 0) for node, number in self._each()}
        refusals += self._exchange(grid, openings, {OPEN: 0}, ttl_s)
        refusals += self._prepare(grid, {}, 0, ttl_s)
        return replace(members, participants=self._numbers, refusals=(*members.refusals, *refusals))

    # --- one sum --------------------------------------------------------------------------------

    def ask(self, content: RecordDict, asked: Asked) -> list[Message]:
        """Ask members for masked words, and everybody for the keys of the next sum."""
        session, self._problem = self._session, ""
        self._asked = asked_subject(asked.message_type, content)
        self._is_training = asked.is_training
        members = self._members(asked)
        round_: dict[str, Any] = {
            SESSION: session,
            # Of all that set up the sum, as in `layout`, whether they are asked or not.
            N_MEMBERS: len(self._server.members(session)),
            BY_EXAMPLES: asked.by_examples,
        }
        messages = []
        for node, number in self._each():
            records = self._opening(number, session + 1)
            kind, given = SECURE, RecordDict({ARRAYS: array_record({})})
            if node in members:
                kind, given = asked.message_type, RecordDict(dict(content))
                given[ROUND] = ConfigRecord(round_)
                fields = self._server.participants(session)
                given[UPLOAD] = ConfigRecord({SESSION: session, **fields})
            elif not records:
                continue
            for name, record in records.items():
                given[name] = record
            messages.append(Message(given, node, kind, ttl=asked.ttl_s, group_id=asked.group_id))
        return messages

    def read(
        self, replies: Iterable[Message], asked: Asked
    ) -> tuple[dict[int, Upload], list[Refusal]]:
        """Masked words by node; keys of the next sum are noted on the way."""
        members = self._members(asked)
        uploads: dict[int, Upload] = {}
        refusals: dict[int, Refusal] = {}
        for reply in replies:
            node = reply.metadata.src_node_id
            try:
                if node not in self._numbers:
                    raise ProtocolError("the node was not asked")
                if node in uploads or node in refusals:
                    raise ReplayError("the node answered more than once")
                arrays = read_arrays(reply)
                if node in members:
                    shape = read_round(reply, self._session, asked.group_id)
                    uploads[node] = Upload(_words(arrays), shape, read_arms(reply))
            except (ValueError, SecureAggregationError) as error:
                refusals.setdefault(node, Refusal(node, printable(str(error))))
                if node not in self._numbers or not is_refused(reply):
                    continue  # else it is part of the next sum all the same
            upcoming = self._session + 1
            asked_too = bool(self._opening(self._numbers[node], upcoming))
            for refusal in self._take(node, reply, {OPEN: upcoming} if asked_too else {}):
                refusals.setdefault(node, refusal)
        for node in asked.nodes:
            if node not in uploads and node not in refusals:
                reason = NOT_IN_TIME if node in members else NOT_SET_UP
                reason = LEFT_OUT if node in self._left_out else reason
                refusals[node] = Refusal(node, reason)
        return uploads, list(refusals.values())

    def layout(self, n_values: int, asked: Asked) -> Layout:
        """Of at most as many members as have set up the sum."""
        n_members = max(1, len(self._server.members(self._session)))
        noise = asked.noise(self.noise)
        if asked.is_training:
            if noise is not None:
                return Layout(noise.update_segments(n_values), n_members)
            by_examples = asked.by_examples
            return training_layout(self._settings, n_values, n_members, by_examples=by_examples)
        if noise is not None:
            return Layout(noise.sum_segments(n_values), n_members)
        return sum_layout(self._settings, n_values, n_members)

    def open(
        self, grid: Grid, uploads: Mapping[int, Upload], layout: Layout, ttl_s: float | None
    ) -> Opened:
        """Add the words, let the committee sign who is left, and take the masks off."""
        session, refusals = self._session, []
        if not self._problem:
            subject = subject_of(self._asked, layout)
            self._server.expect_words(session, layout.size, layout.dtype, subject)
        for node, upload in sorted(uploads.items()):
            try:
                self._server.uploaded(session, self._numbers[node], upload.parts)
            except SecureAggregationError as error:
                refusals.append(Refusal(node, printable(str(error))))
        try:
            self._server.close_uploads(session)
        except SecureAggregationError as error:
            self._problem = self._problem or str(error)
        if not self._problem:
            refusals += self._check(grid, session, ttl_s)
        unmasking = {} if self._problem else self._unmasking(session)
        refusals += self._prepare(grid, unmasking, session + 1, ttl_s)
        totals: list[GroupTotal] = []
        n_spoilt = 0
        if not self._problem:
            totals, n_spoilt = self._totals(session, set(uploads), refusals)
        self._server.forget(session)
        self._session += 1
        return Opened(totals, refusals, self._problem, n_spoilt)

    def _members(self, asked: Asked) -> set[int]:
        """The nodes of those asked that have set up the sum; none if they are too few."""
        try:
            self._server.participants(self._session)
        except SecureAggregationError as error:
            self._problem = str(error)
            return set()
        return set(asked.nodes).intersection(
            self._nodes[number] for number in self._server.members(self._session)
        )

    def _check(self, grid: Grid, session: int, ttl_s: float | None) -> list[Refusal]:
        """Let the committee sign the set of survivors; a server that is trusted needs none."""
        asked = {
            self._nodes[number]: self._record(
                CHECK, session, self._server.survivors(session, number)
            )
            for number in self._server.committee(session)
        }
        return self._exchange(grid, asked, {CHECK: session}, ttl_s) if asked else []

    def _unmasking(self, session: int) -> dict[int, dict[str, ConfigRecord]]:
        """What survivors are asked for, by node."""
        return {
            self._nodes[number]: self._record(
                UNMASK, session, self._server.unmask_request(session, number)
            )
            for number in self._server.unmask_members(session)
        }

    def _prepare(
        self,
        grid: Grid,
        unmasking: Mapping[int, dict[str, ConfigRecord]],
        upcoming: int,
        ttl_s: float | None,
    ) -> list[Refusal]:
        """One exchange: unmask this sum, share keys for the upcoming one, pledge for that after."""
        if self._next_is_whole():
            self._server.sum_all(upcoming)
        asked = {}
        for node, number in self._each():
            asked[node] = dict(unmasking.get(node, {}))
            if number in self._done.get((OPEN, upcoming), set()):
                adverts = self._server.adverts(upcoming, number)
                if self._server.parameters(upcoming):  # enough of them for a graph
                    asked[node] |= self._record(SHARE, upcoming, adverts)
            asked[node] |= self._record(PLEDGE, upcoming + 1, {})
        stages = {UNMASK: upcoming - 1, SHARE: upcoming, PLEDGE: upcoming + 1}
        return self._exchange(grid, asked, stages, ttl_s)

    def _next_is_whole(self) -> bool:
        """Whether no groups are drawn for the upcoming sum: they are for updates alone."""
        is_repeated = bool(self._problem) or self.next_is_training is None
        return not (self._is_training if is_repeated else self.next_is_training)

    def _totals(
        self, session: int, uploaded: set[int], refusals: list[Refusal]
    ) -> tuple[list[GroupTotal], int]:
        """What can be opened, and how many groups cannot because of a liar among them."""
        totals, reasons, n_spoilt = [], [], 0
        for found in self._server.sums(session):
            if isinstance(found, CohortSum):
                nodes = tuple(sorted(self._nodes[number] for number in found.members))
                totals.append(GroupTotal(nodes, found.total))
            else:
                reasons.append(found.reason)
                n_spoilt += found.is_spoilt
                for number in found.blamed:  # else it would stop the next sum, too
                    self._left_out.add(self._nodes[number])
                    self._server.leave_out(number)
                if self.has_groups:
                    members = {self._nodes[number] for number in found.members}
                    refusals += lost(sorted(members & uploaded), ThresholdError(found.reason))
            refusals += [Refusal(self._nodes[number], WRONG_SHARES) for number in found.blamed]
        self._problem = "; ".join(reasons)
        return totals, n_spoilt

    # --- stages ---------------------------------------------------------------------------------

    def _each(self) -> list[tuple[int, int]]:
        """Nodes that joined and are asked, with their numbers."""
        return sorted(item for item in self._numbers.items() if item[0] not in self._left_out)

    def _opening(self, number: int, session: int) -> dict[str, ConfigRecord]:
        """The record that asks for the keys of a sum, if the member has pledged any."""
        pledged = self._done.get((PLEDGE, session), set())
        if number not in pledged:
            return {}
        commitments = self._server.commitments(session)
        if len(pledged) < self._settings.min_contributors:
            return {}  # they would refuse; the next sum but one has all of them again
        return self._record(OPEN, session, commitments)

    @staticmethod
    def _record(stage: str, session: int, fields: Mapping[str, Any]) -> dict[str, ConfigRecord]:
        return {stage: ConfigRecord({SESSION: session, **fields})}

    def _exchange(
        self,
        grid: Grid,
        asked: Mapping[int, Mapping[str, ConfigRecord]],
        stages: Mapping[str, int],
        ttl_s: float | None,
    ) -> list[Refusal]:
        """Ask nodes for stages and take the answers.

        Whoever has not answered yet to the list of public keys gets it along.
        """
        asked = {
            node: {**(self._roster if node in self._uninformed else {}), **records}
            for node, records in asked.items()
        }
        messages = [
            Message(RecordDict({ARRAYS: array_record({}), **records}), node, SECURE, ttl=ttl_s)
            for node, records in asked.items()
        ]
        replies = grid.send_and_receive(messages, timeout=ttl_s)
        answers, silent = gather(messages, replies, ttl_s)
        refusals = [Refusal(r.node_id, f"{_names(asked[r.node_id])}: {r.reason}") for r in silent]
        for answer in answers:
            self._uninformed.discard(answer.node_id)
            wanted = {name: n for name, n in stages.items() if name in asked[answer.node_id]}
            refusals += self._take(answer.node_id, answer.message, wanted)
        return refusals

    def _take(self, node: int, reply: Message, stages: Mapping[str, int]) -> list[Refusal]:
        """Hand a reply's records of these stages to the server, each with its session."""
        number, refusals = self._numbers[node], []
        receive = {
            PLEDGE: self._server.pledged,
            OPEN: self._server.opened,
            SHARE: self._server.shared,
            CHECK: self._server.checked,
            UNMASK: self._server.unmasked,
        }
        for stage, session in stages.items():
            record = reply.content.config_records.get(stage)
            if record is None:
                refusals.append(Refusal(node, f"{_names([stage])}: its reply has no answer to it"))
                continue
            fields = {name: value for name, value in record.items() if name != SESSION}
            try:
                if record.get(SESSION) != session:
                    raise ReplayError(
                        f"its answer is to sum {record.get(SESSION)!r}, not {session}"
                    )
                if REFUSED in record:
                    raise ProtocolError(f"it refuses: {record[REFUSED]!s}")
                receive[stage](session, number, fields)
            except SecureAggregationError as error:
                refusals.append(Refusal(node, printable(f"{_names([stage])}: {error}")))
            else:
                self._done.setdefault((stage, session), set()).add(number)
        self._done = {k: v for k, v in self._done.items() if k[1] >= self._session}
        return refusals


def parameters_of(settings: MaskedAggregation, n_members: int, n_known: int = 0) -> GraphParameters:
    """The graph of masks among so many members, or within the smallest of their groups.

    Parameters
    ----------
    n_known : int
        Participants of the run, present or not.

    Raises
    ------
    ConfigurationError, ThresholdError
        If there is none.
    """
    return sum_parameters(settings, max(n_known, n_members), n_members, settings.group_size)


def _names(stages: Iterable[str]) -> str:
    """What stages are called in the reason of a refusal."""
    return ", ".join(stage.removeprefix("secure.") for stage in stages)


def _words(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The masked words of a reply.

    Raises
    ------
    ProtocolError
        If there are none, or other arrays.
    """
    if set(arrays) != {WORDS}:
        raise ProtocolError(
            f"its reply has the arrays {sorted(arrays)[:5]} and not {WORDS!r} alone"
        )
    words = arrays[WORDS]
    if words.ndim != 1 or words.dtype.kind != "u":
        raise ProtocolError(f"its words are {words.dtype} of shape {words.shape}")
    return words
