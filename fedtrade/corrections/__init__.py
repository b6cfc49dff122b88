"""Corrections of local training against the drift of participants with different data."""

from fedtrade.corrections.client_correction import ClientCorrection
from fedtrade.corrections.correction import Correction
from fedtrade.corrections.fed_prox import fed_prox
from fedtrade.corrections.scaffold import next_variate, scaffold, variate_scale, variate_shift

__all__ = [
    "ClientCorrection",
    "Correction",
    "fed_prox",
    "next_variate",
    "scaffold",
    "variate_scale",
    "variate_shift",
]
