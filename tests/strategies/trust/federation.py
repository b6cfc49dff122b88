"""A server's pieces round by round on a grid of real participants, of which some fail or lie."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import pandas as pd
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MessageType, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from conf import compose
from fedtrade.components import build
from fedtrade.holdings import build_task
from fedtrade.privacy.participant.run import noisy_vectors
from fedtrade.secure.wire import SESSION
from fedtrade.settings import Settings
from fedtrade.wire import CALENDAR, SHARED_PREFIX, SUM_NAME, seconds_of
from simulations.records import copy_message
from strategies.episode import array_record
from strategies.membership import Membership, discover
from strategies.plan import episode_calendar, plan
from strategies.preconditions import check_strategy
from strategies.round_strategy import RoundReport
from strategies.trust import Row, Rows, Summed, trust_mode
from tests.conftest import make_market

__all__ = [
    "STAGES",
    "Fate",
    "Federation",
    "MeddledGrid",
    "Rewrite",
    "answers",
    "composer",
    "message_to",
    "node_of",
    "stages_of",
    "with_fields",
]

STAGES = ("pledge", "open", "share", "upload", "check", "unmask")
ENCRYPTED = ("key", "round", "decrypt")

Fate: TypeAlias = Callable[[int, Mapping[str, int]], Any]
"""From a participant's number and the sums of the stages in a message to what becomes of it: None
(nothing happens), "lost" (it never arrives), "error" (an error reply), "silent" (the reply is
lost), "late" (it comes with those to the next messages), or a function from the reply to one
reply or a list of them."""


Rewrite: TypeAlias = Callable[[int, Message], Message]
"""From a participant's number and the message to it to what is sent instead."""


def stages_of(message: Message) -> dict[str, int]:
    """The sum of each stage that a message asks for; training counts as one, the greeting as -1."""
    found = {
        name.removeprefix("secure."): int(record.get(SESSION, -1))  # type: ignore[arg-type]
        for name, record in message.content.config_records.items()
        if name.startswith("secure.")
    }
    known = (*STAGES, *ENCRYPTED, "greeting")
    asked = {name: session for name, session in found.items() if name in known}
    if message.metadata.message_type == MessageType.TRAIN:
        asked["train"] = asked.get("upload", asked.get("round", -1))
    return asked


QUICK = {"task=risk": "task.local_steps=3", "task=signal": "task.local_steps=3"}


def composer(
    folders: pytest.TempPathFactory, n_participants: int, n_rounds: int = 40
) -> Callable[..., Settings]:
    """Makes settings from Hydra overrides, of so many participants; whole runs take few rounds."""
    folder = folders.mktemp("market")
    panel = make_market(n_bars=180, n_assets=n_participants, seed=1)
    frame = pd.DataFrame(panel.close, columns=list(panel.assets))
    frame.insert(0, "date", panel.bars)
    frame.to_csv(folder / "prices.csv", index=False)
    base = (
        "data=csv",
        f"data.path={folder / 'prices.csv'}",
        "federation=same_history",
        f"federation.n_participants={n_participants}",
        "federation.history_bars=60",
        f"federation.rounds={n_rounds}",
        "evaluation.n_origins=1",
        "evaluation.test_bars=25",
        "evaluation.public_bars=60",
        "evaluation.pooled=false",
        "evaluation.bootstrap_resamples=100",
        "progress=none",
    )

    def make(*overrides: str) -> Settings:
        task = next((o for o in overrides if o.startswith("task=")), "task=risk")
        quick = [QUICK[task]] if task in QUICK else []
        out = folders.mktemp("out") / "run"
        return compose([*base, *quick, *overrides, f"out={out}"])

    return make


class MeddledGrid(Grid):
    """Passes messages on unless a participant's fate is another one."""

    def __init__(self, grid: Grid, fate: Fate | None = None) -> None:
        self.grid = grid
        self.fate: Fate = fate or (lambda number, stages: None)
        self.rewrite: Rewrite = lambda number, message: message
        self.absent: set[int] = set()
        self.asked: list[list[Message]] = []
        self._late: list[Message] = []
        self._ready: list[Message] = []

    def set_run(self, run: Run) -> None:
        self.grid.set_run(run)

    @property
    def run(self) -> Run:
        return self.grid.run

    def create_message(self, *args: Any, **options: Any) -> Message:
        return self.grid.create_message(*args, **options)

    def get_node_ids(self) -> Iterable[int]:
        return [n for k, n in enumerate(self.grid.get_node_ids()) if k not in self.absent]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        wanted = list(messages)
        self._ready = list(self.send_and_receive(wanted))
        answered = {reply.metadata.reply_to_message_id for reply in self._ready}
        for k, message in enumerate(wanted):
            if message.metadata.message_id not in answered:
                self._ready.append(_expired(message, f"silence-{k}"))
        return [message.metadata.message_id for message in wanted]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        ready, self._ready = self._ready, []
        return ready

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        numbers = {node: k for k, node in enumerate(self.grid.get_node_ids())}
        sent, fates, errors = [], {}, []
        wanted = [self.rewrite(numbers[m.metadata.dst_node_id], m) for m in messages]
        self.asked.append(wanted)
        for message in wanted:
            node = message.metadata.dst_node_id
            fate = self.fate(numbers[node], stages_of(message))
            if fate not in ("lost", "error"):
                sent.append(message)
                fates[node] = fate
            elif fate == "error":
                message.metadata.__dict__["_message_id"] = "lost"
                errors.append(Message(Error(0, "it broke down"), reply_to=message))
        late, self._late = self._late, []
        replies = [*errors, *late]
        for reply in self.grid.send_and_receive(sent, timeout=timeout):
            fate = fates[reply.metadata.src_node_id]
            if fate == "late":
                self._late.append(reply)
            elif callable(fate) and reply.has_content():
                changed = fate(copy_message(reply))
                replies += changed if isinstance(changed, list) else [changed]
            elif fate != "silent":
                replies.append(reply)
        return replies


def _expired(message: Message, message_id: str) -> Message:
    """What the SuperLink says of a message to which nobody has replied in time."""
    if not message.metadata.message_id:
        message.metadata.__dict__["_message_id"] = message_id
    reply = Message(Error(ErrorCode.MESSAGE_UNAVAILABLE, "it has expired"), reply_to=message)
    reply.metadata.__dict__["_src_node_id"] = SUPERLINK_NODE_ID
    return reply


class Federation:
    """What the ServerApp does, one step at a time."""

    def __init__(self, grid: Grid, settings: Settings, fate: Fate | None = None) -> None:
        self.settings = settings
        self.grid = MeddledGrid(grid, fate)
        self.task = build_task(settings)
        self.strategy = build(settings.strategy, "strategy", seed=settings.seed)
        self.mode = self.strategy.trust_mode = trust_mode(
            settings.aggregation,
            settings.federation.n_participants or 0,
            noisy_vectors(settings, self.task),
            brought=settings.digest(),
        )
        self.timeout_s = settings.federation.reply_timeout_s
        found = discover(self.grid, settings.n_nodes, self.timeout_s, 2, self.mode.greeting())
        check_strategy(self.strategy, settings, self.task, len(found.participants))
        self.members: Membership = self.mode.join(self.grid, found, self.timeout_s)
        self.strategy.nodes = self.nodes = tuple(sorted(self.members.participants))
        self.strategy.reply_timeout_s = self.timeout_s
        self.episode = plan(settings, self.members.calendar, self.task.horizon_bars)[0]
        self.calendar = episode_calendar(settings, self.members.calendar, self.episode)
        self.shared: dict[str, Any] = {CALENDAR: seconds_of(self.calendar)}
        self.vector = self.task.initial(settings.seed)
        self.n_rounds = 0
        self.rows: list[Row] = []
        self._watch()

    def add_up(self, name: str | None = None) -> Summed:
        """One of the task's federated sums."""
        wanted = self.task.sums[0] if name is None else name
        self.mode.next_is_training = wanted == self.task.sums[-1]
        config = self.episode.to_config() | {SUM_NAME: wanted}
        return self.strategy.trust_mode.add_up(
            self.grid, self.nodes, self._arrays(), config, self.timeout_s
        )

    def prepare(self) -> "Federation":
        """All of the task's sums, so that rounds can follow."""
        for name in self.task.sums:
            self.mode.next_is_training = name == self.task.sums[-1]
            summed = self.add_up(name)
            assert summed.total is not None, summed.problem
            assert summed.refusals == []
            self.shared[name] = self.task.finish_sum(name, summed.total)
        return self

    def round(self) -> RoundReport:
        """One round of training; `vector` follows it."""
        self.n_rounds += 1
        self.mode.next_is_training = True
        arrays = array_record(self._arrays() | {"vector": self.vector})
        config = ConfigRecord(dict(self.episode.to_config()))
        messages = self.strategy.configure_train(self.n_rounds, arrays, config, self.grid)
        replies = self.grid.send_and_receive(messages, timeout=self.timeout_s)
        aggregate, _ = self.strategy.aggregate_train(self.n_rounds, replies)
        if aggregate is not None:
            self.vector = aggregate["vector"].numpy()
        report = self.strategy.last_round
        assert report is not None
        assert (aggregate is None) == bool(report.skipped)
        return report

    def _watch(self) -> None:
        """Keep the rows that the rule sees."""
        original = self.mode.read_training

        def read_training(*args: Any) -> Rows:
            found: Rows = original(*args)
            self.rows = found.rows
            return found

        self.mode.read_training = read_training  # type: ignore[method-assign]

    def members_of(self, row: Row) -> set[int]:
        """Numbers of the participants in a row."""
        return {self.members.participants[node] for node in row.nodes}

    @property
    def heard(self) -> set[int]:
        """Numbers of the participants in any row of the last round."""
        return set().union(*(self.members_of(row) for row in self.rows))

    def participants(self, report: RoundReport) -> dict[int, str]:
        """Reasons of refusals by participant's number."""
        numbers = {node: k for k, node in enumerate(self.grid.grid.get_node_ids())}
        return {numbers.get(node, -1): reason for node, reason in report.refusals}

    def _arrays(self) -> dict[str, Any]:
        return {f"{SHARED_PREFIX}{name}": values for name, values in self.shared.items()}


def node_of(grid: Grid, number: int) -> int:
    """A participant's node."""
    return list(grid.get_node_ids())[number]


def message_to(
    grid: Grid, number: int, kind: str, records: Mapping[str, Mapping[str, Any]]
) -> Message:
    """A message with these config records and no arrays, to a participant."""
    content = RecordDict({"arrays": ArrayRecord()})
    for name, fields in records.items():
        content[name] = ConfigRecord(dict(fields))
    return Message(content, node_of(grid, number), kind, ttl=60.0)


def with_fields(message: Message, stage: str, **changes: Any) -> Message:
    """The message with entries of a stage's record changed, or left out if None."""
    content = RecordDict(dict(message.content))
    fields = {**content.config_records[f"secure.{stage}"], **changes}
    content[f"secure.{stage}"] = ConfigRecord({k: v for k, v in fields.items() if v is not None})
    metadata = message.metadata
    return Message(
        content,
        metadata.dst_node_id,
        metadata.message_type,
        ttl=metadata.ttl,
        group_id=metadata.group_id,
    )


def answers(grid: Grid, message: Message) -> Message:
    """The reply to one message."""
    (reply,) = grid.send_and_receive([message])
    return reply
