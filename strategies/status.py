"""How a run stands, for whoever watches the server: a file, and log lines with fields.

The file is written anew at each event, in one step; a run does not fail where it cannot be.
Log lines go through Flower's logger; the fields are attributes of their records, beside `event`.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging import ERROR, INFO, WARNING
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from flwr.supercore import log
from flwr.supercore.logger import FLOWER_LOGGER

from fedtrade.atomic import write_atomically
from fedtrade.errors import FedtradeError, OutputError
from fedtrade.nodes.logs import LOG_VARIABLE, write_events_as_json
from fedtrade.nodes.registry import Party
from fedtrade.outcome import EpisodeOutcome, RoundLog
from fedtrade.wire import printable
from strategies.membership import Membership
from strategies.replies import Refusal

__all__ = ["STATUS_VARIABLE", "RunStatus"]

STATUS_VARIABLE: Final = "FEDTRADE_STATUS"
"""The environment variable in which a ServerApp finds where to write the file."""

SCHEMA: Final = 1
MOST_REFUSALS: Final = 100
HERE, MISSING, REFUSED = "here", "missing", "refused"


@dataclass
class _Standing:
    """How it stands with one party's node."""

    name: str
    number: int
    role: str
    node_id: str = ""
    state: str = MISSING
    reason: str = ""

    @classmethod
    def of(cls, party: Party) -> "_Standing":
        return cls(party.name, party.number, party.role)


@dataclass
class RunStatus:
    """Keeps the file up to date; as a context it also says how the run ended.

    Attributes
    ----------
    path : Path or None
        Of the file; None writes none.
    run_id : int
    task, mode, out : str
        Of the settings, when they are known.
    n_bytes : callable
        Bytes received from nodes and sent to them so far.
    """

    path: Path | None
    run_id: int = 0
    task: str = ""
    mode: str = ""
    out: str = ""
    n_bytes: Callable[[], tuple[int, int]] = lambda: (0, 0)
    _state: str = "waiting"
    _reason: str = ""
    _episode: dict[str, Any] = field(default_factory=lambda: {"number": 0, "of": 0, "label": ""})
    _round: dict[str, int] = field(default_factory=lambda: {"number": 0, "of": 0})
    _standings: dict[str, _Standing] = field(default_factory=dict)
    _members: Membership | None = None
    _last_round: dict[str, Any] | None = None
    _totals: dict[str, int] = field(
        default_factory=lambda: {"rounds": 0, "replies": 0, "refusals": 0}
    )
    _refusals: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_REFUSALS))
    _is_broken: bool = False

    @classmethod
    def of_environment(cls, run_id: int) -> "RunStatus":
        """Where and how the environment says."""
        if os.environ.get(LOG_VARIABLE) == "json":
            write_events_as_json(FLOWER_LOGGER)
        path = os.environ.get(STATUS_VARIABLE)
        return cls(Path(path) if path else None, run_id)

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._end("finished", "")
            _say(INFO, "run-finished", "The run is finished: %s", self.out, run_id=self.run_id)
            return
        reason = str(error) if isinstance(error, FedtradeError) else _described(error)
        self._end("failed", printable(reason))
        _say(ERROR, "run-failed", "The run failed: %s", printable(reason), run_id=self.run_id)

    # --- who is there ---------------------------------------------------------------------------

    def expect(self, parties: Iterable[Party]) -> None:
        """Say whose nodes the run waits for."""
        self._standings |= {party.name: _Standing.of(party) for party in parties}
        self._write()

    def arrived(self, there: Mapping[int, Party]) -> None:
        """Say whose nodes are there, while others are waited for."""
        for standing in self._standings.values():
            standing.state, standing.node_id = MISSING, ""
        for node, party in there.items():
            standing = self._standings.setdefault(party.name, _Standing.of(party))
            standing.state, standing.node_id = HERE, str(node)
        names = ", ".join(sorted(party.name for party in there.values())) or "nobody"
        n_missing = sum(standing.state == MISSING for standing in self._standings.values())
        _say(INFO, "waiting", "Waiting for %d more nodes; there: %s", n_missing, names)
        self._write()

    def joined(self, members: Membership) -> None:
        """Say who takes part, and who is left out."""
        self._members, self._state = members, "running"
        refused = dict(members.refusals)
        for node in {*members.participants, *members.key_holders, *members.parties, *refused}:
            standing = self._standing_of(node)
            if standing is None:
                continue
            is_member = node in members.participants or node in members.key_holders
            standing.state = HERE if is_member else REFUSED if node in refused else MISSING
            standing.node_id, standing.reason = str(node), printable(refused.get(node, ""))
            if is_member:
                party, number = members.title_of(node), standing.number
                _say(INFO, "joined", "%s has joined", party, party=party, number=number)
        self._write()

    # --- how far it is --------------------------------------------------------------------------

    def planned(self, n_episodes: int, n_rounds: int) -> None:
        """Say how much is to be done."""
        self._episode["of"], self._round["of"] = n_episodes, n_rounds
        self._write()

    def episode_started(self, outcome: EpisodeOutcome, label: str) -> None:
        """Say which episode begins, or goes on; what a checkpoint has of it counts as done."""
        self._episode |= {"number": outcome.episode.number + 1, "label": label}
        self._round["number"] = len(outcome.rounds)
        for entry in outcome.rounds:
            self._add(entry)
        self._totals["refusals"] += len(outcome.failures)
        _say(
            INFO,
            "episode-started",
            "Episode %d of %d (%s)",
            self._episode["number"],
            self._episode["of"],
            label,
            episode=self._episode["number"],
        )
        self._write()

    def refused(self, round_number: int, refusals: Iterable[Refusal]) -> None:
        """Say who gave nothing that can be used, in a round, or before (0) or after (-1) them."""
        members = self._members
        for node, reason in refusals:
            party = f"node {node}" if members is None else members.title_of(node)
            entry = {"party": party, "round": round_number, "reason": printable(reason)}
            self._refusals.append(entry)
            self._totals["refusals"] += 1
        self._write()

    def round_finished(
        self, entry: RoundLog, refusals: Iterable[Refusal], absent: Collection[int]
    ) -> None:
        """Say how a round went, and how it stands with each member since.

        Parameters
        ----------
        absent : collection of int
            Nodes that are not there, or did not answer in time.
        """
        self._round["number"] = entry.round_number
        self._add(entry)
        reasons = dict(refusals)
        members = self._members
        nodes = () if members is None else (*members.participants, *members.key_holders)
        for node in nodes:
            standing = self._standing_of(node)
            if standing is not None:
                answered = REFUSED if node in reasons else HERE
                standing.state = MISSING if node in absent else answered
                standing.reason = printable(reasons.get(node, ""))
        fields = {
            "episode": self._episode["number"],
            "round": entry.round_number,
            "n_replies": entry.n_replies,
            "n_failures": entry.n_failures,
            "seconds": round(entry.seconds, 3),
        }
        _say(
            INFO,
            "round-finished",
            "Round %d of %d: %d replies, %d refused or missing, %.1f s",
            entry.round_number,
            self._round["of"],
            entry.n_replies,
            entry.n_failures,
            entry.seconds,
            **fields,
        )
        self._write()

    # --- inside ---------------------------------------------------------------------------------

    def _standing_of(self, node: int) -> _Standing | None:
        """That of a node's party; without a register, of the participant by its number."""
        members = self._members
        if members is None:
            return None
        party = members.parties.get(node)
        if party is not None:
            return self._standings.setdefault(party.name, _Standing.of(party))
        if node in members.participants:
            number, role = members.participants[node], "participant"
            name = f"participant {number}"
        elif node in members.key_holders:
            number, role, name = -1, "key_holder", "key holder"
        else:
            number, role, name = -1, "", f"node {node}"
        return self._standings.setdefault(name, _Standing(name, number, role))

    def _add(self, entry: RoundLog) -> None:
        self._totals["rounds"] += 1
        self._totals["replies"] += entry.n_replies
        loss = float(entry.loss)
        self._last_round = {
            "n_replies": entry.n_replies,
            "n_failures": entry.n_failures,
            "loss": loss if loss == loss and abs(loss) != float("inf") else None,
            "seconds": entry.seconds,
        }

    def _end(self, state: str, reason: str) -> None:
        self._state, self._reason = state, reason
        self._write()

    def _write(self) -> None:
        if self.path is None or self._is_broken:
            return
        up, down = self.n_bytes()
        content = {
            "schema": SCHEMA,
            "state": self._state,
            "reason": self._reason,
            "run_id": self.run_id,
            "task": self.task,
            "mode": self.mode,
            "out": self.out,
            "episode": self._episode,
            "round": self._round,
            "parties": [vars(standing) for standing in self._standings.values()],
            "last_round": self._last_round,
            "totals": self._totals | {"bytes_up": up, "bytes_down": down},
            "refusals": list(self._refusals),
            "updated": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        try:
            write_atomically(self.path, json.dumps(content, allow_nan=False))
        except OutputError as error:
            self._is_broken = True
            log(WARNING, "nobody can see how the run stands: %s", error)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _say(level: int, event: str, text: str, *values: object, **fields: object) -> None:
    log(level, text, *values, extra={"event": event, **fields})
