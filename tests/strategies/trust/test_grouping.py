import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import ConfigurationError
from fedtrade.secure.groups import check_grouping
from strategies.round_rule import round_rule
from strategies.trust.grouping import check_groups, n_liars_rounded_up


@pytest.mark.parametrize(
    ("share", "n", "expected"),
    [(0.0, 9, 0), (0.1, 10, 1), (0.1, 11, 2), (0.07, 100, 7), (0.29, 100, 29), (0.2, 24, 5)],
)
def test_liars_are_rounded_up(share: float, n: int, expected: int) -> None:
    assert n_liars_rounded_up(share, n) == expected


@given(st.integers(3, 500), st.data())
def test_the_number_of_liars_is_the_one_that_is_checked(n: int, data: st.DataObject) -> None:
    """Whatever share stands for it in the message."""
    n_liars = data.draw(st.integers(0, (n - 1) // 2))
    found = []

    class Rule:
        name = "any"

        def least_clients(self, n_byzantine: int) -> int:
            found.append(n_byzantine)
            return 0

        def check(self, n_clients: int, n_byzantine: int) -> None:
            found.append(n_byzantine)

    check_groups(Rule(), n, n_liars, 3)  # type: ignore[arg-type]
    assert found == [n_liars, min(n_liars, n // 3)]


@pytest.mark.parametrize(("n", "size", "n_liars"), [(20, 4, 2), (60, 3, 9), (100, 4, 12)])
def test_the_largest_groups_are_those_of_the_library(n: int, size: int, n_liars: int) -> None:
    rule = round_rule("median")
    check_groups(rule, n, n_liars, size, 3)
    with pytest.raises(ConfigurationError, match=f"group_size={size + 1} makes"):
        check_groups(rule, n, n_liars, size + 1, 3)
    grouping = check_grouping(
        n, size, liar_share=n_liars / n, least_rows=rule.least_clients, min_contributors=3
    )
    assert grouping.n_groups == n // size
