"""Mimic: all liars copy one honest participant, so that it is heard too often."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import Memory, RoundView

__all__ = ["Mimic"]

_N_POWER = 20


@dataclass(frozen=True, kw_only=True)
class Mimic(UpdateAttack):
    """All liars copy the participant that stands out along the direction of most variance.

    Karimireddy, He and Jaggi (2022), "Byzantine-robust learning on heterogeneous datasets via
    bucketing", section 3.2 and appendix, https://arxiv.org/abs/2006.09365. Nobody can tell the
    copies from honest updates; they hurt where participants differ.

    In the first `warmup_rounds` the running mean of the updates and the direction are estimated by
    Oja's rule, and with them how far each participant stands out, `|sum over rounds of z'x|`.
    The first direction is that of the first round's updates, found by power iteration. After the
    warm-up both are kept, and so is the victim, as long as it takes part.

    Parameters
    ----------
    warmup_rounds : int
        At least 1.
    """

    warmup_rounds: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup_rounds < 1:
            raise ValueError(f"warmup_rounds must be at least 1, got {self.warmup_rounds}.")

    def remember(self, view: RoundView) -> Memory:
        """`mean`, `direction` (n_params,), `rounds`, and the `scores` of participants by `ids`."""
        known = view.memory
        n_seen = int(known["rounds"][0]) if "rounds" in known else 0
        if not len(view.honest) or n_seen >= self.warmup_rounds:
            return known
        if n_seen and len(known["mean"]) != view.n_params:
            known, n_seen = {}, 0
        share = 1.0 / (n_seen + 1)
        mean = view.benign.mean(axis=0) * share
        if n_seen:
            mean += (1.0 - share) * known["mean"]
        centred = view.benign - mean
        if n_seen:
            before: NDArray[np.float64] = known["direction"]
            turned = (1.0 - share) * before + share * (centred.T @ (centred @ before))
            direction = _unit(turned)
        else:
            direction = _leading(centred)
        scores = dict(zip(known["ids"].tolist(), known["scores"], strict=True)) if n_seen else {}
        for who, score in zip(view.ids, view.benign @ direction, strict=True):
            scores[who] = scores.get(who, 0.0) + float(score)
        return {
            "rounds": np.array([n_seen + 1]),
            "mean": mean,
            "direction": direction,
            "ids": np.array(list(scores), dtype=np.int64),
            "scores": np.array(list(scores.values()), dtype=np.float64),
        }

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class; without honest updates, or a memory, the first row there is."""
        rows = view.honest if len(view.honest) else view.own
        if not len(view.honest) or "ids" not in view.memory:
            return view.repeated(rows[0])
        known = zip(view.memory["ids"].tolist(), np.abs(view.memory["scores"]), strict=True)
        scores = dict(known)
        victim = max(range(len(rows)), key=lambda row: scores.get(view.ids[row], -1.0))
        return view.repeated(rows[victim])


def _leading(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """The direction in which the rows vary most; of identical rows, none."""
    z: NDArray[np.float64] = centred[int(np.square(centred).sum(axis=1).argmax())]
    for _ in range(_N_POWER):
        z = _unit(centred.T @ (centred @ z))
    return z


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / (np.linalg.norm(vector) or 1.0)
    return unit
