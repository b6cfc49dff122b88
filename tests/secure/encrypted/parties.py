"""Keys, members and their contributions for the tests of encrypted sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure.encrypted import (
    Contribution,
    KeyHolder,
    KeyPair,
    PadKeys,
    Scheme,
    Spares,
    contribute,
)
from fedtrade.secure.encrypted.channels import TRAINING
from fedtrade.secure.encrypted.schemes import scheme_for
from fedtrade.secure.masked.keys import AgreementKey, IdentityKey
from fedtrade.secure.settings import EncryptedAggregation

RUN = bytes(range(32))
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
    agreements: list[AgreementKey]
    values: NDArray[np.int64]

    @property
    def known(self) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """The members' public keys, as the key holder knows them."""
        return _public(self.identities), _public(self.agreements)

    def pad_key(self, session: int, number: int, kind: str = TRAINING) -> bytes:
        own, theirs = self.agreements[number], self.holder.pad_public
        return PadKeys(own, theirs, RUN, number, kind).of(session)

    def contributions(self, session: int, kind: str = TRAINING) -> list[Contribution]:
        encryptor = self.scheme.encryptor(self.holder.public)
        return [
            contribute(
                encryptor,
                identity,
                RUN,
                session,
                number,
                row,
                self.pad_key(session, number, kind),
            )
            for number, (identity, row) in enumerate(zip(self.identities, self.values, strict=True))
        ]

    def resumed(self, state: Any = None, **others: Any) -> KeyHolder:
        """The key holder in another process."""
        chosen = settings(self.scheme.name, self.scheme.weighted)
        known, state = self.known, self.holder.state if state is None else state
        return KeyHolder(
            self.scheme, chosen, RUN, IdentityKey.generate(), *known, state=state, **others
        )

    def total(self, contributions: list[Contribution], weights: list[int]) -> list[bytes]:
        """Added without a child process."""
        accumulator = self.scheme.accumulator(self.holder.public)
        for contribution, weight in zip(contributions, weights, strict=True):
            accumulator.add(contribution.chunks, weight)
        return accumulator.total()


def _public(keys: Sequence[IdentityKey | AgreementKey]) -> dict[int, bytes]:
    return {number: key.public_bytes for number, key in enumerate(keys)}


def consortium(
    name: str,
    weighted: bool,
    n: int = 5,
    size: int = 20,
    spares: Spares | None = None,
    **others: Any,
) -> Consortium:
    chosen = settings(name, weighted, **others)
    scheme = scheme_for(chosen, n)
    identities = [IdentityKey.generate() for _ in range(n)]
    agreements = [AgreementKey() for _ in range(n)]
    known = _public(identities), _public(agreements)
    holder = KeyHolder(scheme, chosen, RUN, IdentityKey.generate(), *known, spares=spares)
    return Consortium(scheme, holder, identities, agreements, draw(scheme, n, size))
