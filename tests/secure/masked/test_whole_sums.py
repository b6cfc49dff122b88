"""Sums of all members in a run whose updates are summed by groups."""

import numpy as np
import pytest

from fedtrade.errors import ReplayError
from fedtrade.secure.masked.beacon import whole_seed
from tests.secure.masked.driver import Play, settings, total, words

N = 12


def whole_play(**changes: object) -> Play:
    play = Play(N, settings(group_size=4, **changes))
    play.stage("pledge", 0)
    play.stage("open", 0)
    play.server.sum_all(0)
    return play


@pytest.mark.parametrize("adversary", ["semi_honest", "malicious"])
def test_a_sum_of_all_is_opened_as_one(adversary: str) -> None:
    play, vectors = whole_play(adversary=adversary), words(N)
    play.stage("share", 0)
    play.stage("upload", 0, vectors=vectors, gone={5})
    play.stage("check", 0)
    play.stage("unmask", 0)
    (found,) = play.server.sums(0)
    assert set(found.members) == set(range(N)) - {5}
    assert (found.total == total(vectors, found.members)).all()


def test_members_who_were_told_different_things_do_not_work_together() -> None:
    """A server that tells one of groups and the others of none gets neither's vector."""
    play = whole_play()
    fields = play.server.adverts(0, 0)
    answers = {}
    for number in range(N):
        told = dict(play.server.adverts(0, number))
        if number == 0:
            told["whole"] = b"\0"
            told["adverts"] = told["adverts"][: 3 * 128]  # of the three others of a group
        try:
            answers[number] = play.act(number, lambda c, t=told: c.share(0, t))
        except Exception as error:  # its neighbours in a group have other keys
            answers[number] = error
    assert isinstance(answers[0], Exception)
    assert all(isinstance(answers[number], dict) for number in range(1, N))
    assert fields["whole"] == b"\1"


def test_the_seed_of_a_whole_sum_is_another_one() -> None:
    assert whole_seed(bytes(32)) != bytes(32)
    assert len(whole_seed(bytes(32))) == 32


def test_groups_that_are_drawn_stay() -> None:
    play = Play(N, settings(group_size=4))
    play.until("share")
    with pytest.raises(ReplayError, match="groups of sum 0 are drawn already"):
        play.server.sum_all(0)


def test_without_groups_nothing_changes() -> None:
    play, vectors = Play(N, settings()), words(N)
    play.stage("pledge", 0)
    play.server.sum_all(0)
    play.stage("open", 0)
    assert play.server.adverts(0, 3)["whole"] == b"\0"
    play.stage("share", 0)
    play.stage("upload", 0, vectors=vectors)
    play.stage("check", 0)
    play.stage("unmask", 0)
    (found,) = play.server.sums(0)
    assert (found.total == total(np.asarray(vectors), range(N))).all()
