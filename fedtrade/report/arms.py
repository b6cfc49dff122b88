"""How each arm of the comparison is called and coloured, and what kind of opponent it is."""

from dataclasses import dataclass
from typing import Literal

from fedtrade.report.results import Results, metric
from fedtrade.tasks.task import FEDERATED

Role = Literal["naive", "market", "local", "control", "federated", "bound", "other"]


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour by its role on the page, for light and for dark ground."""

    name: str
    light: str
    dark: str


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm as shown: its title, role, and what it stands for."""

    name: str
    title: str
    role: Role
    explanation: str = ""


# Distinguishable with the common colour-vision deficiencies (after Okabe and Ito 2008), with
# at least 3:1 contrast on their ground.
ROLE_COLOURS: dict[Role, Colour] = {
    "federated": Colour("federated", "#0b62a4", "#62b0ec"),
    "local": Colour("local", "#c77700", "#f0ab45"),
    "naive": Colour("naive", "#6f7b88", "#98a4b1"),
    "market": Colour("market", "#7d4b26", "#c99a72"),
    "control": Colour("control", "#a3508d", "#db97c9"),
    "bound": Colour("bound", "#0a8562", "#46c79c"),
    "other": Colour("other", "#55606d", "#b4bec9"),
}
ROLE_TITLES: dict[Role, str] = {
    "federated": "trained together",
    "local": "trained alone",
    "naive": "no training",
    "market": "carries the market's risk",
    "control": "control",
    "bound": "all data in one place",
    "other": "other",
}

_TABLE = (
    Arm("ewma_t6", "EWMA-t6", "naive", "EWMA volatility with Student-t quantiles (6 d.f.)"),
    Arm(
        "har_mix_t6",
        "HAR-mix-t6",
        "naive",
        "fixed mix of four EWMA variances with Student-t quantiles (6 d.f.)",
    ),
    Arm("fhs", "FHS", "naive", "filtered historical simulation"),
    Arm("gjr_garch_t", "GJR-GARCH-t", "naive", "GJR-GARCH with Student-t errors"),
    Arm("ewma", "EWMA", "naive", "exponentially weighted volatility"),
    Arm("har_mix", "HAR-mix", "naive", "fixed mix of four EWMA variances"),
    Arm("mean_22", "22-bar mean", "naive", "mean variance of the last 22 bars"),
    Arm("expanding", "Expanding mean", "naive", "mean variance of the whole history"),
    Arm("har", "HAR", "naive", "heterogeneous autoregression"),
    Arm(
        "buy_and_hold",
        "Buy and hold",
        "market",
        "long, inverse-volatility weights, bought once: paid for the market's risk, which a "
        "neutral model does not take",
    ),
    Arm("momentum", "Momentum", "naive", "past winners against past losers, no training"),
    Arm("reversal", "Reversal", "naive", "last week's losers against its winners, no training"),
    Arm("placebo", "Placebo", "control", "trained on shuffled labels: any edge here is chance"),
    Arm("local_default", "Local (default)", "local", "own data, default regularisation"),
    Arm("local_tuned", "Local (tuned)", "local", "own data, regularisation tuned on it"),
    Arm(
        "local_nowcast",
        "Local + nowcast",
        "control",
        "own data, but with the market nowcast that only the federation can compute",
    ),
    Arm(
        "frozen_nowcast",
        "Frozen + nowcast",
        "control",
        "model fixed on an earlier public period, with the market nowcast",
    ),
    Arm(FEDERATED, "Federated", "federated", "trained together, data kept apart"),
    Arm(
        "federated_exact",
        "Federated (exact)",
        "federated",
        "ridge regression from federated sums: the same as with all data in one place",
    ),
    Arm(
        "federated_private",
        "Federated (private)",
        "federated",
        "trained together with differential privacy",
    ),
    Arm("pooled", "Pooled", "bound", "all data in one place: what nobody may do"),
)
KNOWN_ARMS = {arm.name: arm for arm in _TABLE}


def describe_arm(name: str) -> Arm:
    """An arm of the table, or one that is shown by its name."""
    return KNOWN_ARMS.get(name) or Arm(name, name.replace("_", " "), "other")


def arm_colour(name: str) -> Colour:
    """The colour of an arm: arms of one role share it."""
    return ROLE_COLOURS[describe_arm(name).role]


def hardest_baseline(results: Results) -> str | None:
    """The arm with the best headline score among those that need no federation.

    Controls use the federation's nowcast and pooling uses everybody's data, so neither is
    something that a participant could do on its own. An arm that carries the market's risk earns
    its premium and says nothing of skill.
    """
    headline = results.headline
    sign = 1.0 if headline.lower_is_better else -1.0
    scores = {
        arm: sign * value
        for arm in results.arms
        if describe_arm(arm).role in ("naive", "local", "other")
        and (value := metric(results, arm, headline.metric, headline.level)) is not None
    }
    return min(scores, key=lambda arm: scores[arm]) if scores else None
