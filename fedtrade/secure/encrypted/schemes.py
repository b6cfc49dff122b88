"""The scheme that settings ask for."""

from collections.abc import Mapping
from typing import Any

from fedtrade.errors import ConfigurationError
from fedtrade.secure.encrypted.bfv import bfv
from fedtrade.secure.encrypted.ckks import CKKS
from fedtrade.secure.encrypted.lattice import load_tenseal
from fedtrade.secure.encrypted.paillier import Paillier, load_phe
from fedtrade.secure.encrypted.scheme import Scheme
from fedtrade.secure.settings import EncryptedAggregation

__all__ = ["scheme_for", "scheme_from"]


def scheme_for(settings: EncryptedAggregation, n_members: int, *, least_modulus: int = 0) -> Scheme:
    """Parameters for sums of up to `n_members`; each party computes them itself.

    Parameters
    ----------
    least_modulus : int
        The smallest modulus that the layout can do with, as `fedtrade.secure.layout` tells for
        `n_members` times the largest weight; 0 takes the cheapest parameters.

    Raises
    ------
    ConfigurationError
        If a library is missing, or the scheme has no such parameters.
    """
    return scheme_from(
        {
            "scheme": settings.scheme,
            "n_members": n_members,
            "weighted": int(settings.weighted),
            "least_modulus": least_modulus,
            "key_bits": settings.key_bits,
        }
    )


def scheme_from(fields: Mapping[str, Any]) -> Scheme:
    """The scheme whose `fields` these are.

    Raises
    ------
    ConfigurationError
        As `scheme_for`.
    """
    name, n_members = fields["scheme"], int(fields["n_members"])
    weighted, least_modulus = bool(fields["weighted"]), int(fields.get("least_modulus", 0))
    if n_members < 1:
        raise ConfigurationError(f"a sum needs members, got n_members={n_members}.")
    if name in ("bfv", "ckks"):
        load_tenseal()
    if name == "bfv":
        return bfv(n_members, weighted=weighted, least_modulus=least_modulus)
    if name == "ckks":
        return CKKS(n_members, weighted)
    if name == "paillier":
        load_phe()
        return Paillier(n_members, weighted, int(fields["key_bits"]), least_modulus or 2**62)
    raise ConfigurationError(f"aggregation.scheme: {name!r} is none of bfv, ckks and paillier.")
