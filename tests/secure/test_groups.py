"""What groups promise, against counting every way in which they can be drawn."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedtrade.errors import ConfigurationError, ThresholdError
from fedtrade.secure.groups import (
    Grouping,
    check_grouping,
    group_parameters,
    largest_majority_group,
)
from fedtrade.secure.masked.graph import cohorts, permutation


def _majority(n_bad: int) -> int:
    return 2 * n_bad + 1


def _krum(n_bad: int) -> int:
    return 2 * n_bad + 3


@pytest.mark.parametrize(
    ("share", "largest"), [(0.01, 49), (0.02, 24), (0.05, 9), (0.1, 4), (0.2, 2), (0.0, None)]
)
def test_the_largest_group_for_a_majority(share: float, largest: int | None) -> None:
    """The numbers of the published bound m < 1 / (2e)."""
    assert largest_majority_group(share) == largest


@given(st.integers(1, 4999))
def test_no_larger_group_is_within_the_bound(parts: int) -> None:
    """m < 10000 / (2 parts) just if 2 m parts < 10000."""
    largest = largest_majority_group(parts / 10_000)
    assert largest is not None
    assert 2 * largest * parts < 10_000 <= 2 * (largest + 1) * parts


def test_by_hand() -> None:
    """A hundred members, 5 % liars: five bad rows need eleven groups, so nine members at most."""
    found = check_grouping(100, 9, liar_share=0.05, least_rows=_majority, min_contributors=3)
    assert found == Grouping(100, 9, n_groups=11, n_liars=5)
    assert found.sizes == (10,) + (9,) * 10
    message = (
        r"floor\(100 / 10\) = 10 groups, of which ceil\(0\.05 \* 100\) = 5 may be bad: the rule "
        r"needs 11 rows then\. Groups of 9 at most fit\. .* m < 1 / \(2e\), so 9 at most\."
    )
    with pytest.raises(ConfigurationError, match=message):
        check_grouping(100, 10, liar_share=0.05, least_rows=_majority, min_contributors=3)


def test_groups_that_would_fit_are_too_small_to_be_opened() -> None:
    message = r"Groups of 2 at most would fit, but min_contributors=3 needs larger ones"
    with pytest.raises(ConfigurationError, match=message):
        check_grouping(100, 3, liar_share=0.2, least_rows=_majority, min_contributors=3)


@given(
    n=st.integers(1, 200),
    size=st.integers(1, 30),
    share=st.sampled_from([0.0, 0.01, 0.07, 0.2]),
    rule=st.sampled_from([_majority, _krum]),
    least=st.integers(1, 4),
)
def test_a_grouping_passes_just_if_it_keeps_every_bound(
    n: int, size: int, share: float, rule: Callable[[int], int], least: int
) -> None:
    n_liars = -(-round(share * 100) * n // 100)
    keeps = least <= size <= n and n // size >= rule(n_liars)
    settings: dict[str, Any] = {
        "liar_share": share,
        "least_rows": rule,
        "min_contributors": least,
    }
    if not keeps:
        with pytest.raises(ConfigurationError, match=f"group_size={size}"):
            check_grouping(n, size, **settings)
        return
    found = check_grouping(n, size, **settings)
    drawn = cohorts(permutation(bytes(32), range(n)), size)
    assert found.sizes == tuple(len(each) for each in drawn)
    assert found.n_liars == n_liars


@pytest.mark.parametrize(
    ("size", "adversary", "expected"),
    [
        # k, t, c, K, q at dropouts of 10 %
        (2, "semi_honest", (1, 1, 0, 0, 0)),
        (2, "malicious", (1, 1, 0, 2, 2)),
        (3, "semi_honest", (2, 2, 1, 0, 0)),
        (3, "malicious", (2, 2, 1, 3, 3)),
        (10, "semi_honest", (9, 8, 7, 0, 0)),
        (10, "malicious", (9, 8, 6, 10, 9)),
    ],
)
def test_thresholds_by_hand(size: int, adversary: Any, expected: tuple[int, ...]) -> None:
    found = group_parameters(100, size, colluding_share=0.2, dropout_share=0.1, adversary=adversary)
    assert (
        found.degree,
        found.threshold,
        found.most_colluders,
        found.committee,
        found.quorum,
    ) == expected
    assert found.is_complete


@given(
    size=st.integers(2, 40),
    dropout=st.sampled_from([0.0, 0.05, 0.2, 0.4, 0.9]),
    malicious=st.booleans(),
)
def test_thresholds_keep_their_rules(size: int, dropout: float, malicious: bool) -> None:
    found = group_parameters(
        100,
        size,
        colluding_share=0.2,
        dropout_share=dropout,
        adversary="malicious" if malicious else "semi_honest",
    )
    k, t, c = found.degree, found.threshold, found.most_colluders
    allowed = -(-round(dropout * 100) * k // 100)
    assert t > c
    assert t == k - allowed or (t > k - allowed and t == k // 2 + 1)
    if malicious:
        assert 2 * t > k + c
        assert 2 * t <= k + c + 1 or c == t - 1
        # Two sets of survivors share more signers than collude; the allowed dropouts leave enough.
        assert 2 * found.quorum - found.committee > c
        assert found.quorum <= found.committee - found.most_dropouts


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("adversary", ["semi_honest", "malicious"])
def test_exposure_counted(size: int, adversary: Any) -> None:
    """All ways to draw an honest member's group from 8, of whom 3 (0.4 * 8 = 3.2) collude."""
    found = group_parameters(8, size, colluding_share=0.4, dropout_share=0.2, adversary=adversary)
    ways = [len({0, 1, 2} & set(others)) for others in combinations(range(7), size - 1)]
    expected = sum(n > found.most_colluders for n in ways) / len(ways)
    assert found.exposure == pytest.approx(expected, abs=1e-12)


def test_exposure_of_many() -> None:
    found = group_parameters(
        1000, 24, colluding_share=0.2, dropout_share=0.1, adversary="malicious"
    )
    expected = stats.hypergeom.sf(found.most_colluders, 999, 200, 23)
    assert found.exposure == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [1, 11])
def test_groups_that_cannot_be(size: int) -> None:
    with pytest.raises(ThresholdError, match=f"2 to n_members=10 members, got size={size}"):
        group_parameters(10, size, colluding_share=0.2, dropout_share=0.1, adversary="semi_honest")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"colluding_share": 1.0}, r"colluding_share must be in \[0, 1\), got 1\.0"),
        ({"dropout_share": float("nan")}, r"dropout_share must be in \[0, 1\), got nan"),
        ({"adversary": "friendly"}, "semi_honest, malicious, got 'friendly'"),
    ],
)
def test_settings_out_of_range(changed: dict[str, Any], message: str) -> None:
    settings = {"colluding_share": 0.2, "dropout_share": 0.1, "adversary": "malicious"}
    with pytest.raises(ConfigurationError, match=message):
        group_parameters(10, 5, **settings | changed)
    with pytest.raises(ConfigurationError, match=r"liar_share must be in \[0, 1\), got -1"):
        check_grouping(9, 3, liar_share=-1.0, least_rows=_majority, min_contributors=3)
    with pytest.raises(ConfigurationError, match=r"liar_share must be in \[0, 1\), got 1"):
        largest_majority_group(1.0)
