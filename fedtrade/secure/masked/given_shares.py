"""Secrets of members, put together from what their neighbours give, and who lied about them."""

from collections.abc import Callable
from itertools import combinations
from math import comb
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ThresholdError
from fedtrade.secure.masked.cohort import Cohort
from fedtrade.secure.masked.shamir import SHARE_BYTES, decode, odd_shares, reconstruct, unpack

__all__ = ["Fits", "GivenShares", "SpoiltSecretError"]

SECRETS_AT_ONCE: Final = 512
MOST_SUBSETS: Final = 1024
"""Of a secret's shares, that are tried where decoding fails."""
MOST_SPOILT: Final = 128
"""Secrets tried in vain before the rest is left: many liars shall not keep the server busy."""
LEAST_LIARS: Final = 2
"""Others that would have had to lie if one who is blamed had not."""

Fits: TypeAlias = Callable[[int, bytes], bool]
"""Whether a secret is what the member at a place has promised."""


class SpoiltSecretError(Exception):
    """A secret cannot be had, and somebody must have lied.

    Attributes
    ----------
    blamed : tuple of int
        Members; empty if nobody can be told.
    """

    def __init__(self, reason: str, blamed: tuple[int, ...] = ()) -> None:
        super().__init__(reason)
        self.blamed = blamed


class GivenShares:
    """The shares that one cohort's members give of their neighbours' secrets.

    Nobody can check a share by itself, only whether a secret is what its dealer has promised: one
    wrong share among more than the threshold is always found. Who passes on a wrong share may have
    been dealt it, and a secret that cannot be had may be the fault of its dealer or of holders. So
    of a failure one member is blamed, and only if at least two others would have had to lie
    otherwise: whoever alone explains all that is wrong, or a holder whose shares of two dealers are
    wrong, or else the dealer of such a secret.

    Where no more shares come than a secret needs, a single holder with a wrong one is told from its
    dealer by others' secrets: those of other neighbourhoods, and those of members that fell silent,
    of which one share more has come. Where there are none, as in a small cohort whose threshold is
    all neighbours, a liar can stop each sum for ever without being named, as it could by silence.

    Parameters
    ----------
    cohort : Cohort

    Attributes
    ----------
    answered : bool of shape (n,)
        By place, who gave shares.
    """

    def __init__(self, cohort: Cohort) -> None:
        n, k = cohort.table.shape
        self._cohort = cohort
        self._threshold = cohort.parameters.threshold
        self._shares = np.zeros((n, k, SHARE_BYTES), dtype=np.uint8)
        self._given = np.zeros((n, k), dtype=bool)
        self.answered = np.zeros(n, dtype=bool)
        self._wrong: dict[int, set[int]] = {}

    def give(self, place: int, dealers: NDArray[np.int64], shares: bytes) -> None:
        """Keep what a member gives of some of its neighbours, by their places."""
        near = self._cohort.table[place]
        order = np.argsort(near)
        own = order[np.searchsorted(near, dealers, sorter=order)]
        at = self._cohort.reverse[place][own]
        self._shares[dealers, at] = np.frombuffer(shares, dtype=np.uint8).reshape(-1, SHARE_BYTES)
        self._given[dealers, at] = True
        self.answered[place] = True

    @property
    def liars(self) -> tuple[int, ...]:
        """Members that gave wrong shares, or were dealt them, as far as that was noticed.

        Not enough to leave anybody out: where one share more than the threshold has come, a dealer
        can make a right one look wrong.
        """
        return tuple(sorted(self._cohort.ring[list(self._wrong)].tolist()))

    def secrets(self, places: NDArray[np.int64], fits: Fits) -> dict[int, bytes]:
        """The secrets dealt by these places.

        Raises
        ------
        ThresholdError
            If too few have answered.
        SpoiltSecretError
        """
        answers = self._cohort.present_neighbours(self.answered)
        if (short := answers[places] < self._threshold).any():
            place = places[short][0]
            raise ThresholdError(
                f"{self._given[place].sum()} shares of the secret of member "
                f"{self._cohort.ring[place]} came back, and it needs {self._threshold}"
            )
        found = self._at_once(places, fits)
        missing = places[~np.isin(places, list(found))]
        # Those of the most shares first: they show the most of who lies.
        missing = missing[np.argsort(-self._given[missing].sum(axis=1), kind="stable")]
        missing = self._decode(missing, found, fits)
        if missing.size:
            # Shares that were not needed show who lies, too.
            self._decode(np.array(list(found)), found, fits)
            missing = self._decode(missing, found, fits)
        if missing.size:
            raise self._spoilt(missing[:MOST_SPOILT], answers)
        return found

    def _at_once(self, places: NDArray[np.int64], fits: Fits) -> dict[int, bytes]:
        """The secrets that the first shares of each give as promised."""
        found: dict[int, bytes] = {}
        places = places[self._given[places].sum(axis=1) >= self._threshold]
        for start in range(0, len(places), SECRETS_AT_ONCE):
            part = places[start : start + SECRETS_AT_ONCE]
            first = np.argsort(~self._given[part], axis=1, kind="stable")[:, : self._threshold]
            rows = self._shares[part[:, None], first]
            shares = unpack(rows.tobytes(), first.size).reshape(*first.shape, -1)
            secrets = reconstruct(shares, first + 1, self._threshold)
            opened = zip(part.tolist(), secrets, strict=True)
            found.update((at, secret) for at, secret in opened if secret and fits(at, secret))
        return found

    def _decode(
        self, places: NDArray[np.int64], found: dict[int, bytes], fits: Fits
    ) -> NDArray[np.int64]:
        """Add secrets in spite of wrong shares, note whose those are, and say what is missing."""
        missing = places
        while missing.size:
            n_known = len(self._wrong)
            left: list[int] = []
            for place in missing.tolist():
                if len(left) >= MOST_SPOILT or not self._open(place, found, fits):
                    left.append(place)
            missing = np.array(left, dtype=np.int64)
            if len(self._wrong) == n_known:
                break
        return missing

    def _open(self, place: int, found: dict[int, bytes], fits: Fits) -> bool:
        """Put one secret together, first without those that gave wrong shares of others."""
        given = np.flatnonzero(self._given[place])
        holders = self._cohort.table[place, given]
        shares = unpack(self._shares[place, given].tobytes(), len(given))
        trusted = np.flatnonzero(~np.isin(holders, list(self._wrong)))
        everything = [np.arange(len(given))]
        for used in everything if len(trusted) == len(given) else [trusted, *everything]:
            opened = self._right(place, shares[used], given[used] + 1, fits)
            if opened is not None:
                found[place], right = opened
                odd = odd_shares(shares, given + 1, used[right], self._threshold)
                self._note(place, holders[odd].tolist(), len(given) - self._threshold)
                return True
        return False

    def _note(self, dealer: int, holders: list[int], n_surplus: int) -> None:
        """Remember whose shares of a secret were wrong, if that is sure enough.

        It is for one, for as many as decoding tells whatever they are, and for those known already:
        beyond that, shares of two liars can lie on another polynomial with the same secret.
        """
        if len(holders) <= max(1, n_surplus // 2) or self._wrong.keys() >= set(holders):
            for holder in holders:
                self._wrong.setdefault(holder, set()).add(dealer)

    def _right(
        self, place: int, shares: NDArray[np.uint32], xs: NDArray[np.int64], fits: Fits
    ) -> tuple[bytes, NDArray[np.int64]] | None:
        """A secret as promised, and as many right shares as give it; None if there is none.

        Half of the surplus may be wrong, whatever it is; all of it where subsets are few enough to
        try, as the promise tells the right one.
        """
        n_shares = len(shares)
        if n_shares < self._threshold:
            return None
        try:
            secret, wrong = decode(shares, xs, self._threshold)
        except ThresholdError:
            pass
        else:
            if fits(place, secret):
                right = np.delete(np.arange(n_shares), wrong)
                return secret, right[: self._threshold]
        if comb(n_shares, self._threshold) > MOST_SUBSETS:
            return None
        subsets = np.array(list(combinations(range(n_shares), self._threshold)))
        secrets = reconstruct(shares[subsets], xs[subsets], self._threshold)
        for subset, each in zip(subsets, secrets, strict=True):
            if each is not None and fits(place, each):
                return each, subset
        return None

    def _spoilt(self, missing: NDArray[np.int64], answers: NDArray[np.int64]) -> SpoiltSecretError:
        """Why secrets are missing, and who is to blame."""
        n_liars = np.array([self._least_liars(place, answers[place]) for place in missing.tolist()])
        place = int(missing[np.argmax(n_liars)])
        member = int(self._cohort.ring[place])
        liar = self._liar(missing[n_liars < LEAST_LIARS], missing[n_liars >= LEAST_LIARS])
        if liar is not None and liar != place:
            named = int(self._cohort.ring[liar])
            return SpoiltSecretError(
                f"too many shares of the secret of member {member} are wrong or missing, and other "
                f"secrets show that wrong ones came from member {named}",
                (named,),
            )
        if liar == place or n_liars.max() >= LEAST_LIARS:
            return SpoiltSecretError(
                f"the shares of member {member} do not fit what it has promised, or too many of "
                "its neighbours gave wrong ones or none",
                (member,),
            )
        return SpoiltSecretError(
            f"{self._given[place].sum()} shares of the secret of member {member} came back, which "
            f"needs {self._threshold}, and one is wrong or missing: too few to tell who lied"
        )

    def _liar(self, unsure: NDArray[np.int64], sure: NDArray[np.int64]) -> int | None:
        """Who alone explains all that is wrong, or has given wrong shares of several dealers.

        Parameters
        ----------
        unsure, sure : places
            Of secrets that cannot be had, which one holder can have spoilt, or the dealer alone.
        """
        suspects: list[set[int]] = [{place} for place in sure.tolist()]
        for place in unsure.tolist():
            near = self._cohort.table[place]
            suspects.append({place, *near[self.answered[near]].tolist()})
        for dealer in set[int]().union(*self._wrong.values()):
            holders = [holder for holder, dealers in self._wrong.items() if dealer in dealers]
            suspects.append({dealer, *holders} if len(holders) == 1 else {dealer})
        alone = set.intersection(*suspects)
        if len(alone) == 1:
            return alone.pop()
        most = max(sorted(self._wrong), key=lambda holder: len(self._wrong[holder]), default=None)
        return most if most is not None and len(self._wrong[most]) >= LEAST_LIARS else None

    def _least_liars(self, place: int, n_answers: int) -> int:
        """Holders that must have lied if the dealer of a secret that is missing has not."""
        n_given = int(self._given[place].sum())
        surplus = n_given - self._threshold
        if surplus < 0:
            return int(n_answers) - n_given
        is_searched = comb(n_given, self._threshold) <= MOST_SUBSETS
        return int(n_answers) - n_given + (surplus if is_searched else surplus // 2) + 1
