"""Who makes the keys and opens sums, and nothing else.

The key holder is neither the server nor a member that trains. It opens one sum a session, in
order, and only one that

- members have signed contributions to, `min_contributors` at least, each for this session;
- is dominated by nobody: no weight is more than `1 / min_contributors` of all weight;
- has, once the pads of just these contributions are off, the count in every chunk that it should
  have (as many as there are signatures, or as much weight), nothing where no values are, and no
  value that so many could not make together.

The session is spent with the first attempt that passes the first two, as the others take a
decryption; what is refused before has opened nothing.

**What this rests on.** The server may do anything but work together with the key holder: the two
together read everything. The key holder sees ciphertexts of sums only, if the server follows the
protocol.

Each member i agrees with the key holder on a key that the server does not have (X25519, both halves
signed), and adds a pad r_i that is expanded from it to what it encrypts, another in each session
(`fedtrade.secure.encrypted.pads`). Of whatever D the server's ciphertexts decrypt to, the key
holder opens D - S, where S is the sum of w_i r_i over the contributors that the server names, with
the weights that it names. Suppose that the server even had the secret key. Then it could take
y_i = u_i + r_i from each ciphertext of a member, which is uniform by itself; and D - S would show
it S, that is the sum of w_i u_i over all who are named, and nothing else. A session has one such
answer. So what is opened tells of the named sum at most, whatever the ciphertexts are: one
member's with a made-up count, a sum with one left out or doubled, or those of another session.
Where they are not the named sum they are opened as noise. The key holder sees that in the counts,
and opens nothing; it errs with a probability of one in the modulus for each chunk, or with CKKS if
thousands of uniform values all look possible. A server that spares the counts and spoils some of
the other slots gets the noise there.

Counted are members whose pads the server does not know: those who work together with it hide
nobody. And what a decryption tells a server that lies is not bounded otherwise, it may come to have
the secret key; as above, that shows it nothing more.

Members can send what is no contribution, such as another pad or more noise than is usual; that
costs the sum, and nobody can say whose fault it was.

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
from fedtrade.secure.encrypted.channels import TRAINING
from fedtrade.secure.encrypted.child import Child, ChildDied, Limits
from fedtrade.secure.encrypted.ckks import CKKS, flooding_deviation, to_ring
from fedtrade.secure.encrypted.contribution import SignedDigest, sign_key, verify_digest
from fedtrade.secure.encrypted.flooding import gaussian
from fedtrade.secure.encrypted.pad_keys import PadKeys
from fedtrade.secure.encrypted.scheme import KeyPair, OpenedSum, Scheme, max_weight, n_chunks
from fedtrade.secure.encrypted.spares import Spares
from fedtrade.secure.masked.keys import AgreementKey, IdentityKey
from fedtrade.secure.settings import EncryptedAggregation
from fedtrade.secure.subject import NO_SUBJECT

__all__ = ["MOST_OPENED", "KeyHolder"]

MOST_OPENED = 4096
"""Ciphertexts of an approximate scheme that are opened under one key; flooding reckons with it."""

MOST_MISCOUNT = 0.25
"""How far a counting slot may be off."""

SLACK = 64.0
"""Deviations of an approximate scheme's error; slots stray three times as far as most."""

Fields = Mapping[str, int | str | bytes]


class KeyHolder:
    """Makes keys and opens sums.

    Parameters
    ----------
    scheme : Scheme
    settings : EncryptedAggregation
        Of which `min_contributors` and `flooding_bits` are taken.
    run : 32 bytes
    identity : IdentityKey
        The key holder's own.
    identities : mapping of int to 32 bytes
        Public identity keys of the members by number.
    pad_publics : mapping of int to 32 bytes
        Their public keys of pads, whose signatures are checked (`verify_pad_key`).
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
        pad_publics: Mapping[int, bytes],
        *,
        state: Fields | None = None,
        most_opened: int = MOST_OPENED,
        limits: Limits | None = None,
        spares: Spares | None = None,
    ) -> None:
        self._scheme, self._settings, self._run = scheme, settings, run
        self._identity, self._identities = identity, dict(identities)
        self._pad_publics = dict(pad_publics)
        self._most_opened, self._limits = most_opened, limits or Limits()
        self._spares = spares
        self._next_session, self._n_opened = 0, 0
        if state is None:
            self._keys, self._agreement = scheme.generate(), AgreementKey()
        else:
            self._resume(state)

    @property
    def public(self) -> bytes:
        """The public key."""
        return self._keys.public

    @property
    def pad_public(self) -> bytes:
        """The public key with which members agree on pads."""
        return self._agreement.public_bytes

    @property
    def signature(self) -> bytes:
        """The key holder's signature under its public keys; see `verify_key`."""
        return sign_key(self._identity, self._run, self._scheme, self.public, self.pad_public)

    @property
    def state(self) -> dict[str, int | str | bytes]:
        """All that is needed to go on in another process. It holds the secret keys."""
        return {
            "scheme": _parameters(self._scheme),
            "public": self._keys.public,
            "secret": self._keys.secret,
            "pad_secret": self._agreement.private_bytes,
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
        *,
        kind: str = TRAINING,
        subject: bytes = NO_SUBJECT,
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
        kind : str
            Of sums, as in the contributors' `PadKeys`.
        subject : 32 bytes
            What is added up, as in those. A server that names another one gets nonsense.

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
            If ciphertexts are malformed, or not the sum of these contributions.
        """
        if session < self._next_session:
            raise ReplayError(
                f"a sum of session {session} is asked for, and session {self._next_session - 1} "
                "was opened; each is opened once, in order."
            )
        weighed = self._check_weights(contributors, weights)
        self._check_contributors(session, contributors)
        self._check_chunks(size, chunks)
        # Spent before anything is opened: a server cannot try one sum after the other.
        self._next_session = session + 1
        self._n_opened += len(chunks)
        numbers = [signed.number for signed in contributors]
        weights_of = dict(zip(numbers, weighed, strict=True))
        pads = self._pads(session, kind, subject, weights_of, len(chunks))
        opened = self._open(size, chunks, pads)
        self._check_opened(opened, len(numbers), sum(weighed))
        return self._flood(opened.values, len(numbers))

    def _check_weights(
        self, contributors: Sequence[SignedDigest], weights: Sequence[int] | None
    ) -> list[int]:
        """Each contributor's weight."""
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
        return found

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

    def _pads(
        self, session: int, kind: str, subject: bytes, weights: Mapping[int, int], n_chunks: int
    ) -> list[bytes]:
        """The pads that are on the sum of contributions with these weights by number."""
        keys = (
            (self._pad_keys(number, kind).of(session, subject), weight)
            for number, weight in weights.items()
        )
        return self._scheme.pads(self.public).total(keys, n_chunks)

    def _pad_keys(self, number: int, kind: str) -> PadKeys:
        if number not in self._pad_publics:
            raise SignatureError(f"member {number} has no pad key that the key holder knows.")
        return PadKeys(self._agreement, self._pad_publics[number], self._run, number, kind)

    def _check_opened(self, opened: OpenedSum, n_contributors: int, weight: int) -> None:
        """Refuse what these contributions do not add up to.

        Raises
        ------
        ProtocolError
            Which says nothing of what was found.
        """
        slack = SLACK * self._scheme.error(n_contributors)
        is_counted = bool((np.abs(opened.counts - weight) <= MOST_MISCOUNT).all())
        is_possible = opened.largest <= weight * self._scheme.bound + slack
        if not (is_counted and is_possible and opened.rest <= slack):  # NaN is wrong too
            raise ProtocolError(
                f"the ciphertexts are not the sum of the {n_contributors} contributions that the "
                "server names, or somebody has sent garbage: nothing is opened."
            )

    def _open(self, size: int, chunks: Sequence[bytes], pads: Sequence[bytes]) -> OpenedSum:
        fields = {"scheme": dict(self._scheme.fields())}
        asked = {"size": size, "n_chunks": len(chunks)}
        with self._child() as child:
            try:
                child.ask("start", fields, ())
                found, out = child.ask("decrypt", asked, [self._keys.secret, *chunks, *pads])
            except ChildDied as death:
                raise ProtocolError(
                    f"the process that read the sum's ciphertexts died over them ({death})."
                ) from None
        values, counts = np.frombuffer(out[0], dtype="<i8"), np.array(found["counts"])
        return OpenedSum(values, counts, found["largest"], found["rest"])

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
        names = ("public", "secret", "pad_secret")
        keys = [key for key in map(state.get, names) if isinstance(key, bytes)]
        if len(keys) != len(names):
            raise ConfigurationError("the key holder's state holds no keys; start it anew.")
        self._keys, self._agreement = KeyPair(keys[0], keys[1]), AgreementKey(keys[2])
        self._next_session, self._n_opened = int(state["next_session"]), int(state["n_opened"])


def _parameters(scheme: Scheme) -> str:
    return json.dumps(dict(scheme.fields()), sort_keys=True)
