"""How each metric is called, shown and read: one table for console, page and model card."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fedtrade.report.results import Headline, Results, levels
from fedtrade.tasks.task import FEDERATED

MISSING = "n/a"

Better = Literal["lower", "higher", "level", "neither"]
LevelKind = Literal["probability", "bars", "cost"]
SummaryLevels = Literal["all", "headline", "headline and zero", "none"]


@dataclass(frozen=True, slots=True)
class KnownMetric:
    """Presentation of a metric: shown as `value * scale` with `digits` decimals in `unit`.

    `better` says which values are good; "level" is a rate that should equal its level.
    `summary` says which levels a short table shows, and `noun` is the name in a sentence.
    """

    name: str
    title: str
    explanation: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 2
    signed: bool = False
    better: Better = "neither"
    level_kind: LevelKind = "probability"
    summary: SummaryLevels = "headline"
    noun: str = ""


# In the order of the columns.
_TABLE = (
    KnownMetric(
        "pinball",
        "Pinball loss",
        "Quantile loss of the VaR forecast, in basis points of the position. It punishes a VaR "
        "that is breached too often and one that ties up too much capital. Smaller is better.",
        unit="bp",
        scale=1e4,
        better="lower",
        summary="all",
        noun="VaR pinball",
    ),
    KnownMetric(
        "fz0",
        "FZ0 loss",
        "Joint loss of VaR and expected shortfall (Fissler and Ziegel; Patton, Ziegel and Chen "
        "2019). Smaller is better; only differences have a meaning.",
        digits=3,
        better="lower",
    ),
    KnownMetric(
        "hit_rate",
        "Hit rate",
        "Share of days on which the return fell below the VaR. It should equal the level: more "
        "means risk was understated, less means capital was idle.",
        unit="%",
        scale=100.0,
        better="level",
        noun="hit rate",
    ),
    KnownMetric(
        "kupiec_p",
        "Kupiec p",
        "p-value of the test that the hit rate equals its level (Kupiec 1995). Below 0.05 the "
        "difference is unlikely to be chance.",
        summary="none",
    ),
    KnownMetric(
        "christoffersen_p",
        "Christoffersen p",
        "p-value of the test that breaches come at the right rate and not in clusters "
        "(Christoffersen 1998, conditional coverage). Below 0.05 they probably do not.",
        summary="none",
    ),
    KnownMetric(
        "acerbi_szekely_z2",
        "Acerbi-Szekely Z2",
        "Test statistic for expected shortfall (Acerbi and Szekely 2014). Near 0 when the "
        "forecast is right, clearly negative when losses were worse than forecast.",
        signed=True,
        summary="none",
    ),
    KnownMetric(
        "acerbi_szekely_p",
        "Acerbi-Szekely p",
        "p-value of that statistic. Below 0.05 expected shortfall was probably understated.",
        summary="none",
    ),
    KnownMetric(
        "qlike",
        "QLIKE",
        "Loss of a variance forecast that is robust to noise in the realised variance (Patton "
        "2011). Smaller is better.",
        digits=4,
        better="lower",
        level_kind="bars",
        summary="all",
    ),
    KnownMetric(
        "log_mse",
        "Log MSE",
        "Mean squared error of the logarithm of volatility. Smaller is better.",
        digits=4,
        better="lower",
        level_kind="bars",
        noun="log MSE",
    ),
    KnownMetric(
        "mse",
        "MSE",
        "Mean squared error of the forecast. Smaller is better.",
        digits=4,
        better="lower",
        level_kind="bars",
    ),
    KnownMetric(
        "net_return",
        "Net return",
        "Mean return of a bar after trading costs of the stated size, in basis points of the "
        "capital. Larger is better.",
        unit="bp",
        scale=1e4,
        signed=True,
        better="higher",
        level_kind="cost",
        noun="net return",
    ),
    KnownMetric(
        "rank_ic",
        "Rank IC",
        "Rank correlation (Kendall's tau) between the signal and the next return across assets, "
        "mean over days. 0 is no skill; 0.02 is good. Larger is better.",
        digits=4,
        signed=True,
        better="higher",
    ),
    KnownMetric(
        "rank_ic_t",
        "Rank IC t",
        "The mean rank IC over its standard error. Below 2 it may be chance.",
        signed=True,
        summary="none",
    ),
    KnownMetric(
        "pooled_ic",
        "Pooled IC",
        "Correlation between the signal and the next return in excess of the market's, in "
        "volatilities, over all assets and days at once. Larger is better.",
        digits=4,
        signed=True,
        better="higher",
        summary="none",
    ),
    KnownMetric(
        "net_sharpe",
        "Net Sharpe",
        "Annualised Sharpe ratio of the positions after trading costs of the stated size. "
        "Larger is better.",
        signed=True,
        better="higher",
        level_kind="cost",
        summary="headline and zero",
        noun="net Sharpe ratio",
    ),
    KnownMetric(
        "psr",
        "PSR",
        "Probabilistic Sharpe ratio: probability that the true Sharpe ratio is above 0, given "
        "skew, tails and length of the record (Bailey and Lopez de Prado 2012).",
        unit="%",
        scale=100.0,
        digits=1,
        level_kind="cost",
        summary="none",
    ),
    KnownMetric(
        "dsr",
        "DSR",
        "Deflated Sharpe ratio: as PSR, but against the best of as many worthless strategies as "
        "were tried (Bailey and Lopez de Prado 2014). Below 95 % is no evidence of an edge.",
        unit="%",
        scale=100.0,
        digits=1,
        level_kind="cost",
    ),
    KnownMetric(
        "turnover",
        "Turnover",
        "Traded value per bar, as a share of the capital.",
        unit="%",
        scale=100.0,
        digits=1,
    ),
    KnownMetric(
        "max_drawdown",
        "Max. drawdown",
        "Largest fall of the cumulated return from an earlier peak.",
        unit="%",
        scale=100.0,
        digits=1,
        level_kind="cost",
        summary="none",
    ),
    KnownMetric(
        "n_trials",
        "Trials",
        "Number of configurations that were tried; it deflates the Sharpe ratio.",
        digits=0,
        summary="none",
    ),
)
KNOWN_METRICS = {known.name: known for known in _TABLE}


@dataclass(frozen=True, slots=True)
class Column:
    """A metric at one level, as a column of a table."""

    metric: KnownMetric
    level: float | None

    @property
    def title(self) -> str:
        """Name of the metric and its level, such as `Hit rate 1 %`."""
        return f"{self.metric.title} {self.level_text}".rstrip()

    @property
    def level_text(self) -> str:
        """The level in its unit, or nothing."""
        return "" if self.level is None else level_text(self.metric, self.level)

    def text(self, value: float | None) -> str:
        """The value as shown, without its unit."""
        if value is None:
            return MISSING
        return number_text(
            value * self.metric.scale, self.metric.digits, is_signed=self.metric.signed
        )

    def rank(self, value: float) -> float | None:
        """A number that is smallest for the best value; None if no value is better."""
        match self.metric.better:
            case "lower":
                return value
            case "higher":
                return -value
            case "level":
                return None if self.level is None else abs(value - self.level)
            case "neither":
                return None


def describe(name: str, headline: Headline) -> KnownMetric:
    """Presentation of a metric; one that is not in the table gets its name as its title.

    The headline metric is shown in the headline's unit, if it names one.
    """
    is_headline = name == headline.metric
    if name in KNOWN_METRICS:
        known = KNOWN_METRICS[name]
        if is_headline and headline.unit:
            return replace(known, unit=headline.unit, scale=headline.scale)
        return known
    title = name.replace("_", " ")
    if not is_headline:
        return KnownMetric(name, title, "", digits=4, summary="none")
    better: Better = "lower" if headline.lower_is_better else "higher"
    text = f"The headline score of this task. {'Smaller' if better == 'lower' else 'Larger'} "
    return KnownMetric(
        name,
        title,
        text + "is better.",
        headline.unit,
        headline.scale,
        digits=4,
        better=better,
        summary="all",
    )


def headline_title(headline: Headline) -> str:
    """The headline score as it is called in a sentence, such as `net return at 5 bp cost`."""
    known = describe(headline.metric, headline)
    name = known.noun or known.title
    if headline.level is None:
        return name
    level = level_text(known, headline.level)
    match known.level_kind:
        case "probability":
            return f"{level} {name}"
        case "bars":
            return f"{name}, {level} ahead"
        case "cost":
            return f"{name} at {level} cost"


def all_columns(results: Results) -> tuple[Column, ...]:
    """Every metric and level recorded for all participants together, headline first."""
    names = {m.metric for m in results.metrics if ":" not in m.metric}
    order = [results.headline.metric, *KNOWN_METRICS, *sorted(names)]
    present = [name for name in dict.fromkeys(order) if name in names]
    return tuple(
        Column(describe(name, results.headline), level)
        for name in present
        for level in levels(results, name)
    )


def summary_columns(results: Results) -> tuple[Column, ...]:
    """Columns for a short table, with the levels that each metric's `summary` asks for."""
    columns = all_columns(results)

    def is_wanted(column: Column) -> bool:
        of_metric = [c.level for c in columns if c.metric == column.metric]
        return column.level in _summary_levels(column.metric, of_metric, results.headline.level)

    return tuple(column for column in columns if is_wanted(column))


def _summary_levels(
    known: KnownMetric, recorded: Sequence[float | None], headline: float | None
) -> Sequence[float | None]:
    """Levels for a short table; `recorded` is ascending and not empty."""
    # Without the headline's level the strictest one is shown, which for costs is the largest.
    strictest = recorded[-1] if known.level_kind == "cost" else recorded[0]
    at_headline = headline if headline in recorded else strictest
    match known.summary:
        case "all":
            return recorded
        case "headline":
            return (at_headline,)
        case "headline and zero":
            return (0.0, at_headline)
        case "none":
            return ()


def best_arm(results: Results, column: Column) -> str | None:
    """The arm with the best value in a column; None if there is nothing to choose from."""
    values = {
        arm: results.index.get((arm, column.metric.name, column.level, "all"))
        for arm in results.arms
    }
    ranks = {
        arm: rank
        for arm, value in values.items()
        if value is not None and (rank := column.rank(value)) is not None
    }
    return min(ranks, key=lambda arm: (ranks[arm], arm != FEDERATED)) if len(ranks) > 1 else None


def level_text(known: KnownMetric, level: float) -> str:
    """A level in its unit: `2.5 %`, `5 bars` or `10 bp`."""
    match known.level_kind:
        case "probability":
            return f"{level * 100:.10g} %"
        case "bars":
            return f"{level:.10g} {'bar' if level == 1 else 'bars'}"
        case "cost":
            return f"{level:.10g} bp"


def number_text(value: float, digits: int, *, is_signed: bool = False) -> str:
    """Fixed decimals with thousands separated; a value that rounds to 0 has no sign."""
    text = f"{value:{'+' if is_signed else ''},.{digits}f}"
    is_zero = not any(character in "123456789" for character in text)
    return text.lstrip("+-") if is_zero else text


def percent_text(fraction: float | None, digits: int = 1, *, is_signed: bool = False) -> str:
    """A fraction as per cent, such as `+3.1 %`."""
    if fraction is None:
        return MISSING
    return f"{number_text(fraction * 100, digits, is_signed=is_signed)} %"
