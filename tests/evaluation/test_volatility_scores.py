import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.evaluation.volatility_scores import log_squared_error, qlike

variances = st.floats(1e-8, 1e2)


def test_hand_computed() -> None:
    """Twice the forecast: 2 - log 2 - 1; a factor e in volatility is one squared log."""
    assert qlike(2.0, 1.0) == pytest.approx(1.0 - np.log(2.0))
    assert log_squared_error(np.e, 1.0) == pytest.approx(1.0)
    np.testing.assert_array_equal(qlike([4.0, 9.0], [4.0, 9.0]), [0.0, 0.0])


@settings(deadline=None)
@given(variances, variances, st.floats(0.01, 100.0))
def test_positive_and_free_of_units(realised: float, forecast: float, unit: float) -> None:
    for score in (qlike, log_squared_error):
        assert score(realised, forecast) >= -1e-12
        assert score(unit * realised, unit * forecast) == pytest.approx(
            score(realised, forecast), rel=1e-6, abs=1e-9
        )


@settings(deadline=None)
@given(variances, variances)
def test_log_score_of_variances_is_four_times_that_of_volatilities(a: float, b: float) -> None:
    assert log_squared_error(a, b) == pytest.approx(
        4.0 * log_squared_error(np.sqrt(a), np.sqrt(b)), abs=1e-9
    )


def test_qlike_of_a_noisy_proxy_is_least_at_the_true_variance() -> None:
    """Squared normal returns are an unbiased proxy of a variance of 2."""
    proxy = 2.0 * np.random.default_rng(0).chisquare(1, 200_000)
    scores = [qlike(proxy, forecast).mean() for forecast in (1.6, 2.0, 2.5)]
    assert np.argmin(scores) == 1


def test_bars_without_movement_have_no_score() -> None:
    for score in (qlike, log_squared_error):
        assert np.isnan(score([0.0, np.nan, 1.0, 1.0], [1.0, 1.0, 0.0, np.nan])).all()
