"""The record of one run, `results.json`, described key by key in `docs/results-schema.md`.

Scores are stored as they were computed (fractions, not basis points); `headline.scale` and the
table of `fedtrade.report.known_metrics` say how to show them. What could not be computed is
null: neither NaN nor infinity is ever stored, so that every JSON reader can open the file.
"""

import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from fedtrade.atomic import write_atomically
from fedtrade.errors import CheckpointError
from fedtrade.report.privacy import Privacy

ALL_PARTICIPANTS = "all"
SCHEMA_VERSION = 1


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and arrays into plain Python numbers and lists."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _finite_or_null(value: Any) -> Any:
    value = _plain(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain_json(value: Any) -> Any:
    """Settings as JSON values: mappings, lists, text, numbers; a path becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain_json(item) for item in value]
    value = _finite_or_null(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _as_bar(value: Any) -> Any:
    return str(value) if isinstance(value, np.datetime64) else value


def _as_bars(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [str(bar) for bar in value]
    return value


def _check_bars(bars: tuple[str, ...]) -> tuple[str, ...]:
    for bar in bars:
        try:
            np.datetime64(bar, "s")
        except ValueError:
            raise ValueError(f"a bar must be an ISO-8601 date or time, got {bar!r}") from None
    return bars


Count = Annotated[int, BeforeValidator(_plain), Field(ge=0)]
Number = Annotated[float | None, BeforeValidator(_finite_or_null)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(_plain)]
Bar = Annotated[str, BeforeValidator(_as_bar)]
Bars = Annotated[tuple[str, ...], BeforeValidator(_as_bars)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Headline(_Record):
    """The score by which the run is judged, and how to show it: `value * scale` in `unit`.

    A gain is a share of the other arm's score if `relative`, or else a plain difference.
    """

    metric: str
    level: Number = None
    unit: str = ""
    scale: Annotated[float, BeforeValidator(_plain), Field(gt=0, allow_inf_nan=False)] = 1.0
    lower_is_better: bool = True
    relative: bool = True


class Episode(_Record):
    """One training and test period of the rolling origin."""

    episode: Count
    fold: Count = 0
    origin: Bar
    test_end: Bar
    n_participants: Count
    n_scored: Count | None = None


class Round(_Record):
    """One round of training; `loss` is the mean training loss that participants reported."""

    episode: Count
    round: Count
    n_replies: Count
    n_failures: Count = 0
    loss: Number = None
    update_norm: Number = None
    seconds: Number = None


class Failure(_Record):
    """A participant that gave no usable reply in a round, and why."""

    episode: Count
    round: Count
    participant: str
    reason: str
    party: str = ""

    @property
    def title(self) -> str:
        """The party's name, or the participant's number."""
        return self.party or self.participant


class Metric(_Record):
    """One number: of one arm, by one measure, for one participant or for `all` together."""

    arm: str
    metric: str
    level: Number = None
    participant: str = ALL_PARTICIPANTS
    value: Number


class Daily(BaseModel):
    """The headline score of each arm by day (mean over participants); one key an arm."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Numbers]

    bars: Bars

    @property
    def scores(self) -> Mapping[str, tuple[float | None, ...]]:
        """Scores by arm, each as long as `bars`."""
        return self.__pydantic_extra__

    _check_bars = field_validator("bars")(_check_bars)

    @model_validator(mode="after")
    def _check_lengths(self) -> "Daily":
        for arm, scores in self.scores.items():
            if len(scores) != len(self.bars):
                raise ValueError(f"{arm} has {len(scores)} scores for {len(self.bars)} bars")
        return self


class ForecastPath(_Record):
    """Returns and their VaR and ES forecasts (return quantiles) for one asset."""

    participant: str
    asset: str
    bars: Bars
    returns: Numbers = Field(alias="return")
    var: Numbers
    es: Numbers
    level: Annotated[float, BeforeValidator(_plain), Field(gt=0, lt=1)]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    _check_bars = field_validator("bars")(_check_bars)

    @model_validator(mode="after")
    def _check_lengths(self) -> "ForecastPath":
        for name, values in (("return", self.returns), ("var", self.var), ("es", self.es)):
            if len(values) != len(self.bars):
                raise ValueError(f"{name} has {len(values)} values for {len(self.bars)} bars")
        return self


class Series(_Record):
    """What is drawn over time; either part may be missing."""

    daily: Daily | None = None
    path: ForecastPath | None = None


class Results(_Record):
    """One run: what was set, what happened in each round, and how each arm scored."""

    schema_version: Literal[1] = 1
    fedtrade_version: str
    created: str
    task: str
    scores: Literal["by_participant", "summed"] = "by_participant"
    settings: Annotated[dict[str, Any], BeforeValidator(_plain_json)] = Field(default_factory=dict)
    verdict: str
    notes: tuple[str, ...] = ()
    headline: Headline
    episodes: tuple[Episode, ...] = ()
    rounds: tuple[Round, ...] = ()
    failures: tuple[Failure, ...] = ()
    metrics: tuple[Metric, ...] = ()
    series: Series = Series()
    privacy: Privacy | None = None

    @cached_property
    def index(self) -> Mapping[tuple[str, str, float | None, str], float | None]:
        """Values by (arm, metric, level, participant)."""
        return {(m.arm, m.metric, m.level, m.participant): m.value for m in self.metrics}

    @property
    def is_summed(self) -> bool:
        """Whether scores were only seen added up over participants."""
        return self.scores == "summed"

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Arms in the order in which they were recorded."""
        return tuple(dict.fromkeys(record.arm for record in self.metrics))

    @cached_property
    def participants(self) -> tuple[str, ...]:
        """Participants that have a metric of their own, in the order of the record."""
        names = dict.fromkeys(record.participant for record in self.metrics)
        return tuple(name for name in names if name != ALL_PARTICIPANTS)

    @model_validator(mode="after")
    def _check_unique(self) -> "Results":
        if len(self.index) == len(self.metrics):
            return self
        seen = set()
        for m in self.metrics:
            key = (m.arm, m.metric, m.level, m.participant)
            if key in seen:
                raise ValueError(f"metrics has two records for {key}")
            seen.add(key)
        raise AssertionError("unreachable: fewer keys than records")


def metric(
    results: Results,
    arm: str,
    metric: str,
    level: float | None = None,
    participant: str = ALL_PARTICIPANTS,
) -> float | None:
    """Value of a metric; None where it was not recorded or could not be computed."""
    return results.index.get((arm, metric, level, participant))


def levels(results: Results, metric: str) -> tuple[float | None, ...]:
    """Levels at which a metric was recorded for all participants together, ascending."""
    found = {
        record.level
        for record in results.metrics
        if record.metric == metric and record.participant == ALL_PARTICIPANTS
    }
    return tuple(sorted(found, key=lambda level: -math.inf if level is None else level))


def parse_results(content: Mapping[str, Any]) -> Results:
    """Check a mapping against the schema.

    Raises
    ------
    ValueError
        Naming the first wrong key and its value.
    """
    version = content.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"schema_version must be {SCHEMA_VERSION}, got {version!r}; "
            "use the version of fedtrade that wrote it"
        )
    try:
        return Results.model_validate(content)
    except ValidationError as error:
        raise ValueError(_first_error(error)) from None


def write_results(results: Results | Mapping[str, Any], path: str | Path) -> None:
    """Store results as JSON, replacing the file as a whole.

    Raises
    ------
    ValueError
        If a mapping does not follow the schema.
    OutputError
        If the file cannot be written; an earlier one is left as it was.
    """
    checked = results if isinstance(results, Results) else parse_results(results)
    content = checked.model_dump(mode="json", by_alias=True)
    write_atomically(path, json.dumps(content, allow_nan=False, indent=1) + "\n")


def read_results(path: str | Path) -> Results:
    """Read what `write_results` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, is not JSON, or does not follow the schema.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CheckpointError(
            f"{path} cannot be read ({reason}); give the results.json of a finished run."
        ) from error
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
        if not isinstance(content, dict):
            raise ValueError(f"an object was expected, got {type(content).__name__}")
        return parse_results(content)
    except ValueError as error:
        raise CheckpointError(f"{path} is not a valid results file: {error}.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; a missing value is null")


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = first["input"]
    shown = f" (got {given!r})" if isinstance(given, str | int | float | None) else ""
    more = f"; {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return f"{key}: {message}{shown}{more}" if key else f"{message}{more}"
