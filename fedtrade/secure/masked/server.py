"""The server's side of masked sums.

It keeps no member's words: they are added to a total as they come, and of the rest it learns what
takes the masks off the total. See `fedtrade.secure.masked.client` for the source.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import (
    ConfigurationError,
    ProtocolError,
    ReplayError,
    SecureAggregationError,
    SignatureError,
    ThresholdError,
)
from fedtrade.secure.agreement import RUN_BYTES
from fedtrade.secure.masked.beacon import (
    COMMITMENT_BYTES,
    NONCE_BYTES,
    commitment,
    seed,
    view_digest,
    whole_seed,
)
from fedtrade.secure.masked.cohort import draw_cohorts
from fedtrade.secure.masked.keys import KEY_BYTES, SIGNATURE_BYTES, check_agreement, verify
from fedtrade.secure.masked.packing import (
    Fields,
    check_names,
    pack_numbers,
    read_bytes,
    read_numbers,
    read_rows,
    size_of,
)
from fedtrade.secure.masked.roster import Roster
from fedtrade.secure.masked.server_cohort import CohortFailure, CohortSum, ServerCohort
from fedtrade.secure.masked.shamir import SHARE_BYTES
from fedtrade.secure.masked.statements import (
    CIPHERTEXT_BYTES,
    GROUPED,
    WHOLE,
    advert_statement,
    pledge_statement,
    survivors_digest,
    survivors_statement,
)
from fedtrade.secure.parameters import GraphParameters
from fedtrade.secure.settings import MaskedAggregation
from fedtrade.secure.subject import NO_SUBJECT

__all__ = ["MaskedServer"]

PLEDGING: Final = 0
OPENING: Final = 1
SHARING: Final = 2
UPLOADING: Final = 3
CHECKING: Final = 4
UNMASKING: Final = 5
_STAGES: Final = ("pledges", "openings", "shares", "uploads", "checks", "unmasking")


@dataclass(eq=False)
class _Session:
    """A sum in progress."""

    stage: int = PLEDGING
    pledges: dict[int, bytes] = field(default_factory=dict)
    view: bytes = b""
    commitments: dict[str, bytes] = field(default_factory=dict)
    nonces: dict[int, bytes] = field(default_factory=dict)
    adverts: dict[int, bytes] = field(default_factory=dict)
    openings: dict[str, bytes] = field(default_factory=dict)
    members: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    seed: bytes = b""
    whole: bool = False
    failure: str = ""
    cohorts: tuple[ServerCohort, ...] = ()
    places: dict[int, tuple[ServerCohort, int]] = field(default_factory=dict)
    participants: dict[str, bytes] = field(default_factory=dict)
    words: tuple[int, np.dtype[Any]] | None = None


class MaskedServer:
    """All sums of a run, as the one who adds sees them.

    Members' messages go to `pledged`, `opened`, `shared`, `uploaded`, `checked` and `unmasked`;
    each of these refuses what is wrong with an error about its sender alone and stays as it was.
    What is asked for next closes the stage before.

    Parameters
    ----------
    settings : MaskedAggregation
    run : 32 bytes
        Drawn at random for the run.
    identities : mapping of int to bytes
        Public identity keys of all participants.
    n_known : int
        See `MaskedClient`; all must reckon with the same.

    Attributes
    ----------
    bytes_in, bytes_out : counter by member
        Bytes of the entries received from it and made for it.
    """

    def __init__(
        self,
        settings: MaskedAggregation,
        run: bytes,
        identities: Mapping[int, bytes],
        *,
        n_known: int = 0,
    ) -> None:
        if len(run) != RUN_BYTES:
            raise ValueError(f"a run is named by {RUN_BYTES} bytes, got {len(run)}.")
        self._settings = settings
        self._run = run
        self._roster = Roster.of(identities)
        self._n_known = max(len(self._roster), n_known)
        self._left_out: set[int] = set()
        self._sessions: dict[int, _Session] = {}
        self._forgotten = -1
        self.bytes_in: Counter[int] = Counter()
        self.bytes_out: Counter[int] = Counter()

    # --- pledges and keys -----------------------------------------------------------------------

    def pledged(self, session: int, number: int, fields: Fields) -> None:
        """Take a member's commitment.

        Raises
        ------
        ReplayError, ProtocolError, SignatureError
        """
        if session <= self._forgotten:
            raise ReplayError(f"sum {session} is over.")
        found = self._sessions.get(session, _Session())
        self._expect(found, session, PLEDGING, number in found.pledges)
        self._known(number)
        check_names(fields, "commitment", "signature")
        pledge = read_bytes(fields, "commitment", COMMITMENT_BYTES)
        signature = read_bytes(fields, "signature", SIGNATURE_BYTES)
        statement = pledge_statement(self._run, session, number, pledge)
        verify(self._roster[number], signature, statement, signer=number)
        found.pledges[number] = pledge
        self._sessions[session] = found
        self.bytes_in[number] += size_of(fields)

    def commitments(self, session: int) -> Fields:
        """All commitments, for those who pledged; later ones are refused."""
        found = self._session(session)
        if found.stage == PLEDGING:
            numbers = np.array(sorted(found.pledges), dtype=np.int64)
            rows = b"".join(found.pledges[number] for number in numbers.tolist())
            found.commitments = {"members": pack_numbers(numbers), "commitments": rows}
            found.view = view_digest(self._run, session, numbers, rows)
            found.stage = OPENING
            self._count_out(found.pledges, found.commitments)
        return found.commitments

    def opened(self, session: int, number: int, fields: Fields) -> None:
        """Take a member's nonce and public keys.

        Raises
        ------
        ReplayError, ProtocolError, SignatureError
        """
        found = self._session(session)
        self._expect(found, session, OPENING, number in found.nonces)
        if number not in found.pledges:
            raise ProtocolError(f"member {number} has not pledged anything for sum {session}.")
        check_names(fields, "nonce", "keys", "signature")
        nonce = read_bytes(fields, "nonce", NONCE_BYTES)
        keys = read_bytes(fields, "keys", 2 * KEY_BYTES)
        signature = read_bytes(fields, "signature", SIGNATURE_BYTES)
        if commitment(self._run, session, number, nonce) != found.pledges[number]:
            raise SignatureError(f"member {number} opens another nonce than it has pledged.")
        statement = advert_statement(self._run, session, number, found.view, nonce, keys)
        verify(self._roster[number], signature, statement, signer=number)
        for public in (keys[:KEY_BYTES], keys[KEY_BYTES:]):
            # Its neighbours would refuse such a key, and be lost with it.
            check_agreement(public, owner=number)
        found.nonces[number] = nonce
        found.adverts[number] = keys + signature
        self.bytes_in[number] += size_of(fields)

    # --- shares ---------------------------------------------------------------------------------

    def sum_all(self, session: int) -> None:
        """Draw no groups for a sum, whatever the settings: less is opened, and nothing to choose.

        Raises
        ------
        ReplayError
            If they are drawn already.
        """
        found = self._session(session)
        if found.stage > OPENING:
            raise ReplayError(f"the groups of sum {session} are drawn already.")
        found.whole = self._settings.group_size is not None

    def adverts(self, session: int, number: int) -> Fields:
        """All nonces, and the neighbours' keys, for a member that opened; later ones are refused.

        If there are too few for a graph there are no keys in it, and the member refuses; see
        `participants`.

        Raises
        ------
        ReplayError
            If the member has not opened in time.
        """
        found = self._session(session)
        if found.stage == OPENING:
            self._draw(session, found)
        if found.stage < SHARING or number not in found.nonces:
            raise ReplayError(f"member {number} has not opened its nonce for sum {session}.")
        adverts = b""
        if number in found.places:
            cohort, _ = found.places[number]
            near = cohort.cohort.neighbours(number).tolist()
            adverts = b"".join(found.adverts[other] for other in near)
        fields = {**found.openings, "adverts": adverts}
        self.bytes_out[number] += size_of(fields)
        return fields

    def parameters(self, session: int) -> tuple[GraphParameters, ...]:
        """Those of each cohort, once they are drawn."""
        return tuple(each.cohort.parameters for each in self._session(session).cohorts)

    def shared(self, session: int, number: int, fields: Fields) -> None:
        """Take the shares that a member deals to its neighbours.

        Raises
        ------
        ReplayError, ProtocolError
        """
        found = self._session(session)
        cohort, place = self._placed(found, session, number)
        self._expect(found, session, SHARING, bool(cohort.participants[place]))
        check_names(fields, "ciphertexts", "commitment")
        degree = cohort.cohort.parameters.degree
        ciphertexts = read_rows(fields, "ciphertexts", degree, CIPHERTEXT_BYTES)
        cohort.deal(place, ciphertexts, read_bytes(fields, "commitment", KEY_BYTES))
        self.bytes_in[number] += size_of(fields)

    def participants(self, session: int) -> Fields:
        """Who has dealt shares, for all of them; later ones are refused.

        Raises
        ------
        ThresholdError
            If there are too few in every cohort.
        """
        found = self._session(session)
        if found.stage == OPENING:
            self._draw(session, found)
        if found.stage < SHARING:
            raise ReplayError(f"nobody has been asked for the keys of sum {session}.")
        if found.stage == SHARING:
            for number in self._left_out & found.places.keys():
                cohort, place = found.places[number]
                cohort.participants[place] = False
            for cohort in found.cohorts:
                cohort.close_sharing(self._settings.min_contributors)
            parts = [c.cohort.ring[c.participants] for c in found.cohorts if not c.failure]
            numbers = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
            found.participants = {"participants": pack_numbers(numbers)}
            found.stage = UPLOADING
            self._count_out(numbers.tolist(), found.participants)
        self._some_left(found, session)
        return found.participants

    def members(self, session: int) -> tuple[int, ...]:
        """Who may upload, ascending: those of `participants`."""
        packed = self._session(session).participants.get("participants", b"")
        return tuple(np.frombuffer(packed, dtype="<u4").tolist())

    # --- uploads --------------------------------------------------------------------------------

    def expect_words(
        self,
        session: int,
        size: int,
        dtype: np.dtype[Any] | type[Any],
        subject: bytes = NO_SUBJECT,
    ) -> None:
        """Say which words are wanted, and of what; without that the first member's decide."""
        found = self._session(session)
        found.words = (size, np.dtype(dtype))
        for cohort in found.cohorts:
            cohort.subject = subject

    def uploaded(self, session: int, number: int, words: NDArray[Any]) -> None:
        """Add a member's masked words to the total of its cohort.

        Parameters
        ----------
        words : uint32 or uint64 of shape (size,)

        Raises
        ------
        ReplayError, ProtocolError
        """
        found = self._session(session)
        cohort, place = self._placed(found, session, number)
        self._expect(found, session, UPLOADING, bool(cohort.survivors[place]))
        if cohort.failure or not cohort.participants[place]:
            raise ProtocolError(f"member {number} has dealt no shares for sum {session}.")
        if (
            not isinstance(words, np.ndarray)
            or words.ndim != 1
            or words.dtype not in (np.uint32, np.uint64)
        ):
            raise ProtocolError(f"member {number} sent no words of 32 or 64 bits.")
        size, dtype = found.words or (len(words), words.dtype)
        if len(words) != size or words.dtype != dtype:
            raise ProtocolError(
                f"member {number} sent {len(words)} words of {words.dtype}, and {size} of {dtype} "
                "were wanted."
            )
        found.words = (size, dtype)
        cohort.add(place, words)
        self.bytes_in[number] += words.nbytes

    def close_uploads(self, session: int) -> None:
        """Fix who is left; later words are refused.

        Raises
        ------
        ThresholdError
            If no cohort's total can be opened by those who are left.
        """
        found = self._session(session)
        if found.stage < UPLOADING:
            raise ReplayError(f"nobody has been asked for words of sum {session}.")
        if found.stage == UPLOADING:
            for cohort in found.cohorts:
                cohort.close_uploads(self._settings.min_contributors)
            found.stage = CHECKING
        self._some_left(found, session)

    # --- checks ---------------------------------------------------------------------------------

    def committee(self, session: int) -> tuple[int, ...]:
        """Who is to sign the survivors; nobody if the server is trusted to follow the protocol."""
        found = self._session(session)
        if found.stage != CHECKING:
            return ()
        cohorts = (each for each in found.cohorts if not each.failure)
        return tuple(sorted(n for each in cohorts for n in each.signers().tolist()))

    def survivors(self, session: int, number: int) -> Fields:
        """Whose words are in the total of a member's cohort."""
        found = self._session(session)
        cohort, _ = self._placed(found, session, number)
        self._expect(found, session, CHECKING, False)
        fields = {"survivors": pack_numbers(cohort.cohort.ring[cohort.survivors])}
        self.bytes_out[number] += size_of(fields)
        return fields

    def checked(self, session: int, number: int, fields: Fields) -> None:
        """Take the signature of one of the committee.

        Raises
        ------
        ReplayError, ProtocolError, SignatureError
        """
        found = self._session(session)
        cohort, _ = self._placed(found, session, number)
        self._expect(found, session, CHECKING, number in cohort.signatures)
        if number not in cohort.signers():
            raise ProtocolError(f"member {number} is not of the committee of sum {session}.")
        check_names(fields, "signature")
        signature = read_bytes(fields, "signature", SIGNATURE_BYTES)
        survivors = np.sort(cohort.cohort.ring[cohort.survivors])
        digest = survivors_digest(
            self._run, session, found.seed, cohort.cohort.index, survivors, cohort.subject
        )
        statement = survivors_statement(self._run, session, number, digest)
        verify(self._roster[number], signature, statement, signer=number)
        cohort.signatures[number] = signature
        self.bytes_in[number] += size_of(fields)

    # --- unmasking ------------------------------------------------------------------------------

    def unmask_members(self, session: int) -> tuple[int, ...]:
        """Whose shares are wanted: survivors of the cohorts that can be opened, ascending."""
        found = self._session(session)
        if found.stage < CHECKING:
            raise ReplayError(f"the uploads of sum {session} are not closed.")
        if found.stage == CHECKING:
            for cohort in found.cohorts:
                cohort.close_checks()
            found.stage = UNMASKING
        numbers = [each.cohort.ring[each.survivors] for each in found.cohorts if not each.failure]
        return tuple(np.sort(np.concatenate(numbers)).tolist()) if numbers else ()

    def unmask_request(self, session: int, number: int) -> Fields:
        """Who is left, the committee's signatures, and what was dealt to a member."""
        self.unmask_members(session)
        found = self._session(session)
        cohort, place = self._placed(found, session, number)
        if cohort.failure or not cohort.survivors[place]:
            raise ProtocolError(f"member {number} has no part in opening sum {session}.")
        fields = {
            "survivors": pack_numbers(cohort.cohort.ring[cohort.survivors]),
            "ciphertexts": cohort.sealed_for(place).tobytes(),
        }
        if quorum := cohort.cohort.parameters.quorum:
            signers = sorted(cohort.signatures)[:quorum]
            fields["signers"] = pack_numbers(signers)
            fields["signatures"] = b"".join(cohort.signatures[signer] for signer in signers)
        self.bytes_out[number] += size_of(fields)
        return fields

    def unmasked(self, session: int, number: int, fields: Fields) -> None:
        """Take a member's shares of its neighbours' secrets.

        Raises
        ------
        ReplayError, ProtocolError
        """
        found = self._session(session)
        cohort, place = self._placed(found, session, number)
        self._expect(found, session, UNMASKING, bool(cohort.answered[place]))
        if cohort.failure or not cohort.survivors[place]:
            raise ProtocolError(f"member {number} has no part in opening sum {session}.")
        check_names(fields, "dealers", "shares")
        dealers = read_numbers(fields, "dealers", cohort.cohort.parameters.degree)
        shares = read_bytes(fields, "shares", len(dealers) * SHARE_BYTES)
        cohort.give(place, dealers, shares)
        self.bytes_in[number] += size_of(fields)

    def sums(self, session: int) -> list[CohortSum | CohortFailure]:
        """The total of each cohort, or why there is none.

        Raises
        ------
        ReplayError
            If nobody was asked to unmask.
        ThresholdError
            If there never were any cohorts.
        """
        found = self._session(session)
        if found.stage < UNMASKING:
            raise ReplayError(f"nobody has been asked to unmask sum {session}.")
        if not found.cohorts:
            raise ThresholdError(found.failure)
        return [cohort.open() for cohort in found.cohorts]

    def leave_out(self, number: int) -> None:
        """Ask a member for no more words, such as one whose shares made a sum impossible."""
        self._left_out.add(number)

    def forget(self, session: int) -> None:
        """Drop a sum and those before it; what comes for them from now on is refused."""
        self._forgotten = max(self._forgotten, session)
        self._sessions = {s: kept for s, kept in self._sessions.items() if s > self._forgotten}

    # --- in common ------------------------------------------------------------------------------

    def _draw(self, session: int, found: _Session) -> None:
        """Fix who opened, and draw their cohorts."""
        numbers = np.array(sorted(found.nonces), dtype=np.int64)
        silent = np.array(sorted(set(found.pledges) - set(found.nonces)), dtype=np.int64)
        nonces = b"".join(found.nonces[number] for number in numbers.tolist())
        found.members = numbers
        found.seed = seed(self._run, session, numbers, nonces)
        if found.whole:
            found.seed = whole_seed(found.seed)
        found.openings = {
            "members": pack_numbers(numbers),
            "nonces": nonces,
            "silent": pack_numbers(silent),
            "commitments": b"".join(found.pledges[number] for number in silent.tolist()),
            "whole": WHOLE if found.whole else GROUPED,
        }
        found.stage = SHARING
        if len(numbers) < self._settings.min_contributors:
            found.failure = (
                f"{len(numbers)} members have opened their nonces, and min_contributors="
                f"{self._settings.min_contributors}."
            )
            return
        try:
            drawn = draw_cohorts(
                self._settings, self._n_known, found.seed, numbers, whole=found.whole
            )
        except (SecureAggregationError, ConfigurationError) as error:
            found.failure = str(error)
            return
        keys = np.frombuffer(
            b"".join(found.adverts[number][:KEY_BYTES] for number in numbers.tolist()),
            dtype=np.uint8,
        ).reshape(-1, KEY_BYTES)
        found.cohorts = tuple(
            ServerCohort(each, self._run, session, keys[np.searchsorted(numbers, each.ring)])
            for each in drawn
        )
        found.places = {
            number: (cohort, place)
            for cohort in found.cohorts
            for place, number in enumerate(cohort.cohort.ring.tolist())
        }

    def _session(self, session: int) -> _Session:
        if session <= self._forgotten:
            raise ReplayError(f"sum {session} is over.")
        if session not in self._sessions:
            self._sessions[session] = _Session()
        return self._sessions[session]

    def _expect(self, found: _Session, session: int, stage: int, is_done: bool) -> None:
        if is_done:
            raise ReplayError(f"it has sent its part in the {_STAGES[stage]} of sum {session}.")
        if found.stage != stage:
            late = "late" if found.stage > stage else "early"
            raise ReplayError(f"the {_STAGES[stage]} of sum {session} come too {late}.")

    def _known(self, number: int) -> None:
        if number not in self._roster:
            raise ProtocolError(f"member {number} is not in the list of participants.")

    def _placed(self, found: _Session, session: int, number: int) -> tuple[ServerCohort, int]:
        if number not in found.places:
            raise ProtocolError(f"member {number} has no part in sum {session}.")
        return found.places[number]

    def _some_left(self, found: _Session, session: int) -> None:
        """Refuse to go on if every cohort has failed."""
        if found.failure:
            raise ThresholdError(f"sum {session}: {found.failure}")
        reasons = [cohort.failure for cohort in found.cohorts]
        if all(reasons):
            raise ThresholdError(f"sum {session} cannot be had: {reasons[0]}.")

    def _count_out(self, numbers: Iterable[int], fields: Fields) -> None:
        size = size_of(fields)
        for number in numbers:
            self.bytes_out[number] += size
