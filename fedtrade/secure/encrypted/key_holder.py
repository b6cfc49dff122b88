"""Who makes the keys and opens sums, and nothing else.

The key holder is neither the server nor a member that trains. It opens one sum a session, in
order, and only one that

- members have signed contributions to, `min_contributors` at least, each for this session;
- counts in every chunk as many contributions (or as much weight) as there are signatures;
- is dominated by nobody: no weight is more than `1 / min_contributors` of all weight.

The session is spent with the first attempt that passes these checks but the count, which takes a
decryption; what is refused before has opened nothing.

**What this rests on.** The server is assumed to follow the protocol and to be curious, and not to
work together with the key holder: the two together read everything. The key holder sees ciphertexts
of sums only, so it cannot tell whether they are the sums of what was signed. A server that makes
up ciphertexts can do so under the public key: it could take one member's ciphertext, add what is
missing to the counting slot (or, where there is room for a product, keep some slots of each member
and clear others), and have that opened as a sum. The counting slot catches a sum that is merely
of fewer than is said, and signatures keep the server from claiming members that did not contribute;
neither proves the sum. Against such a server take `masked`. Members, too, could send ciphertexts
with more noise than is usual; that harms the sum, as a wrong value would.

With weights a sum that is exact to the last digit shows more of the last digits of members with
weights that the others' do not share: take weights only as fine as they need to be.

Sums of an approximate scheme are flooded before they leave (`fedtrade.secure.encrypted.ckks`).
Parsing and decrypting happen in a child process that may crash. That child knows the secret key:
a flaw of the parser that did more than crash it would cost the key.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import (
    ConfigurationError,
    ProtocolError,
    ReplayError,
    SignatureError,
    ThresholdError,
)
from fedtrade.secure.encrypted.child import Child, ChildDied, Limits
from fedtrade.secure.encrypted.ckks import CKKS, flooding_deviation, to_ring
from fedtrade.secure.encrypted.contribution import SignedDigest, sign_key, verify_digest
from fedtrade.secure.encrypted.flooding import gaussian
from fedtrade.secure.encrypted.scheme import KeyPair, OpenedSum, Scheme, max_weight, n_chunks
from fedtrade.secure.encrypted.spares import Spares
from fedtrade.secure.masked.keys import IdentityKey
from fedtrade.secure.settings import EncryptedAggregation

__all__ = ["MOST_OPENED", "KeyHolder"]

MOST_OPENED = 4096
"""Ciphertexts of an approximate scheme that are opened under one key; flooding reckons with it."""

Fields = Mapping[str, int | str | bytes]


class KeyHolder:
    """Makes keys and opens sums.

    Parameters
    ----------
    scheme : Scheme
    settings : EncryptedAggregation
        Of which `min_contributors` and `flooding_bits` are taken.
    run : 16 bytes
    identity : IdentityKey
        The key holder's own.
    identities : mapping of int to 32 bytes
        Public identity keys of the members by number.
    state : mapping or None
        An earlier `state`; without one, new keys are made.
    most_opened : int
        Ciphertexts that may be opened under these keys if the scheme is approximate; exact sums
        tell nothing of the key.
    spares : Spares or None
        Where the child that decrypts comes from and goes to. It knows secret keys: give no other
        part of the process the same.

    Raises
    ------
    ConfigurationError
        If the state is of another scheme.
    """

    def __init__(
        self,
        scheme: Scheme,
        settings: EncryptedAggregation,
        run: bytes,
        identity: IdentityKey,
        identities: Mapping[int, bytes],
        *,
        state: Fields | None = None,
        most_opened: int = MOST_OPENED,
        limits: Limits | None = None,
        spares: Spares | None = None,
    ) -> None:
        self._scheme, self._settings, self._run = scheme, settings, run
        self._identity, self._identities = identity, dict(identities)
        self._most_opened, self._limits = most_opened, limits or Limits()
        self._spares = spares
        self._next_session, self._n_opened = 0, 0
        if state is None:
            self._keys = scheme.generate()
        else:
            self._resume(state)

    @property
    def public(self) -> bytes:
        """The public key."""
        return self._keys.public

    @property
    def signature(self) -> bytes:
        """The key holder's signature under its public key; see `verify_key`."""
        return sign_key(self._identity, self._run, self._scheme, self.public)

    @property
    def state(self) -> dict[str, int | str | bytes]:
        """All that is needed to go on in another process. It holds the secret key."""
        return {
            "scheme": _parameters(self._scheme),
            "public": self._keys.public,
            "secret": self._keys.secret,
            "next_session": self._next_session,
            "n_opened": self._n_opened,
        }

    def decrypt(
        self,
        session: int,
        size: int,
        chunks: Sequence[bytes],
        contributors: Sequence[SignedDigest],
        weights: Sequence[int] | None = None,
    ) -> NDArray[np.int64]:
        """The sum of a session, of shape (size,), in elements of the layout's ring.

        Parameters
        ----------
        session : int
            Higher than that of all sums before.
        size : int
            Values of a contribution.
        chunks : sequence of bytes
            The sum's ciphertexts.
        contributors : sequence of SignedDigest
            Whose contributions are in it.
        weights : sequence of int or None
            Each one's; None if the scheme has none.

        Raises
        ------
        ReplayError
            If this session or a later one was asked for before.
        ThresholdError
            If there are too few contributors, one of them dominates, or the keys have opened as
            many ciphertexts as they may.
        SignatureError
            If somebody unknown is named, or a contribution is not signed by its member.
        ProtocolError
            If ciphertexts are malformed or do not count what is claimed.
        """
        if session < self._next_session:
            raise ReplayError(
                f"a sum of session {session} is asked for, and session {self._next_session - 1} "
                "was opened; each is opened once, in order."
            )
        total = self._check_weights(contributors, weights)
        self._check_contributors(session, contributors)
        self._check_chunks(size, chunks)
        # Spent before anything is opened: a server cannot try one sum after the other.
        self._next_session = session + 1
        self._n_opened += len(chunks)
        opened = self._open(size, chunks)
        wrong = opened.counts[~(np.abs(opened.counts - total) <= 0.25)]  # NaN is wrong too
        if wrong.size:
            raise ProtocolError(
                f"the sum's ciphertexts count {wrong[0]:.6g}, and {total} is claimed."
            )
        return self._flood(opened.values, len(contributors))

    def _check_weights(
        self, contributors: Sequence[SignedDigest], weights: Sequence[int] | None
    ) -> int:
        """What the counting slots must show."""
        least, n = self._settings.min_contributors, len(contributors)
        if n < least:
            raise ThresholdError(f"{n} members have contributed; min_contributors={least}.")
        if n > self._scheme.n_members:
            raise ThresholdError(f"{n} members have contributed; {self._scheme.n_members} may.")
        found = [1] * n if weights is None else list(weights)
        most = max_weight(self._scheme.weighted)
        if len(found) != n or not all(1 <= weight <= most for weight in found):
            raise ProtocolError(f"{n} weights from 1 to {most} are expected, got {found[:10]}.")
        if max(found) * least > sum(found):
            raise ThresholdError(
                f"a weight of {max(found)} is more than 1/{least} of all weight, {sum(found)}: "
                f"the sum would be of fewer than min_contributors={least} in effect."
            )
        return sum(found)

    def _check_contributors(self, session: int, contributors: Sequence[SignedDigest]) -> None:
        seen: set[int] = set()
        for signed in contributors:
            if signed.number in seen:
                raise ProtocolError(f"member {signed.number} is named twice.")
            seen.add(signed.number)
            if signed.number not in self._identities:
                raise SignatureError(f"member {signed.number} is unknown to the key holder.")
            verify_digest(signed, self._run, session, self._identities[signed.number])

    def _check_chunks(self, size: int, chunks: Sequence[bytes]) -> None:
        expected = n_chunks(size, self._scheme.entries)
        if size < 1 or len(chunks) != expected:
            raise ProtocolError(
                f"a sum of {size} values has {expected} ciphertexts, got {len(chunks)}."
            )
        for chunk in chunks:
            self._scheme.check_sum(chunk)
        is_worn = self._n_opened + len(chunks) > self._most_opened
        if is_worn and not self._scheme.is_exact:
            raise ThresholdError(
                f"these keys have opened {self._n_opened} of the {self._most_opened} ciphertexts "
                "that they may; make new keys."
            )

    def _open(self, size: int, chunks: Sequence[bytes]) -> OpenedSum:
        fields, parts = {"scheme": dict(self._scheme.fields())}, [self._keys.secret, *chunks]
        with self._child() as child:
            try:
                child.ask("start", fields, ())
                found, out = child.ask("decrypt", {"size": size}, parts)
            except ChildDied as death:
                raise ProtocolError(
                    f"the process that read the sum's ciphertexts died over them ({death})."
                ) from None
        return OpenedSum(np.frombuffer(out[0], dtype="<i8"), np.array(found["counts"]))

    @contextmanager
    def _child(self) -> Iterator[Child]:
        if self._spares is None:
            with Child(self._limits) as child:
                yield child
        else:
            with self._spares.lent(self._limits) as child:
                yield child

    def _flood(self, values: NDArray[np.int64], n_contributors: int) -> NDArray[np.int64]:
        if not isinstance(self._scheme, CKKS):
            return values.astype(np.int64)
        deviation = flooding_deviation(
            self._scheme, n_contributors, self._most_opened, self._settings.flooding_bits
        )
        return to_ring(values + gaussian(values.size, deviation))

    def _resume(self, state: Fields) -> None:
        parameters = _parameters(self._scheme)
        if state["scheme"] != parameters:
            raise ConfigurationError(
                f"the key holder's keys are for {state['scheme']!r}; the run needs {parameters}."
            )
        public, secret = state["public"], state["secret"]
        if not isinstance(public, bytes) or not isinstance(secret, bytes):
            raise ConfigurationError("the key holder's state holds no keys; start it anew.")
        self._keys = KeyPair(public, secret)
        self._next_session, self._n_opened = int(state["next_session"]), int(state["n_opened"])


def _parameters(scheme: Scheme) -> str:
    return json.dumps(dict(scheme.fields()), sort_keys=True)
