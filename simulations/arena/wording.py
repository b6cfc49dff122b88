"""How metrics, shares and cases of the arena are written."""

from fedtrade.report.known_metrics import MISSING
from simulations.arena.standings import Case, Value

__all__ = [
    "EXPLANATIONS",
    "case_text",
    "interval_text",
    "metric_title",
    "number_text",
    "share_text",
    "value_text",
]

EXPLANATIONS = {
    "retention": "share of the clean improvement over EWMA-t6 that is left under attack; the "
    "clean one is that of plain averaging with everybody honest, on the same honest participants",
    "improvement": "share by which the 1 % VaR pinball loss of honest participants is below that "
    "of EWMA-t6, out of time; below zero the model is worse than no federation",
    "worst_origin_improvement": "the same at the origin at which it is least",
    "gain_vs_lost": "share by which the loss is below that of a federation from which the liars "
    "are simply absent",
    "backdoor_understatement": "share by which risk is understated under the trigger, against the "
    "model that nobody attacked",
    "accuracy": "share of the test set that is classified rightly after the last round",
    "worst_class_accuracy": "the same for the class that fares worst",
}
_SMALLEST = -9.99


def metric_title(metric: str) -> str:
    """A metric's name in plain words."""
    return metric.replace("_", " ").capitalize()


def number_text(value: float | None, decimals: int = 1) -> str:
    """A fraction in per cent, without its sign; far below zero without its size."""
    if value is None:
        return MISSING
    if value < _SMALLEST:
        return f"<{100 * _SMALLEST:.0f}"
    return f"{round(100 * value, decimals) + 0.0:.{decimals}f}"  # + 0.0 makes -0 plain


def value_text(value: Value | None) -> str:
    """The mean over seeds with its spread, in per cent."""
    if value is None or value.mean is None:
        return MISSING
    has_spread = value.spread is not None and value.mean >= _SMALLEST
    spread = f" ± {number_text(value.spread)}" if has_spread else ""
    return f"{number_text(value.mean)}{spread}"


def interval_text(low: float | None, high: float | None) -> str:
    """An interval, in per cent."""
    if low is None or high is None:
        return MISSING
    return f"{number_text(low)} to {number_text(high)}"


def share_text(share: float) -> str:
    """A share of liars."""
    return f"{100 * share:g} %"


def case_text(case: Case | None) -> str:
    """Which attack by how many."""
    return MISSING if case is None else f"{case.attack} at {share_text(case.share)}"
