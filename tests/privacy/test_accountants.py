from math import exp, inf, log1p, sqrt

import pytest

from fedtrade.errors import AccountingError
from fedtrade.privacy import (
    Approximate,
    Concentrated,
    DiscreteGaussian,
    Event,
    Gaussian,
    Laplace,
    Pure,
    Skellam,
    accountant,
    spent,
)
from fedtrade.privacy.analytic_gaussian import gaussian_delta, gaussian_epsilon

NAMES = ("pld", "rdp", "sum")
"""Accountants that have a bound for every event."""
LOOSE = {"pld": 1e-3, "rdp": 0.03, "sum": 1e-9}
"""How far each may be from the epsilon of a pure event at a tiny delta; rdp ends at order 1024."""

GRID = [
    # sampling, noise, steps, delta, and the published epsilons of pld, prv and rdp
    (0.1, 1.0, 100, 1e-5, 7.05, 7.06, 7.90),
    (0.01, 1.0, 1_000, 1e-5, 1.83, 1.84, 2.10),
    (0.01, 0.7, 3_000, 1e-5, 7.53, 7.54, 8.44),
    (0.1, 2.0, 1_000, 1e-6, 9.18, 9.19, 9.82),
    (1.0, 4.0, 10, 1e-5, 3.34, 3.35, 3.62),
    (1.0, 10.0, 100, 1e-6, 4.89, 4.90, 5.22),
]


def delta_of(events: list[Event], epsilon: float, name: str) -> float:
    own = accountant(name)
    for event in events:
        own.compose(event)
    return own.delta(epsilon)


@pytest.mark.parametrize(("q", "noise", "n_steps", "delta", "pld", "prv", "rdp"), GRID)
def test_three_accountants_agree_on_sampled_gaussians(
    q: float, noise: float, n_steps: int, delta: float, pld: float, prv: float, rdp: float
) -> None:
    events = [Gaussian(noise, q, n_steps)]
    found = [spent(events, delta, name) for name in ("pld", "prv", "rdp")]
    assert found == pytest.approx([pld, prv, rdp], abs=0.006)
    assert found[0] <= found[1] <= found[2]
    assert found[2] <= 1.15 * found[0]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_costs_nothing(name: str) -> None:
    assert spent([], 1e-5, name) == 0.0
    assert delta_of([], 0.0, name) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_pure_event_costs_its_epsilon(name: str) -> None:
    assert spent([Pure(0.5)], 1e-9, name) == pytest.approx(0.5, rel=LOOSE[name])
    assert spent([Laplace(2.0)], 1e-9, name) == pytest.approx(0.5, rel=LOOSE[name])


def test_pure_events_add_up() -> None:
    """Three times 0.5 costs 1.5 where delta is tiny, for every accountant."""
    for name in NAMES:
        found = spent([Pure(0.5), Pure(0.5, 2)], 1e-9, name)
        assert found == pytest.approx(1.5, rel=LOOSE[name])


def test_many_pure_events_cost_about_the_root_of_their_number() -> None:
    """10,000 events of 0.01 are far from 100; the exact sum of coins is a Gaussian of 1 to 1e-3."""
    found = spent([Pure(0.01, 10_000)], 1e-5)
    assert found == pytest.approx(gaussian_epsilon(1e-5, 1.0), rel=0.01)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_the_delta_of_randomised_response_is_exact(epsilon: float) -> None:
    """Two answers, told truly with odds exp(1): delta is the excess of what is told truly."""
    truth = 1.0 / (1.0 + exp(-1.0))
    expected = max(0.0, truth - exp(epsilon) * (1.0 - truth))
    assert delta_of([Pure(1.0)], epsilon, "pld") == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_deltas_of_events_count_against_the_target(name: str) -> None:
    event = Approximate(0.5, 1e-6)
    assert spent([event], 1.001e-6, name) == pytest.approx(0.5, rel=LOOSE[name])
    assert spent([event], 0.999e-6, name) == inf


@pytest.mark.parametrize("name", ["pld", "prv"])
def test_gaussians_cost_what_the_closed_form_says(name: str) -> None:
    expected = gaussian_epsilon(1e-5, 4.0 / sqrt(10.0))
    found = spent([Gaussian(4.0, count=10)], 1e-5, name)
    assert expected <= found <= expected + 0.011


def test_gaussians_are_the_same_by_their_distribution() -> None:
    """Sampling with a probability next to 1 takes the numerical path to the same number."""
    expected = gaussian_epsilon(1e-5, 1.0)
    assert spent([Gaussian(2.0, 1.0 - 1e-12, 4)], 1e-5) == pytest.approx(expected, rel=1e-4)


def test_a_gaussian_is_exact() -> None:
    """At sigma 1 and epsilon 1, by a table of the normal: Phi(-0.5) - e Phi(-1.5)."""
    assert gaussian_delta(1.0, 1.0) == pytest.approx(0.30853754 - exp(1.0) * 0.06680720, abs=1e-7)


def test_events_of_all_kinds_are_composed() -> None:
    events: list[Event] = [
        Gaussian(1.0, 0.1, 100),
        Laplace(2.0, 10),
        Pure(0.1, 5),
        Approximate(0.1, 1e-7, 3),
        Concentrated(0.01),
        Skellam(900.0, 10.0, 50.0, 3),
    ]
    pld, rdp, total = (spent(events, 1e-5, name) for name in NAMES)
    assert spent(events[:1], 1e-5) < pld < rdp < total


def test_order_does_not_matter() -> None:
    events: list[Event] = [Laplace(2.0, 10), Gaussian(3.0), Concentrated(0.01), Laplace(2.0)]
    for name in NAMES:
        found = spent(events, 1e-5, name)
        assert spent(events[::-1], 1e-5, name) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_more_costs_more(name: str) -> None:
    own = accountant(name)
    costs = []
    for event in (Gaussian(5.0), Laplace(9.0), Concentrated(0.01), Gaussian(5.0), Pure(0.1)):
        own.compose(event)
        costs.append(own.epsilon(1e-5))
    assert costs == sorted(set(costs))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "event", [Gaussian(2.0, count=3), Laplace(2.0, 5), Concentrated(0.2)], ids=repr
)
def test_epsilon_and_delta_invert_each_other(event: Event, name: str) -> None:
    epsilon = spent([event], 1e-3, name)
    assert delta_of([event], epsilon * (1.0 + 1e-9), name) <= 1.01e-3
    assert delta_of([event], 0.99 * epsilon, name) > 1e-3


def test_epsilon_and_delta_of_prv_invert_each_other() -> None:
    epsilon = spent([Gaussian(4.0, count=10)], 1e-3, "prv")
    assert delta_of([Gaussian(4.0, count=10)], epsilon, "prv") == pytest.approx(1e-3, rel=2e-3)


def test_one_discrete_gaussian_costs_as_much_as_a_continuous_one_by_moments() -> None:
    """Canonne, Kamath and Steinke 2020, theorem 4: rho is that of the continuous one."""
    one = DiscreteGaussian(10.0, 5.0, 30.0, 50)
    assert spent([one], 1e-5, "rdp") == pytest.approx(spent([Gaussian(2.0)], 1e-5, "rdp"))


def test_a_sum_of_wide_discrete_gaussians_is_as_good_as_one() -> None:
    parts = DiscreteGaussian(3.0, 10.0, 100.0, 10_000, n_summands=25)
    whole = DiscreteGaussian(15.0, 10.0, 100.0, 10_000)
    assert spent([parts], 1e-5) == pytest.approx(spent([whole], 1e-5), rel=1e-12)


def test_a_sum_of_narrow_discrete_gaussians_costs_more() -> None:
    """By hand: two of 0.6 with L1 = L2 = n_params = 1 have tau = 10 exp(-pi^2 0.36) = 0.2864."""
    tau = 10.0 * exp(-9.8696044 * 0.36)
    width = 0.6 * sqrt(2.0)
    rho = (1.0 / width**2 + 2.0 * tau / width + tau**2) / 2.0
    found = spent([DiscreteGaussian(0.6, 1.0, 1.0, 1, 2)], 1e-5)
    assert found == pytest.approx(spent([Concentrated(rho)], 1e-5), rel=1e-7)


def test_skellam_noise_costs_little_more_than_gaussian() -> None:
    skellam = spent([Skellam(10_000.0, 50.0, 500.0)], 1e-5)
    gaussian = spent([Gaussian(2.0)], 1e-5, "rdp")
    assert gaussian < skellam < 1.01 * gaussian


def test_bounded_moments_compose_with_distributions_tightly() -> None:
    """A mixture costs hardly more than its parts would as Gaussians, and less than their sum."""
    zcdp, others = Concentrated(1 / 8), Laplace(3.0, 4)
    mixed = spent([zcdp, others], 1e-5)
    assert spent([Gaussian(2.0), others], 1e-5) < mixed <= spent([zcdp, others], 1e-5, "rdp")
    assert mixed < spent([zcdp], 5e-6) + spent([others], 5e-6)


def test_little_noise_is_accounted_in_bounded_time() -> None:
    """Losses in the thousands promise nothing; the grid grows coarser instead of larger."""
    found = spent([Gaussian(0.02, 0.5), Laplace(0.01, 10)], 1e-5)
    assert found == pytest.approx(1_000 + gaussian_epsilon(1e-5, 0.02) + log1p(-0.5), rel=0.02)


def test_prv_names_what_it_cannot_account() -> None:
    with pytest.raises(AccountingError, match=r"prv has no bound for Laplace\(noise_multiplier=2"):
        spent([Laplace(2.0)], 1e-5, "prv")
    with pytest.raises(AccountingError, match="so little noise"):
        spent([Gaussian(0.01)], 1e-5, "prv")


def test_an_unknown_accountant_is_named() -> None:
    with pytest.raises(AccountingError, match="'moments' is none of pld, prv, rdp, sum"):
        accountant("moments")


@pytest.mark.parametrize("name", ["pld", "prv", "rdp", "sum"])
@pytest.mark.parametrize("delta", [0.0, -1e-5, 1.0, float("nan")])
def test_a_delta_out_of_range_is_refused(name: str, delta: float) -> None:
    with pytest.raises(AccountingError, match="delta="):
        accountant(name).epsilon(delta)


@pytest.mark.parametrize("name", ["pld", "prv", "rdp", "sum"])
def test_a_negative_epsilon_is_refused(name: str) -> None:
    with pytest.raises(AccountingError, match="epsilon=-1"):
        accountant(name).delta(-1.0)
