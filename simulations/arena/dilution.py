"""How much of a liar's conspicuousness is left in the mean of a random group.

A row's conspicuousness is its distance from the honest mean in units of the spread of honest rows;
that of an honest row is about 1. Means of m honest members spread less by the square root of m, and
a liar's own deviation d weighs one m-th in its group's mean: sqrt((d^2 + m - 1) / m) is expected,
and more where groups are a large part of all. Run it with

    python -m simulations.arena.dilution
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.masked.graph import cohorts
from simulations.arena.problem import Cast
from simulations.arena.tail_risk import TailRisk
from simulations.attacks import Attack, RoundView, build_attack, choose_attackers, craft_round

__all__ = ["conspicuousness", "measure"]

ATTACKS = ("sign_flip", "scaling", "ipm", "alie", "gaussian")
GROUP_SIZES = (1, 2, 3, 4, 9)
N_DRAWS = 200


def conspicuousness(
    updates: NDArray[np.floating],
    liar: int,
    group_size: int,
    n_draws: int,
    rng: np.random.Generator,
) -> float:
    """Distance of the liar's group from the honest mean, in units of the honest groups' spread.

    Both are root mean squares over draws of the groups.

    Parameters
    ----------
    updates : array of shape (n_participants, n_params)
    liar : int
        Its row.
    group_size : int
        Members of a group, at most half of the participants; 1 for participants' own updates.
    """
    rows = updates.astype(np.float64)
    rows -= np.delete(rows, liar, axis=0).mean(axis=0)
    spoilt: list[float] = []
    honest: list[float] = []
    for _ in range(n_draws):
        for group in cohorts(rng.permutation(len(rows)), group_size):
            square = float((rows[group].mean(axis=0) ** 2).sum())
            (spoilt if liar in group else honest).append(square)
    return float(np.sqrt(np.mean(spoilt) / np.mean(honest)))


def measure(
    problem: TailRisk,
    attacks: Mapping[str, Attack],
    group_sizes: Sequence[int] = GROUP_SIZES,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> dict[str, dict[int, float]]:
    """The mean conspicuousness of one liar in the first round, by attack and group size.

    It is the mean over the origins of the problem.
    """
    n = problem.n_participants
    (liar, *_) = choose_attackers(n, 1.5 / n, seed)
    found: dict[str, dict[int, float]] = {}
    trainings = problem.trainings(Cast(n, (liar,)))
    for name, attack in attacks.items():
        values: dict[int, list[float]] = {size: [] for size in group_sizes}
        for training in trainings:
            vector = training.initial()
            members = training.start({})
            own = np.stack([members.update(i, vector, 1).update for i in range(n)])
            honest = np.delete(own, liar, axis=0)
            view = RoundView(honest=honest, own=own[[liar]], vector=vector)
            crafted, _ = craft_round(attack, view, np.random.default_rng(seed))
            updates = own.copy()
            updates[liar] = crafted[0]
            rng = np.random.default_rng([seed, 1])
            for size in group_sizes:
                times = 1 if size == 1 else n_draws
                values[size].append(conspicuousness(updates, liar, size, times, rng))
        found[name] = {size: float(np.mean(values[size])) for size in group_sizes}
    return found


def _main() -> None:
    problem = TailRisk(
        heterogeneity="same_history",
        seed=0,
        overrides=["task.local_steps=10", "evaluation=some_origins"],
    )
    attacks = {name: build_attack(name) for name in ATTACKS}
    print("| attack |" + "".join(f" m = {size} |" for size in GROUP_SIZES))
    print("|---|" + "---:|" * len(GROUP_SIZES))
    for name, by_size in measure(problem, attacks).items():
        print(f"| {name} |" + "".join(f" {value:.1f} |" for value in by_size.values()))


if __name__ == "__main__":
    _main()
