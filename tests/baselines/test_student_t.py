import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from fedtrade.baselines.student_t import student_t_quantile, student_t_shortfall


def test_quantile_is_the_textbook_value() -> None:
    """t(4) at 5 % is -2.1318 (any table); unit variance divides by sqrt 2."""
    assert student_t_quantile(0.05, 4.0) == pytest.approx(-2.131847 / np.sqrt(2.0), abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.001, 0.4), st.floats(2.1, 200.0))
def test_agrees_with_numerical_integration(level: float, dof: float) -> None:
    """The shortfall is the mean of the quantile function over (0, level)."""
    q = student_t_quantile(level, dof)
    scale = np.sqrt((dof - 2.0) / dof)
    assert q == pytest.approx(stats.t.ppf(level, dof) * scale, rel=1e-8)
    integral, _ = integrate.quad(
        lambda x: x * stats.t.pdf(x / scale, dof) / scale, -np.inf, float(q), epsrel=1e-10
    )
    assert student_t_shortfall(level, dof) == pytest.approx(integral / level, rel=1e-5)


@given(st.floats(-12.0, -0.3011), st.floats(2.01, 3_000.0), st.booleans())
def test_quantiles_are_those_of_scipy_far_out_too(
    exponent: float, dof: float, is_upper: bool
) -> None:
    level = 10.0**exponent
    if is_upper and exponent > -3.0:  # 1 - level has lost digits beyond
        level = 1.0 - level
    ours = student_t_quantile(level, dof) / np.sqrt((dof - 2.0) / dof)
    assert ours == pytest.approx(special.stdtrit(dof, level), rel=1e-8, abs=1e-10)


def test_levels_of_any_shape_and_the_middle() -> None:
    levels = np.array([[0.01, 0.5, 0.99]])
    found = student_t_quantile(levels, 5.0)
    assert found.shape == (1, 3)
    assert found[0, 1] == 0.0
    assert found[0, 0] == pytest.approx(-found[0, 2])


def test_many_degrees_of_freedom_are_normal() -> None:
    level = np.array([0.01, 0.025, 0.05])
    normal = stats.norm.ppf(level)
    np.testing.assert_allclose(student_t_quantile(level, 1e7), normal, rtol=1e-5)
    np.testing.assert_allclose(
        student_t_shortfall(level, 1e7), -stats.norm.pdf(normal) / level, rtol=1e-5
    )


def test_refuses_infinite_variance_and_bad_level() -> None:
    with pytest.raises(ValueError, match="dof must exceed 2"):
        student_t_quantile(0.01, 2.0)
    with pytest.raises(ValueError, match="level must be in"):
        student_t_shortfall(0.0, 6.0)
