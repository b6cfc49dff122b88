"""One masked or encrypted sum, measured party by party and checked against the plain sum."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.secure import EncryptedAggregation, MaskedAggregation
from fedtrade.secure.encrypted import (
    CiphertextSum,
    Contribution,
    EncryptedSum,
    KeyHolder,
    PadKeys,
    SignedDigest,
    Spares,
    check_contribution,
    contribute,
    scheme_for,
)
from fedtrade.secure.encrypted.channels import TRAINING
from fedtrade.secure.encrypted.paillier import Paillier
from fedtrade.secure.encrypted.scheme import MAX_WEIGHT
from fedtrade.secure.layout import Layout, least_modulus
from fedtrade.secure.masked import CohortSum, IdentityKey, rehearse
from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.payload import training_segments, training_values
from simulations.bench.peak_memory import peak_mib
from simulations.bench.signature_checks import timed_signature_checks

__all__ = ["Measured", "measure_encrypted", "measure_masked"]

Measured = Mapping[str, tuple[float, str]]
"""Value and unit by metric."""

_RUN = bytes(range(32))
_KIB = 1024.0
_BATCH = 50
"""Encrypted contributions that reach the server together, so that few are in memory."""


def measure_masked(settings: MaskedAggregation, n_members: int, n_params: int) -> Measured:
    """A whole sum from the pledges to the total, of which its own set-up is a part.

    In a run the set-up rides on the messages of the sum before, and that of the sum after on
    these: one set-up a sum in any case. The dropouts that the settings reckon with do drop out,
    before they upload.

    Raises
    ------
    RuntimeError
        If the total is not that of the plain fixed-point sum, bit for bit.
    """
    rng = np.random.default_rng(n_members)
    gone = rng.permutation(n_members)[: ceil(settings.dropout_share * n_members)].tolist()
    layout = Layout(training_segments(settings, n_params, by_examples=False), n_members)
    words = np.empty((n_members, layout.size), layout.dtype)
    began = time.process_time()
    for number in range(n_members):
        update = _update(rng, n_params, settings.clip)
        words[number] = layout.encode(training_values(settings, update, 1, 0.0, by_examples=False))
    encode_s = (time.process_time() - began) / n_members
    rehearse(settings.model_copy(update={"group_size": None}), [words[:8, :8].copy()])  # warms up
    before = peak_mib()
    began = time.perf_counter()
    with timed_signature_checks() as checks:
        found = rehearse(settings, [words], dropouts=[{"upload": gone}], rng=0)
    elapsed_s = time.perf_counter() - began
    memory_mib = peak_mib() - before
    total, members = _only_sum(found.sums[0], found.problems[0])
    there = np.setdiff1d(np.arange(n_members), gone)
    plain = np.zeros(layout.size, layout.dtype)
    for number in there:
        layout.add(plain, words[number])
    if members != tuple(there.tolist()) or not np.array_equal(total, plain):
        raise RuntimeError(f"the masked sum of {len(members)} members is not the plain sum.")
    began = time.process_time()
    layout.decode(total, len(members))
    server_s = found.server_s + time.process_time() - began
    client_s = found.client_s + encode_s
    (graph,) = found.parameters[0]
    return {
        "total": (float(client_s.sum()) + server_s, "s"),
        "elapsed": (elapsed_s, "s"),
        "server": (server_s, "s"),
        "client_mean": (1e3 * float(client_s[there].mean()), "ms"),
        "client_worst": (1e3 * float(client_s.max()), "ms"),
        "client_mean:signature_checks": (1e3 * checks.seconds / n_members, "ms"),
        **{
            f"client_mean:{stage}": (1e3 * seconds / n_members, "ms")
            for stage, seconds in found.client_stage_s.items()
        },
        "client_up": (float(found.bytes_in[there].mean()) / _KIB, "KiB"),
        "client_up_without_words": (
            (float(found.bytes_in[there].mean()) - words[0].nbytes) / _KIB,
            "KiB",
        ),
        "client_down": (float(found.bytes_out[there].mean()) / _KIB, "KiB"),
        "neighbours": (graph.degree, ""),
        "threshold": (graph.threshold, ""),
        "committee": (graph.committee, ""),
        "word_bits": (8 * layout.dtype.itemsize, ""),
        "peak_rss_beyond_input": (memory_mib, "MiB"),
        "equals_plain_sum": (1.0, ""),
    }


def _only_sum(sums: Sequence[Any], problem: str) -> tuple[NDArray[Any], tuple[int, ...]]:
    if len(sums) != 1 or not isinstance(sums[0], CohortSum):
        raise RuntimeError(f"the masked sum failed: {problem or sums}")
    return sums[0].total, tuple(sorted(sums[0].members))


def measure_encrypted(
    settings: EncryptedAggregation, n_members: int, n_params: int, n_encrypted: int | None = None
) -> Measured:
    """A sum of `n_members` contributions, parsed, added with their weights and opened.

    Parameters
    ----------
    n_encrypted : int or None
        Members that encrypt; the others send the ciphertexts of one of them again, under their
        own numbers, pads and signatures. The noise of lattice ciphertexts adds up otherwise then,
        so it is for Paillier. None lets everybody encrypt.

    Raises
    ------
    RuntimeError
        If an exact scheme's sum is not the plain fixed-point sum, or an approximate one is far
        off.
    """
    case = _Encrypted(settings, n_members, n_params, n_encrypted or n_members)
    spares = Spares()
    try:
        case.add_up(1, spares)  # in a run the process waits for the next sum
        closed, spent = case.add_up(n_members, spares)
    finally:
        spares.close()
    weights = closed.weights if settings.weighted else None
    began = time.perf_counter()
    opened = case.holder.decrypt(0, case.layout.size, closed.chunks, spent.digests, weights)
    opener_s = time.perf_counter() - began
    exact = case.unflooded(closed, weights)
    if case.scheme.is_exact and not (
        np.array_equal(exact, spent.words) and np.array_equal(opened, spent.words)
    ):
        raise RuntimeError(f"the sum of {case.scheme.name} is not the plain fixed-point sum.")
    weight = float(sum(closed.weights))
    error, error_as_opened = (
        float(np.abs(values[:n_params] * case.layout.steps[0] - spent.update).max())
        for values in (exact, opened)
    )
    if not error <= 1e-3 * settings.clip * weight:
        raise RuntimeError(f"the sum of {case.scheme.name} is {error:.3g} off.")
    return {
        "server": (spent.server_s, "s"),
        "client_mean": (1e3 * float(np.mean(spent.client_s)), "ms"),
        "client_worst": (1e3 * float(np.max(spent.client_s)), "ms"),
        "key_holder": (opener_s, "s"),
        "keys": (case.keys_s, "s"),
        "upload": (spent.upload_bytes / _KIB, "KiB"),
        "upload_over_float32": (spent.upload_bytes / (4 * n_params), "x"),
        "ciphertexts": (len(closed.chunks), ""),
        # A run takes the mean; the error of the sum is larger by the sum of the weights.
        "error_of_mean": (error / weight / settings.clip, "clip"),
        "error_of_sum": (error / settings.clip, "clip"),
        "error_of_mean_as_opened": (error_as_opened / weight / settings.clip, "clip"),
        "equals_plain_sum": (float(np.array_equal(opened, spent.words)), ""),
    }


@dataclass
class _Spent:
    """What a sum took, and what it should come to."""

    words: NDArray[np.int64]
    update: NDArray[np.float64]
    server_s: float = 0.0
    upload_bytes: float = 0.0
    client_s: list[float] = field(default_factory=list)
    digests: list[SignedDigest] = field(default_factory=list)


class _Encrypted:
    """Members, key holder and server."""

    def __init__(
        self, settings: EncryptedAggregation, n_members: int, n_params: int, n_encrypted: int
    ) -> None:
        most = MAX_WEIGHT if settings.weighted else 1
        # As in a run, parameters are made for members that count by examples too.
        wanted = training_segments(settings, 1, by_examples=True)
        least = least_modulus(wanted, n_members * most)
        self.settings, self._n_encrypted = settings, n_encrypted
        self.scheme = scheme_for(settings, n_members, least_modulus=least)
        segments = training_segments(settings, n_params, by_examples=False)
        self.layout = Layout(segments, self.scheme.layout_members, modulus=self.scheme.modulus)
        self._identities = [IdentityKey.generate() for _ in range(n_members)]
        public = {number: key.public_bytes for number, key in enumerate(self._identities)}
        self._agreements = [AgreementKey() for _ in range(n_members)]
        pads = {number: key.public_bytes for number, key in enumerate(self._agreements)}
        began = time.perf_counter()
        self.holder = KeyHolder(self.scheme, settings, _RUN, IdentityKey.generate(), public, pads)
        self.keys_s = time.perf_counter() - began
        rng = np.random.default_rng(n_members)
        self._weights = rng.integers(1, most, size=n_members, endpoint=True)
        self._n_params = n_params
        self._rng = rng
        self._sent: list[tuple[Contribution, NDArray[np.int64], NDArray[np.float32]]] = []

    def unflooded(self, closed: EncryptedSum, weights: Sequence[int] | None) -> NDArray[np.int64]:
        """The sum before noise is added to an approximate one."""
        secret = self.holder.state["secret"]
        assert isinstance(secret, bytes)
        each = weights or [1] * len(closed.numbers)
        keys = [(self._pad_key(k), w) for k, w in zip(closed.numbers, each, strict=True)]
        pads = self.scheme.pads(self.holder.public).total(keys, len(closed.chunks))
        decryptor = self.scheme.decryptor(secret)
        return decryptor.decrypt(closed.chunks, self.layout.size, pads).values

    def add_up(self, n_members: int, spares: Spares) -> tuple[EncryptedSum, _Spent]:
        """Let members contribute, a batch at a time, and the server add what has come."""
        spent = _Spent(np.zeros(self.layout.size, np.int64), np.zeros(self._n_params))
        self._rng, self._sent = np.random.default_rng(0), []
        began = time.perf_counter()
        with CiphertextSum(
            self.scheme, self.holder.public, self.layout.size, spares=spares
        ) as growing:
            spent.server_s += time.perf_counter() - began
            for first in range(0, n_members, _BATCH):
                numbers = range(first, min(first + _BATCH, n_members))
                batch = [self._contribution_of(number, spent) for number in numbers]
                began = time.perf_counter()
                for number, contribution in zip(numbers, batch, strict=True):
                    identity = self._identities[number].public_bytes
                    check_contribution(contribution, _RUN, 0, identity)
                    growing.add(number, contribution.chunks, int(self._weights[number]))
                spent.server_s += time.perf_counter() - began
            began = time.perf_counter()
            closed = growing.close()
            spent.server_s += time.perf_counter() - began
        spent.upload_bytes /= n_members
        return closed, spent

    def _contribution_of(self, number: int, spent: _Spent) -> Contribution:
        """What a member sends; what the sum should come to is noted."""
        if number < self._n_encrypted:
            update = _update(self._rng, self._n_params, self.settings.clip)
            began = time.perf_counter()
            contribution, words = self._contribute(number, update)
            spent.client_s.append(time.perf_counter() - began)
            if self._n_encrypted < self.scheme.n_members:
                self._sent.append((contribution, words, update))
        else:
            first, words, update = self._sent[number % self._n_encrypted]
            contribution = self._repeat(number, first, words)
        weight = int(self._weights[number])
        spent.digests.append(contribution.signed)
        spent.words += weight * words
        spent.update += float(weight) * update
        spent.upload_bytes += sum(map(len, contribution.chunks))
        return contribution

    def _contribute(
        self, number: int, update: NDArray[np.float32]
    ) -> tuple[Contribution, NDArray[np.int64]]:
        """All that a member does, the reading of the public key included."""
        values = training_values(self.settings, update, 1, 0.0, by_examples=False)
        words = self.layout.encode(values).astype(np.int64, copy=False)
        encryptor = self.scheme.encryptor(self.holder.public)
        identity, key = self._identities[number], self._pad_key(number)
        return contribute(encryptor, identity, _RUN, 0, number, words, key), words

    def _pad_key(self, number: int) -> bytes:
        theirs = self.holder.pad_public
        return PadKeys(self._agreements[number], theirs, _RUN, number, TRAINING).of(0)

    def _repeat(self, number: int, first: Contribution, words: NDArray[np.int64]) -> Contribution:
        """The same ciphertexts under another member's pad; of Paillier, where that is a product."""
        assert isinstance(self.scheme, Paillier)
        key, n_chunks = self.scheme.public_key(self.holder.public), len(first.chunks)
        before, behind = (
            self.scheme.pads(self.holder.public).total([(self._pad_key(each), 1)], n_chunks)
            for each in (first.signed.number, number)
        )
        chunks = []
        for chunk, old, new in zip(first.chunks, before, behind, strict=True):
            other = int.from_bytes(new, "big") - int.from_bytes(old, "big")
            product = self.scheme.load(key, chunk) * (1 + key.n * other) % key.nsquare
            chunks.append(self.scheme.dump(product))
        ready, identity = _Ready(chunks), self._identities[number]
        return contribute(ready, identity, _RUN, 0, number, words, self._pad_key(number))


class _Ready:
    """Ciphertexts that were made before."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = list(chunks)

    def encrypt(self, values: NDArray[np.int64], pad_key: bytes | None = None) -> list[bytes]:
        """The chunks."""
        return self._chunks


def _update(rng: np.random.Generator, n_params: int, clip: float) -> NDArray[np.float32]:
    return rng.uniform(-clip, clip, n_params).astype(np.float32)
