"""Members and a server in memory, stage by stage: members live in their stored state only."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from fedtrade.errors import SecureAggregationError
from fedtrade.secure import MaskedAggregation
from fedtrade.secure.masked import IdentityKey, MaskedClient, MaskedServer, Roster

Tamper = Callable[[str, int, Any], Any]

RUN = bytes(range(32))
KEYS = [IdentityKey.from_private_bytes(bytes([n]) * 32) for n in range(64)]
"""Long-term keys of members 0 to 63."""

STAGES = ("pledge", "open", "share", "upload", "check", "unmask")


def settings(**changes: Any) -> MaskedAggregation:
    """Settings with which small numbers of members work."""
    values = {"colluding_share": 0.1, "dropout_share": 0.2, **changes}
    return MaskedAggregation.from_mapping(values)


def words(n: int, size: int = 5, seed: int = 0, dtype: Any = np.uint32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, (n, size), dtype=dtype, endpoint=True)


def total(vectors: np.ndarray, members: Iterable[int]) -> np.ndarray:
    """The plain sum in the ring."""
    return vectors[list(members)].sum(axis=0, dtype=vectors.dtype)


class Play:
    """All parties of a run.

    Between two stages a member is only what `state` gave, which must be plain values.
    """

    def __init__(
        self,
        n: int,
        given: MaskedAggregation,
        *,
        seed: int = 0,
        numbers: Collection[int] | None = None,
    ) -> None:
        self.settings = given
        self.numbers = list(range(n) if numbers is None else numbers)
        self.roster = Roster({number: KEYS[number].public_bytes for number in self.numbers})
        self.server = MaskedServer(given, RUN, self.roster)
        self.states: dict[int, Mapping[str, Any]] = {n: {} for n in self.numbers}
        self.random = random.Random(seed)
        self.refused: dict[tuple[int, str, int], SecureAggregationError] = {}
        self.sent: dict[tuple[int, str, int], Any] = {}

    def client(self, number: int) -> MaskedClient:
        return MaskedClient(
            number, KEYS[number], self.roster, self.settings, RUN, self.states[number] or None
        )

    def act(self, number: int, what: Callable[[MaskedClient], Any]) -> Any:
        """Let a member do something, and store it again whether it raises or not."""
        client = self.client(number)
        try:
            return what(client)
        finally:
            assert all(type(value) in (int, str, bytes) for value in client.state.values())
            self.states[number] = dict(client.state)

    def request(self, stage: str, session: int, number: int, vectors: Any = None) -> Any:
        """What an honest server asks a member for."""
        match stage:
            case "open":
                return (self.server.commitments(session),)
            case "share":
                return (self.server.adverts(session, number),)
            case "upload":
                return (self.server.participants(session), vectors[number])
            case "check":
                return (self.server.survivors(session, number),)
            case "unmask":
                return (self.server.unmask_request(session, number),)
        return ()

    def asked(self, stage: str, session: int) -> list[int]:
        """Whom an honest server asks."""
        match stage:
            case "pledge":
                return self.numbers
            case "upload":
                self.server.participants(session)
                return list(self.server.members(session))
            case "check":
                self.server.close_uploads(session)
                return list(self.server.committee(session))
            case "unmask":
                return list(self.server.unmask_members(session))
        before = STAGES[STAGES.index(stage) - 1]
        return [n for s, name, n in self.sent if (s, name) == (session, before)]

    def receive(self, stage: str, session: int, number: int, answer: Any) -> None:
        receivers = {
            "pledge": self.server.pledged,
            "open": self.server.opened,
            "share": self.server.shared,
            "upload": self.server.uploaded,
            "check": self.server.checked,
            "unmask": self.server.unmasked,
        }
        receivers[stage](session, number, answer)

    def stage(
        self,
        stage: str,
        session: int = 0,
        *,
        vectors: Any = None,
        gone: Collection[int] = (),
        tamper: Tamper | None = None,
    ) -> None:
        """Ask all, in a random order; answers come in another one, each of them twice."""
        asked = [n for n in self.asked(stage, session) if n not in gone]
        requests = {n: self.request(stage, session, n, vectors) for n in asked}
        answers = []
        for number in self.random.sample(asked, len(asked)):
            try:
                answer = self.act(
                    number,
                    lambda client, n=number: getattr(client, stage)(session, *requests[n]),
                )
            except SecureAggregationError as error:
                self.refused[session, stage, number] = error
            else:
                answers.append((number, tamper(stage, number, answer) if tamper else answer))
        for number, answer in self.random.sample(answers * 2, 2 * len(answers)):
            try:
                self.receive(stage, session, number, answer)
            except SecureAggregationError as error:
                self.refused.setdefault((session, stage, number), error)
            else:
                self.sent[session, stage, number] = answer

    def until(
        self,
        last: str,
        session: int = 0,
        *,
        vectors: Any = None,
        gone: Mapping[str, Collection[int]] | None = None,
        tamper: Tamper | None = None,
    ) -> None:
        """All stages up to one, members in `gone` silent from that stage on."""
        silent: set[int] = set()
        for stage in STAGES[: STAGES.index(last) + 1]:
            silent |= set((gone or {}).get(stage, ()))
            self.stage(stage, session, vectors=vectors, gone=silent, tamper=tamper)

    def sum(self, vectors: Any, session: int = 0, **options: Any) -> Any:
        """A whole sum."""
        self.until("unmask", session, vectors=vectors, **options)
        return self.server.sums(session)
