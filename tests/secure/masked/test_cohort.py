"""Rings: neighbours against a graph library, and the numbers of colluders reckoned with."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import ThresholdError
from fedtrade.secure.masked.cohort import Cohort, draw_cohorts, sum_parameters
from fedtrade.secure.masked.degree import graph_parameters
from fedtrade.secure.parameters import GraphParameters
from tests.secure.masked.driver import settings


@st.composite
def rings(draw: st.DrawFn) -> Cohort:
    n = draw(st.integers(2, 25))
    degrees = [*range(2, n - 1, 2), n - 1]
    k = draw(st.sampled_from(degrees))
    ring = np.array(draw(st.permutations([3 * i + 1 for i in range(n)])), dtype=np.int64)
    return Cohort(0, ring, GraphParameters(n, k, 1, 0, 0, 0))


@given(rings(), st.integers(0, 2**25 - 1))
def test_a_graph_library_counts_the_same(cohort: Cohort, bits: int) -> None:
    n, k = len(cohort.ring), cohort.parameters.degree
    ahead = range(1, n) if k == n - 1 else range(1, k // 2 + 1)
    graph = nx.Graph((i, (i + step) % n) for i in range(n) for step in ahead)
    present = np.array([bits >> i & 1 for i in range(n)], dtype=bool)
    counted = [sum(present[j] for j in graph[i]) for i in range(n)]
    assert cohort.present_neighbours(present).tolist() == counted
    for i, number in enumerate(cohort.ring.tolist()):
        assert sorted(cohort.table[i].tolist()) == sorted(graph[i])
        assert cohort.neighbours(number).tolist() == cohort.ring[cohort.table[i]].tolist()


@given(rings())
def test_everybody_knows_its_place_at_its_neighbours(cohort: Cohort) -> None:
    for place, row in enumerate(cohort.table):
        for j, other in enumerate(row):
            assert cohort.table[other, cohort.reverse[place, j]] == place
    assert cohort.places(cohort.members).tolist() == np.argsort(cohort.ring).tolist()
    assert cohort.mask(cohort.ring[:1]).tolist() == [True] + [False] * (len(cohort.ring) - 1)
    odd = np.array([int(cohort.members[0]), 10_000])
    assert cohort.holds(odd).tolist() == [True, False]


def test_the_draw_depends_on_the_seed_and_the_members_only() -> None:
    members = np.arange(20, dtype=np.int64)
    first, again, other = (
        draw_cohorts(settings(group_size=5), 20, seed, members)
        for seed in (b"a" * 32, b"a" * 32, b"b" * 32)
    )
    assert [c.ring.tolist() for c in first] == [c.ring.tolist() for c in again]
    assert [c.ring.tolist() for c in first] != [c.ring.tolist() for c in other]
    assert sorted(n for c in first for n in c.ring.tolist()) == list(range(20))
    assert [c.index for c in first] == [0, 1, 2, 3]


def test_colluders_do_not_fall_with_the_honest_who_are_left_out() -> None:
    """10 % of 50 are five, also if the server shows only 30 members."""
    shares = settings(colluding_share=0.1, adversary="semi_honest")
    assert sum_parameters(shares, 50, 30).most_colluders == 5
    assert sum_parameters(shares, 50, 50) == graph_parameters(
        50,
        colluding_share=0.1,
        dropout_share=shares.dropout_share,
        security_bits=shares.security_bits,
        correctness_bits=shares.correctness_bits,
        adversary="semi_honest",
        grinding_bits=shares.grinding_bits,
    )
    with pytest.raises(ThresholdError, match="reckons with 5 colluders"):
        sum_parameters(shares, 50, 5)


def test_groups_have_their_own_parameters() -> None:
    found = sum_parameters(settings(), 20, 20, 5)
    assert (found.n_members, found.degree) == (5, 4)
    assert 2 * found.threshold > found.degree + found.most_colluders
