"""Attacks on updates: by hand, laws, and ByzFL beside them."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.stats import norm

from fedtrade.errors import ConfigurationError
from simulations.attacks import (
    ALIE,
    IPM,
    Copycat,
    FreeRider,
    Gaussian,
    Mimic,
    MinMax,
    MinSum,
    NotFinite,
    OnOff,
    OptimisedALIE,
    OptimisedIPM,
    RoundView,
    Scaling,
    SignFlip,
    Sybils,
    UpdateAttack,
    alie_factor,
    build_attack,
    craft_round,
    min_max_factor,
    min_sum_factor,
)
from simulations.attacks.attack import Attack
from simulations.attacks.catalogue import ATTACKS
from simulations.attacks.directions import Direction, perturbation
from simulations.bench.byzfl_peer import byzfl_module

HONEST = np.array([[1.0, 0.0], [3.0, 4.0], [2.0, 2.0]], dtype=np.float32)
OWN = np.array([[1.0, -2.0], [3.0, 0.0]], dtype=np.float32)
DIRECTIONS: tuple[Direction, ...] = ("unit", "sign", "std")


def _view(honest: object = HONEST, own: object = OWN, **more: object) -> RoundView:
    rows = np.asarray(own, dtype=np.float32)
    vector = np.zeros(rows.shape[1], dtype=np.float32)
    given = {"vector": vector} | more
    return RoundView(honest=np.asarray(honest, dtype=np.float32), own=rows, **given)  # type: ignore[arg-type]


def _sent(attack: Attack, view: RoundView | None = None, seed: int = 0) -> NDArray[np.float32]:
    return craft_round(attack, view or _view(), np.random.default_rng(seed))[0]


def _random(seed: int, n_honest: int = 8, n_attackers: int = 2, n_params: int = 6) -> RoundView:
    rng = np.random.default_rng(seed)
    return _view(
        rng.normal(0.3, 1.0, (n_honest, n_params)), rng.normal(0.3, 1.0, (n_attackers, n_params))
    )


# --- by hand ------------------------------------------------------------------------------------


def test_sign_flip_and_scaling_change_the_own_update() -> None:
    assert _sent(SignFlip()).tolist() == [[-1.0, 2.0], [-3.0, 0.0]]
    assert _sent(SignFlip(factor=2.0)).tolist() == [[-2.0, 4.0], [-6.0, 0.0]]
    assert _sent(Scaling(factor=10.0)).tolist() == [[10.0, -20.0], [30.0, 0.0]]


def test_ipm_is_minus_epsilon_times_the_honest_mean() -> None:
    """The mean is (2, 2)."""
    assert _sent(IPM(epsilon=0.5)).tolist() == [[-1.0, -1.0]] * 2


def test_alie_goes_z_deviations_below_the_mean() -> None:
    """Deviations from (2, 2): -1, 1, 0 and -2, 2, 0."""
    expected = [2.0 - 1.5 * np.sqrt(2 / 3), 2.0 - 1.5 * np.sqrt(8 / 3)]
    np.testing.assert_allclose(_sent(ALIE(z=1.5)), [expected] * 2, rtol=1e-6)


def test_the_factor_of_alie_is_the_published_quantile() -> None:
    """50 workers, 24 of them corrupt: s = 26 - 24 = 2 and z is the quantile at 24/26."""
    assert alie_factor(50, 24) == pytest.approx(norm.ppf(24 / 26))
    assert alie_factor(25, 5) == pytest.approx(norm.ppf(0.6))
    assert alie_factor(10, 2) == pytest.approx(0.0)
    assert alie_factor(10, 8) == pytest.approx(0.0)  # one supporter of two
    with pytest.raises(ValueError, match="n_byzantine must be from 0 to n_clients - 1 = 2, got 3"):
        alie_factor(3, 3)


def test_alie_by_default_takes_that_factor() -> None:
    view = _random(1, n_honest=20, n_attackers=5)
    z = norm.ppf(0.6)
    expected = view.benign.mean(axis=0) - z * view.benign.std(axis=0)
    np.testing.assert_allclose(_sent(ALIE(), view)[0], expected, rtol=1e-5)


def test_min_max_by_hand() -> None:
    """Honest values 0, 0, 3: nothing may be farther than 3 from any, so it stops at 0."""
    view = _view([[0.0], [0.0], [3.0]], [[9.0]])
    for direction in DIRECTIONS:
        np.testing.assert_allclose(_sent(MinMax(direction=direction), view), [[0.0]], atol=1e-6)


def test_min_sum_by_hand() -> None:
    """Honest values 0, 0, 3: the worst sum is 18, and 2 x^2 + (x - 3)^2 = 18 at 1 - sqrt(4)."""
    view = _view([[0.0], [0.0], [3.0]], [[9.0]])
    for direction in DIRECTIONS:
        np.testing.assert_allclose(_sent(MinSum(direction=direction), view), [[-1.0]], atol=1e-6)


def test_copycats_copy_one_honest_update_each() -> None:
    own = np.zeros((4, 2))
    assert _sent(Copycat(), _view(own=own)).tolist() == [*HONEST.tolist(), HONEST[0].tolist()]
    near = _sent(Copycat(jitter=0.01), _view(own=own))[:3]
    assert 0.0 < np.abs(near - HONEST).max() < 0.2


def test_sybils_are_clones_with_a_tiny_jitter() -> None:
    """The own mean is (2, -1)."""
    sent = _sent(Sybils(factor=5.0, jitter=1e-3))
    np.testing.assert_allclose(sent, [[-10.0, 5.0]] * 2, atol=0.05)
    assert (sent[0] != sent[1]).any()


def test_free_riders() -> None:
    previous = np.array([0.5, -0.5], dtype=np.float32)
    view = _view(previous=previous)
    assert not _sent(FreeRider(), view).any()
    assert _sent(FreeRider(sends="echo"), view).tolist() == [[0.5, -0.5]] * 2
    assert not _sent(FreeRider(sends="echo")).any()  # the first round
    noisy = _sent(FreeRider(sends="echo", noise=0.1), view)
    assert 0.0 < np.abs(noisy - previous).max() < 0.5
    assert (noisy[0] != noisy[1]).any()


def test_an_echo_of_a_shorter_vector_ends_with_zeros() -> None:
    """Updates may carry more than a change of the vector."""
    view = _view(np.ones((2, 3)), np.ones((1, 3)), previous=np.array([7.0], dtype=np.float32))
    assert _sent(FreeRider(sends="echo"), view).tolist() == [[7.0, 0.0, 0.0]]


def test_values_that_are_not_finite() -> None:
    assert np.isnan(_sent(NotFinite())).all()
    assert np.isneginf(_sent(NotFinite(value="-inf"))).all()
    wide = _view(np.ones((2, 10)), np.ones((3, 10)))
    sent = _sent(NotFinite(value="inf", entries=0.2), wide)
    assert np.isinf(sent).sum(axis=1).tolist() == [2, 2, 2]
    assert np.isinf(_sent(NotFinite(value="inf", entries=1e-9), wide)).sum() == 3


def test_noise_has_the_size_of_honest_updates() -> None:
    view = _view(np.full((3, 5000), 2.0), np.zeros((1, 5000)))
    sent = _sent(Gaussian(std_ratio=3.0), view)
    assert sent.std() == pytest.approx(6.0, rel=0.05)
    assert abs(sent.mean()) < 0.3


def test_on_off_is_honest_first() -> None:
    attack = OnOff(attack=SignFlip(), honest_rounds=2, bad_rounds=1)
    is_bad = [(_sent(attack, _view(round_number=number)) != OWN).any() for number in range(1, 8)]
    assert is_bad == [False, False, True, False, False, True, False]


def test_on_off_takes_the_settings_of_an_attack() -> None:
    settings = {"_target_": "simulations.attacks.Scaling", "factor": 3.0}
    attack = OnOff(attack=settings)
    assert attack.played == Scaling(factor=3.0)
    assert OnOff(attack=OnOff(attack=settings)).played == Scaling(factor=3.0)


# --- mimic --------------------------------------------------------------------------------------


def _rounds(
    attack: Mimic, rounds: list[NDArray[np.float32]], ids: list[tuple[int, ...]] | None = None
) -> list[NDArray[np.float32]]:
    """The first liar's update in each round; memory is carried along."""
    memory, sent = {}, []
    for number, honest in enumerate(rounds, start=1):
        view = _view(
            honest,
            np.zeros((2, honest.shape[1])),
            round_number=number,
            memory=memory,
            honest_ids=ids[number - 1] if ids else (),
        )
        rows, memory = craft_round(attack, view, np.random.default_rng(0))  # type: ignore[assignment]
        assert (rows[0] == rows[1]).all()
        sent.append(rows[0])
    return sent


def test_mimic_copies_who_stands_out_along_the_direction_of_most_variance() -> None:
    """Values differ most in the second coordinate, where participant 2 is largest."""
    honest = np.array([[1.0, 0.0], [0.9, 1.0], [1.1, 6.0], [1.0, -4.0]], dtype=np.float32)
    (sent,) = _rounds(Mimic(), [honest])
    assert sent.tolist() == honest[2].tolist()


def test_mimic_keeps_its_victim_after_the_warm_up() -> None:
    """The victim is known by who it is, not by its row."""
    first = np.array([[0.0, 5.0], [0.0, 1.0], [0.0, -1.0]], dtype=np.float32)
    later = np.array([[0.0, 1.0], [0.0, 90.0], [0.5, 0.0]], dtype=np.float32)
    sent = _rounds(Mimic(warmup_rounds=1), [first, later], [(4, 7, 9), (7, 9, 4)])
    assert sent[0].tolist() == first[0].tolist()
    assert sent[1].tolist() == later[2].tolist()


def test_mimic_finds_the_leading_direction_over_rounds() -> None:
    """The direction comes close to the leading eigenvector of all rounds' covariance."""
    rng = np.random.default_rng(3)
    scales = np.array([0.3, 3.0, 1.0, 0.1])
    rounds = [rng.normal(0.0, scales, (12, 4)).astype(np.float32) for _ in range(10)]
    memory: object = {}
    for number, honest in enumerate(rounds, start=1):
        view = _view(honest, np.zeros((1, 4)), round_number=number, memory=memory)
        memory = Mimic(warmup_rounds=10).remember(view)
    assert isinstance(memory, dict)
    covariance = np.cov(np.concatenate(rounds).T)
    leading = np.linalg.eigh(covariance)[1][:, -1]
    assert abs(memory["direction"] @ leading) > 0.95


def test_mimic_among_identical_updates_copies_one_of_them() -> None:
    honest = np.ones((3, 2), dtype=np.float32)
    assert _rounds(Mimic(), [honest] * 2)[1].tolist() == [1.0, 1.0]


# --- laws ---------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.sampled_from(DIRECTIONS), st.integers(2, 12))
def test_min_max_reaches_its_bound_and_no_more(
    seed: int, direction: Direction, n_honest: int
) -> None:
    view = _random(seed, n_honest=n_honest)
    sent = _sent(MinMax(direction=direction), view)
    farthest = cdist(sent[:1].astype(np.float64), view.benign).max()
    assert farthest == pytest.approx(pdist(view.benign).max(), rel=1e-5)
    assert (sent == sent[0]).all()


@given(st.integers(0, 10_000), st.sampled_from(DIRECTIONS), st.integers(2, 12))
def test_min_sum_reaches_its_bound_and_no_more(
    seed: int, direction: Direction, n_honest: int
) -> None:
    view = _random(seed, n_honest=n_honest)
    sent = _sent(MinSum(direction=direction), view)
    total = cdist(sent[:1].astype(np.float64), view.benign, "sqeuclidean").sum()
    most = cdist(view.benign, view.benign, "sqeuclidean").sum(axis=1).max()
    assert total == pytest.approx(most, rel=1e-5)


@given(st.integers(0, 10_000), st.sampled_from(DIRECTIONS))
def test_the_published_bisection_finds_the_same_gamma(seed: int, direction: Direction) -> None:
    """Shejwalkar and Houmansadr (2021), algorithm 1, on both criteria."""
    honest = _random(seed).benign
    against = perturbation(honest, direction)
    most_max = pdist(honest, "sqeuclidean").max()
    most_sum = cdist(honest, honest, "sqeuclidean").sum(axis=1).max()

    def bisected(is_allowed: object) -> float:
        gamma, step, best = 50.0, 25.0, 0.0
        while step > 1e-9:
            crafted = honest.mean(axis=0) + gamma * against
            distances = np.square(crafted - honest).sum(axis=1)
            if is_allowed(distances):  # type: ignore[operator]
                best, gamma = gamma, gamma + step
            else:
                gamma -= step
            step /= 2.0
        return best

    found = bisected(lambda d: d.max() <= most_max)
    assert min_max_factor(honest, against) == pytest.approx(found, abs=1e-6)
    found = bisected(lambda d: d.sum() <= most_sum)
    assert min_sum_factor(honest, against) == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize("attack", [MinMax(), MinSum(), ALIE(), IPM(), Mimic()])
def test_identical_honest_updates_leave_nothing_to_hide_in(attack: UpdateAttack) -> None:
    view = _view(np.full((4, 2), 3.0))
    expected = [-0.3, -0.3] if isinstance(attack, IPM) else [3.0, 3.0]
    np.testing.assert_allclose(_sent(attack, view)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_is_repeatable_and_changes_no_input(name: str) -> None:
    previous = np.ones(6, dtype=np.float32)
    base = _random(5)
    kept = base.honest.copy(), base.own.copy(), previous.copy()
    view = RoundView(
        honest=base.honest,
        own=base.own,
        vector=base.vector,
        previous=previous,
        round_number=3,
        aggregate=lambda rows: np.median(rows, axis=0).astype(np.float32),
    )
    once, again = (_sent(build_attack(name), view, seed=4) for _ in range(2))
    assert once.dtype == np.float32
    assert once.shape == base.own.shape
    np.testing.assert_array_equal(once, again)
    for before, after in zip(kept, (view.honest, view.own, previous), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", sorted(ATTACKS))
@pytest.mark.parametrize("n_honest", [0, 1])
def test_every_attack_works_with_hardly_anybody_honest(name: str, n_honest: int) -> None:
    view = _random(2, n_honest=n_honest)
    sent = _sent(build_attack(name), view)
    assert sent.shape == view.own.shape
    assert np.isfinite(sent).all() or name == "not_finite"


def test_who_is_not_omniscient_sees_only_the_liars_own_updates() -> None:
    view = _random(6)
    for attack in (IPM, ALIE, MinMax, MinSum, OptimisedALIE, OptimisedIPM):
        blind = _sent(attack(omniscient=False), view)
        other = _view(np.full((8, 6), 77.0), view.own, aggregate=lambda rows: rows.mean(axis=0))
        np.testing.assert_array_equal(blind, _sent(attack(omniscient=False), other))
        assert (blind != _sent(attack(), view)).any()


# --- optimised ----------------------------------------------------------------------------------


def _damage(view: RoundView, sent: NDArray[np.float32]) -> float:
    assert view.aggregate is not None
    aggregate = view.aggregate(np.concatenate([view.honest, sent]))
    return float(np.linalg.norm(aggregate - view.benign.mean(axis=0)))


def _against(rule: object, seed: int = 0) -> RoundView:
    base = _random(seed, n_honest=12, n_attackers=4)
    return _view(base.honest, base.own, aggregate=rule)


def _median(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.median(rows, axis=0).astype(np.float32)


def _nearest(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Krum with f = 4: the row with the least distances to its n - f - 2 nearest."""
    distances = np.sort(cdist(rows, rows, "sqeuclidean"), axis=1)[:, 1 : len(rows) - 5]
    chosen: NDArray[np.float32] = rows[distances.sum(axis=1).argmin()]
    return chosen


def test_against_the_mean_the_largest_factor_hurts_most() -> None:
    view = _against(lambda rows: rows.mean(axis=0))
    mean = view.benign.mean(axis=0)
    np.testing.assert_allclose(_sent(OptimisedIPM(largest=8.0), view)[0], -8.0 * mean, rtol=1e-5)


@pytest.mark.parametrize("rule", [_median, _nearest])
@pytest.mark.parametrize("seed", range(4))
def test_no_factor_of_a_fine_grid_hurts_much_more(rule: object, seed: int) -> None:
    view = _against(rule, seed)
    best = _damage(view, _sent(OptimisedALIE(), view))
    finer = [_damage(view, _sent(ALIE(z=float(z)), view)) for z in np.linspace(-30.0, 30.0, 1201)]
    assert best >= 0.9 * max(finer)
    best = _damage(view, _sent(OptimisedIPM(), view))
    finer = [_damage(view, _sent(IPM(epsilon=float(e)), view)) for e in np.linspace(0.01, 30, 600)]
    assert best >= 0.9 * max(finer)


@pytest.mark.parametrize("rule", [_median, _nearest])
def test_knowing_the_rule_never_hurts_less(rule: object) -> None:
    view = _against(rule)
    assert _damage(view, _sent(OptimisedALIE(), view)) >= _damage(view, _sent(ALIE(), view))
    assert _damage(view, _sent(OptimisedIPM(), view)) >= 0.999 * _damage(view, _sent(IPM(), view))


def test_without_knowledge_of_the_rule_they_are_the_published_ones() -> None:
    view = _random(3, n_honest=20, n_attackers=5)
    np.testing.assert_array_equal(_sent(OptimisedALIE(), view), _sent(ALIE(), view))
    np.testing.assert_array_equal(_sent(OptimisedIPM(), view), _sent(IPM(), view))


def test_a_rule_that_gives_no_numbers_is_no_reason_to_fail() -> None:
    view = _against(lambda rows: np.full(rows.shape[1], np.nan, dtype=np.float32))
    assert np.isfinite(_sent(OptimisedALIE(), view)).all()


# --- another library ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def byzfl() -> ModuleType:
    """ByzFL's attacks."""
    module = byzfl_module("attacks.attacks")
    if module is None:
        pytest.skip("ByzFL is not installed")
    return module


@given(seed=st.integers(0, 10_000))
def test_byzfl_agrees(byzfl: ModuleType, seed: int) -> None:
    """Its ALIE adds the deviation over n - 1; its sign flip takes the mean of all honest ones."""
    view = _random(seed)
    honest, n = view.honest.astype(np.float64), len(view.honest)
    np.testing.assert_allclose(
        _sent(IPM(epsilon=0.7), view)[0], byzfl.InnerProductManipulation(0.7)(honest), rtol=1e-4
    )
    z = 1.3 * np.sqrt((n - 1) / n)
    expected = byzfl.ALittleIsEnough(z)(honest)
    np.testing.assert_allclose(_sent(ALIE(z=-1.3), view)[0], expected, rtol=1e-4, atol=1e-6)
    same = _view(view.honest, view.benign.mean(axis=0)[None])
    np.testing.assert_allclose(
        _sent(SignFlip(), same)[0], byzfl.SignFlipping()(honest), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
def test_our_search_hurts_at_least_as_much_as_byzfls(byzfl: ModuleType, seed: int) -> None:
    """Against the median, within its first bracket of factors up to 30."""
    view = _against(_median, seed)
    theirs = byzfl.Optimal_ALittleIsEnough(
        agg=lambda rows: np.median(rows, axis=0), pre_agg_list=[], f=4
    )(view.honest.astype(np.float64))
    sent = view.repeated(theirs)
    assert _damage(view, _sent(OptimisedALIE(), view)) >= 0.95 * _damage(view, sent)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SignFlip(share=1.0), r"share must be in \[0, 1\), got 1.0"),
        (lambda: SignFlip(factor=0.0), "factor must be positive, got 0.0"),
        (lambda: Scaling(factor=-1.0), "factor must be positive, got -1.0"),
        (lambda: IPM(epsilon=0.0), "epsilon must be positive, got 0.0"),
        (lambda: OptimisedIPM(largest=0.0), "largest must be positive, got 0.0"),
        (lambda: OptimisedALIE(largest=-2.0), "largest must be positive, got -2.0"),
        (lambda: Gaussian(std_ratio=0.0), "std_ratio must be positive, got 0.0"),
        (lambda: MinMax(direction="up"), "one of unit, sign, std, got 'up'"),  # type: ignore[arg-type]
        (lambda: MinSum(direction="up"), "one of unit, sign, std, got 'up'"),  # type: ignore[arg-type]
        (lambda: Mimic(warmup_rounds=0), "warmup_rounds must be at least 1, got 0"),
        (lambda: FreeRider(noise=-1.0), "noise must not be negative, got -1.0"),
        (lambda: FreeRider(sends="x"), "sends must be 'zeros' or 'echo', got 'x'"),  # type: ignore[arg-type]
        (lambda: Copycat(jitter=-1.0), "jitter must not be negative, got -1.0"),
        (lambda: Sybils(factor=0.0), "factor must be positive and jitter not negative, got 0.0"),
        (lambda: NotFinite(value="x"), "value must be one of nan, inf, -inf, got 'x'"),  # type: ignore[arg-type]
        (lambda: NotFinite(entries=0.0), r"entries must be in \(0, 1\], got 0.0"),
        (lambda: OnOff(attack=SignFlip(), bad_rounds=0), "must be at least 1, got 2, 0"),
    ],
)
def test_options_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_views_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="must be of one length, got 3 and 2"):
        _view(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="must have shapes"):
        _view(np.zeros(2))


def test_an_attack_of_another_shape_is_named() -> None:
    class Short(UpdateAttack):
        def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
            return view.own[:1]

    with pytest.raises(ValueError, match=r"Short crafted updates of shape \(1, 2\) instead of"):
        _sent(Short())


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(KeyError, match="there is no attack 'flip'; choose from alie, "):
        build_attack("flip")
    with pytest.raises(ConfigurationError, match=r"attack\.factr is not an option of"):
        build_attack("sign_flip", factr=1.0)
    assert build_attack("sign_flip", factor=3.0, share=0.4) == SignFlip(factor=3.0, share=0.4)
