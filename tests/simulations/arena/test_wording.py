import pytest

from simulations.arena.wording import number_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "50.0"),
        (-0.0001, "0.0"),
        (-0.012, "-1.2"),
        (-50.0, "<-999"),
        (None, "n/a"),
    ],
)
def test_fractions_are_written_in_per_cent(value: float | None, text: str) -> None:
    assert number_text(value) == text
