"""What random groups promise, whose sums are opened one by one so that a rule can choose.

A liar spoils one group at most. So a rule over the means of G = floor(n / m) groups must bear
ceil(e n) bad rows, if e is the share of liars among n members and m the size of a group. A rule
that needs a majority, G >= 2 ceil(e n) + 1, bears m < 1 / (2e) at most.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from fedtrade.errors import ConfigurationError, ThresholdError
from fedtrade.secure.hypergeometric import tails
from fedtrade.secure.parameters import Adversary, GraphParameters, is_malicious
from fedtrade.secure.proportion import at_least, at_most, check_proportion, exactly

__all__ = [
    "GroupParameters",
    "Grouping",
    "check_grouping",
    "group_parameters",
    "largest_majority_group",
]


@dataclass(frozen=True)
class Grouping:
    """Groups as a rule over their means sees them.

    Attributes
    ----------
    n_members, group_size : int
        n and m; groups have m members, or more where m does not divide n.
    n_groups : int
        floor(n / m), the rows of the rule.
    n_liars : int
        ceil(e n), so many rows may be bad.
    """

    n_members: int
    group_size: int
    n_groups: int
    n_liars: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Members of each group, the larger ones first."""
        small, larger = divmod(self.n_members, self.n_groups)
        return (small + 1,) * larger + (small,) * (self.n_groups - larger)


@dataclass(frozen=True)
class GroupParameters(GraphParameters):
    """The complete graph of one group.

    Attributes
    ----------
    exposure : float
        Probability that a given member is drawn into a group of which more than `most_colluders`
        others collude with the server, which may then open its vector.
    """

    exposure: float


def largest_majority_group(liar_share: float) -> int | None:
    """The largest m < 1 / (2e), or None if there are no liars: 49, 24, 9, 4 for 1, 2, 5, 10 %.

    Raises
    ------
    ConfigurationError
        If the share is not in [0, 1).
    """
    check_proportion("liar_share", liar_share)
    if liar_share == 0.0:
        return None
    return math.ceil(1 / (2 * exactly(liar_share))) - 1


def check_grouping(
    n_members: int,
    group_size: int,
    *,
    liar_share: float,
    least_rows: Callable[[int], int],
    min_contributors: int,
) -> Grouping:
    """The groups of a configuration whose rule bears its liars.

    Parameters
    ----------
    liar_share : float
        e, of the members that may send anything; in [0, 1).
    least_rows : callable
        From a number of bad rows to the fewest rows that the rule needs with them.
    min_contributors : int
        No sum of fewer is opened.

    Raises
    ------
    ConfigurationError
        If groups are too small to be opened, too large for the members, or too few for the rule;
        the message has the numbers.
    """
    check_proportion("liar_share", liar_share)
    if group_size < min_contributors:
        raise ConfigurationError(
            f"group_size={group_size} must be at least min_contributors={min_contributors}: each "
            "group's sum is opened."
        )
    if not 1 <= group_size <= n_members:
        raise ConfigurationError(
            f"group_size={group_size} must be 1 to the number of members, {n_members}."
        )
    found = Grouping(
        n_members, group_size, n_members // group_size, at_least(liar_share, n_members)
    )
    needed = least_rows(found.n_liars)
    if found.n_groups < needed:
        raise ConfigurationError(_too_few(found, liar_share, needed, min_contributors))
    return found


def _too_few(found: Grouping, liar_share: float, needed: int, min_contributors: int) -> str:
    fits = found.n_members // needed if needed > 0 else found.n_members
    majority = largest_majority_group(liar_share)
    if fits >= min_contributors:
        remedy = f"Groups of {fits} at most fit."
    else:
        remedy = (
            f"Groups of {fits} at most would fit, but min_contributors={min_contributors} needs "
            "larger ones: have fewer liars, another rule or fewer min_contributors."
        )
    bound = (
        ""
        if majority is None
        else f" Whatever n, a rule that needs a majority bears m < 1 / (2e), so {majority} at most."
    )
    return (
        f"group_size={found.group_size} makes floor({found.n_members} / {found.group_size}) = "
        f"{found.n_groups} groups, of which ceil({liar_share} * {found.n_members}) = "
        f"{found.n_liars} may be bad: the rule needs {needed} rows then. {remedy}{bound}"
    )


def group_parameters(
    n_members: int,
    size: int,
    *,
    colluding_share: float,
    dropout_share: float,
    adversary: Adversary,
) -> GroupParameters:
    """Thresholds of a group in which everybody is everybody's neighbour, k = size - 1.

    The threshold is as large as the dropouts allow, t = k - ceil(dropout_share k), but never below
    floor(k / 2) + 1: in groups so small fewer dropouts are borne, see `most_dropouts`. A member's
    vector stays hidden while at most c = t - 1 of the others collude, and against a malicious
    server c = min(t - 1, 2t - k - 1). How probable more are is its `exposure`:
    P[H(n - 1, floor(colluding_share n), k) > c], H hypergeometric.

    Parameters
    ----------
    n_members : int
        From whom the groups are drawn.
    size : int
        Members of this group.

    Raises
    ------
    ConfigurationError
        If a share is not in [0, 1), or the adversary is unknown.
    ThresholdError
        If the group has fewer than two members, or more than there are.
    """
    check_proportion("colluding_share", colluding_share)
    check_proportion("dropout_share", dropout_share)
    malicious = is_malicious(adversary)
    if not 2 <= size <= n_members:
        raise ThresholdError(
            f"a group must have 2 to n_members={n_members} members, got size={size}."
        )
    k = size - 1
    t = max(k - at_least(dropout_share, k), k // 2 + 1)
    c = min(t - 1, 2 * t - k - 1) if malicious else t - 1
    colluders = min(at_most(colluding_share, n_members), n_members - 1)
    return GroupParameters(
        n_members=size,
        degree=k,
        threshold=t,
        most_colluders=c,
        committee=size if malicious else 0,
        quorum=(size + c) // 2 + 1 if malicious else 0,
        exposure=float(min(1.0, tails(n_members - 1, colluders, k)[c])),
    )
