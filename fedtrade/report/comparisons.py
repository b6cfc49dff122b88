"""The federated model against each other arm, gathered from the flat metrics."""

from dataclasses import dataclass

from fedtrade.report.results import ALL_PARTICIPANTS, Headline, Results, metric
from fedtrade.tasks.task import FEDERATED

SUMMED_SCORES = (
    "Scores were only seen added up over the participants: how many of them are better off, and "
    "how the worst fares, each one knows for itself alone."
)
"""What takes the place of everything by participant."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Gain of the federated model over `against`, positive where it is better.

    Gains are as stored: fractions, or differences of the `headline` score where it says so. Where
    it `is_summed`, nothing is known of single participants: `share_better` and `worst_gain` are
    None, and `share_of_episodes_better` is of cases, one participant in one episode.
    """

    against: str
    headline: Headline
    gain: float | None
    low: float | None
    high: float | None
    t: float | None
    share_better: float | None
    worst_gain: float | None
    share_of_episodes_better: float | None = None
    is_summed: bool = False

    @property
    def is_decided(self) -> bool:
        """Whether the 95 % interval leaves out zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def comparisons(results: Results) -> tuple[Comparison, ...]:
    """One comparison for each arm that has a gain on record, in the order of the arms."""
    names = {m.metric for m in results.metrics if m.arm == FEDERATED}
    against = [name.removeprefix("gain_vs:") for name in names if name.startswith("gain_vs:")]
    position = {arm: number for number, arm in enumerate(results.arms)}
    against.sort(key=lambda arm: (position.get(arm, len(position)), arm))
    return tuple(compare(results, arm) for arm in against)


def compare(results: Results, against: str) -> Comparison:
    """The comparison with one arm; what was not recorded is None."""

    def value(kind: str) -> float | None:
        return _headline_value(results, f"{kind}_vs:{against}", ALL_PARTICIPANTS)

    return Comparison(
        against=against,
        headline=results.headline,
        gain=value("gain"),
        low=value("gain_low"),
        high=value("gain_high"),
        t=value("t"),
        share_better=value("share_better"),
        worst_gain=value("worst_gain"),
        share_of_episodes_better=value("share_of_episodes_better"),
        is_summed=results.is_summed,
    )


def participant_gains(results: Results, against: str) -> dict[str, float]:
    """Gain by participant, worst first; participants without a value are left out."""
    values = {
        name: value
        for name in results.participants
        if (value := _headline_value(results, f"gain_vs:{against}", name)) is not None
    }
    return dict(sorted(values.items(), key=lambda item: item[1]))


def _headline_value(results: Results, name: str, participant: str) -> float | None:
    """Value at the headline's level, or the one stored without a level."""
    at_level = metric(results, FEDERATED, name, results.headline.level, participant)
    return at_level if at_level is not None else metric(results, FEDERATED, name, None, participant)
