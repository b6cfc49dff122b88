"""Who learns what in a run, as `results.json` has it and reports show it."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from fedtrade.secure.statement import PARTICIPANTS, PrivacyStatement

__all__ = [
    "EVALUATION",
    "JOINING",
    "KIND_TITLES",
    "RUN",
    "SUM",
    "TRAFFIC_HEAD",
    "TRAINING",
    "Learned",
    "Parameter",
    "Privacy",
    "Traffic",
    "by_party",
    "bytes_text",
    "parameter_text",
    "privacy_record",
    "promises",
    "traffic_rows",
    "traffic_text",
]

Count = Annotated[int, Field(ge=0)]
Bytes = Annotated[float, Field(ge=0, allow_inf_nan=False)]

JOINING: Final = "joining"
SUM: Final = "sum"
TRAINING: Final = "training"
EVALUATION: Final = "evaluation"
RUN: Final = "run"

KIND_TITLES: Final = {
    JOINING: "Joining the run",
    SUM: "A federated sum",
    TRAINING: "A round of training",
    EVALUATION: "An evaluation",
    RUN: "The whole run",
}

TRAFFIC_HEAD: Final = (
    "",
    "Times",
    "Exchanges",
    "To each",
    "From each",
    "Most to one",
    "Most from one",
)
"""Columns of `traffic_rows`."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Learned(_Record):
    """What one party gets to know."""

    party: str
    what: str


class Parameter(_Record):
    """A number, or a name, on which a promise rests."""

    name: str
    value: int | float | str
    meaning: str


class Traffic(_Record):
    """What one kind of exchange took, all in all.

    Attributes
    ----------
    party : str
        Of whom the bytes are told: each of the `participants`, or the `key holder`.
    kind : str
        `joining`, `sum`, `training`, `evaluation`, or `run` for all of them.
    n_times : int
        How often there was one, such as rounds of training.
    n_exchanges : int
        Messages to nodes and their replies count as one exchange.
    mean_bytes_down, most_bytes_down : float, int
        To one node, over the run: the mean over nodes, and the largest.
    mean_bytes_up, most_bytes_up : float, int
        From one node.
    """

    party: str
    kind: str
    n_times: Count
    n_exchanges: Count
    mean_bytes_down: Bytes
    most_bytes_down: Count
    mean_bytes_up: Bytes
    most_bytes_up: Count


class Privacy(_Record):
    """The privacy statement of a run; see `PrivacyStatement`.

    Attributes
    ----------
    traffic : tuple of Traffic
    traffic_is_whole : bool
        False if the run was asked to resume: what was sent before is not counted.
    """

    mode: str
    learns: tuple[Learned, ...]
    broken_by: tuple[str, ...]
    assumptions: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    traffic_is_whole: bool = True


def privacy_record(
    statement: PrivacyStatement, traffic: Iterable[Traffic], *, is_whole: bool = True
) -> Privacy:
    """The record of a statement and of what was exchanged."""
    return Privacy(
        mode=statement.mode,
        learns=tuple(Learned(party=party, what=what) for party, what in statement.learns),
        broken_by=statement.broken_by,
        assumptions=statement.assumptions,
        parameters=tuple(
            Parameter(name=name, value=value, meaning=meaning)
            for name, value, meaning in statement.parameters
        ),
        traffic=tuple(traffic),
        traffic_is_whole=is_whole,
    )


def by_party(privacy: Privacy) -> list[Learned]:
    """What each party learns, party after party."""
    parties = list(dict.fromkeys(each.party for each in privacy.learns))
    return sorted(privacy.learns, key=lambda each: parties.index(each.party))


def promises(privacy: Privacy) -> list[str]:
    """What noise promises, a sentence a level of privacy; empty if none was added."""
    values = {each.name: parameter_text(each.value) for each in privacy.parameters}
    found = []
    if "record.run_epsilon" in values:
        unit = "day" if values["record.unit"] == "day" else "day as a label"
        found.append(
            f"Each training {unit} of a participant: epsilon {values['record.epsilon']} for one "
            f"model, {values['record.run_epsilon']} for the whole run ({_models(values, 'record.')}"
            f"), delta {values['record.delta']}; noise by each participant."
        )
    if "epsilon" in values:
        covers = f" ({values['covers']})" if "covers" in values else ""
        found.append(
            f"All that one participant contributes{covers}: epsilon {values['model_epsilon']} for "
            f"one model, {values['epsilon']} for the whole run ({_models(values)}), delta "
            f"{values['delta']}; noise by the {values['noise_by']}."
        )
    return found


def _models(values: Mapping[str, str], level: str = "") -> str:
    n = values[f"{level}models"]
    return f"{n} model" if n == "1" else f"{n} models"


def parameter_text(value: int | float | str) -> str:
    """Numbers with thousands separated, or of three digits."""
    match value:
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.3g}"
        case _:
            return value


def traffic_rows(privacy: Privacy, party: str) -> list[tuple[str, ...]]:
    """What one of each kind took, as text; the whole run last."""
    rows = []
    for found in privacy.traffic:
        if found.party != party:
            continue
        n = found.n_times or 1
        exchanges = f"{found.n_exchanges / n:.3g}"
        sizes = (
            found.mean_bytes_down,
            found.mean_bytes_up,
            found.most_bytes_down,
            found.most_bytes_up,
        )
        title = KIND_TITLES.get(found.kind, found.kind)
        times = "" if found.kind in (RUN, JOINING) else f"{found.n_times:,}"
        rows.append((title, times, exchanges, *(bytes_text(size / n) for size in sizes)))
    return rows


def traffic_text(privacy: Privacy) -> str:
    """What a round of training and the whole run took, in one line; empty if nothing was counted.

    Of participants.
    """
    found = {row[0]: row for row in traffic_rows(privacy, PARTICIPANTS)}
    parts = []
    for kind in (TRAINING, RUN):
        if (row := found.get(KIND_TITLES[kind])) is not None:
            title, _, exchanges, down, up, *_ = row
            plural = "" if exchanges == "1" else "s"
            parts.append(
                f"{title}: {exchanges} exchange{plural}, {down} to each and {up} from each"
            )
    return ". ".join(parts) + "." if parts else ""


def bytes_text(size: float) -> str:
    """Three digits at most, in B, kB, MB or GB of a thousand each."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000.0
    return f"{size:.3g} GB"
