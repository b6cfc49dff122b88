"""The recursion of first order, beside a loop."""

import numpy as np
import pytest

from fedtrade.baselines.recursion import first_order


@pytest.mark.parametrize("shape", [(1,), (57,), (57, 1), (57, 4), (1, 3)])
@pytest.mark.parametrize("decay", [0.0, 0.94, 1.0, -0.5])
def test_the_recursion_is_that_of_a_loop(shape: tuple[int, ...], decay: float) -> None:
    rng = np.random.default_rng(len(shape))
    inputs, start = rng.exponential(size=shape), rng.exponential(size=shape[1:])
    kept = inputs.copy()
    expected, last = [], start
    for row in inputs:
        last = decay * last + row
        expected.append(last)
    solved = first_order(inputs, decay, start)
    assert solved.shape == shape
    assert solved == pytest.approx(np.stack(expected), rel=1e-12)
    assert np.array_equal(inputs, kept)


def test_no_bars_give_none() -> None:
    assert first_order(np.empty((0, 3)), 0.9, np.ones(3)).shape == (0, 3)


def test_what_follows_a_missing_value_in_its_column_is_missing() -> None:
    inputs = np.ones((10, 2))
    inputs[4, 1] = np.nan
    solved = first_order(inputs, 0.5, 1.0)
    assert np.isfinite(solved[:, 0]).all()
    assert np.isfinite(solved[:4, 1]).all()
    assert np.isnan(solved[4:, 1]).all()
