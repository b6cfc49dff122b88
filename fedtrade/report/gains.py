"""How a gain is shown: as per cent of the other arm's score, or as a difference in its unit."""

from fedtrade.report.known_metrics import MISSING, describe, number_text
from fedtrade.report.results import Headline

__all__ = ["comparison_glossary", "gain_scale", "gain_text", "gain_unit", "interval_text"]


def gain_scale(headline: Headline) -> float:
    """Shown gain = stored gain times this."""
    return 100.0 if headline.relative else headline.scale


def gain_unit(headline: Headline) -> str:
    """Unit of a shown gain; empty where the score has none."""
    return "%" if headline.relative else headline.unit


def gain_text(headline: Headline, gain: float | None, *, has_unit: bool = True) -> str:
    """A gain with its sign and unit, such as `+3.1 %` or `-0.39 bp/day`."""
    if gain is None:
        return MISSING
    return _with_unit(headline, _number(headline, gain), has_unit)


def interval_text(
    headline: Headline, low: float | None, high: float | None, *, has_unit: bool = True
) -> str:
    """Both ends of a gain's interval, such as `-0.3 to +3.0 %`."""
    if low is None or high is None:
        return MISSING
    ends = f"{_number(headline, low)} to {_number(headline, high)}"
    return _with_unit(headline, ends, has_unit)


def comparison_glossary(
    headline: Headline, n_origins: int, *, is_summed: bool = False
) -> tuple[tuple[str, str], ...]:
    """What the columns of a comparison over so many origins mean, by title."""
    gain = (
        "Relative improvement of the federated model over the other arm in the headline score"
        if headline.relative
        else "Headline score of the federated model less that of the other arm, with the sign "
        "turned where smaller scores are better"
    )
    participants = (
        (
            "Better off",
            "Share of participants whose own score is better under federated training.",
        ),
        ("Worst", "Gain of the participant that fares worst; negative means it is worse off."),
    )
    cases = (
        (
            "Cases better",
            "A case is one participant in one test period: the share in which its own score is "
            "better under federated training.",
        ),
    )
    return (
        ("Gain", f"{gain}, on the same days and assets. Positive means that federated is better."),
        (
            "95 % interval",
            "Block-bootstrap interval of the gain. An interval that contains 0 is no evidence "
            "either way.",
        ),
        ("t", _t_text(n_origins)),
        *(cases if is_summed else participants),
    )


def _t_text(n_origins: int) -> str:
    """What t is, and beyond which value it is unlikely to be chance with so few origins."""
    what = "The mean paired difference over its standard error, both over the origins"
    if n_origins < 2:
        return f"{what}; it needs at least 2 of them, and this run has {n_origins}."
    from scipy.special import stdtrit

    dof = n_origins - 1
    degrees = "degree" if dof == 1 else "degrees"
    return (
        f"{what}, here {n_origins}. The 5 % bound is the quantile of Student's t with {dof} "
        f"{degrees} of freedom: only beyond {stdtrit(dof, 0.975):.2f} in absolute value is it "
        "unlikely to be chance (beyond 2 with many origins)."
    )


def _number(headline: Headline, gain: float) -> str:
    digits = 1 if headline.relative else describe(headline.metric, headline).digits
    return number_text(gain * gain_scale(headline), digits, is_signed=True)


def _with_unit(headline: Headline, text: str, has_unit: bool) -> str:
    return f"{text} {gain_unit(headline)}".rstrip() if has_unit else text
