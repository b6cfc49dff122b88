from math import e

import pytest

from fedtrade.errors import AccountingError
from fedtrade.privacy import (
    Approximate,
    BoundedRange,
    Concentrated,
    DiscreteGaussian,
    Event,
    Gaussian,
    GroupGaussian,
    Laplace,
    Pure,
    Skellam,
    group_event,
    group_privacy,
    spent,
)
from fedtrade.privacy.groups import together


def test_a_group_pays_epsilon_for_each_and_delta_along_the_path() -> None:
    """For three at epsilon 1: delta times 1 + e + e^2."""
    epsilon, delta = group_privacy(1.0, 1e-6, 3)
    assert epsilon == 3.0
    assert delta == pytest.approx(1e-6 * (1.0 + e + e**2))


def test_a_group_of_one_is_a_unit() -> None:
    assert group_privacy(1.0, 1e-6, 1) == pytest.approx((1.0, 1e-6))
    assert group_event(Laplace(2.0), 1) == Laplace(2.0)


def test_a_delta_never_exceeds_one() -> None:
    assert group_privacy(10.0, 1e-6, 100)[1] == 1.0
    assert group_privacy(0.0, 0.4, 3) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Gaussian(4.0, count=3), Gaussian(1.0, count=3)),
        (Gaussian(4.0, 0.1, 3), GroupGaussian(4.0, 0.1, 4, 3)),
        (GroupGaussian(4.0, 0.1, 2), GroupGaussian(4.0, 0.1, 8)),
        (Laplace(4.0), Laplace(1.0)),
        (DiscreteGaussian(5.0, 1.0, 2.0, 9), DiscreteGaussian(5.0, 4.0, 8.0, 9)),
        (Skellam(5.0, 1.0, 2.0), Skellam(5.0, 4.0, 8.0)),
        (Pure(0.5), Pure(2.0)),
        (BoundedRange(0.5), BoundedRange(2.0)),
        (Concentrated(0.1), Concentrated(1.6)),
    ],
    ids=repr,
)
def test_noise_protects_a_group_as_one_unit_of_its_sensitivity(
    event: Event, expected: Event
) -> None:
    assert group_event(event, 4) == expected


def test_what_is_only_known_by_epsilon_and_delta_follows_the_path() -> None:
    assert group_event(Approximate(1.0, 1e-6), 3) == Approximate(*group_privacy(1.0, 1e-6, 3))
    with pytest.raises(AccountingError, match="nothing is left"):
        group_event(Approximate(5.0, 1e-3), 10)


def test_the_sensitivity_of_a_group_is_better_than_the_path() -> None:
    event = Gaussian(10.0, count=4)
    exact = spent([group_event(event, 4)], 1e-5)
    alone = spent([event], 1e-9)
    epsilon, delta = group_privacy(alone, 1e-9, 4)
    assert delta <= 1e-5
    assert exact < epsilon


def test_a_group_that_is_sampled_apart_costs_less_than_one_that_is_sampled_together() -> None:
    event = GroupGaussian(5.0, 0.05, 8, 50)
    mixture = spent([event], 1e-5)
    assert mixture < 0.7 * spent([together(event)], 1e-5)
    assert mixture > spent([Gaussian(5.0, 0.05, 50)], 1e-5)
    for name in ("rdp", "sum"):
        assert mixture < spent([event], 1e-5, name)


def test_a_mixture_of_one_is_the_sampled_gaussian() -> None:
    found = spent([GroupGaussian(5.0, 0.1, 1, 20)], 1e-5)
    assert found == pytest.approx(spent([Gaussian(5.0, 0.1, 20)], 1e-5), rel=1e-3)


def test_a_group_without_sampling_is_exact() -> None:
    found = spent([GroupGaussian(8.0, 1.0, 4, 3)], 1e-5)
    assert found == pytest.approx(spent([Gaussian(2.0, count=3)], 1e-5), rel=1e-12)


def test_choices_of_bounded_range_compose_better_than_pure_ones() -> None:
    once, many = BoundedRange(0.1), BoundedRange(0.1, 1_000)
    assert spent([once], 1e-9) <= spent([Pure(0.1)], 1e-9)
    assert spent([many], 1e-5) < 0.6 * spent([Pure(0.1, 1_000)], 1e-5)


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_a_group_has_a_whole_number_of_units(size: int) -> None:
    with pytest.raises(AccountingError, match="group_size"):
        group_event(Pure(1.0), size)
    with pytest.raises(AccountingError, match="group_size"):
        group_privacy(1.0, 1e-6, size)


def test_an_epsilon_or_delta_out_of_range_is_refused() -> None:
    with pytest.raises(AccountingError, match="epsilon=-1"):
        group_privacy(-1.0, 1e-6, 2)
    with pytest.raises(AccountingError, match=r"delta=1\.1"):
        group_privacy(1.0, 1.1, 2)
