import numpy as np
import pytest

from fedtrade.gain import headline_gain
from fedtrade.tasks.task import Headline

OURS, THEIRS = np.array([1.0, np.nan, 3.0]), np.array([2.0, 5.0, 6.0])


@pytest.mark.parametrize(
    ("lower_is_better", "relative", "expected"),
    [(True, True, 0.5), (True, False, 2.0), (False, False, -2.0)],
)
def test_a_gain_is_over_the_bars_that_both_have(
    lower_is_better: bool, relative: bool, expected: float
) -> None:
    headline = Headline("score", lower_is_better=lower_is_better, relative=relative)
    assert headline_gain(headline, OURS, THEIRS) == pytest.approx(expected)


@pytest.mark.parametrize("relative", [True, False])
def test_without_a_common_bar_there_is_none(relative: bool) -> None:
    nowhere = np.full(3, np.nan)
    assert np.isnan(headline_gain(Headline("score", relative=relative), OURS, nowhere))
