"""Keys, members and their contributions for the tests of encrypted sums."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.encrypted import Contribution, KeyHolder, KeyPair, Scheme, contribute
from fedtrade.secure.encrypted.schemes import scheme_for
from fedtrade.secure.masked.keys import IdentityKey
from fedtrade.secure.settings import EncryptedAggregation

RUN = bytes(range(16))
SCHEMES = [("bfv", False), ("bfv", True), ("ckks", False), ("ckks", True), ("paillier", True)]


def settings(name: str, weighted: bool, **others: Any) -> EncryptedAggregation:
    """Small Paillier keys, to be quick."""
    return EncryptedAggregation(scheme=name, weighted=weighted, key_bits=1024, **others)


@cache
def scheme_and_keys(name: str, weighted: bool, n_members: int = 10) -> tuple[Scheme, KeyPair]:
    scheme = scheme_for(settings(name, weighted), n_members)
    return scheme, scheme.generate()


def tolerance(scheme: Scheme, n: int) -> float:
    """Five deviations of the error before flooding, where it is largest."""
    return 16.0 * scheme.error(n)


def draw(scheme: Any, n: int, size: int, seed: int = 0) -> NDArray[np.int64]:
    """Entries over the whole range, both ends among them."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-scheme.bound, scheme.bound + 1, (n, size))
    values[:, 0], values[:, -1] = scheme.bound, -scheme.bound
    return values


@dataclass
class Consortium:
    """A key holder and members, with what each has contributed to session `session`."""

    scheme: Scheme
    holder: KeyHolder
    identities: list[IdentityKey]
    values: NDArray[np.int64]

    def contributions(self, session: int) -> list[Contribution]:
        encryptor = self.scheme.encryptor(self.holder.public)
        return [
            contribute(encryptor, identity, RUN, session, number, row)
            for number, (identity, row) in enumerate(zip(self.identities, self.values, strict=True))
        ]

    def total(self, contributions: list[Contribution], weights: list[int]) -> list[bytes]:
        """Added without a child process."""
        accumulator = self.scheme.accumulator(self.holder.public)
        for contribution, weight in zip(contributions, weights, strict=True):
            accumulator.add(contribution.chunks, weight)
        return accumulator.total()


def consortium(name: str, weighted: bool, n: int = 5, size: int = 20, **others: Any) -> Consortium:
    chosen = settings(name, weighted, **others)
    scheme = scheme_for(chosen, n)
    identities = [IdentityKey.generate() for _ in range(n)]
    public = {number: key.public_bytes for number, key in enumerate(identities)}
    holder = KeyHolder(scheme, chosen, RUN, IdentityKey.generate(), public)
    return Consortium(scheme, holder, identities, draw(scheme, n, size))
