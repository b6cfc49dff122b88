"""A member's side of masked sums.

Bell et al. (2020), "Secure single-server aggregation with (poly)logarithmic overhead",
https://eprint.iacr.org/2020/704, algorithms 2 and 3. All keys, seeds and shares are made anew for
each sum, so what the server learns of one that drops says nothing of the sums before and after.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from fedtrade.errors import (
    ProtocolError,
    ReplayError,
    SignatureError,
    ThresholdError,
)
from fedtrade.secure.agreement import RUN_BYTES
from fedtrade.secure.masked.beacon import (
    COMMITMENT_BYTES,
    NONCE_BYTES,
    check_openings,
    commitment,
    view_digest,
    whole_seed,
)
from fedtrade.secure.masked.client_session import (
    OPENED,
    PLEDGED,
    SHARED,
    UPLOADED,
    ClientSession,
    read_sessions,
)
from fedtrade.secure.masked.cohort import Cohort, draw_cohorts
from fedtrade.secure.masked.contexts import context
from fedtrade.secure.masked.keys import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    AgreementKey,
    IdentityKey,
    derive,
    verify,
)
from fedtrade.secure.masked.masks import add_masks, pair_key, self_key
from fedtrade.secure.masked.packing import (
    MAX_NUMBER,
    Fields,
    are_among,
    check_names,
    pack_numbers,
    parts_of,
    read_bytes,
    read_numbers,
    read_rows,
)
from fedtrade.secure.masked.roster import Roster
from fedtrade.secure.masked.shamir import SHARE_BYTES, are_shares, pack, split
from fedtrade.secure.masked.statements import (
    ADVERT_BYTES,
    CIPHERTEXT_BYTES,
    GROUPED,
    WHOLE,
    advert_statement,
    pledge_statement,
    self_seed_commitment,
    survivors_digest,
    survivors_statement,
)
from fedtrade.secure.settings import MaskedAggregation
from fedtrade.secure.subject import NO_SUBJECT

__all__ = ["MaskedClient"]

LAST_PLEDGE: Final = "last-pledge"
MOST_SESSIONS: Final = 3
"""Sums in progress: one is unmasked while the next is shared and that after is pledged."""


class MaskedClient:
    """One member, over all sums of a run.

    Each stage can be had once a sum and in order. A stage that raises leaves the member as it was,
    and `state` is all that must be kept between stages; store it before the answer is sent.

    Parameters
    ----------
    number : int
        Of the participant, below 2^32.
    identity : IdentityKey
        Its long-term key.
    identities : mapping of int to bytes
        Public identity keys of all participants, itself among them; may be empty while it only
        pledges.
    settings : MaskedAggregation
    run : 32 bytes
        Which the server drew for the run.
    state : mapping or None
        The `state` of before.
    n_known : int
        Participants that there are as far as the member knows itself. Colluders are reckoned among
        so many, or among those listed if they are more: a server that lists few gains nothing.

    Raises
    ------
    SignatureError
        If the list has another key for this participant.
    ProtocolError
        If the run has not 32 bytes, or the list is none.
    ValueError
        If the state is not one that `state` gave.
    """

    def __init__(
        self,
        number: int,
        identity: IdentityKey,
        identities: Mapping[int, bytes],
        settings: MaskedAggregation,
        run: bytes,
        state: Fields | None = None,
        *,
        n_known: int = 0,
    ) -> None:
        if len(run) != RUN_BYTES:
            raise ProtocolError(f"a run is named by {RUN_BYTES} bytes, got {len(run)}.")
        if not 0 <= number <= MAX_NUMBER:
            raise ValueError(f"a participant's number must be 0 to {MAX_NUMBER}, got {number}.")
        self._number = number
        self._identity = identity
        self._roster = Roster.of(identities)
        if self._roster.get(number, identity.public_bytes) != identity.public_bytes:
            raise SignatureError(f"the list of participants has another key for {number}.")
        self._n_known = max(len(self._roster), n_known)
        self._settings = settings
        self._run = run
        kept = {} if state is None else dict(state)
        self._last_pledge = int(kept.get(LAST_PLEDGE, -1))
        self._sessions = read_sessions(kept)

    @property
    def state(self) -> dict[str, int | str | bytes]:
        """Everything that is needed to go on, secrets included: integers, text and bytes."""
        found: dict[str, int | str | bytes] = {LAST_PLEDGE: self._last_pledge}
        for session, memory in self._sessions.items():
            found.update(memory.to_fields(session))
        return found

    @property
    def sessions(self) -> tuple[int, ...]:
        """Sums of which this member remembers anything."""
        return tuple(sorted(self._sessions))

    def is_grouped(self, session: int) -> bool:
        """Whether a sum that this member has set up is opened group by group."""
        memory = self._sessions.get(session)
        return self._settings.group_size is not None and not (memory and memory.whole)

    def pledge(self, session: int) -> dict[str, bytes]:
        """Commit to a nonce, from which the graph will be drawn; forget sums long over.

        Raises
        ------
        ReplayError
            If this or a later sum was pledged before.
        """
        if session <= self._last_pledge:
            raise ReplayError(
                f"sum {session} cannot be pledged: this member has pledged sum {self._last_pledge}."
            )
        nonce = os.urandom(NONCE_BYTES)
        pledged = commitment(self._run, session, self._number, nonce)
        signature = self._identity.sign(pledge_statement(self._run, session, self._number, pledged))
        self._last_pledge = session
        self._sessions[session] = ClientSession(nonce=nonce)
        for old in [s for s in self._sessions if s <= session - MOST_SESSIONS]:
            del self._sessions[old]
        return {"commitment": pledged, "signature": signature}

    def open(self, session: int, fields: Fields) -> dict[str, bytes]:
        """Open the nonce, once everybody's commitment is fixed, and show fresh public keys.

        Raises
        ------
        ReplayError, ProtocolError
        SignatureError
            If the server gives another commitment than this member's.
        ThresholdError
            If fewer than `min_contributors` have pledged.
        """
        memory = self._expect("open", session, PLEDGED)
        check_names(fields, "members", "commitments")
        numbers = self._members(fields, "members", self._roster.numbers)
        rows = read_rows(fields, "commitments", len(numbers), COMMITMENT_BYTES)
        self._check_own(numbers, rows, commitment(self._run, session, self._number, memory.nonce))
        self._check_contributors(len(numbers), "have pledged")
        mask, channel = AgreementKey(), AgreementKey()
        view = view_digest(self._run, session, numbers, rows.tobytes())
        keys = mask.public_bytes + channel.public_bytes
        statement = advert_statement(self._run, session, self._number, view, memory.nonce, keys)
        memory.view = view
        memory.mask_secret = mask.private_bytes
        memory.channel_secret = channel.private_bytes
        memory.stage = OPENED
        return {
            "nonce": memory.nonce,
            "keys": keys,
            "signature": self._identity.sign(statement),
        }

    def share(self, session: int, fields: Fields) -> dict[str, bytes]:
        """Draw the graph, and deal shares of the mask's private key and the own mask's seed.

        Raises
        ------
        ReplayError, ProtocolError
        SignatureError
            If a nonce is not the one pledged, or a neighbour's key not its own.
        ThresholdError
            If too few are left for a graph or group.
        """
        memory = self._expect("share", session, OPENED)
        check_names(fields, "members", "nonces", "silent", "commitments", "adverts", "whole")
        known = self._roster.numbers
        numbers = self._members(fields, "members", known)
        nonces = read_rows(fields, "nonces", len(numbers), NONCE_BYTES)
        silent = self._members(fields, "silent", known, with_self=False)
        commitments = read_rows(fields, "commitments", len(silent), COMMITMENT_BYTES)
        if are_among(silent, numbers).any():
            raise ProtocolError("a member both opened its nonce and did not.")
        self._check_own(numbers, nonces, memory.nonce)
        self._check_contributors(len(numbers), "have opened their nonces")
        seed = check_openings(
            self._run, session, memory.view, (numbers, nonces), (silent, commitments)
        )
        is_told_whole = read_bytes(fields, "whole", 1) != GROUPED
        whole = is_told_whole and self._settings.group_size is not None
        if whole:
            seed = whole_seed(seed)
        cohort = self._cohort(seed, numbers, whole)
        self._check_contributors(len(cohort.ring), f"are in group {cohort.index}")
        neighbours = cohort.neighbours(self._number)
        given = read_bytes(fields, "adverts", len(neighbours) * ADVERT_BYTES)
        adverts = parts_of(given, ADVERT_BYTES)
        near = parts_of(nonces[np.searchsorted(numbers, neighbours)].tobytes(), NONCE_BYTES)
        for number, nonce, advert in zip(neighbours.tolist(), near, adverts, strict=True):
            keys, signature = advert[: 2 * KEY_BYTES], advert[2 * KEY_BYTES :]
            statement = advert_statement(self._run, session, number, memory.view, nonce, keys)
            verify(self._roster[number], signature, statement, signer=number)
        self_seed = os.urandom(KEY_BYTES)
        points = np.arange(1, len(neighbours) + 1)
        shares = pack(split([memory.mask_secret, self_seed], points, cohort.parameters.threshold))
        pairs = parts_of(shares.tobytes(), 2 * SHARE_BYTES)
        own = AgreementKey(memory.channel_secret)
        channel_keys, ciphertexts = [], []
        for number, advert, pair in zip(neighbours.tolist(), adverts, pairs, strict=True):
            secret = own.agree(advert[KEY_BYTES : 2 * KEY_BYTES], owner=number)
            ends = sorted((self._number, number))
            key = derive(secret, context("channel", self._run, session, *ends))
            channel_keys.append(key)
            # The seed goes with it: only members that drew the same graph read each other's shares.
            ciphertexts.append(AESGCM(key).encrypt(_direction(self._number), pair, seed))
        memory.seed = seed
        memory.whole = WHOLE if whole else b""
        memory.members = self._roster.to_bits(numbers)
        memory.self_seed = self_seed
        memory.mask_keys = b"".join(advert[:KEY_BYTES] for advert in adverts)
        memory.channel_keys = b"".join(channel_keys)
        memory.channel_secret = memory.nonce = memory.view = b""
        memory.stage = SHARED
        return {
            "ciphertexts": b"".join(ciphertexts),
            "commitment": self_seed_commitment(self._run, session, self._number, self_seed),
        }

    def check_upload(self, session: int, fields: Fields) -> None:
        """Whether words are due for a sum, and `fields` can be what `upload` is given.

        Raises
        ------
        ReplayError, ProtocolError, ThresholdError
        """
        self._sharing(self._expect("upload", session, SHARED), fields)

    def upload(
        self,
        session: int,
        fields: Fields,
        words: NDArray[Any],
        subject: bytes = NO_SUBJECT,
    ) -> NDArray[Any]:
        """Words plus the masks shared with the neighbours, plus the own mask.

        Parameters
        ----------
        words : uint32 or uint64 of shape (size,)
            As the layout encodes them; they stay as they are.
        subject : 32 bytes
            What they are; words of another subject add up to nothing with them.

        Raises
        ------
        ReplayError
            Above all if words were masked for this sum before: the difference of two vectors
            under the same masks is that of the vectors.
        ThresholdError
            If too few neighbours have shared.
        ProtocolError, SignatureError
        ValueError
            If the words are of another kind.
        """
        memory = self._expect("upload", session, SHARED)
        if words.ndim != 1 or words.dtype not in (np.uint32, np.uint64):
            raise ValueError(
                f"words must be uint32 or uint64 of shape (size,), got {words.dtype} of shape "
                f"{words.shape}."
            )
        participants, neighbours, sharing = self._sharing(memory, fields)
        own = AgreementKey(memory.mask_secret)
        own_key = self_key(memory.self_seed, self._run, session, self._number, subject)
        keys = [(own_key, True)]
        public_keys = parts_of(memory.mask_keys, KEY_BYTES)
        for place in np.flatnonzero(sharing).tolist():
            number = int(neighbours[place])
            secret = own.agree(public_keys[place], owner=number)
            key = pair_key(secret, self._run, session, self._number, number, subject)
            keys.append((key, self._number < number))
        masked = words.copy()
        add_masks(masked, keys)
        memory.participants = self._roster.to_bits(participants)
        memory.mask_secret = memory.self_seed = memory.mask_keys = b""
        memory.subject = subject
        memory.stage = UPLOADED
        return masked

    def check(self, session: int, fields: Fields) -> dict[str, bytes]:
        """Sign the survivors, as one of the committee; one set a sum.

        Raises
        ------
        ReplayError, ProtocolError, ThresholdError
        """
        memory = self._expect("check", session, UPLOADED)
        if memory.signed:
            raise ReplayError(f"this member has signed the survivors of sum {session} already.")
        check_names(fields, "survivors")
        cohort = self._own_cohort(memory)
        if self._number not in cohort.committee:
            raise ProtocolError(f"member {self._number} is not in the committee of sum {session}.")
        survivors = self._survivors(memory, cohort, fields)
        digest = self._survivors_digest(session, memory, cohort, survivors)
        statement = survivors_statement(self._run, session, self._number, digest)
        memory.signed = digest
        return {"signature": self._identity.sign(statement)}

    def unmask(self, session: int, fields: Fields) -> dict[str, bytes]:
        """Give the shares that take the masks off the total, and forget the sum.

        Of a neighbour whose words are in the total that is the share of its own mask's seed; of
        one that dropped since it dealt its shares, that of its mask's private key.

        Raises
        ------
        ReplayError
            If it was asked before.
        ThresholdError
            If fewer than `min_contributors` are left, or too few neighbours of one of them.
        SignatureError
            If the committee has not signed these survivors.
        ProtocolError
        """
        memory = self._expect("unmask", session, UPLOADED)
        malicious = self._settings.adversary == "malicious"
        proof = ("signers", "signatures") if malicious else ()
        check_names(fields, "survivors", "ciphertexts", *proof)
        cohort = self._own_cohort(memory)
        survivors = self._survivors(memory, cohort, fields)
        if malicious:
            self._check_quorum(session, memory, cohort, survivors, fields)
        participants = self._roster.from_bits(memory.participants)
        neighbours = cohort.neighbours(self._number)
        places = np.flatnonzero(are_among(neighbours, participants))
        given = read_bytes(fields, "ciphertexts", len(places) * CIPHERTEXT_BYTES)
        sealed = parts_of(given, CIPHERTEXT_BYTES)
        keys = parts_of(memory.channel_keys, KEY_BYTES)
        is_left = are_among(neighbours, survivors)
        dealers, shares = [], []
        for place, ciphertext in zip(places.tolist(), sealed, strict=True):
            number = int(neighbours[place])
            try:
                pair = AESGCM(keys[place]).decrypt(_direction(number), ciphertext, memory.seed)
            except InvalidTag:
                continue  # of a dealer that cheats; the others' shares are wanted all the same
            dealers.append(number)
            shares.append(pair[SHARE_BYTES:] if is_left[place] else pair[:SHARE_BYTES])
        del self._sessions[session]
        rows = np.frombuffer(b"".join(shares), dtype=np.uint8).reshape(-1, SHARE_BYTES)
        order = np.argsort(dealers)
        order = order[are_shares(rows)[order]]
        return {
            "dealers": pack_numbers(np.array(dealers, dtype=np.int64)[order]),
            "shares": rows[order].tobytes(),
        }

    def _expect(self, stage: str, session: int, wanted: str) -> ClientSession:
        memory = self._sessions.get(session)
        if memory is None:
            raise ReplayError(
                f"{stage} of sum {session}: this member has no part in it, or has forgotten it "
                "when it was over."
            )
        memory.expect(stage, wanted, session)
        return memory

    def _members(
        self, fields: Fields, name: str, among: NDArray[np.int64], *, with_self: bool = True
    ) -> NDArray[np.int64]:
        """Numbers that are all among others (ascending), this member's with them or not."""
        numbers = read_numbers(fields, name, len(among))
        odd = numbers[~are_among(numbers, among)]
        if odd.size:
            raise ProtocolError(f"{name} has member {odd[0]}, which has no part in this sum.")
        if (self._number in numbers) != with_self:
            lack = "lacks" if with_self else "has"
            raise ProtocolError(f"{name} {lack} member {self._number} itself.")
        return numbers

    def _sharing(
        self, memory: ClientSession, fields: Fields
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Who has dealt shares, the own neighbours, and which of them are among the former.

        Raises
        ------
        ProtocolError, ThresholdError
        """
        check_names(fields, "participants")
        participants = self._members(fields, "participants", self._roster.from_bits(memory.members))
        cohort = self._own_cohort(memory)
        self._check_contributors(
            int(cohort.mask(participants).sum()), "of its group have dealt their shares"
        )
        neighbours = cohort.neighbours(self._number)
        sharing = are_among(neighbours, participants)
        if sharing.sum() < cohort.parameters.threshold:
            raise ThresholdError(
                f"{sharing.sum()} of {len(neighbours)} neighbours of member {self._number} are "
                f"left, and its secrets need {cohort.parameters.threshold}."
            )
        return participants, neighbours, sharing

    def _check_own(
        self, numbers: NDArray[np.int64], rows: NDArray[np.uint8], expected: bytes
    ) -> None:
        if rows[np.searchsorted(numbers, self._number)].tobytes() != expected:
            raise SignatureError(f"the server gives another pledge than that of {self._number}.")

    def _check_contributors(self, found: int, what: str) -> None:
        least = self._settings.min_contributors
        if found < least:
            raise ThresholdError(f"{found} members {what}, and min_contributors={least}.")

    def _cohort(self, seed: bytes, members: NDArray[np.int64], whole: bool) -> Cohort:
        cohorts = draw_cohorts(self._settings, self._n_known, seed, members, whole=whole)
        return next(cohort for cohort in cohorts if self._number in cohort.ring)

    def _own_cohort(self, memory: ClientSession) -> Cohort:
        members = self._roster.from_bits(memory.members)
        return self._cohort(memory.seed, members, bool(memory.whole))

    def _survivors(
        self, memory: ClientSession, cohort: Cohort, fields: Fields
    ) -> NDArray[np.int64]:
        """The survivors that the server names, if the sum of their words may be opened."""
        participants = self._roster.from_bits(memory.participants)
        among = participants[cohort.holds(participants)]
        survivors = self._members(fields, "survivors", among)
        self._check_contributors(len(survivors), "are left")
        present = cohort.mask(survivors)
        alone = present & (cohort.present_neighbours(present) < cohort.parameters.threshold)
        if alone.any():
            raise ThresholdError(
                f"of the neighbours of member {cohort.ring[alone][0]} fewer than "
                f"{cohort.parameters.threshold} are left: its words could be told from the others'."
            )
        return survivors

    def _survivors_digest(
        self, session: int, memory: ClientSession, cohort: Cohort, survivors: NDArray[np.int64]
    ) -> bytes:
        return survivors_digest(
            self._run, session, memory.seed, cohort.index, survivors, memory.subject
        )

    def _check_quorum(
        self,
        session: int,
        memory: ClientSession,
        cohort: Cohort,
        survivors: NDArray[np.int64],
        fields: Fields,
    ) -> None:
        digest = self._survivors_digest(session, memory, cohort, survivors)
        if memory.signed not in (b"", digest):
            raise SignatureError(
                f"the survivors of sum {session} are not those that member {self._number} signed."
            )
        signers = read_numbers(fields, "signers", len(cohort.committee))
        rows = read_rows(fields, "signatures", len(signers), SIGNATURE_BYTES)
        odd = signers[~np.isin(signers, cohort.committee, assume_unique=True)]
        if odd.size:
            raise SignatureError(f"member {odd[0]} signed and is not in the committee.")
        if len(signers) < cohort.parameters.quorum:
            raise SignatureError(
                f"{len(signers)} members of the committee signed the survivors of sum {session}, "
                f"and {cohort.parameters.quorum} must."
            )
        for signer, row in zip(signers.tolist(), rows, strict=True):
            statement = survivors_statement(self._run, session, signer, digest)
            verify(self._roster[signer], row.tobytes(), statement, signer=signer)


def _direction(sender: int) -> bytes:
    """The nonce of a channel, whose key serves one message each way."""
    return sender.to_bytes(12, "little")
