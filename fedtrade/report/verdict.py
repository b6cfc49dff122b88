"""What a run found, in one line that claims no more than the numbers do."""

from collections.abc import Sequence

from fedtrade.report.arms import describe_arm, hardest_baseline
from fedtrade.report.comparisons import Comparison, compare, comparisons, participant_gains
from fedtrade.report.gains import gain_text, interval_text
from fedtrade.report.known_metrics import Column, describe, headline_title
from fedtrade.report.results import FEDERATED, Results, metric
from fedtrade.settings import Settings

__all__ = ["verdict"]

OWN_MODEL = "local_tuned"


def verdict(results: Results, settings: Settings) -> tuple[str, tuple[str, ...]]:
    """The verdict and the notes that a reader must not miss.

    The verdict says how many participants are better or worse off than with their own tuned
    model, and the change against it and against the hardest arm that needs no federation. A
    change whose interval holds zero is called what it is, within chance.
    """
    against = dict.fromkeys(
        arm for arm in (OWN_MODEL, hardest_baseline(results)) if arm in results.arms
    )
    found = [compare(results, arm) for arm in against if arm is not None]
    found = [comparison for comparison in found if comparison.gain is not None]
    if not found:
        return "Nothing to compare: no federated model was scored beside another.", ()
    is_cold_start = settings.federation.setting == "cold_start"
    gains = tuple(participant_gains(results, found[0].against).values())
    changes = ", ".join(_change(comparison, len(gains)) for comparison in found)
    title = headline_title(results.headline)
    title += "," if "," in title else ""
    sentence = (
        f"{_headcount(gains, 'newcomer' if is_cold_start else 'participant')}: {title} {changes}."
    )
    return sentence, tuple(_notes(results, found, len(gains)))


def _headcount(gains: Sequence[float], who: str) -> str:
    """How many are better off and how many worse, such as `7 of 10 newcomers are better off`."""
    n, n_better, n_worse = len(gains), sum(g > 0.0 for g in gains), sum(g < 0.0 for g in gains)
    of_all = f"of {n} {who}{'' if n == 1 else 's'}"
    if n_better:
        rest = f", {n_worse} worse off" if n_worse else ""
        return f"{n_better} {of_all} {_are(n_better)} better off{rest}"
    if n_worse:
        rest = ", none better off" if n_worse < n else ""
        return f"{n_worse} {of_all} {_are(n_worse)} worse off{rest}"
    return f"0 {of_all} are better or worse off"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _change(comparison: Comparison, n_participants: int) -> str:
    """The score's change, a falling loss being negative, and whether that is worse or chance."""
    assert comparison.gain is not None
    headline = comparison.headline
    amount = gain_text(headline, -comparison.gain if headline.lower_is_better else comparison.gain)
    remarks = []
    if not comparison.is_decided:
        remarks.append("within chance")
    elif comparison.gain < 0.0:
        remarks.append("worse")
    if comparison.t is not None:
        remarks.append(f"t = {comparison.t:.1f}")
    remark = f" ({', '.join(remarks)})" if remarks else ""
    return f"{amount} against {_against(comparison, n_participants)}{remark}"


def _against(comparison: Comparison, n_participants: int) -> str:
    if comparison.against == OWN_MODEL:
        return f"{'its' if n_participants == 1 else 'their'} own tuned model"
    return describe_arm(comparison.against).title


def _notes(results: Results, found: Sequence[Comparison], n_participants: int) -> list[str]:
    notes = []
    undecided = [_against(c, n_participants) for c in found if not c.is_decided]
    if undecided:
        notes.append(
            f"Against {' and '.join(undecided)} the 95 % interval of the gain holds zero: this "
            "run does not show a difference."
        )
    notes += [_other_federated(results, c) for c in comparisons(results) if _is_overtaken(c)]
    if results.failures:
        first = results.failures[0]
        n = len(results.failures)
        notes.append(
            f"{n} {'reply was' if n == 1 else 'replies were'} missing or refused, the first from "
            f"participant {first.participant} in round {first.round} of episode {first.episode}: "
            f"{first.reason.rstrip('.')}."
        )
    return notes


def _is_overtaken(comparison: Comparison) -> bool:
    """Whether this is another arm trained together, and better than the federated one."""
    is_federated = describe_arm(comparison.against).role == "federated"
    return is_federated and comparison.gain is not None and comparison.gain < 0.0


def _other_federated(results: Results, comparison: Comparison) -> str:
    headline = results.headline
    column = Column(describe(headline.metric, headline), headline.level)
    theirs, ours = (
        column.text(metric(results, arm, headline.metric, headline.level))
        for arm in (comparison.against, FEDERATED)
    )
    scores = f"{theirs} against {ours} {column.metric.unit}".rstrip()
    gain = gain_text(headline, comparison.gain)
    interval = interval_text(headline, comparison.low, comparison.high)
    chance = "" if comparison.is_decided else ", within chance"
    return (
        f"{describe_arm(comparison.against).title} does better than the federated network in "
        f"{headline_title(headline)}: {scores} (gain of the network {gain}, 95 % interval "
        f"{interval}{chance})."
    )
