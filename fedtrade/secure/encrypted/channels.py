"""The schemes of a run: one for updates, as the settings say, and an exact one for federated sums.

Federated sums (counts, moments, cross products) need more digits than an approximate scheme has
left once its noise is flooded, and no weights.
"""

from collections.abc import Mapping
from typing import Final

from fedtrade.privacy.participant.vectors import NoisyVectors
from fedtrade.secure.encrypted.scheme import Scheme, max_weight
from fedtrade.secure.encrypted.schemes import scheme_for
from fedtrade.secure.layout import Layout, Segment, least_modulus
from fedtrade.secure.payload import (
    sum_layout,
    sum_segments,
    training_layout,
    training_segments,
)
from fedtrade.secure.settings import EncryptedAggregation

__all__ = ["SCORES", "SUMS", "TRAINING", "channels", "layout_of", "noise_on"]

TRAINING: Final = "training"
SUMS: Final = "sums"
SCORES: Final = "scores"
"""Sums that stay without noise where other sums have some; a kind of their own, so that nobody
takes one for the other."""


def channels(
    settings: EncryptedAggregation, n_members: int, noise: NoisyVectors | None = None
) -> Mapping[str, Scheme]:
    """The scheme of each kind of sum; each party computes them itself.

    Parameters
    ----------
    noise : NoisyVectors or None
        What the key holder adds to sums.

    Raises
    ------
    ConfigurationError
        If no parameters hold the sums of so many members at the resolution asked for.
    """
    if noise is not None:
        return _noisy_channels(settings, n_members, noise)
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


def noise_on(kind: str, noise: NoisyVectors | None) -> NoisyVectors | None:
    """The noise, if sums of this kind have some."""
    is_covered = noise is not None and (kind == TRAINING or (kind == SUMS and noise.covers_sums))
    return noise if is_covered else None


def layout_of(
    settings: EncryptedAggregation,
    scheme: Scheme,
    kind: str,
    n_values: int,
    *,
    by_examples: bool = False,
    noise: NoisyVectors | None = None,
) -> Layout:
    """How contributions of a kind, with so many values, stand in the ring of its scheme.

    Raises
    ------
    ConfigurationError
        If the ring does not hold the sum.
    """
    n_members, modulus = scheme.layout_members, scheme.modulus
    if (covering := noise_on(kind, noise)) is not None:
        return Layout(_noisy_segments(covering, kind, n_values), n_members, modulus=modulus)
    if kind == TRAINING:
        return training_layout(
            settings, n_values, n_members, by_examples=by_examples, modulus=modulus
        )
    return sum_layout(settings, n_values, n_members, modulus=modulus)


def _noisy_channels(
    settings: EncryptedAggregation, n_members: int, noise: NoisyVectors
) -> Mapping[str, Scheme]:
    """One scheme for all kinds, which is exact and has no weights (`adders` refuses others)."""
    kinds = [TRAINING, SUMS, SCORES]
    segments = {
        kind: sum_segments(settings, 1)
        if noise_on(kind, noise) is None
        else _noisy_segments(noise, kind, 1)
        for kind in kinds
    }
    least = max(least_modulus(found, n_members) for found in segments.values())
    scheme = scheme_for(settings, n_members, least_modulus=least)
    return dict.fromkeys(kinds, scheme)


def _noisy_segments(noise: NoisyVectors, kind: str, n_values: int) -> tuple[Segment, ...]:
    return noise.update_segments(n_values) if kind == TRAINING else noise.sum_segments(n_values)
