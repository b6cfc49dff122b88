"""How strongly a participant's training is pulled towards the prior."""

__all__ = ["shrinkage_for"]

REFERENCE_BARS = 250


def shrinkage_for(n_bars: int, strength: float) -> float:
    """Weight of the squared distance to the prior for `n_bars` of training labels.

    `strength * (250 / n_bars)^3`: 250 bars are pulled with `strength`, 1,000 with a 64th of it
    and 40 with 244 times as much, which leaves the prior as it is. The third power, steeper than
    a fixed prior's first, is an empirical choice made on a market other than the default one
    (docs/decisions/0003): returns of one day move together, so a short history is worth less than
    its number of examples says.
    """
    if n_bars < 1:
        raise ValueError(f"n_bars must be at least 1, got {n_bars}.")
    return strength * (REFERENCE_BARS / n_bars) ** 3
