"""Whole masked sums in one process, with members that drop, to measure and to try things out."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import FedtradeError, SecureAggregationError
from fedtrade.secure.agreement import RUN_BYTES
from fedtrade.secure.masked.client import MaskedClient
from fedtrade.secure.masked.cohort import clear_draws
from fedtrade.secure.masked.keys import IdentityKey
from fedtrade.secure.masked.roster import Roster
from fedtrade.secure.masked.server import MaskedServer
from fedtrade.secure.masked.server_cohort import CohortFailure, CohortSum
from fedtrade.secure.parameters import GraphParameters
from fedtrade.secure.settings import MaskedAggregation

__all__ = ["STAGES", "Rehearsal", "rehearse"]

STAGES = ("pledge", "open", "share", "upload", "check", "unmask")
"""Of a sum, in order."""


@dataclass
class Rehearsal:
    """What came of a rehearsal.

    Attributes
    ----------
    sums : list of lists
        For each sum, that of each cohort or why it failed; empty if the whole sum failed.
    problems : list of str
        For each sum, why it failed as a whole; empty if it did not.
    parameters : list of tuples
        Of each sum's cohorts.
    refusals : dict
        Errors of members and about members, by (session, stage, number).
    client_s : float64 of shape (n_members,)
        Processor time of each member over all its stages and sums.
    client_stage_s : dict of str to float
        The same by stage, over all members.
    server_s : float
        Processor time of the server.
    bytes_in, bytes_out : int64 of shape (n_members,)
        Received from each member, and made for it.
    """

    sums: list[list[CohortSum | CohortFailure]]
    problems: list[str]
    parameters: list[tuple[GraphParameters, ...]]
    client_s: NDArray[np.float64]
    bytes_in: NDArray[np.int64]
    bytes_out: NDArray[np.int64]
    refusals: dict[tuple[int, str, int], FedtradeError] = field(default_factory=dict)
    client_stage_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    server_s: float = 0.0


def rehearse(
    settings: MaskedAggregation,
    vectors: Sequence[NDArray[Any]],
    *,
    dropouts: Sequence[Mapping[str, Collection[int]]] = (),
    rng: np.random.Generator | int | None = None,
) -> Rehearsal:
    """Add members' words, one sum after the other, set up in advance as in a run.

    Parameters
    ----------
    vectors : sequence of uint32 or uint64 of shape (n_members, size)
        One for each sum; members are numbered from zero.
    dropouts : sequence of mappings
        For each sum, who falls silent from which stage on; see `STAGES`.
    rng : generator, seed or None
        For the order in which members answer. Keys and masks never come from it.

    Examples
    --------
    >>> import numpy as np
    >>> from fedtrade.secure import MaskedAggregation
    >>> words = np.arange(40, dtype=np.uint32).reshape(10, 4)
    >>> found = rehearse(MaskedAggregation(), [words], dropouts=[{"upload": {3}}])
    >>> (found.sums[0][0].total == words.sum(axis=0) - words[3]).all()
    np.True_
    """
    return _Stagehand(settings, vectors, dropouts, np.random.default_rng(rng)).run()


class _Stagehand:
    def __init__(
        self,
        settings: MaskedAggregation,
        vectors: Sequence[NDArray[Any]],
        dropouts: Sequence[Mapping[str, Collection[int]]],
        rng: np.random.Generator,
    ) -> None:
        n_members = len(vectors[0])
        run = os.urandom(RUN_BYTES)
        keys = [IdentityKey.generate() for _ in range(n_members)]
        roster = Roster({number: key.public_bytes for number, key in enumerate(keys)})
        self._vectors = vectors
        self._gone = [_gone(each) for each in dropouts]
        self._gone += [_gone({})] * (len(vectors) - len(dropouts))
        self._rng = rng
        self._clients = [MaskedClient(n, key, roster, settings, run) for n, key in enumerate(keys)]
        self._server = MaskedServer(settings, run, roster)
        self._result = Rehearsal(
            sums=[[] for _ in vectors],
            problems=[""] * len(vectors),
            parameters=[()] * len(vectors),
            client_s=np.zeros(n_members),
            bytes_in=np.zeros(n_members, dtype=np.int64),
            bytes_out=np.zeros(n_members, dtype=np.int64),
        )
        self._opened: dict[int, set[int]] = {}
        self._pledged: dict[int, set[int]] = {}

    def run(self) -> Rehearsal:
        """All sums."""
        last = len(self._vectors) - 1
        self._pledge(0)
        self._open(0)
        self._share(0)
        self._pledge(1)
        for session in range(last + 1):
            ready = self._upload(session)
            self._open(session + 1)
            ready = ready and self._close_and_check(session)
            if ready:
                self._unmask(session)
            self._share(session + 1)
            self._pledge(session + 2)
            if ready:
                self._result.sums[session] = self._serve(self._server.sums, session)
            self._server.forget(session)
        for number in range(len(self._clients)):
            self._result.bytes_in[number] = self._server.bytes_in[number]
            self._result.bytes_out[number] = self._server.bytes_out[number]
        return self._result

    def _pledge(self, session: int) -> None:
        if session < len(self._vectors):
            everybody = range(len(self._clients))
            self._pledged[session] = self._exchange(
                session, "pledge", everybody, lambda client, _: client.pledge(session), None
            )

    def _open(self, session: int) -> None:
        if session < len(self._vectors):
            fields = self._serve(self._server.commitments, session)
            self._opened[session] = self._exchange(
                session,
                "open",
                self._pledged[session],
                lambda client, given: client.open(session, given),
                lambda _: fields,
            )

    def _share(self, session: int) -> None:
        if session < len(self._vectors):
            self._exchange(
                session,
                "share",
                self._opened[session],
                lambda client, given: client.share(session, given),
                lambda number: self._server.adverts(session, number),
            )

    def _upload(self, session: int) -> bool:
        self._result.parameters[session] = self._server.parameters(session)
        try:
            fields = self._serve(self._server.participants, session)
        except SecureAggregationError as error:
            self._result.problems[session] = str(error)
            return False
        words = self._vectors[session]
        self._server.expect_words(session, words.shape[1], words.dtype)
        self._exchange(
            session,
            "upload",
            self._server.members(session),
            lambda client, given: client.upload(session, *given),
            lambda number: (fields, words[number]),
        )
        return True

    def _close_and_check(self, session: int) -> bool:
        try:
            self._serve(self._server.close_uploads, session)
        except SecureAggregationError as error:
            self._result.problems[session] = str(error)
            return False
        self._exchange(
            session,
            "check",
            self._server.committee(session),
            lambda client, given: client.check(session, given),
            lambda number: self._server.survivors(session, number),
        )
        return True

    def _unmask(self, session: int) -> None:
        self._exchange(
            session,
            "unmask",
            self._serve(self._server.unmask_members, session),
            lambda client, given: client.unmask(session, given),
            lambda number: self._server.unmask_request(session, number),
        )

    def _exchange(
        self,
        session: int,
        stage: str,
        asked: Iterable[int],
        act: Callable[[MaskedClient, Any], Any],
        request: Callable[[int], Any] | None,
    ) -> set[int]:
        """Ask members in a random order, and hand on their answers in another."""
        receivers: Mapping[str, Callable[..., None]] = {
            "pledge": self._server.pledged,
            "open": self._server.opened,
            "share": self._server.shared,
            "upload": self._server.uploaded,
            "check": self._server.checked,
            "unmask": self._server.unmasked,
        }
        done: set[int] = set()
        present = [number for number in asked if number not in self._gone[session][stage]]
        for number in self._rng.permutation(present).tolist():
            try:
                given = None if request is None else self._serve(request, number)
                answer = self._timed(number, stage, act, given)
                self._serve(receivers[stage], session, number, answer)
            except FedtradeError as error:
                self._result.refusals[session, stage, number] = error
            else:
                done.add(number)
        return done

    def _timed(
        self, number: int, stage: str, act: Callable[[MaskedClient, Any], Any], given: Any
    ) -> Any:
        clear_draws()
        start = time.process_time()
        try:
            return act(self._clients[number], given)
        finally:
            spent = time.process_time() - start
            self._result.client_s[number] += spent
            self._result.client_stage_s[stage] += spent

    def _serve(self, act: Callable[..., Any], *args: Any) -> Any:
        start = time.process_time()
        try:
            return act(*args)
        finally:
            self._result.server_s += time.process_time() - start


def _gone(dropouts: Mapping[str, Collection[int]]) -> dict[str, set[int]]:
    """By stage, who is silent at it."""
    unknown = set(dropouts) - set(STAGES)
    if unknown:
        raise ValueError(f"members drop at one of {', '.join(STAGES)}, got {sorted(unknown)}.")
    silent: set[int] = set()
    found = {}
    for stage in STAGES:
        silent = silent | set(dropouts.get(stage, ()))
        found[stage] = silent
    return found
