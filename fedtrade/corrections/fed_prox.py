"""FedProx: a pull to the global vector in local training."""

from fedtrade.corrections.client_correction import ClientCorrection

__all__ = ["fed_prox"]


def fed_prox(*, proximal: float = 0.1) -> ClientCorrection:
    """Local training minimises `loss(v) + proximal / 2 * |v - global|^2`.

    Li et al. (2020), "Federated optimization in heterogeneous networks", equation 2,
    https://arxiv.org/abs/1812.06127; `proximal` is the paper's mu.

    Raises
    ------
    ValueError
        If `proximal` is negative or not finite.
    """
    return ClientCorrection(proximal=proximal)
