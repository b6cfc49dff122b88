"""A little is enough: stay so close to the mean that liars pass for honest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from simulations.attacks.attack import UpdateAttack
from simulations.attacks.round_view import RoundView

__all__ = ["ALIE", "alie_factor"]


def alie_factor(n_clients: int, n_byzantine: int) -> float:
    """How many standard deviations a liar may keep away from the mean and still win.

    With `s = floor(n / 2 + 1) - m` honest supporters the liars are a majority, so `z` is the
    standard normal's quantile at `(n - m - s) / (n - m)`; Baruch et al. (2019), algorithm 3. Where
    the liars are a majority by themselves, one supporter is still asked for.

    Raises
    ------
    ValueError
        If nobody is honest.
    """
    n_honest = n_clients - n_byzantine
    if not 0 <= n_byzantine < n_clients:
        raise ValueError(
            f"n_byzantine must be from 0 to n_clients - 1 = {n_clients - 1}, got {n_byzantine}."
        )
    supporters = max(n_clients // 2 + 1 - n_byzantine, 1)
    return float(norm.ppf((n_honest - supporters) / n_honest))


@dataclass(frozen=True, kw_only=True)
class ALIE(UpdateAttack):
    """All liars send the mean of the honest updates less `z` standard deviations, by coordinate.

    Baruch, Baruch and Goldberg (2019), "A little is enough", https://arxiv.org/abs/1902.06156.
    The deviation is over n, as in the authors' code (ByzFL takes n - 1, and adds it).

    Parameters
    ----------
    z : float or None
        None takes `alie_factor` of the round's numbers, at 20 % liars a small one.
    omniscient : bool
        See `UpdateAttack`.
    """

    z: float | None = None
    omniscient: bool = True

    def craft(self, view: RoundView, rng: np.random.Generator) -> NDArray[np.float32]:
        """See the class."""
        return view.repeated(
            view.benign.mean(axis=0) - self._factor(view) * view.benign.std(axis=0)
        )

    def _factor(self, view: RoundView) -> float:
        n_honest = len(view.benign)
        if self.z is not None:
            return self.z
        # A single honest participant has no deviation to hide in, and no quantile.
        return alie_factor(n_honest + view.n_attackers, view.n_attackers) if n_honest > 1 else 0.0
