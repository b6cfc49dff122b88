"""Ciphertexts are added as they arrive: the server has a few of them at a time, and one child."""

import tracemalloc
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message

from clients import key_holder_party
from fedtrade.secure.encrypted.child import Child, Limits
from fedtrade.settings import Settings
from simulations.grid import InProcessGrid
from strategies.exchange import array_record, receive
from strategies.trust import encrypted as mode
from tests.strategies.trust.encrypted import APP, Make, encrypted, federated
from tests.strategies.trust.federation import Federation, MeddledGrid, composer

N = 30
FEW = 4
CIPHERTEXT_BYTES = 197_000


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    return composer(tmp_path_factory, N)


class Counting(MeddledGrid):
    """Hands on what the grid has, when it is asked for, and counts what is not forgotten."""

    alive = 0
    most = 0

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self.grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        found = list(self.grid.pull_messages(message_ids))
        for reply in found:
            weakref.finalize(reply, self._forget)
        self.alive += len(found)
        self.most = max(self.most, self.alive)
        return found

    def _forget(self) -> None:
        self.alive -= 1


def _round(federation: Federation, around: Callable[[Iterator[Message]], Any]) -> int:
    """A round as the ServerApp has it; replies that are in it."""
    arrays = array_record(federation._arrays() | {"vector": federation.vector})
    config = ConfigRecord(dict(federation.episode.to_config()))
    strategy, grid = federation.strategy, federation.grid
    messages = strategy.configure_train(1, arrays, config, grid)
    strategy.aggregate_train(1, around(receive(grid, messages, 60.0)))
    assert strategy.last_round is not None
    assert not strategy.last_round.skipped
    return int(strategy.last_round.n_replies)


def test_few_ciphertexts_are_in_memory_at_a_time(
    thirty: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With batches of four replies, and the partial sum fetched after as many."""
    monkeypatch.setattr("strategies.prompt_grid.BATCH", FEW)
    monkeypatch.setattr(mode.CiphertextSum.__init__, "__kwdefaults__", _with_checkpoints(FEW))
    settings = encrypted(thirty)
    peaks, seen = [], []

    def watched(replies: Iterator[Message]) -> Iterator[Message]:
        for reply in replies:
            seen.append(sum(map(len, reply.content["secure.ciphertexts"]["chunks"])))
            peaks.append(tracemalloc.get_traced_memory()[0])
            yield reply

    with InProcessGrid(APP, N + 1, run_config={"settings": settings.to_json()}) as grid:
        federation = Federation(grid, settings).prepare()
        counting = federation.grid = Counting(grid)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            assert _round(federation, watched) == N
        finally:
            tracemalloc.stop()
    assert counting.most <= FEW + 1
    assert counting.alive == 0
    assert len(seen) == N
    assert min(seen) > 0.95 * CIPHERTEXT_BYTES
    most = max(peaks) - before
    # A batch in its messages, what came since the last partial sum, that sum, and one on its way.
    assert most < (FEW + FEW + 3) * max(seen) < sum(seen) / 2


def _with_checkpoints(every: int) -> dict[str, Any]:
    defaults = dict(mode.CiphertextSum.__init__.__kwdefaults__ or {})
    return {**defaults, "checkpoint_every": every}


def test_runs_start_one_child_for_adding_and_one_for_opening(
    five: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of sums, and of runs of one process."""
    started: list[Child] = []

    class Counted(Child):
        def __init__(self, limits: Limits) -> None:
            super().__init__(limits)
            started.append(self)

    for spares in (mode.SPARES, key_holder_party.SPARES):
        spares.close()
    for module in ("adder", "key_holder", "spares"):
        monkeypatch.setattr(f"fedtrade.secure.encrypted.{module}.Child", Counted)
    settings = encrypted(five)
    for _ in range(2):
        with federated(settings) as federation:
            federation.prepare()
            assert [federation.round().skipped for _ in range(2)] == ["", ""]
    assert len(started) == 2
    assert all(child.is_alive for child in started)
