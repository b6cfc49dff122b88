import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.tasks.shrinkage import shrinkage_for


@pytest.mark.parametrize(("n_bars", "expected"), [(250, 2.0), (125, 16.0), (500, 0.25), (50, 250)])
def test_by_hand(n_bars: int, expected: float) -> None:
    """Half the bars, eight times the pull."""
    assert shrinkage_for(n_bars, 2.0) == pytest.approx(expected)


@given(n_bars=st.integers(1, 5000), strength=st.floats(0.0, 100.0))
def test_more_history_is_pulled_less(n_bars: int, strength: float) -> None:
    assert 0.0 <= shrinkage_for(n_bars + 1, strength) <= shrinkage_for(n_bars, strength)


def test_no_bars_are_refused() -> None:
    with pytest.raises(ValueError, match="n_bars must be at least 1, got 0"):
        shrinkage_for(0, 1.0)
