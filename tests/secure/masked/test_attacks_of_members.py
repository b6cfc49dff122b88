"""Members that send what they should not: each is named, and the sum survives where it can."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedtrade.errors import (
    ProtocolError,
    ReplayError,
    SecureAggregationError,
    SignatureError,
    ThresholdError,
)
from fedtrade.secure.masked import CohortFailure, CohortSum, MaskedClient, MaskedServer
from fedtrade.secure.masked.beacon import commitment
from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.masked.packing import Fields, pack_numbers
from fedtrade.secure.masked.shamir import SHARE_BYTES, pack
from fedtrade.secure.masked.statements import (
    CIPHERTEXT_BYTES,
    advert_statement,
    pledge_statement,
    survivors_digest,
    survivors_statement,
)
from fedtrade.secure.subject import NO_SUBJECT
from tests.secure.masked.driver import KEYS, RUN, STAGES, Play, settings, total, words

N = 12
VECTORS = words(N)

Change = Callable[[Any], Any]


def only(stage: str, liars: set[int], change: Change) -> Callable[[str, int, Any], Any]:
    """Change what some members send at a stage."""

    def tamper(at: str, number: int, answer: Any) -> Any:
        return change(answer) if at == stage and number in liars else answer

    return tamper


def check_right(play: Play, found: Any, members: set[int]) -> None:
    assert isinstance(found, CohortSum), found
    assert set(found.members) == members
    assert (found.total == total(VECTORS, found.members)).all()


# --- malformed messages ---------------------------------------------------------------------------

GARBAGE: dict[str, Change] = {
    "nothing": lambda _: {},
    "text": lambda fields: dict.fromkeys(fields, "x"),
    "numbers": lambda fields: dict.fromkeys(fields, 7),
    "lists": lambda fields: {name: [b"x"] for name in fields},
    "cut": lambda fields: {name: value[:-1] for name, value in fields.items()},
    "huge": lambda fields: {name: value * 10_000 for name, value in fields.items()},
    "more": lambda fields: {**fields, "more": b"x"},
    "bits": lambda fields: {name: bytes(b ^ 255 for b in v) for name, v in fields.items()},
}


# Ciphertexts are not looked at before they are opened: see the dealers that cheat, below.
@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        (stage, kind)
        for stage in ("pledge", "open", "share", "check", "unmask")
        for kind in GARBAGE
        if (stage, kind) != ("share", "bits")
    ],
)
def test_garbage_is_its_senders_loss(stage: str, kind: str) -> None:
    """The sum goes on without it, as if it had dropped; the others are not blamed."""
    play = Play(N, settings())
    (found,) = play.sum(VECTORS, tamper=only(stage, {4}, GARBAGE[kind]))
    assert isinstance(play.refused[0, stage, 4], (ProtocolError, SignatureError))
    assert {n for _, at, n in play.refused if not _is_repeat(play, at, n)} == {4}
    late = stage in ("check", "unmask")
    check_right(play, found, set(range(N)) - (set() if late else {4}))


def _is_repeat(play: Play, stage: str, number: int) -> bool:
    return isinstance(play.refused[0, stage, number], ReplayError) and (
        (0, stage, number) in play.sent
    )


BAD_WORDS: dict[str, Change] = {
    "short": lambda words: words[:-1],
    "long": lambda words: np.tile(words, 1000),
    "wide": lambda words: words.astype(np.uint64),
    "floats": lambda words: words.astype(np.float32),
    "signed": lambda words: words.astype(np.int32),
    "matrix": lambda words: words[None],
    "bytes": lambda words: words.tobytes(),
    "none": lambda _: None,
}


@pytest.mark.parametrize("kind", BAD_WORDS)
def test_other_words_are_refused(kind: str) -> None:
    play = Play(N, settings())
    play.until("share")
    play.server.participants(0)
    play.server.expect_words(0, 5, np.uint32)
    for stage in ("upload", "check", "unmask"):
        play.stage(stage, vectors=VECTORS, tamper=only("upload", {4}, BAD_WORDS[kind]))
    assert isinstance(play.refused[0, "upload", 4], ProtocolError)
    check_right(play, play.server.sums(0)[0], set(range(N)) - {4})


def test_the_first_words_decide_where_none_are_expected() -> None:
    play = Play(N, settings())
    play.until("share")
    play.server.participants(0)
    play.server.uploaded(0, 0, VECTORS[0])
    with pytest.raises(ProtocolError, match="5 of uint32 were wanted"):
        play.server.uploaded(0, 1, VECTORS[1].astype(np.uint64))


# --- who says it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["pledge", "open", "check"])
def test_what_another_signed_is_refused(stage: str) -> None:
    play = Play(N, settings())
    if stage != "pledge":
        play.until(STAGES[STAGES.index(stage) - 1], vectors=VECTORS)
    if stage == "check":
        play.server.close_uploads(0)
    request = play.request(stage, 0, 3)
    answer = play.act(3, lambda c: getattr(c, stage)(0, *request))
    with pytest.raises(SignatureError, match=r"not that of member 4|member 4 opens another"):
        play.receive(stage, 0, 4, answer)
    play.receive(stage, 0, 3, answer)


def test_strangers_are_refused() -> None:
    play = Play(N, settings())
    answer = play.act(3, lambda c: c.pledge(0))
    with pytest.raises(ProtocolError, match="member 99 is not in the list"):
        play.server.pledged(0, 99, answer)
    play.until("pledge", gone={"pledge": {3}})
    play.server.commitments(0)
    with pytest.raises(ProtocolError, match="99 has not pledged"):
        play.server.opened(0, 99, {})
    play.stage("open")
    play.stage("share", gone=[5])
    play.server.participants(0)
    with pytest.raises(ProtocolError, match="member 5 has dealt no shares"):
        play.server.uploaded(0, 5, VECTORS[0])
    for number in (99, 3):
        with pytest.raises(ProtocolError, match=f"member {number} has no part"):
            play.server.uploaded(0, number, VECTORS[0])


def test_a_pledge_is_for_one_sum() -> None:
    play = Play(N, settings())
    answer = play.act(3, lambda c: c.pledge(0))
    with pytest.raises(SignatureError, match="not that of member 3"):
        play.server.pledged(1, 3, answer)


def test_another_nonce_is_opened_than_pledged() -> None:
    play = Play(N, settings())
    play.until("pledge")
    fields = play.server.commitments(0)
    answer = play.act(3, lambda c: c.open(0, fields))
    with pytest.raises(SignatureError, match="member 3 opens another nonce"):
        play.server.opened(0, 3, {**answer, "nonce": bytes(16)})
    play.server.opened(0, 3, answer)


@pytest.mark.parametrize("place", [0, 1])
def test_a_key_that_would_stop_its_neighbours_is_refused(place: int) -> None:
    """A member shows, duly signed, a key with which nobody can agree on anything."""
    play = Play(N, settings())
    nonce = bytes(16)
    pledge = commitment(RUN, 0, 3, nonce)
    signature = KEYS[3].sign(pledge_statement(RUN, 0, 3, pledge))
    play.until("pledge", gone={"pledge": {3}})
    play.server.pledged(0, 3, {"commitment": pledge, "signature": signature})
    play.server.commitments(0)
    view = play.server._session(0).view
    keys = [AgreementKey().public_bytes, AgreementKey().public_bytes]
    keys[place] = bytes(32)
    shown = b"".join(keys)
    signature = KEYS[3].sign(advert_statement(RUN, 0, 3, view, nonce, shown))
    with pytest.raises(SignatureError, match="public key of member 3 is no key"):
        play.server.opened(0, 3, {"nonce": nonce, "keys": shown, "signature": signature})


# --- when it says it ------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_counts_twice_or_too_late(stage: str) -> None:
    play = Play(N, settings())
    play.until(stage, vectors=VECTORS, gone={stage: {4}})
    answer = play.sent[0, stage, 5]
    with pytest.raises(ReplayError, match="it has sent its part in the"):
        play.receive(stage, 0, 5, answer)
    later = {
        "pledge": lambda: play.server.commitments(0),
        "open": lambda: play.server.adverts(0, 5),
        "share": lambda: play.server.participants(0),
        "upload": lambda: play.server.close_uploads(0),
        "check": lambda: play.server.unmask_members(0),
        "unmask": lambda: play.server.forget(0),
    }
    later[stage]()
    with pytest.raises((ReplayError, ProtocolError), match=r"too late|is over"):
        play.receive(stage, 0, 4, answer)


def test_the_server_keeps_the_order_itself() -> None:
    server = MaskedServer(settings(), RUN, {n: KEYS[n].public_bytes for n in range(4)})
    asked_early: dict[str, Callable[[], Any]] = {
        "nobody has been asked for the keys": lambda: server.participants(0),
        "nobody has been asked for words": lambda: server.close_uploads(0),
        "are not closed": lambda: server.unmask_members(0),
        "nobody has been asked to unmask": lambda: server.sums(0),
        "has not opened its nonce": lambda: server.adverts(0, 1),
        "come too early": lambda: server.opened(0, 1, {}),
    }
    for match, ask in asked_early.items():
        with pytest.raises(ReplayError, match=match):
            ask()
    server.forget(3)
    for session in range(4):
        with pytest.raises(ReplayError, match=f"sum {session} is over"):
            server.pledged(session, 1, {})
    with pytest.raises(ValueError, match="32 bytes, got 4"):
        MaskedServer(settings(), b"1234", {})


def test_shares_of_a_sum_before_are_noticed() -> None:
    """They are shares, so they are taken, and prove wrong: their senders are blamed."""
    play = Play(N, settings())
    play.until("unmask", vectors=VECTORS)
    old = play.sent[0, "unmask", 4]
    play.until("unmask", 1, vectors=VECTORS, tamper=only("unmask", {4}, lambda _: old))
    (found,) = play.server.sums(1)
    check_right(play, found, set(range(N)))
    assert found.blamed == (4,)


# --- shares ---------------------------------------------------------------------------------------


def _wrong_shares(fields: dict[str, bytes]) -> dict[str, bytes]:
    shares = bytearray(fields["shares"])
    for at in range(0, len(shares), SHARE_BYTES):
        shares[at] ^= 1
    return {**fields, "shares": bytes(shares)}


@pytest.mark.parametrize("gone", [set(), {7}])
def test_wrong_shares_are_corrected_and_their_sender_blamed(gone: set[int]) -> None:
    """Also for a member that dropped, whose mask's key must be put together."""
    play = Play(20, settings(adversary="semi_honest"))
    vectors = words(20)
    (found,) = play.sum(vectors, gone={"upload": gone}, tamper=only("unmask", {4}, _wrong_shares))
    assert isinstance(found, CohortSum)
    assert found.blamed == (4,)
    assert set(found.members) == set(range(20)) - gone
    assert (found.total == total(vectors, found.members)).all()


@pytest.mark.parametrize("is_gone", [False, True])
def test_one_wrong_bit_is_corrected_and_its_sender_blamed(is_gone: bool) -> None:
    """Of the share that member 4 holds of the member before it on the ring."""
    play = Play(20, settings(adversary="semi_honest"))
    vectors = words(20)
    play.until("share")
    ring = play.server._session(0).cohorts[0].cohort.ring.tolist()
    dealer = ring[ring.index(4) - 1]
    gone = {dealer} if is_gone else set()

    def flip(fields: dict[str, bytes]) -> dict[str, bytes]:
        at = np.frombuffer(fields["dealers"], dtype="<u4").tolist().index(dealer)
        shares = bytearray(fields["shares"])
        shares[at * SHARE_BYTES + 31] ^= 128
        return {**fields, "shares": bytes(shares)}

    play.stage("upload", vectors=vectors, gone=gone)
    play.server.close_uploads(0)
    play.stage("unmask", tamper=only("unmask", {4}, flip))
    (found,) = play.server.sums(0)
    assert isinstance(found, CohortSum)
    assert found.blamed == (4,)
    assert (found.total == total(vectors, set(range(20)) - gone)).all()


def test_several_liars_are_told_from_the_others() -> None:
    play = Play(20, settings(adversary="semi_honest", colluding_share=0.2))
    vectors = words(20)
    liars = {3, 9}
    (found,) = play.sum(vectors, tamper=only("unmask", liars, _wrong_shares))
    assert isinstance(found, CohortSum)
    assert set(found.blamed) == liars
    assert (found.total == total(vectors, range(20))).all()


def test_more_liars_than_can_be_told_fail_the_sum() -> None:
    """Of 11 shares 11 - t wrong ones can be told; with more no wrong total comes."""
    play = Play(N, settings())
    (found,) = play.sum(VECTORS, tamper=only("unmask", set(range(6)), _wrong_shares))
    assert isinstance(found, CohortFailure)
    assert found.is_spoilt
    assert len(found.blamed) <= 1


def test_a_share_of_somebody_elses_secret_is_refused() -> None:
    """With groups: a holder gives shares of members whose neighbour it is not."""
    play = Play(N, settings(group_size=6, min_contributors=3))
    play.until("check", vectors=VECTORS)
    one, other = play.server._session(0).cohorts
    number, stranger = int(one.cohort.ring[0]), int(other.cohort.ring[0])
    fields = play.server.unmask_request(0, number)
    answer = play.act(number, lambda c: c.unmask(0, fields))
    for dealers, match in (([stranger], "not of its group"), ([number], f"member {number}, of")):
        given = {"dealers": pack_numbers(dealers), "shares": bytes(SHARE_BYTES)}
        with pytest.raises(ProtocolError, match=match):
            play.server.unmasked(0, number, given)
    bad = {**answer, "shares": b"\1" * len(answer["shares"])}
    with pytest.raises(ProtocolError, match="above 65536"):
        play.server.unmasked(0, number, bad)
    play.server.unmasked(0, number, answer)


def test_shares_come_back_from_too_few() -> None:
    play = Play(N, settings())
    (found,) = play.sum(VECTORS, gone={"unmask": set(range(6))})
    assert isinstance(found, CohortFailure)
    assert "came back, and it needs" in found.reason
    assert not found.is_spoilt


def test_too_few_of_the_committee_sign() -> None:
    play = Play(N, settings())
    play.until("check", vectors=VECTORS, gone={"check": set(range(7))})
    assert play.server.unmask_members(0) == ()
    (found,) = play.server.sums(0)
    assert isinstance(found, CohortFailure)
    assert "5 of the committee have signed" in found.reason
    with pytest.raises(ProtocolError, match="no part in opening"):
        play.server.unmask_request(0, 1)


def test_only_survivors_of_the_committee_sign() -> None:
    """Not one whose words never came, however well it signs."""
    play = Play(N, settings())
    play.until("upload", vectors=VECTORS, gone={"upload": {4}})
    play.server.close_uploads(0)
    cohort = play.server._session(0).cohorts[0].cohort
    left = np.array([n for n in range(N) if n != 4], dtype=np.int64)
    digest = survivors_digest(RUN, 0, play.server._session(0).seed, cohort.index, left, NO_SUBJECT)
    for number, is_taken in ((4, False), (5, True)):
        fields = {"signature": KEYS[number].sign(survivors_statement(RUN, 0, number, digest))}
        if is_taken:
            play.server.checked(0, number, fields)
        else:
            with pytest.raises(ProtocolError, match="4 is not of the committee"):
                play.server.checked(0, number, fields)


@pytest.mark.parametrize(
    ("lost", "match"),
    [
        (10, "sum 0 cannot be had: 2 members are left"),
        (5, "sum 0 cannot be had: [67] neighbours of member .* are left, and its secret needs"),
    ],
)
def test_too_few_upload(lost: int, match: str) -> None:
    play = Play(N, settings())
    with pytest.raises(ThresholdError, match=match):
        play.sum(VECTORS, gone={"upload": set(range(lost))})
    assert not any(stage == "check" for _, stage, _ in play.sent)


@pytest.mark.parametrize("kind", ["ciphertexts", "commitment"])
def test_a_dealer_that_cheats_fails_its_own_group_only(kind: str) -> None:
    """Ciphertexts that nobody can open, or a commitment to another seed: the dealer is blamed."""

    def cheat(fields: dict[str, bytes]) -> dict[str, bytes]:
        return {**fields, kind: bytes(len(fields[kind]))}

    play = Play(18, settings(group_size=6, min_contributors=3))
    vectors = words(18)
    found = play.sum(vectors, tamper=only("share", {4}, cheat))
    failed = [each for each in found if isinstance(each, CohortFailure)]
    assert len(failed) == 1
    assert failed[0].blamed == (4,)
    assert failed[0].is_spoilt
    assert 4 in failed[0].members
    for each in found:
        if isinstance(each, CohortSum):
            assert (each.total == total(vectors, each.members)).all()


def test_a_dealer_may_spoil_a_few_of_its_shares() -> None:
    """Those to whom it dealt garbage say nothing of it; the others' shares are enough."""

    def spoil(fields: dict[str, bytes]) -> dict[str, bytes]:
        return {**fields, "ciphertexts": bytes(CIPHERTEXT_BYTES) + fields["ciphertexts"][84:]}

    play = Play(N, settings())
    (found,) = play.sum(VECTORS, tamper=only("share", {4}, spoil))
    check_right(play, found, set(range(N)))


def test_an_error_leaves_the_server_as_it_was() -> None:
    """What is refused is not counted, and the right answer is taken after it."""
    play = Play(N, settings())
    play.until("share")
    play.server.participants(0)
    before = dict(play.server.bytes_in)
    with pytest.raises(SecureAggregationError):
        play.server.uploaded(0, 4, None)  # type: ignore[arg-type]
    assert dict(play.server.bytes_in) == before
    for stage in ("upload", "check", "unmask"):
        play.stage(stage, vectors=VECTORS)
    check_right(play, play.server.sums(0)[0], set(range(N)))
    assert play.server.bytes_in[4] > before[4] + VECTORS[4].nbytes


def test_holders_are_not_left_out_for_shares_that_they_were_dealt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One liar deals an honest holder wrong shares, another fails the sum: only that one goes."""
    play = Play(12, settings())
    play.until("open")
    play.server.adverts(0, 0)
    cohort = play.server._session(0).cohorts[0].cohort
    dealer, cheat = cohort.ring.tolist()[0], cohort.ring.tolist()[-1]
    holders = np.flatnonzero(cohort.neighbours(dealer) != cheat)[:1]
    honest = MaskedClient.share

    def share(self: MaskedClient, session: int, fields: Fields) -> dict[str, bytes]:
        if self._number != dealer:
            return honest(self, session, fields)

        def wrong(shares: NDArray[np.integer]) -> NDArray[np.uint8]:
            packed = pack(shares)
            packed[holders, :, 0] ^= 1
            return packed

        with monkeypatch.context() as inner:
            inner.setattr("fedtrade.secure.masked.client.pack", wrong)
            return honest(self, session, fields)

    monkeypatch.setattr(MaskedClient, "share", share)

    def tamper(stage: str, number: int, answer: Any) -> Any:
        is_cheat = stage == "share" and number == cheat
        return {**answer, "commitment": bytes(32)} if is_cheat else answer

    for stage in ("share", "upload", "check", "unmask"):
        play.stage(stage, vectors=words(12), tamper=tamper)
    (found,) = play.server.sums(0)
    assert isinstance(found, CohortFailure)
    assert found.blamed == (cheat,)
