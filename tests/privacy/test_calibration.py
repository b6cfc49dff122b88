import pytest

from fedtrade.errors import AccountingError
from fedtrade.privacy import Concentrated, Gaussian, Laplace, least_noise, noise_multiplier, spent
from fedtrade.privacy.checks import check_delta


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("n_steps", [1, 50])
def test_noise_without_sampling_is_exact(epsilon: float, n_steps: int) -> None:
    noise = noise_multiplier(epsilon, 1e-5, n_steps)
    found = spent([Gaussian(noise, count=n_steps)], 1e-5)
    assert 0.999999 * epsilon <= found <= epsilon


def test_noise_of_one_step_is_the_published_one() -> None:
    """Balle and Wang 2018: a standard deviation of 3.7306 at epsilon 1 and delta 1e-5."""
    assert noise_multiplier(1.0, 1e-5, 1) == pytest.approx(3.7306, abs=1e-4)


@pytest.mark.parametrize("accountant", ["pld", "prv", "rdp"])
def test_noise_with_sampling_reaches_the_target_within_a_percent(accountant: str) -> None:
    noise = noise_multiplier(2.0, 1e-5, 200, 0.02, accountant)
    found = spent([Gaussian(noise, 0.02, 200)], 1e-5, accountant)
    assert 0.99 * 2.0 <= found <= 2.0


def test_a_tighter_accountant_needs_less_noise() -> None:
    noise = [noise_multiplier(4.0, 1e-5, 30, accountant=name) for name in ("pld", "rdp", "sum")]
    assert noise == sorted(noise)


def test_noise_is_calibrated_for_any_event() -> None:
    scale = least_noise(lambda noise: Laplace(noise, 10), 1.0, 1e-5, "sum")
    assert scale == pytest.approx(10.0, rel=3e-3)
    sigma = least_noise(lambda noise: Concentrated(0.5 / noise**2, 10), 1.0, 1e-5)
    assert noise_multiplier(1.0, 1e-5, 10) < sigma < 1.1 * noise_multiplier(1.0, 1e-5, 10)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_an_epsilon_that_is_no_promise_is_refused(epsilon: float) -> None:
    with pytest.raises(AccountingError, match=f"epsilon={epsilon}"):
        noise_multiplier(epsilon, 1e-5, 1)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, float("nan")])
def test_a_delta_out_of_range_is_refused(delta: float) -> None:
    with pytest.raises(AccountingError, match="delta="):
        noise_multiplier(1.0, delta, 1)


def test_steps_and_sampling_are_checked() -> None:
    with pytest.raises(AccountingError, match="count=0"):
        noise_multiplier(1.0, 1e-5, 0)
    with pytest.raises(AccountingError, match="sampling_probability=0"):
        noise_multiplier(1.0, 1e-5, 1, 0.0)


def test_a_target_below_what_an_accountant_can_show_is_refused() -> None:
    with pytest.raises(AccountingError, match="no noise reaches that epsilon"):
        noise_multiplier(0.001, 1e-5, 1, accountant="prv")


def test_a_delta_that_lets_a_unit_be_published_is_refused() -> None:
    check_delta(1e-3, n_units=999)
    with pytest.raises(AccountingError, match="less than one over the 1000 units"):
        check_delta(1e-3, n_units=1_000)


def test_noise_grows_with_the_root_of_the_steps() -> None:
    assert noise_multiplier(3.0, 1e-6, 100) == pytest.approx(
        10.0 * noise_multiplier(3.0, 1e-6, 1), rel=1e-9
    )
