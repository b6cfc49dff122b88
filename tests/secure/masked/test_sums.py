"""Whole sums: whoever drops wherever, the total is the plain one of those who are left."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import FedtradeError, ThresholdError
from fedtrade.secure.masked import CohortFailure, CohortSum
from tests.secure.masked.driver import STAGES, Play, settings, total, words

ADVERSARIES = ("semi_honest", "malicious")


@st.composite
def scripts(draw: st.DrawFn, n: int) -> dict[str, set[int]]:
    """By stage, who falls silent from it on: mostly few, sometimes anybody."""
    most = draw(st.sampled_from([0, 1, 2, n // 5, n]))
    gone = draw(st.lists(st.tuples(st.sampled_from(STAGES), st.integers(0, n - 1)), max_size=most))
    script: dict[str, set[int]] = {}
    for stage, number in gone:
        script.setdefault(stage, set()).add(number)
    return script


def check_sum(play: Play, vectors: np.ndarray, gone: dict[str, set[int]], session: int = 0) -> None:
    """Go through a sum and compare it with the plain one, or with what may be wrong."""
    silent: set[int] = set()
    present = {}
    for stage in STAGES:
        silent |= gone.get(stage, set())
        present[stage] = [n for n in play.numbers if n not in silent]
    try:
        found = play.sum(vectors, session, gone=gone)
    except ThresholdError:
        found = []
    for each in found:
        assert not each.blamed
        if isinstance(each, CohortSum):
            members = [n for n in each.members if n in present["upload"]]
            assert list(each.members) == members
            assert each.total.dtype == vectors.dtype
            assert (each.total == total(vectors, each.members)).all()
            assert len(each.members) >= play.settings.min_contributors
    if play.settings.group_size is None and len(found) != 1:
        assert not found
    _check_promise(play, session, present, found)


def _check_promise(
    play: Play, session: int, present: dict[str, list[int]], found: list[Any]
) -> None:
    """Of a complete graph, as few dropouts as it is made for never spoil a sum."""
    try:
        cohorts = play.server._session(session).cohorts
    except FedtradeError:
        cohorts = ()
    for index, cohort in enumerate(cohorts):
        parameters = cohort.cohort.parameters
        left = np.isin(cohort.cohort.members, present["unmask"]).sum()
        lost = len(cohort.cohort.ring) - left
        borne = parameters.degree - parameters.threshold
        if parameters.quorum:
            borne = min(borne, parameters.committee - parameters.quorum)
        if parameters.is_complete and lost <= borne and left >= play.settings.min_contributors:
            assert isinstance(found[index], CohortSum), found[index]


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_nobody_drops(adversary: str, dtype: type) -> None:
    vectors = words(7, dtype=dtype)
    play = Play(7, settings(adversary=adversary))
    (found,) = play.sum(vectors)
    assert found.members == tuple(range(7))
    assert (found.total == total(vectors, range(7))).all()
    assert found.blamed == ()


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("stage", STAGES)
def test_one_drops_at_each_stage(adversary: str, stage: str) -> None:
    """Its words are in the total if and only if it sent them."""
    vectors = words(12)
    play = Play(12, settings(adversary=adversary))
    (found,) = play.sum(vectors, gone={stage: {4}})
    everybody = set(range(12))
    assert set(found.members) == (everybody if stage in ("check", "unmask") else everybody - {4})
    assert (found.total == total(vectors, found.members)).all()


@pytest.mark.parametrize("adversary", ADVERSARIES)
@given(data=st.data())
def test_whoever_drops_in_small_sums(adversary: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 9))
    gone = data.draw(scripts(n))
    given_ = settings(
        adversary=adversary,
        min_contributors=2,
        dropout_share=data.draw(st.sampled_from([0.0, 0.2, 0.4])),
        colluding_share=data.draw(st.sampled_from([0.0, 0.1, 0.3])),
    )
    check_sum(Play(n, given_, seed=n), words(n, size=3), gone)


@pytest.mark.slow
@pytest.mark.parametrize("adversary", ADVERSARIES)
@given(data=st.data())
def test_whoever_drops(adversary: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 50))
    gone = data.draw(scripts(n))
    group = data.draw(st.sampled_from([None, None, 3, 5, 8]))
    given_ = settings(
        adversary=adversary,
        min_contributors=2,
        group_size=group,
        dropout_share=data.draw(st.sampled_from([0.0, 0.1, 0.3])),
    )
    check_sum(Play(n, given_, seed=n), words(n, size=3), gone)


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("n", [24, pytest.param(50, marks=pytest.mark.slow)])
def test_a_sparse_graph(adversary: str, n: int) -> None:
    """With few bits members have few neighbours, and dropouts are borne likewise."""
    weak = {"security_bits": 4, "correctness_bits": 3, "grinding_bits": 0}
    given_ = settings(adversary=adversary, colluding_share=0.0, dropout_share=0.05, **weak)
    vectors = words(n)
    play = Play(n, given_)
    (found,) = play.sum(vectors, gone={"upload": {3}})
    (parameters,) = play.server.parameters(0)
    assert parameters.degree < n - 1
    assert parameters.most_dropouts >= 1
    assert set(found.members) == set(range(n)) - {3}
    assert (found.total == total(vectors, found.members)).all()


def test_a_member_without_enough_neighbours_is_left_out() -> None:
    """It would refuse to upload, and nobody could take its neighbours' masks with it off."""
    weak = {"security_bits": 4, "correctness_bits": 3, "colluding_share": 0.0}
    play = Play(40, settings(adversary="semi_honest", dropout_share=0.02, **weak))
    play.until("open")
    play.server.adverts(0, 0)
    (server,) = play.server._session(0).cohorts
    near = server.cohort.neighbours(7)
    lost = set(near[: len(near) - server.threshold + 1].tolist())
    for stage in ("share", "upload", "unmask"):
        if stage == "unmask":
            play.server.close_uploads(0)
        play.stage(stage, vectors=(vectors := words(40)), gone=lost)
    assert not {7, *lost}.intersection(play.server.members(0))
    (found,) = play.server.sums(0)
    assert isinstance(found, CohortSum)
    assert set(found.members) == set(play.server.members(0))
    assert (found.total == total(vectors, found.members)).all()


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_groups_are_summed_apart(adversary: str) -> None:
    vectors = words(17)
    play = Play(17, settings(adversary=adversary, group_size=4, min_contributors=3))
    found = play.sum(vectors, gone={"upload": {2}})
    assert sorted(len(c.cohort.ring) for c in play.server._session(0).cohorts) == [4, 4, 4, 5]
    seen: list[int] = []
    for each in found:
        assert isinstance(each, CohortSum)
        assert (each.total == total(vectors, each.members)).all()
        seen += each.members
    assert sorted(seen) == sorted(set(range(17)) - {2})


def test_a_group_that_loses_too_many_fails_alone() -> None:
    vectors = words(18)
    play = Play(18, settings(group_size=6, min_contributors=4))
    play.until("share")
    lost = [int(n) for n in play.server._session(0).cohorts[1].cohort.ring[:3]]
    for stage in ("upload", "check", "unmask"):
        play.stage(stage, vectors=vectors, gone=lost)
    found = play.server.sums(0)
    assert [type(each) for each in found] == [CohortSum, CohortFailure, CohortSum]
    assert "min_contributors=4" in found[1].reason
    assert set(lost) < set(found[1].members)
    assert (found[2].total == total(vectors, found[2].members)).all()


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_sums_overlap(adversary: str) -> None:
    """Keys of the next sums travel with the present one; who missed one is back in the next."""
    n = 10
    vectors = [words(n, seed=s) for s in range(4)]
    play = Play(n, settings(adversary=adversary))
    gone = [{3}, set(), {5, 6}, set()]
    play.stage("pledge", 0)
    play.stage("open", 0)
    play.stage("share", 0)
    play.stage("pledge", 1)
    for session in range(4):
        play.stage("upload", session, vectors=vectors[session], gone=gone[session])
        play.stage("open", session + 1)
        play.stage("check", session)
        play.stage("unmask", session)
        play.stage("share", session + 1)
        play.stage("pledge", session + 2)
        (found,) = play.server.sums(session)
        assert set(found.members) == set(range(n)) - gone[session]
        assert (found.total == total(vectors[session], found.members)).all()
        play.server.forget(session)
        assert all(len(play.client(number).sessions) <= 3 for number in range(n))


def test_numbers_need_not_be_consecutive() -> None:
    numbers = [3, 5, 8, 21, 40, 63]
    vectors = words(64)
    (found,) = Play(0, settings(), numbers=numbers).sum(vectors)
    assert found.members == tuple(numbers)
    assert (found.total == total(vectors, numbers)).all()


@pytest.mark.parametrize(
    ("n", "changes", "reason"),
    [
        (2, {"min_contributors": 3}, "min_contributors=3"),
        (3, {"colluding_share": 0.4}, "no graph of 3 members"),
        (4, {"group_size": 5}, "no group of 5"),
    ],
)
def test_too_few_members_are_refused_by_all(n: int, changes: dict[str, Any], reason: str) -> None:
    play = Play(n, settings(**changes))
    with pytest.raises(ThresholdError, match=reason):
        play.sum(words(n))
    refusals = [error for (_, stage, _), error in play.refused.items() if stage != "pledge"]
    assert all(isinstance(error, FedtradeError) for error in refusals)
    assert not any(stage == "share" for _, stage, _ in play.sent)
