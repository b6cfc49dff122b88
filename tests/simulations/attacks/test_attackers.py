"""Who lies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.attacks import choose_attackers


@given(st.integers(1, 200), st.floats(0.0, 0.99), st.integers(0, 50))
def test_a_share_is_rounded_down_to_whole_participants(n: int, share: float, seed: int) -> None:
    chosen = choose_attackers(n, share, seed)
    assert len(chosen) == int(share * n + 1e-9)
    assert list(chosen) == sorted(set(chosen))
    assert set(chosen) <= set(range(n))


def test_rounding_errors_cost_nobody() -> None:
    """0.29 * 100 is 28.999999999999996 in floating point."""
    assert len(choose_attackers(100, 0.29)) == 29


def test_a_larger_share_adds_liars() -> None:
    few, many = (set(choose_attackers(20, share, 3)) for share in (0.1, 0.4))
    assert len(few) == 2
    assert few < many


def test_the_seed_decides() -> None:
    assert choose_attackers(50, 0.2, 1) == choose_attackers(50, 0.2, 1)
    assert choose_attackers(50, 0.2, 1) != choose_attackers(50, 0.2, 2)


def test_a_number_stands_instead_of_a_share() -> None:
    assert len(choose_attackers(7, n=7)) == 7
    assert choose_attackers(7, n=0) == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_participants": 0}, "n_participants must be at least 1, got 0"),
        ({"n_participants": 3, "share": 1.0}, r"share must be in \[0, 1\), got 1.0"),
        ({"n_participants": 3, "share": float("nan")}, r"share must be in \[0, 1\), got nan"),
        ({"n_participants": 3, "n": 4}, "n must be from 0 to n_participants=3, got 4"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_attackers(**arguments)  # type: ignore[arg-type]
