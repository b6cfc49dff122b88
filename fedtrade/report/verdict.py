"""What a run found, in one line that claims no more than the numbers do."""

from fedtrade.report.arms import describe_arm, hardest_baseline
from fedtrade.report.comparisons import Comparison, compare, participant_gains
from fedtrade.report.results import Results
from fedtrade.settings import Settings
from fedtrade.tasks.task import Headline, Task

__all__ = ["headline_title", "verdict"]

OWN_MODEL = "local_tuned"


def verdict(results: Results, settings: Settings, task: Task) -> tuple[str, tuple[str, ...]]:
    """The verdict and the notes that a reader must not miss.

    The verdict names how many participants are better off than with their own tuned model, and
    the gain over it and over the hardest arm that needs no federation. Where an interval holds
    zero it says that nothing was shown.
    """
    hardest = hardest_baseline(results)
    against = [arm for arm in dict.fromkeys((OWN_MODEL, hardest)) if arm in results.arms]
    found = [compare(results, arm) for arm in against if arm is not None]
    if not found:
        return "Nothing to compare: no federated model was scored.", ()
    who = "newcomers" if settings.federation.setting == "cold_start" else "participants"
    gains = participant_gains(results, found[0].against)
    n_better = sum(gain > 0.0 for gain in gains.values())
    parts = [_gain_text(comparison, task.headline) for comparison in found]
    sentence = (
        f"{n_better} of {len(gains)} {who} are better off: {headline_title(task.headline)} "
        f"{', '.join(parts)}."
    )
    return sentence, tuple(_note(comparison) for comparison in found if not comparison.is_decided)


def headline_title(headline: Headline) -> str:
    """The headline score as it is called in a sentence."""
    if headline.metric == "pinball" and headline.level is not None:
        return f"{100 * headline.level:g} % VaR pinball"
    return headline.metric.replace("_", " ")


def _gain_text(comparison: Comparison, headline: Headline) -> str:
    """The score's change: a falling loss is negative, as is a falling profit."""
    if comparison.gain is None:
        return f"not comparable with {_against(comparison)}"
    sign = -1.0 if headline.lower_is_better else 1.0
    change = sign * comparison.gain
    if headline.relative:
        amount = f"{100 * change:+.1f}%"
    else:
        amount = f"{headline.scale * change:+.2f} {headline.unit}"
    t = "" if comparison.t is None else f" (t = {comparison.t:.1f})"
    return f"{amount} against {_against(comparison)}{t}"


def _against(comparison: Comparison) -> str:
    if comparison.against == OWN_MODEL:
        return "their own tuned model"
    return describe_arm(comparison.against).title


def _note(comparison: Comparison) -> str:
    return (
        f"Against {_against(comparison)} the 95 % interval of the gain holds zero: this run does "
        "not show a difference."
    )
