"""What a run found, in one line that claims no more than the numbers do."""

from collections.abc import Sequence

from fedtrade.report.arms import describe_arm, hardest_baseline
from fedtrade.report.comparisons import (
    SUMMED_SCORES,
    Comparison,
    compare,
    comparisons,
    participant_gains,
)
from fedtrade.report.gains import gain_text, interval_text
from fedtrade.report.known_metrics import Column, describe, headline_title, percent_text
from fedtrade.report.results import Results, metric
from fedtrade.settings import Settings
from fedtrade.tasks.task import FEDERATED

__all__ = ["verdict"]

OWN_MODEL = "local_tuned"


def verdict(results: Results, settings: Settings) -> tuple[str, tuple[str, ...]]:
    """The verdict and the notes that a reader must not miss.

    The verdict says how many participants are better or worse off than with their own tuned
    model, how many could not be scored, and the change against that model and against the hardest
    arm that needs no federation. A change whose interval holds zero is called what it is, within
    chance. With one participant it says that nothing was federated, and where scores were only
    seen summed it counts nobody.
    """
    against = dict.fromkeys(
        arm for arm in (OWN_MODEL, hardest_baseline(results)) if arm in results.arms
    )
    found = [compare(results, arm) for arm in against if arm is not None]
    found = [comparison for comparison in found if comparison.gain is not None]
    if not found:
        return "Nothing to compare: no federated model was scored beside another.", ()
    gains = tuple(participant_gains(results, found[0].against).values())
    n_scored = _n_all(results, settings, gains) if results.is_summed else len(gains)
    changes = ", ".join(_change(comparison, n_scored) for comparison in found)
    title = headline_title(results.headline)
    title += "," if "," in title else ""
    sentence = f"{_head(results, settings, gains)} {title} {changes}."
    return sentence, tuple(_notes(results, found, n_scored))


def _head(results: Results, settings: Settings, gains: Sequence[float]) -> str:
    """Who took part and who is better off, up to the colon or semicolon before the scores."""
    n_there = max((episode.n_participants for episode in results.episodes), default=None)
    n_all = _n_all(results, settings, gains)
    if (n_all if n_there is None else n_there) == 1:
        who = "1 participant" if n_all == 1 else f"1 of {n_all} participants took part"
        return f"{who}: nothing was federated;"
    is_cold_start = settings.federation.setting == "cold_start"
    who = "newcomer" if is_cold_start else "participant"
    if results.is_summed:
        return f"{n_all} {who}s, scored as a sum{_missing_scores(results, n_all)}:"
    return f"{_headcount(gains, n_all, who)}:"


def _n_all(results: Results, settings: Settings, gains: Sequence[float]) -> int:
    """Everybody is to be scored: in a cold start each is a newcomer in one of the folds."""
    n_there = max((episode.n_participants for episode in results.episodes), default=0)
    return max(settings.federation.n_participants or 0, n_there, len(gains))


def _missing_scores(results: Results, n_all: int) -> str:
    """How many scores a sum lacks, of one of each participant at each origin."""
    n_wanted = n_all * len({episode.origin for episode in results.episodes})
    n_scored = sum(episode.n_scored or 0 for episode in results.episodes)
    return f" of {n_scored} of {n_wanted} scores" if n_scored < n_wanted else ""


def _headcount(gains: Sequence[float], n_all: int, who: str) -> str:
    """How many are better off and how many worse, such as `7 of 10 newcomers are better off`.

    Of those scored, where some were not: `7 of 9 newcomers scored are better off, 2 worse off, 1
    of 10 could not be scored`.
    """
    n, n_better, n_worse = len(gains), sum(g > 0.0 for g in gains), sum(g < 0.0 for g in gains)
    scored, missing = (" scored", f", {n_all - n} of {n_all} could not be scored")
    if n == n_all:
        scored = missing = ""
    of_all = f"of {n} {who}{'' if n == 1 else 's'}{scored}"
    if n_better:
        rest = f", {n_worse} worse off" if n_worse else ""
        return f"{n_better} {of_all} {_are(n_better)} better off{rest}{missing}"
    if n_worse:
        rest = ", none better off" if n_worse < n else ""
        return f"{n_worse} {of_all} {_are(n_worse)} worse off{rest}{missing}"
    return f"0 {of_all} are better or worse off{missing}"


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
    if results.is_summed:
        notes.append(_summed_note(found[0], n_participants))
    undecided = [_against(c, n_participants) for c in found if not c.is_decided]
    if undecided:
        notes.append(
            f"Against {' and '.join(undecided)} the 95 % interval of the gain holds zero: this "
            "run does not show a difference."
        )
    controls = [c for c in comparisons(results) if _is_as_good_a_control(c)]
    if controls:
        names = " and ".join(describe_arm(c.against).title for c in controls)
        notes.append(
            f"No better, within chance, than the control {names}: "
            f"{describe_arm(controls[0].against).explanation}."
        )
    notes += [_other_federated(results, c) for c in comparisons(results) if _is_overtaken(c)]
    if results.failures:
        first = results.failures[0]
        n = len(results.failures)
        who = first.party or f"participant {first.participant}"
        notes.append(
            f"{n} {'reply was' if n == 1 else 'replies were'} missing or refused, the first from "
            f"{who} in round {first.round} of episode {first.episode + 1}: "
            f"{first.reason.rstrip('.')}."
        )
    return notes


def _summed_note(comparison: Comparison, n_participants: int) -> str:
    if comparison.share_of_episodes_better is None:
        return SUMMED_SCORES
    share = percent_text(comparison.share_of_episodes_better, 0)
    return (
        f"{SUMMED_SCORES} Of all cases, one participant in one test period, {share} are better off "
        f"than with {_against(comparison, n_participants)}."
    )


def _is_as_good_a_control(comparison: Comparison) -> bool:
    """Whether a control, which needs less than a federation, does as well or better."""
    is_control = describe_arm(comparison.against).role == "control"
    is_better = comparison.is_decided and (comparison.gain or 0.0) > 0.0
    return is_control and comparison.gain is not None and not is_better


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
