"""The largest fall from an earlier peak."""

import numpy as np
import pytest

from fedtrade.evaluation.drawdown import max_drawdown


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ([0.1, -0.2, 0.05, -0.1], 0.25),  # from 0.1 down to -0.15
        ([-0.1, 0.3], 0.1),  # the start is a peak
        ([0.1, 0.2], 0.0),
        ([0.1, np.nan, -0.2], 0.2),
    ],
)
def test_falls_from_the_highest_point_before(returns: list[float], expected: float) -> None:
    assert max_drawdown(returns) == pytest.approx(expected)


def test_no_return_has_no_drawdown() -> None:
    assert np.isnan(max_drawdown([np.nan]))
