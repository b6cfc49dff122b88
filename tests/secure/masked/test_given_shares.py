"""Secrets in spite of wrong shares, and who is blamed for those that cannot be had."""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from fedtrade.errors import ThresholdError
from fedtrade.secure.masked.cohort import Cohort
from fedtrade.secure.masked.given_shares import GivenShares, SpoiltSecretError
from fedtrade.secure.masked.shamir import N_LIMBS, pack, split
from fedtrade.secure.parameters import GraphParameters

PRIME = 65537
N, T = 10, 7
"""Nine shares of each secret, of which two may be missing."""

Lies = Callable[[int, int, int], int | None]
"""From places of a holder and a dealer and the share's point to what is added to it, None to
withhold it."""


def _honest(holder: int, dealer: int, x: int) -> int:
    return 0


def _by(*liars: int, spared: Collection[int] = ()) -> Lies:
    """These holders give other shares of all but some dealers."""

    def lie(holder: int, dealer: int, x: int) -> int:
        return holder + 1 if holder in liars and dealer not in spared else 0

    return lie


class Dealt:
    """Members whose numbers are 100 less their places, and what they have promised."""

    def __init__(self, n: int = N, threshold: int = T, degree: int | None = None) -> None:
        k = n - 1 if degree is None else degree
        parameters = GraphParameters(n, k, threshold, 0, 0, 0)
        self.cohort = Cohort(0, 100 - np.arange(n), parameters)
        rng = np.random.default_rng(n)
        self.secrets = {place: rng.bytes(32) for place in range(n)}
        self.shares = {
            place: split([secret], range(1, k + 1), threshold, random_bytes=rng.bytes)[:, 0]
            for place, secret in self.secrets.items()
        }

    def opened(
        self,
        silent: Collection[int] = (),
        lies: Lies = _honest,
        promised: Mapping[int, bytes] | None = None,
    ) -> tuple[dict[int, bytes], set[int]]:
        """The secrets of all, and the places of those whose shares were wrong."""
        promises = {**self.secrets, **(promised or {})}
        given = GivenShares(self.cohort)
        for holder in set(self.secrets) - set(silent):
            dealers, shares = [], []
            for dealer in sorted(self.cohort.table[holder].tolist()):
                at = self.cohort.table[dealer].tolist().index(holder)
                added = lies(holder, dealer, at + 1)
                if added is not None:
                    dealers.append(dealer)
                    shares.append((self.shares[dealer][at] + np.uint32(added)) % PRIME)
            packed = pack(np.array(shares, dtype=np.uint32).reshape(-1, N_LIMBS)).tobytes()
            given.give(holder, np.array(dealers, dtype=np.int64), packed)
        places = np.arange(len(self.secrets))
        found = given.secrets(places, lambda place, secret: promises[place] == secret)
        return found, {100 - number for number in given.liars}

    def blamed(self, *args: object, **options: object) -> tuple[set[int], str]:
        with pytest.raises(SpoiltSecretError) as caught:
            self.opened(*args, **options)  # type: ignore[arg-type]
        return {100 - number for number in caught.value.blamed}, str(caught.value)


@pytest.mark.parametrize("silent", [(), (8,), (8, 9)])
def test_honest_shares_give_all_secrets(silent: tuple[int, ...]) -> None:
    dealt = Dealt()
    assert dealt.opened(silent) == (dealt.secrets, set())


@pytest.mark.parametrize("silent", [(), (8,)])
def test_one_wrong_share_of_more_than_are_needed_is_found(silent: tuple[int, ...]) -> None:
    """Also where decoding alone cannot: of eight shares of seven that are needed."""
    dealt = Dealt()
    assert dealt.opened(silent, _by(0)) == (dealt.secrets, {0})


def test_a_liar_is_blamed_where_no_share_is_to_spare() -> None:
    """By the secrets of those that fell silent, of which one more share has come."""
    blamed, reason = Dealt().blamed((8, 9), _by(0))
    assert blamed == {0}
    assert "other secrets show that wrong ones came from member 100" in reason


def test_a_liar_is_blamed_that_alone_explains_all() -> None:
    """One silent member's secret shows a wrong share that it may have dealt, but no others."""
    assert Dealt(5, 3).blamed((4,), _by(0))[0] == {0}


def test_a_liar_is_blamed_that_all_neighbourhoods_have_in_common() -> None:
    """Of each secret come as many shares as are needed, and no other shows who lies."""
    dealt = Dealt(14, 6, degree=6)
    assert dealt.blamed((), _by(0))[0] == {0}


@pytest.mark.parametrize("lies", [_by(0, spared=set(range(N)) - {3}), _by(0, spared=(8, 9))])
def test_nobody_is_blamed_who_may_have_been_lied_to(lies: Lies) -> None:
    """A wrong share of one among just enough: the dealer's fault, or that of any holder."""
    blamed, reason = Dealt().blamed((8, 9), lies)
    assert blamed == set()
    assert "7 shares of the secret of member" in reason
    assert "too few to tell who lied" in reason


def test_a_withheld_share_blames_nobody_else() -> None:
    def withhold(holder: int, dealer: int, x: int) -> int | None:
        return None if (holder, dealer) == (0, 3) else 0

    blamed, reason = Dealt().blamed((8, 9), withhold)
    assert blamed == set()
    assert "6 shares of the secret of member 97 came back" in reason


def test_a_liar_that_cannot_be_told_is_not() -> None:
    """All neighbours are needed, and none of their secrets shows more than another."""
    blamed, reason = Dealt(3, 2).blamed((), _by(0))
    assert blamed == set()
    assert "too few to tell who lied" in reason


@pytest.mark.parametrize("silent", [(), (8,)])
def test_a_dealer_that_breaks_its_promise_is_blamed(silent: tuple[int, ...]) -> None:
    """At least two holders would have had to lie instead."""
    blamed, reason = Dealt().blamed(silent, promised={3: bytes(32)})
    assert blamed == {3}
    assert "the shares of member 97 do not fit what it has promised" in reason


def test_a_dealer_of_which_nobody_has_a_share_is_blamed() -> None:
    def garbage(holder: int, dealer: int, x: int) -> int | None:
        return None if dealer == 3 else 0

    assert Dealt().blamed((8, 9), garbage)[0] == {3}


def test_two_liars_that_spare_each_other_stop_nothing() -> None:
    """Decoding alone finds one wrong share of nine; the promise tells two."""
    dealt = Dealt()
    assert dealt.opened((), _by(0, 1, spared=(0, 1)))[0] == dealt.secrets


def test_two_liars_with_a_dropout_are_blamed_themselves() -> None:
    """Each by the other's secret and by that of the silent one, one after the other."""
    assert Dealt().blamed((9,), _by(0, 1))[0] == {0}


def test_shares_of_another_polynomial_with_the_same_secret_name_no_honest_holder() -> None:
    """It goes through five shares of honest holders and those of the liars."""
    dealt = Dealt()

    def lie(holder: int, dealer: int, x: int) -> int:
        if holder not in (0, 1) or dealer in (0, 1):
            return 0
        roots = [
            at + 1 for at, other in enumerate(dealt.cohort.table[dealer]) if other not in (0, 1)
        ]
        added = x
        for root in roots[: T - 2]:
            added = added * (x - root) % PRIME
        return added

    found, liars = dealt.opened((), lie)
    assert found == dealt.secrets
    assert liars <= {0, 1}


def test_dealers_of_wrong_shares_have_no_holder_blamed() -> None:
    """One dealer spoils what an honest holder passes on; another breaks its promise, and is."""

    def lie(holder: int, dealer: int, x: int) -> int:
        return int((holder, dealer) == (5, 2))

    assert Dealt().blamed((), lie, promised={3: bytes(32)})[0] == {3}


def test_many_shares_are_decoded_and_no_subsets_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 24 shares of threshold 12 six may be wrong, in a graph that is not complete."""

    def refuse(values: NDArray[np.int64], size: int) -> None:
        raise AssertionError(f"{size} of {len(values)}")

    monkeypatch.setattr("fedtrade.secure.masked.given_shares.combinations", refuse)
    dealt = Dealt(40, 12, degree=24)
    liars = range(0, 18, 3)
    assert dealt.opened((), _by(*liars)) == (dealt.secrets, set(liars))
    blamed, _ = dealt.blamed((), _by(*range(0, 40, 2)))
    assert len(blamed) == 1


@pytest.mark.parametrize(("n", "threshold", "degree"), [(10, 7, 9), (5, 3, 4), (14, 4, 6)])
def test_no_single_liar_has_another_one_blamed(n: int, threshold: int, degree: int) -> None:
    """Whatever it deals, promises, gives and withholds, and whoever is silent."""
    dealt, rng = Dealt(n, threshold, degree), np.random.default_rng(n)
    blamed: list[tuple[int, ...]] = []
    for _ in range(150):
        silent = set(rng.permutation(np.arange(1, n))[: rng.integers(degree - threshold + 1)])
        odds = rng.choice([0.0, 0.3, 1.0], size=3)
        drawn = rng.random((3, n, n)) < odds[:, None, None]

        def lie(holder: int, dealer: int, x: int, drawn: NDArray[np.bool_] = drawn) -> int | None:
            if holder == 0 and drawn[0, holder, dealer]:
                return None
            return int(
                (holder == 0 and drawn[1, holder, dealer])
                or (dealer == 0 and drawn[2, holder, dealer])
            )

        promised = {0: bytes(32)} if rng.random() < 0.2 else {}
        try:
            found, liars = dealt.opened(silent, lie, promised)
        except SpoiltSecretError as error:
            blamed.append(error.blamed)
        else:
            assert found == {**dealt.secrets, **promised}
            assert not promised
            assert drawn[2, :, 0].any() or liars <= {0}
    assert set(blamed) <= {(), (100,)}
    assert blamed.count((100,)) > 20


@pytest.mark.parametrize("most", [1, 128])
def test_what_is_left_untried_is_not_blamed(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the most shares are tried first, and tell the liar where the others cannot."""
    monkeypatch.setattr("fedtrade.secure.masked.given_shares.MOST_SPOILT", most)
    dealt = Dealt()
    assert dealt.blamed((8, 9), _by(0))[0] == {0}
    assert dealt.opened((), _by(0, 1))[0] == dealt.secrets


def test_too_few_answers_are_nobodys_lie() -> None:
    with pytest.raises(ThresholdError, match="6 shares of the secret of member 100 came back"):
        Dealt().opened((7, 8, 9))
