"""Which schemes a run has: each party finds the same, and they hold its sums."""

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.secure import EncryptedAggregation
from fedtrade.secure.encrypted.channels import SUMS, TRAINING, channels
from fedtrade.secure.payload import sum_layout, training_layout, training_values

EXACT = {"bfv": "bfv", "ckks": "bfv", "paillier": "paillier"}


def _settings(scheme: str, *, weighted: bool = False, **others: object) -> EncryptedAggregation:
    given = {"scheme": scheme, "weighted": weighted, "key_bits": 1024, **others}
    return EncryptedAggregation.from_mapping(given)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", EXACT)
def test_sums_are_exact_and_without_weights(name: str, weighted: bool) -> None:
    found = channels(_settings(name, weighted=weighted), 10)
    assert set(found) == {TRAINING, SUMS}
    training, sums = found[TRAINING], found[SUMS]
    assert (training.name, training.weighted) == (name, weighted)
    assert (sums.name, sums.weighted, sums.is_exact) == (EXACT[name], False, True)
    assert training.n_members == sums.n_members == 10
    # One key is enough where one scheme holds both.
    assert (training is sums) == (training.name == sums.name and not weighted)


@pytest.mark.parametrize("name", EXACT)
def test_each_party_finds_the_same(name: str) -> None:
    first, second = (channels(_settings(name), 7) for _ in range(2))
    other = channels(_settings(name), 8)
    for kind in (TRAINING, SUMS):
        assert first[kind].fields() == second[kind].fields() != other[kind].fields()
        assert first[kind].modulus == second[kind].modulus


@pytest.mark.parametrize("n", [3, 100, 1000])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("by_examples", [False, True])
@pytest.mark.parametrize("name", EXACT)
def test_the_largest_entries_fit(name: str, by_examples: bool, weighted: bool, n: int) -> None:
    """The layout of a scheme has the steps asked for, and a member's largest are within bounds.

    A thousand members need coarser federated sums than what is asked for by itself.
    """
    resolution = 1e-9 if n <= 100 else 1e-7
    settings = _settings(name, weighted=weighted, sum_resolution=resolution)
    found = channels(settings, n)
    scheme = found[TRAINING]
    layout = training_layout(
        settings, 2, scheme.layout_members, by_examples=by_examples, modulus=scheme.modulus
    )
    most, least = np.full(2, 9.0, np.float32), np.full(2, -9.0, np.float32)
    for update, loss in ((most, 1e9), (least, -1e9)):
        words = layout.encode(
            training_values(settings, update, 10**9, loss, by_examples=by_examples)
        )
        assert np.abs(words).max() <= scheme.bound
    assert layout.steps[0] <= 1e-5
    sums = found[SUMS]
    part = sum_layout(settings, 2, sums.layout_members, modulus=sums.modulus)
    assert np.abs(part.encode({"sum": np.array([1e6, -1e6])})).max() <= sums.bound
    assert part.steps[0] <= resolution


@pytest.mark.parametrize(
    ("name", "n", "others", "said"),
    [
        ("bfv", 5, {"sum_resolution": 1e-13}, "bfv: 5 members need a plain modulus of at least"),
        ("ckks", 5, {"sum_bound": 1e12}, "bfv: 5 members need a plain modulus of at least"),
        ("bfv", 10, {"clip_resolution": 1e-14}, "bfv: 10 members need a plain modulus"),
        ("bfv", 1000, {}, "bfv: 1000 members need a plain modulus of at least"),
        ("paillier", 5, {"sum_bound": 1e15}, "paillier: a modulus of"),
        ("bfv", 0, {}, "a sum needs members, got n_members=0"),
        ("paillier", -1, {}, "a sum needs members, got n_members=-1"),
    ],
)
def test_sums_that_no_scheme_holds_are_refused(
    name: str, n: int, others: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        channels(_settings(name, **others), n)
