"""The server's part of one cohort: what its members dealt, their total, and taking masks off it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ProtocolError, ThresholdError
from fedtrade.secure.masked.cohort import Cohort
from fedtrade.secure.masked.given_shares import GivenShares, SpoiltSecretError
from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.masked.masks import add_masks, pair_key, self_key
from fedtrade.secure.masked.shamir import unpack
from fedtrade.secure.masked.statements import CIPHERTEXT_BYTES, self_seed_commitment
from fedtrade.secure.subject import NO_SUBJECT

__all__ = ["CohortFailure", "CohortSum", "ServerCohort"]


class CohortSum(NamedTuple):
    """An opened total.

    Attributes
    ----------
    members : tuple of int
        Whose words are in it, ascending.
    total : uint32 or uint64 of shape (size,)
        Words of the layout's ring.
    blamed : tuple of int
        Members that gave wrong shares, or were dealt them, which did no harm.
    """

    members: tuple[int, ...]
    total: NDArray[Any]
    blamed: tuple[int, ...] = ()


class CohortFailure(NamedTuple):
    """A cohort whose total cannot be opened.

    Attributes
    ----------
    members : tuple of int
        Of the cohort, ascending.
    reason : str
    blamed : tuple of int
        The member, if any, but for whose lie at least two others must have lied: see `GivenShares`.
    is_spoilt : bool
        Whether somebody must have lied, though it may be that nobody can be blamed.
    """

    members: tuple[int, ...]
    reason: str
    blamed: tuple[int, ...] = ()
    is_spoilt: bool = False


@dataclass(eq=False)
class ServerCohort:
    """One cohort of a sum in progress; places are those on the ring.

    Attributes
    ----------
    cohort : Cohort
    run : 32 bytes
    session : int
    mask_keys : (n, 32) bytes
        Public keys of the members' masks.
    failure : str
        Why it cannot be opened, if so.
    sealed : (n, k, 84) bytes
        What each place dealt to its neighbours.
    commitments : dict of int to bytes
        Of the own masks' seeds, by place.
    participants, survivors, answered : bool of shape (n,)
        By place: who dealt, whose words are in the total, who gave shares.
    total : uint32 or uint64 of shape (size,), or None before the first words
    subject : 32 bytes
        Of what the words are.
    """

    cohort: Cohort
    run: bytes
    session: int
    mask_keys: NDArray[np.uint8]
    failure: str = ""
    commitments: dict[int, bytes] = field(default_factory=dict)
    total: NDArray[Any] | None = None
    signatures: dict[int, bytes] = field(default_factory=dict)
    subject: bytes = NO_SUBJECT

    def __post_init__(self) -> None:
        n, k = self.cohort.table.shape
        self.sealed = np.zeros((n, k, CIPHERTEXT_BYTES), dtype=np.uint8)
        self.participants = np.zeros(n, dtype=bool)
        self.survivors = np.zeros(n, dtype=bool)
        self._given = GivenShares(self.cohort)
        self.answered = self._given.answered

    @property
    def threshold(self) -> int:
        """Shares that open a secret."""
        return self.cohort.parameters.threshold

    def place(self, number: int) -> int:
        """Where a member stands."""
        return int(self.cohort.places(np.array([number]))[0])

    def deal(self, place: int, ciphertexts: NDArray[np.uint8], commitment: bytes) -> None:
        """Keep what a member dealt, (k, 84) bytes."""
        self.sealed[place] = ciphertexts
        self.commitments[place] = commitment
        self.participants[place] = True

    def close_sharing(self, min_contributors: int) -> None:
        """Leave out those with too few neighbours, who could not upload."""
        while True:
            found = self.cohort.present_neighbours(self.participants)
            alone = self.participants & (found < self.threshold)
            if not alone.any():
                break
            self.participants &= ~alone
        left = int(self.participants.sum())
        if left < min_contributors:
            self.failure = (
                f"{left} of {len(self.participants)} members have dealt their shares to "
                f"{self.threshold} neighbours that did so too, and min_contributors="
                f"{min_contributors}"
            )

    def add(self, place: int, words: NDArray[Any]) -> None:
        """Add words to the total."""
        if self.total is None:
            self.total = words.copy()
        else:
            np.add(self.total, words, out=self.total)
        self.survivors[place] = True

    def close_uploads(self, min_contributors: int) -> None:
        """See whether the total can be opened by those who are left."""
        if self.failure:
            return
        left = int(self.survivors.sum())
        around = self.cohort.present_neighbours(self.survivors)
        wanted = self._wanted()
        if left < min_contributors:
            self.failure = f"{left} members are left, and min_contributors={min_contributors}"
        elif (short := wanted & (around < self.threshold)).any():
            number = self.cohort.ring[short][0]
            self.failure = (
                f"{around[short][0]} neighbours of member {number} are left, and its secret needs "
                f"{self.threshold}"
            )
        elif len(self.signers()) < self.cohort.parameters.quorum:
            self.failure = (
                f"{len(self.signers())} of the committee are left, and "
                f"{self.cohort.parameters.quorum} must sign"
            )

    def signers(self) -> NDArray[np.int64]:
        """Members of the committee that are left."""
        committee = self.cohort.committee
        return np.asarray(committee[self.survivors[: len(committee)]])

    def close_checks(self) -> None:
        """See whether enough of the committee have signed."""
        quorum = self.cohort.parameters.quorum
        if not self.failure and len(self.signatures) < quorum:
            self.failure = (
                f"{len(self.signatures)} of the committee have signed who is left, and {quorum} "
                "must"
            )

    def sealed_for(self, place: int) -> NDArray[np.uint8]:
        """What its neighbours that participate dealt to a member, in its order of them."""
        near = self.cohort.table[place]
        theirs = self.participants[near]
        return np.asarray(self.sealed[near[theirs], self.cohort.reverse[place][theirs]])

    def give(self, place: int, dealers: NDArray[np.int64], shares: bytes) -> None:
        """Keep the shares that a member gives of its neighbours' secrets.

        Raises
        ------
        ProtocolError
            If a dealer is not a neighbour, or the bytes are no shares.
        """
        near = self.cohort.table[place]
        if not self.cohort.holds(dealers).all():
            raise ProtocolError("it gives a share of somebody's who is not of its group.")
        found = self.cohort.places(dealers)
        is_asked = np.isin(found, near[self.participants[near]], assume_unique=True)
        if not is_asked.all():
            raise ProtocolError(
                f"it gives a share of member {dealers[~is_asked][0]}, of which it holds none."
            )
        unpack(shares, len(dealers))
        self._given.give(place, found, shares)

    def open(self) -> CohortSum | CohortFailure:
        """Put the secrets together and take the masks off the total."""
        members = tuple(self.cohort.members.tolist())
        if self.failure or self.total is None:
            return CohortFailure(members, self.failure or "nobody has sent words")
        try:
            secrets = self._given.secrets(np.flatnonzero(self._wanted()), self._fits)
        except ThresholdError as error:
            return CohortFailure(members, str(error))
        except SpoiltSecretError as error:
            return CohortFailure(members, str(error), error.blamed, is_spoilt=True)
        total = self.total.copy()
        keys = []
        for place, secret in secrets.items():
            keys += self._mask_keys(place, secret)
        add_masks(total, keys)
        survivors = np.sort(self.cohort.ring[self.survivors])
        return CohortSum(tuple(survivors.tolist()), total, self._given.liars)

    def _wanted(self) -> NDArray[np.bool_]:
        """By place, whether its secret is needed: a survivor's, or a masked dropout's."""
        around = self.cohort.present_neighbours(self.survivors)
        return np.asarray(self.survivors | (self.participants & (around > 0)))

    def _mask_keys(self, place: int, secret: bytes) -> list[tuple[bytes, bool]]:
        """Keys of the masks that a secret takes off, each with whether it is added for that."""
        number = int(self.cohort.ring[place])
        if self.survivors[place]:
            return [(self_key(secret, self.run, self.session, number, self.subject), False)]
        key = AgreementKey(secret)
        found = []
        for other in self.cohort.table[place].tolist():
            if self.survivors[other]:
                owner = int(self.cohort.ring[other])
                common = key.agree(self.mask_keys[other].tobytes(), owner=owner)
                mask = pair_key(common, self.run, self.session, number, owner, self.subject)
                # The survivor added it if its number is the smaller one.
                found.append((mask, number < owner))
        return found

    def _fits(self, place: int, secret: bytes) -> bool:
        """Whether a secret is what its owner has committed to."""
        if self.survivors[place]:
            number = int(self.cohort.ring[place])
            commitment = self_seed_commitment(self.run, self.session, number, secret)
            return commitment == self.commitments[place]
        return bool(AgreementKey(secret).public_bytes == self.mask_keys[place].tobytes())
