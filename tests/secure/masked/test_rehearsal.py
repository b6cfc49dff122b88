"""Rehearsals: the totals are right, and what they measure is there."""

import numpy as np
import pytest

from fedtrade.errors import ThresholdError
from fedtrade.secure.masked import CohortSum, rehearse
from tests.secure.masked.driver import settings, total, words


@pytest.mark.parametrize("adversary", ["semi_honest", "malicious"])
def test_three_sums(adversary: str) -> None:
    vectors = [words(10, seed=s) for s in range(3)]
    found = rehearse(
        settings(adversary=adversary),
        vectors,
        dropouts=[{"share": {1}}, {"upload": {2}, "unmask": {3}}],
        rng=1,
    )
    members = [set(range(10)) - {1}, set(range(10)) - {2}, set(range(10))]
    for session, (each,) in enumerate(found.sums):
        assert isinstance(each, CohortSum)
        assert set(each.members) == members[session]
        assert (each.total == total(vectors[session], each.members)).all()
    assert found.problems == ["", "", ""]
    assert found.refusals == {}
    assert found.client_s.shape == found.bytes_in.shape == found.bytes_out.shape == (10,)
    assert (found.client_s > 0.0).all()
    assert found.server_s > 0.0
    assert found.client_s.sum() == pytest.approx(sum(found.client_stage_s.values()))
    assert (found.client_stage_s["check"] > 0.0) == (adversary == "malicious")
    assert (found.bytes_in > 3 * 5 * 4 * 0.5).all()
    assert [p[0].n_members for p in found.parameters] == [10, 10, 10]


def test_a_sum_that_fails_says_why() -> None:
    vectors = [words(8), words(8)]
    found = rehearse(settings(), vectors, dropouts=[{"upload": set(range(6))}])
    assert found.sums[0] == []
    assert "2 members are left" in found.problems[0]
    assert isinstance(found.sums[1][0], CohortSum)
    few = rehearse(settings(), [words(2)])
    assert "min_contributors=3" in few.problems[0]
    assert all(isinstance(error, ThresholdError) for error in few.refusals.values())


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"drop at one of pledge, .*, got \['train'\]"):
        rehearse(settings(), [words(4)], dropouts=[{"train": {1}}])


@pytest.mark.slow
@pytest.mark.parametrize("adversary", ["semi_honest", "malicious"])
def test_two_hundred_members(adversary: str) -> None:
    """A sparse graph of the default security, with dropouts at two stages."""
    rng = np.random.default_rng(3)
    vectors = rng.integers(0, 2**64 - 1, (200, 50), dtype=np.uint64, endpoint=True)
    gone = rng.choice(200, 8, replace=False).tolist()
    found = rehearse(
        settings(adversary=adversary, colluding_share=0.2, dropout_share=0.05),
        [vectors],
        dropouts=[{"upload": gone[:4], "unmask": gone[4:]}],
    )
    (each,) = found.sums[0]
    assert isinstance(each, CohortSum)
    assert found.parameters[0][0].degree < 199
    assert set(each.members) == set(range(200)) - set(gone[:4])
    assert (each.total == total(vectors, each.members)).all()
