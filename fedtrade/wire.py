"""What participants and server call things in their messages.

Records are Flower's; these are the names in them. A message to a participant carries

- `arrays`: `vector` (the global model, in training), `shared/NAME` for each outcome of a federated
  sum, `shared/calendar` among them (bars of the episode as seconds since 1970), and in evaluation
  `model/ARM/vector` and `model/ARM/learned/NAME` for each model to be scored;
- `config`: the episode (`EpisodeRecord`), and what is asked for; in the first message of a run, as
  in the reply to it, the `version` of whoever sends it.

If local training is to be corrected, `config` has `proximal` and `arrays` has `variate`, the
server's control variate; a reply's `update` then carries the participant's own behind it. After
an interruption, `variate-at` is the vector at which participants took theirs last.

With noise on what is added up, `config` has the `clip` of an update's norm.

Replies carry `arrays` and `metrics`; those of an evaluation name the `arms` in their `config`, also
where scores are only added up. Who the participant is follows from the node, never from the reply.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import ConfigurationError
from fedtrade.tasks.task import Model

__all__ = [
    "ARMS",
    "ARRAYS",
    "CALENDAR",
    "CLIP",
    "CONFIG",
    "DESCRIBE",
    "KEY_HOLDER",
    "LOSS",
    "METRICS",
    "MODEL_PREFIX",
    "N_EXAMPLES",
    "PROXIMAL",
    "ROLE",
    "ROUND_NUMBER",
    "SECURE",
    "SHARED_PREFIX",
    "SUM",
    "SUM_NAME",
    "UPDATE",
    "VARIATE",
    "VARIATE_AT",
    "VECTOR",
    "VERSION",
    "WIRE_VERSION",
    "EpisodeRecord",
    "bar_text",
    "bars_of",
    "check_version",
    "own_version",
    "pack_model",
    "printable",
    "seconds_of",
    "split_prefix",
    "unpack_models",
]

ARRAYS = "arrays"
ARMS = "arms"
CONFIG = "config"
METRICS = "metrics"

DESCRIBE = "query.describe"
SUM = "query.sum"
SUM_NAME = "sum"
SECURE = "query.secure"
VERSION = "version"
WIRE_VERSION: Final = 1
"""Of what stands in messages; it changes with whatever older nodes would misunderstand."""
ROLE = "role"
KEY_HOLDER = "key-holder"

ROUND_NUMBER = "server-round"
VECTOR = "vector"
UPDATE = "update"
N_EXAMPLES = "num-examples"
LOSS = "loss"
CLIP = "clip"
PROXIMAL = "proximal"
VARIATE = "variate"
VARIATE_AT = "variate-at"
CALENDAR = "calendar"
SHARED_PREFIX = "shared/"
MODEL_PREFIX = "model/"


LONGEST_REASON: Final = 500
"""Characters of a reason: some of them may be the sender's own words."""

LONGEST_VERSION: Final = 64


def own_version() -> str:
    """The version installed here, and that of its messages: what both sides say at first."""
    return f"{version('fedtrade')}, messages {WIRE_VERSION}"


def check_version(said: object, who: str) -> None:
    """Refuse to go on with another version of fedtrade.

    Parameters
    ----------
    said : object
        The entry `version` of the other's `config`; None if there is none.
    who : str
        The other, such as "the server".

    Raises
    ------
    ConfigurationError
        Naming both versions.
    """
    own = own_version()
    if said != own:
        told = (
            "does not say which fedtrade it is"
            if said is None
            else f"is fedtrade {printable(str(said), LONGEST_VERSION)}"
        )
        raise ConfigurationError(
            f"{who} {told}, and this is fedtrade {own}: install the same one everywhere."
        )


def printable(text: str, most: int = LONGEST_REASON) -> str:
    """One line, not too long, that steers no terminal: parts of it may be a stranger's."""
    cut = text if len(text) <= most else f"{text[:most]}..."
    return "".join(c if c.isprintable() else " " for c in cut)


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One training and test period, as it stands in a message.

    Attributes
    ----------
    number : int
    fold : int
        -1 for the final model, where nobody is a newcomer and nothing is scored.
    origin, test_end : int
        Seconds since 1970: the last bar of training and the last bar of the episode.
    n_skip : int
        Bars after the origin that are not scored.
    """

    number: int
    fold: int
    origin: int
    test_end: int
    n_skip: int

    def to_config(self) -> dict[str, int]:
        """The entries of the message's `config`."""
        return {
            "episode": self.number,
            "fold": self.fold,
            "origin": self.origin,
            "test-end": self.test_end,
            "n-skip": self.n_skip,
        }

    @property
    def origin_date(self) -> str:
        """The origin as a date, or a time where it is not midnight."""
        return bar_text(self.origin)

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> "EpisodeRecord":
        """Read it back.

        Raises
        ------
        ValueError
            If an entry is missing or not a whole number.
        """
        values = []
        for name in ("episode", "fold", "origin", "test-end", "n-skip"):
            value = config.get(name)
            if not isinstance(value, int):
                raise ValueError(f"the message's config has {name}={value!r}, not a whole number.")
            values.append(value)
        return cls(*values)


def bar_text(seconds: int) -> str:
    """A bar as ISO-8601: the date alone at midnight."""
    return str(np.datetime64(seconds, "s")).removesuffix("T00:00:00")


def seconds_of(bars: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Bars as seconds since 1970, exact in float64."""
    return bars.astype("datetime64[s]").astype(np.int64).astype(np.float64)


def bars_of(seconds: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """The inverse of `seconds_of`."""
    return seconds.astype(np.int64).astype("datetime64[s]")


def split_prefix(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Entries whose name starts with the prefix, without it."""
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}


def pack_model(arm: str, model: Model) -> dict[str, NDArray[Any]]:
    """The arrays of one model under its arm's name."""
    head = f"{MODEL_PREFIX}{arm}/"
    packed: dict[str, NDArray[Any]] = {head + VECTOR: model.vector}
    packed |= {f"{head}learned/{name}": values for name, values in model.learned.items()}
    return packed


def unpack_models(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Model]:
    """The models among the arrays, by arm."""
    parts: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, values in split_prefix(arrays, MODEL_PREFIX).items():
        arm, _, part = name.partition("/")
        parts.setdefault(arm, {})[part] = values
    return {
        arm: Model(
            np.asarray(found[VECTOR], dtype=np.float32),
            {name.removeprefix("learned/"): v for name, v in found.items() if name != VECTOR},
        )
        for arm, found in parts.items()
    }
