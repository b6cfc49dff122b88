"""Who adds the noise, and what is left of it when some are silent and some collude."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError, PrivacyError
from fedtrade.privacy.participant import (
    QUANTA,
    NoisyVectors,
    ReleasePlan,
    add_noise,
    adders,
    with_least_contributors,
)
from fedtrade.privacy.settings import ParticipantLevel
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.layout import Layout


def _masked(**given: Any) -> MaskedAggregation:
    return MaskedAggregation(**given)


@pytest.mark.parametrize(
    ("n", "contributors", "honest"), [(3, 3, 3), (10, 9, 7), (20, 18, 14), (100, 90, 70)]
)
def test_the_fewest_who_can_be_relied_on(n: int, contributors: int, honest: int) -> None:
    found = adders(_masked(), n)
    assert (found.who, found.n_contributors, found.n_honest) == (
        "participants",
        contributors,
        honest,
    )
    assert with_least_contributors(_masked(), n).min_contributors == contributors


def test_one_party_adds_all_of_it_where_it_sees_the_sum() -> None:
    assert adders(PlainAggregation(), 10).who == "server"
    assert adders(EncryptedAggregation(), 10).who == "key holder"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (PlainAggregation(group_size=3), "group_size=3"),
        (MaskedAggregation(group_size=4), "group_size=4"),
        (EncryptedAggregation(scheme="ckks"), "scheme=ckks does not go with"),
        (EncryptedAggregation(weighted=True), "weighted=true does not go with"),
        (MaskedAggregation(dropout_share=0.5, colluding_share=0.6), "nobody is left"),
    ],
)
def test_where_a_promise_could_not_be_kept_it_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        adders(settings, 10)


@pytest.fixture
def noise() -> NoisyVectors:
    """Of ten participants, of whom nine must contribute and seven be honest."""
    return NoisyVectors(ReleasePlan(ParticipantLevel(), 1, 5, 2), adders(_masked(), 10))


def test_what_is_left_after_dropouts_and_colluders_is_what_was_promised(
    noise: NoisyVectors,
) -> None:
    """One is silent and two subtract their own noise, or have added none."""
    n_values = 100_000
    parts = [noise.update_noise(n_values)["update"] for _ in range(10)]
    opened = sum(parts[:9])
    left = (opened - parts[0] - parts[1]) / QUANTA
    promised = noise.plan.update_noise
    assert float(left.std()) == pytest.approx(promised, rel=6.0 / np.sqrt(2 * n_values))
    assert float((opened / QUANTA).std()) > promised
    assert abs(float(left.mean())) < 6.0 * promised / np.sqrt(n_values)


def test_a_sum_has_room_for_everybody_and_the_noise(noise: NoisyVectors) -> None:
    """All at the clip with one sign, ten times over; none of a million totals is refused."""
    layout = Layout(noise.update_segments(1000), 10)
    total = np.zeros(layout.size, dtype=layout.dtype)
    for _ in range(10):
        values = noise.update_values(np.eye(1, 1000)[0], 0.5)
        words = layout.encode(values)
        add_noise(words, layout, noise.update_noise(1000))
        layout.add(total, words)
    mean = noise.mean(layout.decode(total, 10), 10, 0.5)
    deviation = 0.5 * noise.plan.update_noise * np.sqrt(10 / 7) / 10
    assert mean.update[0] == pytest.approx(0.5, abs=7 * deviation)
    assert np.abs(mean.update[1:]).max() < 7 * deviation
    assert mean.share_within is None


def test_noise_wraps_as_the_words_do(noise: NoisyVectors) -> None:
    """In rings of 32 and 64 bits and of any modulus, with steps below one."""
    for options in ({"word_bits": 32}, {"word_bits": 64}, {"modulus": (1 << 50) + 3}):
        layout = Layout(noise.sum_segments(4), 10, **options)  # type: ignore[arg-type]
        words = layout.encode({"sum": np.array([1.0, -2.0, 3.0, 0.0])})
        add_noise(words, layout, {"sum": np.array([5, -5, 0, 7])})
        assert layout.decode(words, 1)["sum"].tolist() == [6.0, -7.0, 3.0, 7.0]
        assert Fraction(layout.steps[0]).numerator == 1


def test_federated_sums_come_back_in_their_units(noise: NoisyVectors) -> None:
    parts = [np.array([[0.3, -0.1], [0.0, 0.2]]) * k for k in (1, 2)]
    total = {"sum": sum(noise.sum_values(part)["sum"] for part in parts)}
    assert noise.total(total).tolist() == pytest.approx([0.9, -0.3, 0.0, 0.6], abs=1e-4)
    with pytest.raises(PrivacyError, match=r"'nowcast' is larger than the parts of all 10"):
        noise.check_sum("nowcast", 5000, 10)
    noise.check_sum("moments", 4, 10)


def test_noise_too_fine_for_the_lattice_is_refused() -> None:
    plan = ReleasePlan(ParticipantLevel(epsilon=1e9), 1, 1, 0)
    with pytest.raises(PrivacyError, match=r"lower privacy\.participant\.epsilon"):
        NoisyVectors(plan, adders(_masked(), 10))
