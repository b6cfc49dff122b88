"""Orders, cohorts and neighbours: by hand, and as graphs in NetworkX."""

import hashlib
from collections import Counter

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import ThresholdError
from fedtrade.secure.masked.graph import cohorts, neighbour_table, neighbours, permutation


def _seed(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def test_an_order_by_hand() -> None:
    """The words of SHAKE-256 sort the members, which are counted in ascending order."""
    seed = _seed(0)
    stream = hashlib.shake_256(b"fedtrade/secure/masked/order/1" + seed + bytes(4)).digest(24)
    words = [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(3)]
    expected = [member for _, member in sorted(zip(words, [2, 5, 9], strict=True))]
    assert permutation(seed, [9, 2, 5]).tolist() == expected


def test_an_order_never_changes() -> None:
    """A known answer: members on different machines must agree."""
    assert permutation(bytes(32), range(10)).tolist() == [3, 0, 1, 6, 5, 7, 8, 4, 2, 9]


def test_every_order_is_as_likely() -> None:
    """Chi-square of 6,000 orders of 4: 23 degrees of freedom, exceeded at 68 once in 2 million."""
    seen = Counter(tuple(permutation(_seed(i), range(4)).tolist()) for i in range(6000))
    assert len(seen) == 24
    assert sum((count - 250) ** 2 / 250 for count in seen.values()) < 68


@given(st.lists(st.integers(0, 2**40), unique=True, max_size=50), st.integers(0, 99))
def test_the_order_is_of_the_members_and_the_seed_alone(numbers: list[int], seed: int) -> None:
    found = permutation(_seed(seed), numbers)
    assert sorted(found.tolist()) == sorted(numbers)
    assert permutation(_seed(seed), numbers[::-1]).tolist() == found.tolist()


def test_equal_words_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def __init__(self, data: bytes) -> None:
            self.again = data.endswith(bytes([1, 0, 0, 0]))

        def digest(self, size: int) -> bytes:
            words = [3, 2, 1] if self.again else [1, 1, 0]
            return np.array(words, dtype="<u8").tobytes()

    monkeypatch.setattr(hashlib, "shake_256", Stream)
    assert permutation(bytes(32), [10, 11, 12]).tolist() == [12, 11, 10]


def test_orders_of_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="must have 32 bytes, got 31"):
        permutation(bytes(31), [1, 2])
    with pytest.raises(ValueError, match="must be distinct"):
        permutation(bytes(32), [1, 2, 1])


def test_cohorts_by_hand() -> None:
    """Eleven in groups of four: two groups, and the three left over are spread."""
    order = np.arange(11)[::-1]
    found = [each.tolist() for each in cohorts(order, 4)]
    assert found == [[10, 9, 8, 7, 6, 5], [4, 3, 2, 1, 0]]
    assert [each.tolist() for each in cohorts(order, None)] == [order.tolist()]


@given(st.integers(1, 300), st.integers(1, 300))
def test_cohorts_hold_everybody_once_and_as_even_as_can_be(n: int, size: int) -> None:
    order = permutation(_seed(n), range(n))
    if size > n:
        with pytest.raises(ThresholdError, match=f"{n} members make no group of {size}"):
            cohorts(order, size)
        return
    found = cohorts(order, size)
    sizes = [len(each) for each in found]
    assert len(found) == n // size
    assert np.concatenate(found).tolist() == order.tolist()
    assert min(sizes) >= size
    assert max(sizes) - min(sizes) <= 1


def test_neighbours_by_hand() -> None:
    ring = np.array([7, 3, 9, 1, 5, 8])
    assert neighbours(ring, 2, 7).tolist() == [3, 8]
    assert neighbours(ring, 4, 1).tolist() == [5, 8, 9, 3]
    assert neighbours(ring, 5, 9).tolist() == [1, 5, 8, 7, 3]


@given(st.integers(2, 60), st.data())
def test_neighbours_are_mutual_and_the_ring_is_circulant(n: int, data: st.DataObject) -> None:
    degree = data.draw(st.sampled_from([*range(2, n - 1, 2), n - 1]))
    ring = permutation(_seed(n), range(100, 100 + n))
    table = neighbour_table(ring, degree)
    assert table.shape == (n, degree)
    graph = nx.Graph()
    for row, member in zip(table, ring, strict=True):
        assert row.tolist() == neighbours(ring, degree, member).tolist()
        graph.add_edges_from((int(member), int(other)) for other in row)
    offsets = range(1, degree // 2 + 1) if degree < n - 1 else range(1, n)
    reference = nx.circulant_graph(n, offsets)
    names = {place: int(member) for place, member in enumerate(ring)}
    expected = nx.relabel_nodes(reference, names)
    assert {frozenset(edge) for edge in graph.edges} == {frozenset(edge) for edge in expected.edges}
    assert {d for _, d in graph.degree} == {degree}


def test_what_is_left_of_the_ring_hangs_together() -> None:
    """A quarter of 200 is gone. It tears at k / 2 losses in a row: 200 / 4^(k/2) bounds that.

    For k = 20 that is one in 5,000; for k = 2 the ring is torn nearly always.
    """
    rng = np.random.default_rng(0)
    ring = permutation(_seed(0), range(200))
    torn = {}
    for degree in (2, 20):
        graph = nx.Graph()
        for row, member in zip(neighbour_table(ring, degree), ring, strict=True):
            graph.add_edges_from((int(member), int(other)) for other in row)
        torn[degree] = 0
        for _ in range(100):
            gone = set(rng.choice(200, 50, replace=False).tolist())
            torn[degree] += not nx.is_connected(graph.subgraph(set(graph) - gone))
    assert torn[2] == 100
    assert torn[20] == 0


@pytest.mark.parametrize("degree", [0, 1, 3, 5, 6])
def test_degrees_that_no_ring_of_six_has(degree: int) -> None:
    ring = np.arange(6)
    if degree == 5:
        assert neighbours(ring, degree, 0).size == 5
        return
    with pytest.raises(
        ValueError, match=f"even degree of 2 to 4, or 5 for all others; got {degree}"
    ):
        neighbours(ring, degree, 0)


def test_a_stranger_has_no_neighbours() -> None:
    with pytest.raises(ValueError, match="member 9 is not once in the cohort of 4"):
        neighbours(np.arange(4), 2, 9)
