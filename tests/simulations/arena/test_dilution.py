import numpy as np
import pytest

from simulations.arena.dilution import conspicuousness


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("deviation", [0.0, 1.0, 5.0, 20.0])
def test_a_group_of_m_leaves_the_root_of_an_mth(size: int, deviation: float) -> None:
    """Of independent updates, so many that drawing without replacement hardly matters."""
    rng = np.random.default_rng(0)
    n, n_params = 200, 50
    updates = rng.normal(size=(n, n_params)) / np.sqrt(n_params)  # a spread of 1
    updates[7] = 0.0
    updates[7, 0] = deviation
    found = conspicuousness(updates, 7, size, 1 if size == 1 else 150, rng)
    expected = np.sqrt((deviation**2 + size - 1) / size)
    assert found == pytest.approx(expected, rel=0.1, abs=0.1)


def test_an_honest_row_has_a_conspicuousness_of_one() -> None:
    updates = np.random.default_rng(1).normal(size=(200, 500))
    for size in (1, 3):
        found = conspicuousness(updates, 3, size, 100, np.random.default_rng(0))
        assert found == pytest.approx(1.0, abs=0.1)
