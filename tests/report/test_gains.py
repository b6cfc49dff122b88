import re

import pytest

from fedtrade.report.gains import (
    comparison_glossary,
    gain_scale,
    gain_text,
    gain_unit,
    interval_text,
)
from fedtrade.report.results import Headline

RELATIVE = Headline(metric="pinball", level=0.01, unit="bp", scale=1e4)
DIFFERENCE = Headline(
    metric="net_return", level=5.0, unit="bp/day", scale=1e4, lower_is_better=False, relative=False
)


def test_a_relative_gain_is_per_cent() -> None:
    assert (gain_scale(RELATIVE), gain_unit(RELATIVE)) == (100.0, "%")
    assert gain_text(RELATIVE, 0.031) == "+3.1 %"
    assert interval_text(RELATIVE, -0.003, 0.03) == "-0.3 to +3.0 %"


def test_a_difference_has_the_unit_of_the_score() -> None:
    assert (gain_scale(DIFFERENCE), gain_unit(DIFFERENCE)) == (1e4, "bp/day")
    assert gain_text(DIFFERENCE, -0.000039) == "-0.39 bp/day"
    assert interval_text(DIFFERENCE, -0.0002, 0.0001) == "-2.00 to +1.00 bp/day"


def test_a_difference_has_the_digits_of_its_metric() -> None:
    headline = Headline(metric="fz0", level=0.01, relative=False)
    assert gain_text(headline, 0.0124) == "+0.012"
    assert interval_text(headline, 0.0, 0.0124) == "0.000 to +0.012"


def test_a_table_may_have_the_unit_in_its_head() -> None:
    assert gain_text(DIFFERENCE, -0.000039, has_unit=False) == "-0.39"
    assert interval_text(DIFFERENCE, -0.0002, 0.0001, has_unit=False) == "-2.00 to +1.00"


def test_what_is_missing_is_said_so() -> None:
    assert gain_text(DIFFERENCE, None) == "n/a"
    assert interval_text(RELATIVE, None, 0.1) == "n/a"
    assert interval_text(RELATIVE, 0.1, None) == "n/a"


def test_the_glossary_says_what_a_gain_is() -> None:
    assert dict(comparison_glossary(RELATIVE, 8))["Gain"].startswith("Relative improvement")
    assert "less that of the other arm" in dict(comparison_glossary(DIFFERENCE, 8))["Gain"]


@pytest.mark.parametrize(
    ("n_origins", "said"),
    [
        (0, "needs at least 2 of them, and this run has 0."),
        (1, "needs at least 2 of them, and this run has 1."),
        (2, "here 2. .* with 1 degree of freedom: only beyond 12.71 "),
        (8, "here 8. .* with 7 degrees of freedom: only beyond 2.36 "),
        (61, "here 61. .* with 60 degrees of freedom: only beyond 2.00 "),
    ],
)
def test_the_glossary_bounds_t_by_the_number_of_origins(n_origins: int, said: str) -> None:
    """The bounds are the 97.5 % quantiles of published tables of Student's t."""
    assert re.search(said, dict(comparison_glossary(RELATIVE, n_origins))["t"])


def test_the_glossary_of_a_sum_says_what_a_case_is() -> None:
    terms = dict(comparison_glossary(RELATIVE, 8, is_summed=True))
    assert "one participant in one test period" in terms["Cases better"]
    assert {"Better off", "Worst"}.isdisjoint(terms)
