"""Random groups of participants, as a rule over their means sees them."""

import math

from fedtrade.secure.groups import check_grouping
from fedtrade.secure.proportion import at_least
from strategies.round_rule import RoundRule

__all__ = ["check_groups", "n_liars_rounded_up"]


def n_liars_rounded_up(share: float, n_asked: int) -> int:
    """Liars among the participants asked: a group hides them, so none may be overlooked."""
    return math.ceil(share * n_asked - 1e-9)  # 0.07 * 100 is 7.000...1


def check_groups(
    rule: RoundRule, n_asked: int, n_liars: int, group_size: int, min_contributors: int = 1
) -> None:
    """Refuse groups of which the liars can spoil more than the rule withstands.

    Raises
    ------
    ConfigurationError
        As `fedtrade.secure.groups.check_grouping`.
    ValueError
        As the rule.
    """
    check_grouping(
        n_asked,
        group_size,
        liar_share=_share(n_liars, n_asked),
        least_rows=rule.least_clients,
        min_contributors=min_contributors,
    )
    n_groups = n_asked // group_size
    rule.check(n_groups, min(n_liars, n_groups))


def _share(n_liars: int, n_asked: int) -> float:
    """The share that stands for so many: a short number if there is one, never one too large."""
    share = round(n_liars / n_asked, 4)
    if at_least(share, n_asked) == n_liars:
        return share
    return math.floor(1e12 * n_liars / n_asked) / 1e12
