"""Which participants lie."""

import numpy as np

__all__ = ["choose_attackers"]

_SALT = 0x5EED


def choose_attackers(
    n_participants: int, share: float = 0.2, seed: int = 0, *, n: int | None = None
) -> tuple[int, ...]:
    """Numbers of the participants that lie, rising.

    The choice follows from the seed. With the same seed those of a smaller share are among those
    of a larger one, so that a sweep adds liars and does not swap them.

    Parameters
    ----------
    share : float
        Of the participants, in [0, 1); rounded down to whole ones.
    n : int or None
        How many lie, instead of a share.

    Raises
    ------
    ValueError
        If a number lies outside of its range.
    """
    if n_participants < 1:
        raise ValueError(f"n_participants must be at least 1, got {n_participants}.")
    if not 0.0 <= share < 1.0:
        raise ValueError(f"share must be in [0, 1), got {share}.")
    # 0.29 * 100 is a little less than 29.
    n_liars = int(share * n_participants + 1e-9) if n is None else n
    if not 0 <= n_liars <= n_participants:
        raise ValueError(f"n must be from 0 to n_participants={n_participants}, got {n}.")
    order = np.random.default_rng([_SALT, seed]).permutation(n_participants)
    return tuple(sorted(int(number) for number in order[:n_liars]))
