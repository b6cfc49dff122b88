"""Rules and compositions that all have to obey the same laws, with what each of them claims."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedtrade.robust import Aggregation, Rule, build_rule

ABOUT_ORIGIN = ("fltrust", "foolsgold", "arc", "norm_clipping", "sign_majority")
"""Steps that look at norms, angles or signs: they do not move along when all rows are shifted.

Centred clipping does if the previous aggregate is shifted too.
"""


@dataclass(frozen=True)
class Case:
    """A rule, and for how many liars among 17 or 15 clients it is tried."""

    name: str
    f: int = 3

    @property
    def rule(self) -> Rule:
        return build_rule(self.name)

    @property
    def steps(self) -> list[str]:
        return [part.split("(")[0] for part in self.name.split("+")]

    @property
    def moves_along(self) -> bool:
        """Equivariance under shifts."""
        return not set(self.steps) & set(ABOUT_ORIGIN)

    @property
    def goes_by_position(self) -> bool:
        """Whether the order of the rows decides: who gets into a bucket, which subset is taken."""
        return bool({"bucketing", "minimum_diameter"} & set(self.steps))

    def __call__(
        self, updates: np.ndarray, anchor: np.ndarray | None = None, **options: object
    ) -> Aggregation:
        """With the anchor (n_params,) in whatever place the rule has for one."""
        options = {"n_byzantine": self.f, "rng": 0, **options}
        return self.rule(updates, anchors=self.anchors(updates, anchor), **options)

    def anchors(self, updates: np.ndarray, anchor: np.ndarray | None) -> Mapping[str, np.ndarray]:
        """The median of the updates, where none is given."""
        if anchor is None:
            anchor = np.median(updates, axis=0).astype(np.float32)
        names = set(self.rule.needs_anchors)
        if "centered_clipping" in self.steps:
            names.add("previous")
        return dict.fromkeys(names, anchor)


SINGLE = tuple(
    Case(name, f)
    for name, f in {
        "mean": 0,
        "krum": 3,
        "multi_krum": 3,
        "multi_krum(n_selected=2)": 3,
        "bulyan": 3,
        "minimum_diameter": 3,
        "geometric_median": 3,
        "centered_clipping": 3,
        "centered_clipping(n_iterations=1)": 3,
        "fltrust": 3,
        "foolsgold": 3,
        "monna": 3,
        "trimmed_mean": 3,
        "median": 3,
        "meamed": 3,
        "sign_majority": 3,
        "nnm": 3,
        "bucketing(2)": 3,
        "arc": 3,
        "norm_clipping": 3,
    }.items()
)

COMPOSED = tuple(
    Case(name)
    for name in (
        "nnm+krum",
        "nnm+multi_krum",
        "nnm+geometric_median",
        "nnm+minimum_diameter",
        "nnm+centered_clipping",
        "nnm+trimmed_mean",
        "nnm+median",
        "nnm+meamed",
        "nnm+bulyan",
        "nnm+monna",
        "bucketing(2)+krum",
        "bucketing(2)+geometric_median",
        "bucketing(2)+nnm+trimmed_mean",
        "bucketing(2)+median",
        "arc+median",
        "arc+krum",
        "arc+mean",
        "arc+nnm+geometric_median",
        "arc+nnm+trimmed_mean",
        "norm_clipping+trimmed_mean",
        "norm_clipping+krum",
        "norm_clipping+fltrust",
    )
)

CASES = SINGLE + COMPOSED
N = 17
"""Clients with which all cases bear their f."""
