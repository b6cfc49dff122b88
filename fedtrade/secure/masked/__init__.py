"""Sums under pairwise masks: SecAgg+ of Bell et al. (2020), https://eprint.iacr.org/2020/704."""

from fedtrade.secure.masked.client import MaskedClient
from fedtrade.secure.masked.keys import IdentityKey
from fedtrade.secure.masked.rehearsal import Rehearsal, rehearse
from fedtrade.secure.masked.roster import Roster
from fedtrade.secure.masked.server import MaskedServer
from fedtrade.secure.masked.server_cohort import CohortFailure, CohortSum

__all__ = [
    "CohortFailure",
    "CohortSum",
    "IdentityKey",
    "MaskedClient",
    "MaskedServer",
    "Rehearsal",
    "Roster",
    "rehearse",
]
