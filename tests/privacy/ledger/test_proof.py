from collections import Counter
from math import log2

from hypothesis import given
from hypothesis import strategies as st

from fedtrade.privacy.ledger.composition import Counts
from fedtrade.privacy.ledger.proof import Proof


def test_a_proof_covers_what_took_place_no_more_often() -> None:
    proof = Proof({"a": 3, "b": 1})
    assert proof.covers({"a": 3})
    assert proof.covers({"a": 1, "b": 1})
    assert not proof.covers({"a": 4})
    assert not proof.covers({"c": 1})
    assert Proof.from_json(proof.to_json()) == proof
    assert Proof.from_json(None) == Proof()


@given(limit=st.integers(0, 3000), price=st.integers(1, 5))
def test_operations_are_admitted_as_if_each_was_computed_by_few_computations(
    limit: int, price: int
) -> None:
    """Events cost `price` each, and `limit` may be spent."""
    computed: list[Counts] = []

    def fits(counts: Counts) -> bool:
        computed.append(counts)
        return price * counts["a"] <= limit

    counts: Counter[str] = Counter()
    proof, asked = Proof(), Counter({"a": 1})
    while True:
        after = counts + asked
        if not proof.covers(after):
            if not fits(after):
                break
            proof = proof.extended(after, fits)
        counts = after
    assert counts["a"] == limit // price
    assert len(computed) <= 6 * log2(2 + counts["a"]) + 4
