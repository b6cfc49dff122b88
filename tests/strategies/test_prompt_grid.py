"""Waiting for nodes by the rules of Flower's own SuperLink, at times far apart."""

import time
from collections.abc import Iterable, Iterator

import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.retry import RetryInvoker, constant
from flwr.supercore.run import Run, RunNotRunningException
from flwr.superlink.grid.http_grid import HttpGrid

from fedtrade.errors import NodeError
from fedtrade.secure.wire import REFUSED, ROUND
from simulations.grid import InProcessGrid
from strategies import prompt_grid
from strategies.exchange import receive
from strategies.metered_grid import MeteredGrid, payload_bytes
from strategies.passing_grid import PassingGrid
from strategies.prompt_grid import PromptGrid
from tests.strategies.link import Link

TIMEOUT_S = 0.6
LONG_S = 30.0
SOON_S = 0.5
"""Long before `TIMEOUT_S` and Flower's own 3 s; long after an answer of a node that is there."""

app = ClientApp()


@app.train()
@app.evaluate()
def echo(message: Message, context: Context) -> Message:
    return Message(message.content, reply_to=message)


@pytest.fixture
def link() -> Iterator[Link]:
    with Link(app, 3) as made:
        yield made


def ask(
    link: Link,
    grid: Grid,
    numbers: Iterable[int] = (0, 1, 2),
    *,
    kind: str = MessageType.TRAIN,
    timeout_s: float = TIMEOUT_S,
) -> tuple[dict[int, str], float]:
    """Reasons by number of the node that replied, empty if it did well; and how long it took."""
    messages = [Message(content(), link.nodes[k], kind, ttl=timeout_s) for k in numbers]
    began = time.monotonic()
    replies = list(grid.send_and_receive(messages, timeout=timeout_s))
    took_s = time.monotonic() - began
    said = {
        link.nodes.index(r.metadata.src_node_id): str(r.error.reason) if r.has_error() else ""
        for r in replies
    }
    assert len(said) == len(replies)
    return said, took_s


def content(size: int = 0) -> RecordDict:
    return RecordDict({"r": ConfigRecord({"x": b"y" * size})})


# --- who answers --------------------------------------------------------------------------------


def test_replies_are_there_soon(link: Link) -> None:
    said, took_s = ask(link, PromptGrid(link.grid), timeout_s=LONG_S)
    assert said == {0: "", 1: "", 2: ""}
    assert took_s < SOON_S


def test_an_error_in_place_of_a_node_is_told_of_that_node(link: Link) -> None:
    """As the SuperLink says it, it is of nobody (node 1), and of no round."""
    link.lose(1)
    grid = PromptGrid(link.grid)
    message = Message(content(), link.nodes[1], MessageType.TRAIN, ttl=LONG_S, group_id="0/3")
    (reply,) = grid.send_and_receive([message], timeout=LONG_S)
    assert (reply.error.reason, reply.metadata.src_node_id) == (
        "its node is not connected",
        link.nodes[1],
    )
    assert (reply.metadata.group_id, reply.metadata.message_type) == ("0/3", "train")
    (untold,) = link.grid.send_and_receive([message], timeout=LONG_S)
    assert untold.metadata.src_node_id == 1


def test_a_message_that_has_expired_is_told_of_its_node(link: Link) -> None:
    link.delay = lambda number, message: LONG_S if number == 2 else 0.0
    messages = [Message(content(), node, MessageType.TRAIN, ttl=0.2) for node in link.nodes]
    replies = PromptGrid(link.grid).send_and_receive(messages, timeout=LONG_S)
    reasons = {r.metadata.src_node_id: r.error.reason for r in replies if r.has_error()}
    assert reasons == {link.nodes[2]: "no reply within 0.2 s"}


def test_a_message_that_cannot_be_sent_is_answered_with_an_error(link: Link) -> None:
    """Here to a node that there is not; others have theirs."""
    nodes = [link.nodes[0], 12345, link.nodes[1]]
    messages = [Message(content(), node, MessageType.TRAIN, ttl=LONG_S) for node in nodes]
    grid = PromptGrid(link.grid)
    replies = {r.metadata.src_node_id: r for r in grid.send_and_receive(messages, timeout=LONG_S)}
    assert sorted(replies) == sorted(nodes)
    assert "could not be sent to it: the server has no such node" in str(
        replies[12345].error.reason
    )
    assert not any(replies[node].has_error() for node in link.nodes[:2])


# --- for whom it waits --------------------------------------------------------------------------


def test_a_lost_node_costs_one_timeout_and_is_welcomed_back(link: Link) -> None:
    lost = {2}
    link.delay = lambda number, message: 1.5 * TIMEOUT_S if number in lost else 0.0
    grid = PromptGrid(link.grid)
    said, took_s = ask(link, grid)
    assert set(said) >= {0, 1}
    assert TIMEOUT_S <= took_s < TIMEOUT_S + SOON_S
    assert grid.late == {link.nodes[2]}
    said, took_s = ask(link, grid)
    assert {k: v for k, v in said.items() if k != 2} == {0: "", 1: ""}
    assert took_s < SOON_S
    lost.clear()
    time.sleep(2.0 * TIMEOUT_S)  # it ends what it is at, and answers what has not expired
    ask(link, grid, timeout_s=LONG_S)
    time.sleep(0.1)
    said, _ = ask(link, grid, timeout_s=LONG_S)
    assert said == {0: "", 1: "", 2: ""}
    assert not grid.late


def test_a_late_node_is_waited_for_where_nobody_else_answers(link: Link) -> None:
    link.delay = lambda number, message: 1.5 * TIMEOUT_S if number == 0 else 0.0
    grid = PromptGrid(link.grid)
    ask(link, grid, [0])
    link.delay = lambda number, message: 0.0
    time.sleep(TIMEOUT_S)
    said, _ = ask(link, grid, [0], timeout_s=LONG_S)
    assert said == {0: ""}


def test_one_that_is_forgiven_is_waited_for(link: Link) -> None:
    link.delay = lambda number, message: 3.0 * TIMEOUT_S if number == 2 else 0.0
    grid = MeteredGrid(PromptGrid(link.grid))
    ask(link, grid)
    grid.forgive()
    _, took_s = ask(link, grid)
    assert took_s >= TIMEOUT_S


def test_a_node_that_is_known_to_be_gone_costs_nothing(link: Link) -> None:
    link.lose(1)
    said, took_s = ask(link, PromptGrid(link.grid), timeout_s=LONG_S)
    assert said == {0: "", 1: "its node is not connected", 2: ""}
    assert took_s < SOON_S


def test_a_quorum_closes_a_round(link: Link) -> None:
    """Nobody waits for the third then, until its late reply is there."""
    link.delay = lambda number, message: 1.0 if number == 2 else 0.0
    grid = PromptGrid(link.grid, lambda n_asked: n_asked - 1)
    said, took_s = ask(link, grid, timeout_s=LONG_S)
    assert said == {0: "", 1: ""}
    assert took_s < SOON_S
    link.delay = lambda number, message: 0.0
    time.sleep(1.2)
    said, _ = ask(link, grid, kind=MessageType.EVALUATE, timeout_s=LONG_S)
    assert said == {0: "", 1: "", 2: ""}


def test_a_quorum_is_of_training_alone(link: Link) -> None:
    link.delay = lambda number, message: 0.3 if number == 2 else 0.0
    grid = PromptGrid(link.grid, lambda n_asked: 1)
    said, _ = ask(link, grid, kind=MessageType.EVALUATE, timeout_s=LONG_S)
    assert said == {0: "", 1: "", 2: ""}


def test_a_member_that_cannot_give_its_part_is_none_of_a_quorum(link: Link) -> None:
    """Or it would close the round before as many have given theirs."""
    link.delay = lambda number, message: 0.3 if number == 2 else 0.0
    grid = PromptGrid(link.grid, lambda n_asked: 2)
    messages = [Message(content(), node, MessageType.TRAIN, ttl=LONG_S) for node in link.nodes]
    messages[0].content[ROUND] = ConfigRecord({REFUSED: "it cannot"})
    replies = list(grid.send_and_receive(messages, timeout=LONG_S))
    assert {reply.metadata.src_node_id for reply in replies} == set(link.nodes)


def test_a_quorum_drops_no_reply_that_is_there() -> None:
    """One thread answers all as it is asked: whoever has answered counts."""
    with InProcessGrid(app, 40) as inner:
        grid = PromptGrid(inner, lambda n_asked: 1)
        nodes = list(grid.get_node_ids())
        messages = [Message(content(), node, MessageType.TRAIN, ttl=LONG_S) for node in nodes]
        assert len(grid.send_and_receive(messages, timeout=LONG_S)) == 40


def test_replies_come_one_by_one(link: Link) -> None:
    link.delay = lambda number, message: 1.0 if number == 2 else 0.0
    grid = MeteredGrid(PromptGrid(link.grid))
    messages = [Message(content(), node, MessageType.TRAIN, ttl=LONG_S) for node in link.nodes]
    began = time.monotonic()
    replies = receive(grid, messages, LONG_S)
    next(replies), next(replies)
    assert time.monotonic() - began < SOON_S
    assert next(replies).metadata.src_node_id == link.nodes[2]
    (training, _) = grid.traffic()
    assert (training.n_exchanges, training.mean_bytes_up) == (1, payload_bytes(content()))


# --- how much is sent at once -------------------------------------------------------------------


class Narrow(PassingGrid):
    """Takes at most so many bytes at once; else nothing, as Flower's grid behind a proxy."""

    def __init__(self, grid: Grid, most_bytes: int) -> None:
        super().__init__(grid)
        self.most_bytes = most_bytes
        self.n_sent: list[int] = []

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        sent = list(messages)
        self.n_sent.append(len(sent))
        if sum(payload_bytes(message.content) for message in sent) > self.most_bytes:
            return []
        return super().push_messages(sent)


def test_what_is_too_large_together_is_sent_alone_and_what_is_too_large_alone_not() -> None:
    with InProcessGrid(app, 3) as inner:
        grid = PromptGrid(Narrow(inner, 1000))
        nodes = list(grid.get_node_ids())
        sizes = zip(nodes, (600, 900, 2000), strict=True)
        messages = [Message(content(n), k, MessageType.TRAIN, ttl=LONG_S) for k, n in sizes]
        replies = {r.metadata.src_node_id: r for r in grid.send_and_receive(messages)}
    assert [replies[node].has_error() for node in nodes] == [False, False, True]
    assert "2,002 bytes could not be sent" in str(replies[nodes[2]].error.reason)


def test_messages_are_sent_in_pieces_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A content that several messages share counts once."""
    monkeypatch.setattr(prompt_grid, "PUSHED_BYTES", 1000)
    shared = content(700)
    with InProcessGrid(app, 5) as inner:
        narrow = Narrow(inner, 10**9)
        nodes = list(inner.get_node_ids())
        contents = [shared, shared, content(200), content(200), content(1500)]
        messages = [
            Message(c, node, MessageType.TRAIN) for c, node in zip(contents, nodes, strict=True)
        ]
        replies = PromptGrid(narrow).send_and_receive(messages)
    assert narrow.n_sent == [3, 1, 1]
    assert {reply.metadata.src_node_id for reply in replies} == set(nodes)


def test_what_makes_its_messages_on_the_way_may_change_them() -> None:
    changing = content()

    def made(nodes: Iterable[int]) -> Iterator[Message]:
        for k, node in enumerate(nodes):
            changing["r"] = ConfigRecord({"x": k})
            yield Message(changing, node, MessageType.TRAIN)

    with InProcessGrid(app, 3) as inner:
        nodes = list(inner.get_node_ids())
        replies = PromptGrid(inner).send_and_receive(made(nodes))
    assert {r.metadata.src_node_id: r.content["r"]["x"] for r in replies} == {
        node: k for k, node in enumerate(nodes)
    }


# --- a node that dies while it sends -------------------------------------------------------------


class Blocking(PassingGrid):
    """Takes long for a reply that has begun to come, as Flower's grid of real nodes does."""

    _retry_invoker = RetryInvoker(
        wait_gen_factory=lambda: constant(1.0),
        recoverable_exceptions=Exception,
        max_tries=1,
        max_time=None,
    )
    blocks_s = 0.0

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = list(super().pull_messages(message_ids))
        if replies:
            time.sleep(self.blocks_s)
        return replies


def test_a_reply_that_never_comes_to_its_end_costs_one_timeout(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_grid, "LAST_LOOK_S", 0.1)
    inner = Blocking(link.grid)
    grid = PromptGrid(inner)
    inner.blocks_s = 3.0 * TIMEOUT_S
    said, took_s = ask(link, grid)
    assert said == {}
    assert took_s < 2.0 * TIMEOUT_S
    assert grid.late == set(link.nodes)
    inner.blocks_s = 0.0
    time.sleep(3.0 * TIMEOUT_S)
    said, took_s = ask(link, grid)
    assert said == {0: "", 1: "", 2: ""}
    assert took_s < SOON_S


def test_what_goes_wrong_in_the_background_is_told(link: Link) -> None:
    class Broken(Blocking):
        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            raise RunNotRunningException

    with pytest.raises(NodeError, match="says that this run is over"):
        ask(link, PromptGrid(Broken(link.grid)))


# --- a server that is gone ----------------------------------------------------------------------


def test_a_superlink_that_is_gone_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_grid, "GIVE_UP_S", 0.1)
    inner = HttpGrid("127.0.0.1:9", insecure=True, token="t")
    inner.set_run(Run.create_empty(1))
    grid = PromptGrid(inner)
    sentence = r"SuperLink does not answer \(ConnectError: .*\); start it again, and with resume"
    with pytest.raises(NodeError, match=sentence):
        grid.get_node_ids()
    with pytest.raises(NodeError, match=sentence):
        grid.pull_messages(["1"])
    inner.close()


def test_a_run_that_was_stopped_is_one_sentence() -> None:
    class Stopped(PassingGrid):
        def get_node_ids(self) -> Iterable[int]:
            raise RunNotRunningException

    with (
        InProcessGrid(app, 1) as inner,
        pytest.raises(NodeError, match="says that this run is over, as it was stopped"),
    ):
        PromptGrid(Stopped(inner)).get_node_ids()
