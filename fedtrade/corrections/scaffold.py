"""SCAFFOLD: control variates that take the drift out of local training.

Karimireddy et al. (2020), "SCAFFOLD: stochastic controlled averaging for federated learning",
algorithm 1 with option I, https://arxiv.org/abs/1910.06378. A participant's variate c_i is the
gradient of its loss at the round's global vector; the server's c stands for the mean of all. Local
training adds `c - c_i` to each gradient.

The gradient is that of the data's loss, without the pull to the prior. That pull is known exactly,
and differs with the length of a history on purpose: with it in the variates, newcomers (whose pull
is thousands of times that of incumbents) would hold everybody at the prior. Where all pulls are
equal they cancel, and nothing differs.

One thing differs on purpose: what travels is c_i, not its change. The paper's server adds up
changes for ever; under a robust rule (whose aggregates are not exact means), after a reply that was
refused, and after a participant that lost its memory, that sum would no longer be the mean of the
c_i, and the bias would stay. Here c moves towards the aggregate of the c_i by the share of the
participants that were heard, so that an error dies out. When everybody is heard and the rule is
the equal mean, both are the same.

Update and variate are aggregated as one row, by the same weights, the variates scaled until they
are as long as the updates. A liar that hides behind one part then shows in the other: were the
weights chosen by the updates alone, a harmless update would carry any variate into the model. The
price is small: with variates that agree perfectly with the honest ones, an update may be sqrt(2)
times as far from theirs before its row is.
"""

import numpy as np
from numpy.typing import NDArray

from fedtrade.corrections.client_correction import ClientCorrection

__all__ = ["next_variate", "scaffold", "variate_scale", "variate_shift"]


def scaffold(*, proximal: float = 0.0) -> ClientCorrection:
    """Control variates, and FedProx's pull beside them if `proximal` is positive.

    Local training is Adam's here, not the plain gradient descent of the paper's proofs.

    Raises
    ------
    ValueError
        If `proximal` is negative or not finite.
    """
    return ClientCorrection(proximal=proximal, uses_variates=True)


def variate_shift(
    server: NDArray[np.float32], own: NDArray[np.float32] | None
) -> NDArray[np.float32] | None:
    """What a participant adds to its gradients, shape (n_params,).

    Nothing (None) as long as it has no variate of its own: to add the server's alone would turn it
    away from its data. Nothing, too, as long as the server's is zero, which it is until a round was
    heard: to take away its own alone would leave nothing to follow.
    """
    return None if own is None or not server.any() else server - own


def next_variate(
    server: NDArray[np.float32], aggregate: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """The server's variate after a round, shape (n_params,).

    Parameters
    ----------
    aggregate : float32 of shape (n_params,)
        Of the variates that were heard.
    share : float
        Of the participants that were heard, in [0, 1].
    """
    moved: NDArray[np.float32] = np.float32(1.0 - share) * server + np.float32(share) * aggregate
    return moved


def variate_scale(rows: NDArray[np.float32], n_params: int) -> float:
    """The power of two that makes variates about as long as the updates before them.

    By the medians of their norms, so that a minority cannot set it; a power of two, so that
    scaling back leaves no rounding. It is 1 where either median is zero.

    Parameters
    ----------
    rows : float32 of shape (n_clients, 2 * n_params)
    """
    parts = rows[:, :n_params], rows[:, n_params:]
    update, variate = (np.median(np.linalg.norm(p.astype(np.float64), axis=1)) for p in parts)
    if not (update > 0.0 and variate > 0.0):
        return 1.0
    # Within what single precision can hold beside values of up to 1e6.
    return float(2.0 ** np.clip(np.round(np.log2(update / variate)), -60, 60))
