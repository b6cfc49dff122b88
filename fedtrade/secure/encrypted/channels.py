"""The schemes of a run: one for updates, as the settings say, and an exact one for federated sums.

Federated sums (counts, moments, cross products) need more digits than an approximate scheme has
left once its noise is flooded, and no weights.
"""

from collections.abc import Mapping

from fedtrade.secure.encrypted.scheme import Scheme, max_weight
from fedtrade.secure.encrypted.schemes import scheme_for
from fedtrade.secure.layout import least_modulus
from fedtrade.secure.payload import sum_segments, training_segments
from fedtrade.secure.settings import EncryptedAggregation

__all__ = ["SUMS", "TRAINING", "channels"]

TRAINING = "training"
SUMS = "sums"


def channels(settings: EncryptedAggregation, n_members: int) -> Mapping[str, Scheme]:
    """The scheme of each kind of sum; each party computes them itself.

    Raises
    ------
    ConfigurationError
        If no parameters hold the sums of so many members at the resolution asked for.
    """
    exact = "paillier" if settings.scheme == "paillier" else "bfv"
    n_units = n_members * max_weight(settings.weighted)
    training = least_modulus(training_segments(settings, 1, by_examples=True), n_units)
    sums = least_modulus(sum_segments(settings, 1), n_members)
    if settings.scheme == exact and not settings.weighted:
        scheme = scheme_for(settings, n_members, least_modulus=max(training, sums))
        return {TRAINING: scheme, SUMS: scheme}
    for_sums = settings.model_copy(update={"scheme": exact, "weighted": False})
    return {
        TRAINING: scheme_for(settings, n_members, least_modulus=training),
        SUMS: scheme_for(for_sums, n_members, least_modulus=sums),
    }
