"""A server that wants a member's words, or more sums than one: each attempt ends in an error."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from fedtrade.errors import (
    ProtocolError,
    ReplayError,
    SecureAggregationError,
    SignatureError,
    ThresholdError,
)
from fedtrade.secure.masked import CohortSum, MaskedClient
from fedtrade.secure.masked.beacon import seed
from fedtrade.secure.masked.cohort import draw_cohorts
from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.masked.packing import pack_numbers
from fedtrade.secure.masked.statements import ADVERT_BYTES
from tests.secure.masked.driver import KEYS, RUN, STAGES, Play, settings, total, words

N = 10
VECTORS = words(N)


def play_until(last: str, **options: Any) -> Play:
    play = Play(N, settings(adversary=options.pop("adversary", "malicious")))
    play.until(last, vectors=VECTORS, **options)
    return play


def refuses(
    play: Play,
    error: type[SecureAggregationError],
    match: str | None,
    number: int,
    what: Callable[[MaskedClient], Any],
) -> None:
    """The member refuses, and is as it was before."""
    before = dict(play.states[number])
    with pytest.raises(error, match=match):
        play.act(number, what)
    assert play.states[number] == before


def signed(play: Play, survivors: list[int], signers: list[int]) -> dict[str, bytes]:
    """Signatures that members of the committee give for a set."""
    fields = {"survivors": pack_numbers(survivors)}
    found = {n: play.act(n, lambda c: c.check(0, fields))["signature"] for n in sorted(signers)}
    return {"signers": pack_numbers(list(found)), "signatures": b"".join(found.values())}


def unmask_fields(play: Play, number: int, survivors: list[int]) -> dict[str, bytes]:
    """A request for shares with a set of the server's own."""
    cohort, place = play.server._session(0).places[number]
    return {
        "survivors": pack_numbers(survivors),
        "ciphertexts": cohort.sealed_for(place).tobytes(),
    }


# --- both shares of one member --------------------------------------------------------------------


def test_a_member_is_asked_for_both_of_its_shares() -> None:
    """First with member 0 among the survivors, then with member 0 as one that dropped."""
    play = play_until("check")
    fields = play.server.unmask_request(0, 1)
    play.act(1, lambda c: c.unmask(0, fields))
    again = {**fields, "survivors": pack_numbers(range(1, N))}
    refuses(play, ReplayError, "has forgotten it", 1, lambda c: c.unmask(0, again))
    refuses(play, ReplayError, "has forgotten it", 1, lambda c: c.unmask(0, fields))


def test_different_members_are_shown_different_survivors() -> None:
    """The committee signs one set; those shown another one refuse, so no secret is opened twice."""
    play = play_until("upload")
    everybody, without = list(range(N)), list(range(1, N))
    play.server.close_uploads(0)
    quorum = play.server.parameters(0)[0].quorum
    proof = signed(play, everybody, everybody[:quorum])
    for number in range(1, N):
        fields = {**unmask_fields(play, number, without), **proof}
        match = "not those that member|not that of member"
        refuses(play, SignatureError, match, number, lambda c, f=fields: c.unmask(0, f))
    refuses(
        play,
        ReplayError,
        "signed the survivors of sum 0 already",
        1,
        lambda c: c.check(0, {"survivors": pack_numbers(without)}),
    )
    rest = everybody[quorum:]
    assert len(rest) < quorum
    second = signed(play, without, rest)
    fields = {**unmask_fields(play, rest[0], without), **second}
    match = rf"{len(rest)} members of the committee signed .* and {quorum} must"
    refuses(play, SignatureError, match, rest[0], lambda c: c.unmask(0, fields))


def test_a_signer_holds_to_what_it_signed() -> None:
    """Were all others of the committee on the server's side, with a quorum for another set."""
    play = play_until("upload")
    play.server.close_uploads(0)
    signed(play, list(range(N)), [1])
    without = list(range(1, N))
    fields = {**unmask_fields(play, 1, without), **signed(play, without, without[1:])}
    match = "not those that member 1 signed"
    refuses(play, SignatureError, match, 1, lambda c: c.unmask(0, fields))


def test_a_signature_is_counted_twice() -> None:
    play = play_until("upload")
    play.server.close_uploads(0)
    proof = signed(play, list(range(N)), [4])
    fields = {**unmask_fields(play, 5, list(range(N))), **proof}
    twice = {"signers": proof["signers"] * 2, "signatures": proof["signatures"] * 2}
    refuses(play, SignatureError, "must", 5, lambda c: c.unmask(0, fields))
    refuses(play, ProtocolError, "once", 5, lambda c: c.unmask(0, {**fields, **twice}))


def test_a_signer_is_not_of_the_committee() -> None:
    """With groups: the members of another group sign."""
    play = Play(12, settings(group_size=6, min_contributors=3))
    vectors = words(12)
    play.until("check", vectors=vectors)
    one, other = play.server._session(0).cohorts
    number = int(one.cohort.ring[0])
    fields = dict(play.server.unmask_request(0, number))
    fields["signers"] = play.server.unmask_request(0, int(other.cohort.ring[0]))["signers"]
    match = "signed and is not in the committee"
    refuses(play, SignatureError, match, number, lambda c: c.unmask(0, fields))


def test_no_one_signs_outside_of_the_committee_or_for_a_trusted_server() -> None:
    play = play_until("upload", adversary="semi_honest")
    fields = {"survivors": pack_numbers(range(N))}
    refuses(play, ProtocolError, "not in the committee", 3, lambda c: c.check(0, fields))


# --- keys and nonces ------------------------------------------------------------------------------


@pytest.mark.parametrize("adversary", ["semi_honest", "malicious"])
@pytest.mark.parametrize("place", [0, 32], ids=["mask key", "channel key"])
def test_a_public_key_is_swapped(adversary: str, place: int) -> None:
    play = play_until("open", adversary=adversary)
    fields = dict(play.server.adverts(0, 2))
    adverts = bytearray(fields["adverts"])
    adverts[place : place + 32] = AgreementKey().public_bytes
    fields["adverts"] = bytes(adverts)
    refuses(play, SignatureError, "not that of member", 2, lambda c: c.share(0, fields))
    play.stage("share")
    assert ("share", 2) in {(stage, n) for _, stage, n in play.sent}


def test_one_neighbour_is_shown_for_another() -> None:
    play = play_until("open")
    fields = dict(play.server.adverts(0, 2))
    adverts = fields["adverts"]
    first, second = adverts[:ADVERT_BYTES], adverts[ADVERT_BYTES : 2 * ADVERT_BYTES]
    fields["adverts"] = second + first + adverts[2 * ADVERT_BYTES :]
    refuses(play, SignatureError, "not that of member", 2, lambda c: c.share(0, fields))


def test_keys_of_a_sum_before_are_shown_again() -> None:
    """The server knows what was revealed of them."""
    play = play_until("unmask")
    old = play_until("open").server.adverts(0, 2)["adverts"]
    play.until("open", 1, vectors=VECTORS)
    fields = {**play.server.adverts(1, 2), "adverts": old}
    refuses(play, SignatureError, "not that of member", 2, lambda c: c.share(1, fields))


def _changed_nonce(fields: dict[str, bytes], number: int) -> dict[str, bytes]:
    nonces = bytearray(fields["nonces"])
    nonces[16 * number] ^= 1
    return {**fields, "nonces": bytes(nonces)}


def _without(fields: dict[str, bytes], number: int) -> dict[str, bytes]:
    numbers, nonces = fields["members"], fields["nonces"]
    return {
        **fields,
        "members": numbers[: 4 * number] + numbers[4 * number + 4 :],
        "nonces": nonces[: 16 * number] + nonces[16 * number + 16 :],
    }


@pytest.mark.parametrize("change", [_changed_nonce, _without])
def test_a_nonce_is_changed_or_left_out(
    change: Callable[[dict[str, bytes], int], dict[str, bytes]],
) -> None:
    play = play_until("open")
    fields = change(dict(play.server.adverts(0, 2)), 7)
    refuses(play, SignatureError, "not those that were pledged", 2, lambda c: c.share(0, fields))


def test_a_members_own_pledge_or_nonce_is_changed_or_left_out() -> None:
    play = play_until("pledge")
    fields = dict(play.server.commitments(0))
    rows = bytearray(fields["commitments"])
    rows[16 * 2] ^= 1
    changed = {**fields, "commitments": bytes(rows)}
    refuses(play, SignatureError, "another pledge", 2, lambda c: c.open(0, changed))
    absent = {"members": fields["members"][4:], "commitments": fields["commitments"][16:]}
    refuses(play, ProtocolError, "lacks member 0", 0, lambda c: c.open(0, absent))
    play.stage("open")
    opened = dict(play.server.adverts(0, 2))
    refuses(
        play, SignatureError, "another pledge", 2, lambda c: c.share(0, _changed_nonce(opened, 2))
    )
    refuses(play, ProtocolError, "lacks member 2", 2, lambda c: c.share(0, _without(opened, 2)))


def test_a_member_both_opens_and_is_silent() -> None:
    play = play_until("open")
    fields = dict(play.server.adverts(0, 2))
    fields |= {"silent": pack_numbers([5]), "commitments": bytes(16)}
    refuses(play, ProtocolError, "both opened", 2, lambda c: c.share(0, fields))


def test_members_are_shown_different_pledges() -> None:
    """Who saw other pledges signs another view, and is nobody's neighbour."""
    play = play_until("pledge")
    fields = dict(play.server.commitments(0))
    rows = bytearray(fields["commitments"])
    rows[16 * 9] ^= 1
    other = {**fields, "commitments": bytes(rows)}
    answer = play.act(0, lambda c: c.open(0, other))
    with pytest.raises(SignatureError, match="not that of member 0"):
        play.server.opened(0, 0, answer)
    play.stage("open", gone=[0])
    found = play.server._session(0)
    found.nonces[0], found.adverts[0] = answer["nonce"], answer["keys"] + answer["signature"]
    play.stage("share", gone=[0])
    refused = {n for (_, stage, n) in play.refused if stage == "share"}
    assert refused == set(range(1, N))


def test_members_are_shown_different_nonces() -> None:
    """Who drew another graph deals shares that nobody reads."""
    play = play_until("open")
    fields = dict(play.server.adverts(0, 9))
    other = _without(fields, 8)
    other |= {"silent": pack_numbers([8]), "commitments": play.server._session(0).pledges[8]}
    members = np.array([*range(8), 9], dtype=np.int64)
    drawn = seed(RUN, 0, members, other["nonces"])
    (cohort,) = draw_cohorts(play.settings, N, drawn, members)
    near = cohort.neighbours(9).tolist()
    other["adverts"] = b"".join(play.server._session(0).adverts[n] for n in near)
    dealt = play.client(9).share(0, other)["ciphertexts"]
    play.stage("share")
    play.stage("upload", vectors=VECTORS)
    play.stage("check")
    asked = dict(play.server.unmask_request(0, 2))
    at = 84 * play.server._session(0).cohorts[0].cohort.neighbours(2).tolist().index(9)
    own = 84 * near.index(2)
    sealed = asked["ciphertexts"]
    asked["ciphertexts"] = sealed[:at] + dealt[own : own + 84] + sealed[at + 84 :]
    answer = play.act(2, lambda c: c.unmask(0, asked))
    assert answer["dealers"] == pack_numbers([n for n in range(N) if n not in (2, 9)])


def test_strangers_are_among_the_members() -> None:
    play = play_until("pledge")
    fields = {"members": pack_numbers([*range(N), 77]), "commitments": bytes(16 * 11)}
    refuses(play, ProtocolError, "11|44 bytes", 1, lambda c: c.open(0, fields))
    fields = {"members": pack_numbers([1, 77]), "commitments": bytes(32)}
    refuses(play, ProtocolError, "member 77", 1, lambda c: c.open(0, fields))


def test_another_key_for_the_member_itself() -> None:
    roster = {n: KEYS[n + 1].public_bytes for n in range(N)}
    with pytest.raises(SignatureError, match="another key for 3"):
        MaskedClient(3, KEYS[3], roster, settings(), RUN)


# --- survivors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["check", "unmask"])
def test_the_survivors_are_fewer_than_promised(stage: str) -> None:
    play = play_until("upload", adversary="malicious")
    play.server.close_uploads(0)
    survivors = [3, 4]
    fields: dict[str, bytes] = {"survivors": pack_numbers(survivors)}
    if stage == "unmask":
        fields = unmask_fields(play, 3, survivors) | {"signers": b"", "signatures": b""}
    match = "2 members are left, and min_contributors=3"
    refuses(play, ThresholdError, match, 3, lambda c: getattr(c, stage)(0, fields))


@pytest.mark.parametrize("adversary", ["semi_honest", "malicious"])
def test_a_member_is_isolated(adversary: str) -> None:
    """Were all neighbours of a member said to have dropped, its words alone would be the total."""
    weak = {"security_bits": 4, "correctness_bits": 3, "grinding_bits": 0, "colluding_share": 0.0}
    play = Play(40, settings(adversary=adversary, dropout_share=0.02, **weak))
    vectors = words(40)
    play.until("upload", vectors=vectors)
    play.server.close_uploads(0)
    (server,) = play.server._session(0).cohorts
    cohort = server.cohort
    victim = int(cohort.ring[20])
    near = set(cohort.neighbours(victim).tolist())
    left = [n for n in range(40) if n not in near]
    assert len(left) >= 3
    holder = cohort.neighbours(victim)[0]
    for number, survivors in ((holder, [*left, holder]), (left[0], left)):
        fields = unmask_fields(play, int(number), sorted(map(int, survivors)))
        if adversary == "malicious":
            fields |= {"signers": b"", "signatures": b""}
        refuses(
            play,
            ThresholdError,
            "could be told from the others'",
            int(number),
            lambda c, f=fields: c.unmask(0, f),
        )
    fields = unmask_fields(play, int(holder), left)
    if adversary == "malicious":
        fields |= {"signers": b"", "signatures": b""}
    refuses(play, ProtocolError, "lacks member", int(holder), lambda c: c.unmask(0, fields))


def test_survivors_who_never_dealt() -> None:
    play = Play(N, settings())
    play.until("upload", vectors=VECTORS, gone={"share": {6}})
    play.server.close_uploads(0)
    fields = {"survivors": pack_numbers(range(N))}
    match = "survivors must be|survivors has member 6"
    refuses(play, ProtocolError, match, 2, lambda c: c.check(0, fields))
    fields = {"survivors": pack_numbers([1, 2, 3, 6, 7, 8, 9])}
    refuses(play, ProtocolError, "survivors has member 6", 2, lambda c: c.check(0, fields))


def test_survivors_of_another_group() -> None:
    play = Play(12, settings(group_size=6, min_contributors=3))
    play.until("upload", vectors=words(12))
    play.server.close_uploads(0)
    one, other = play.server._session(0).cohorts
    mixed = [*one.cohort.ring[:5].tolist(), int(other.cohort.ring[0])]
    fields = {"survivors": pack_numbers(mixed)}
    number = mixed[0]
    refuses(play, ProtocolError, "has no part in this sum", number, lambda c: c.check(0, fields))


# --- participants ---------------------------------------------------------------------------------


def test_too_few_have_dealt_shares() -> None:
    play = play_until("share")
    for participants, match in (
        ([2, 3], "min_contributors=3"),
        ([1, 2, 3, 4], "neighbours of member 2 are left"),
    ):
        fields = {"participants": pack_numbers(participants)}
        refuses(play, ThresholdError, match, 2, lambda c, f=fields: c.upload(0, f, VECTORS[2]))


def test_participants_who_never_opened() -> None:
    play = Play(N, settings())
    play.until("share", gone={"open": {6}})
    fields = {"participants": pack_numbers([1, 2, 3, 6, 7, 8])}
    refuses(
        play,
        ProtocolError,
        "participants has member 6",
        2,
        lambda c: c.upload(0, fields, VECTORS[2]),
    )


def test_a_second_vector_is_asked_for() -> None:
    """Under the same masks its difference to the first would show."""
    play = play_until("upload")
    fields = play.server.participants(0)
    refuses(play, ReplayError, "can be had once", 2, lambda c: c.upload(0, fields, VECTORS[3]))


# --- replays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_asked_for_twice(stage: str) -> None:
    play = play_until(STAGES[max(0, STAGES.index(stage) - 1)])
    number = 2
    if stage == "check":
        play.server.close_uploads(0)
    request = play.request(stage, 0, number, VECTORS)
    if stage != "pledge":
        play.act(number, lambda c: getattr(c, stage)(0, *request))
    with pytest.raises(ReplayError, match="0"):
        play.act(number, lambda c: getattr(c, stage)(0, *request))


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_stage_is_asked_for_out_of_order(stage: str) -> None:
    play = play_until("pledge")
    arguments = ({}, VECTORS[2]) if stage == "upload" else ({},)
    number = 2
    if stage != "open":
        refuses(play, ReplayError, "follows", number, lambda c: getattr(c, stage)(0, *arguments))
    refuses(play, ReplayError, "no part", number, lambda c: getattr(c, stage)(1, *arguments))


def test_a_sum_is_played_again() -> None:
    """With the messages of the first time: members have forgotten it, and pledge it never again."""
    play = play_until("unmask")
    assert isinstance(play.server.sums(0)[0], CohortSum)
    refuses(play, ReplayError, "cannot be pledged", 2, lambda c: c.pledge(0))
    play.act(2, lambda c: c.pledge(5))
    refuses(play, ReplayError, "cannot be pledged", 2, lambda c: c.pledge(4))
    assert play.client(2).sessions == (5,)


def test_sums_long_over_are_forgotten() -> None:
    """Of one that never came to its end, at the pledge for the third after it."""
    play = Play(N, settings())
    play.until("share")
    for session in (1, 2):
        play.act(2, lambda c, s=session: c.pledge(s))
    assert play.client(2).sessions == (0, 1, 2)
    play.act(2, lambda c: c.pledge(3))
    assert play.client(2).sessions == (1, 2, 3)


# --- shares that were dealt -----------------------------------------------------------------------


def test_a_changed_ciphertext_costs_one_share() -> None:
    play = play_until("check")
    number = 2
    fields = dict(play.server.unmask_request(0, number))
    sealed = bytearray(fields["ciphertexts"])
    sealed[5] ^= 1
    answer = play.act(number, lambda c: c.unmask(0, {**fields, "ciphertexts": bytes(sealed)}))
    whole = play.act(3, lambda c: c.unmask(0, play.server.unmask_request(0, 3)))
    assert len(answer["dealers"]) == len(whole["dealers"]) - 4
    play.server.unmasked(0, number, answer)
    play.server.unmasked(0, 3, whole)
    play.stage("unmask", gone=[2, 3])
    (found,) = play.server.sums(0)
    assert isinstance(found, CohortSum)
    assert (found.total == total(VECTORS, range(N))).all()


@pytest.mark.parametrize("stage", STAGES[1:])
@pytest.mark.parametrize("kind", ["nothing", "text", "cut", "long", "more"])
def test_garbage_from_the_server(stage: str, kind: str) -> None:
    play = play_until(STAGES[STAGES.index(stage) - 1])
    if stage == "check":
        play.server.close_uploads(0)
    fields, *rest = play.request(stage, 0, 2, VECTORS)
    garbage: Mapping[str, Any] = {
        "nothing": {},
        "text": dict.fromkeys(fields, "x"),
        "cut": {name: value[:-1] for name, value in fields.items()},
        "long": {name: value * 1000 for name, value in fields.items()},
        "more": {**fields, "more": b""},
    }[kind]
    empty = {name for name, value in fields.items() if not value}
    assert empty <= {"silent", "commitments"}
    refuses(
        play,
        SecureAggregationError,
        None,
        2,
        lambda c: getattr(c, stage)(0, garbage, *rest),
    )
    play.act(2, lambda c: getattr(c, stage)(0, fields, *rest))


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((2, 2), np.uint32), np.zeros(3, np.int64)])
def test_a_member_masks_words_only(bad: np.ndarray) -> None:
    play = play_until("share")
    fields = play.server.participants(0)
    with pytest.raises(ValueError, match="words must be uint32 or uint64"):
        play.act(2, lambda c: c.upload(0, fields, bad))


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown entry '0\.other'"):
        MaskedClient(0, KEYS[0], {}, settings(), RUN, {"0.other": b""})
    with pytest.raises(ProtocolError, match="32 bytes, got 3"):
        MaskedClient(0, KEYS[0], {}, settings(), b"run")
    with pytest.raises(ValueError, match="got -1"):
        MaskedClient(-1, KEYS[0], {}, settings(), RUN)
