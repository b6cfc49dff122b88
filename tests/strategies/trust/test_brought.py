"""A server that brings parties different settings, or that asked them different things before."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

from clients.client_app import app
from clients.local_correction import LocalCorrection
from fedtrade.errors import ProtocolError
from fedtrade.settings import Settings
from fedtrade.tasks import LocalUpdate
from fedtrade.wire import ARRAYS, CONFIG, PROXIMAL, VARIATE, VARIATE_AT, VECTOR, EpisodeRecord
from simulations.grid import InProcessGrid
from simulations.task_identity import Identity, task_identity
from tests.strategies.trust.encrypted import federated
from tests.strategies.trust.federation import Federation, stages_of

Make = Callable[..., Settings]

VICTIM, HOLDER = 0, 5
MODES = pytest.mark.parametrize("mode", ["masked", "encrypted"])


def _settings(make: Make, mode: str, *overrides: str) -> Settings:
    return make(f"aggregation={mode}", "strategy.weights=equal", *overrides)


@MODES
def test_a_member_with_other_settings_than_the_others_has_no_sum_with_them(
    five: Make, mode: str
) -> None:
    """Or the updates of all others could be made zero, and the sum that of the one."""
    ours = _settings(five, mode)
    others = _settings(five, mode, "task.learning_rate=1e-12").to_json()

    config: dict[str, Any] = {"settings": ours.to_json()}

    def lied_to(message: Message, context: Context) -> Message:
        if context.node_config["partition-id"] not in (VICTIM, HOLDER):
            context.run_config["settings"] = others
        try:
            return app(message, context)
        finally:
            context.run_config["settings"] = config["settings"]

    with InProcessGrid(lied_to, ours.n_nodes or 1, run_config=config) as grid:  # type: ignore[arg-type]
        if mode == "encrypted":
            with pytest.raises(ProtocolError, match="there are 1 members and lists 1"):
                Federation(grid, ours)
            return
        federation = Federation(grid, ours)
        summed = federation.add_up()
        assert summed.total is None
        assert "have opened their nonces" in summed.problem


@MODES
def test_a_correction_that_the_settings_do_not_name_is_refused(five: Make, mode: str) -> None:
    def pulled(number: int, message: Message) -> Message:
        if "train" in stages_of(message):
            message.content.config_records[CONFIG][PROXIMAL] = 5.0
        return message

    with federated(_settings(five, mode)) as federation:
        federation.prepare()
        federation.grid.rewrite = pulled
        reply = federation.round()
    assert reply.skipped
    assert any("name no strategy.client_correction" in r.reason for r in reply.refusals)


def _watching(told: list[Any]) -> Callable[[int, Message], Message]:
    """Keeps the arrays that the victim is asked to train with."""

    def watch(number: int, message: Message) -> Message:
        if number == VICTIM and "train" in stages_of(message):
            arrays = message.content.array_records[ARRAYS]
            told.append({name: arrays[name].numpy() for name in arrays})
        return message

    return watch


@pytest.mark.parametrize("mode", ["plain", "masked", "encrypted"])
def test_private_members_are_told_where_their_variates_are_taken(five: Make, mode: str) -> None:
    told: list[Any] = []
    watch = _watching(told)

    with federated(_settings(five, mode, "strategy=scaffold")) as federation:
        federation.prepare()
        federation.grid.rewrite = watch
        for _ in range(2):
            assert not federation.round().skipped
    first, second = told
    assert VARIATE_AT not in first
    assert (VARIATE_AT in second) == (mode != "plain")
    if mode != "plain":
        np.testing.assert_array_equal(second[VARIATE_AT], first[VECTOR])


@MODES
def test_variates_are_taken_where_the_servers_is_of(five: Make, mode: str) -> None:
    """Skipped rounds have asked about vectors, too; before any is heard there is none to tell."""
    told: list[Any] = []
    watch = _watching(told)

    def silent(number: int, stages: Mapping[str, int]) -> str | None:
        return "silent" if "train" in stages else None

    overrides = ("strategy=scaffold", "federation.rounds=6")
    with federated(_settings(five, mode, *overrides)) as federation:
        federation.prepare()
        federation.grid.rewrite = watch
        norms = []
        for is_skipped in (True, False, True, False):
            federation.grid.fate = silent if is_skipped else lambda number, stages: None
            report = federation.round()
            while report.skipped and not is_skipped:  # its sum was set up without the silent ones
                report = federation.round()
            norms.append(report.update_norm)
            federation.strategy.restore(federation.strategy.state_arrays())
    assert [norm > 0.0 for norm in norms] == [False, True, False, True]
    n_before = next(k for k, each in enumerate(told) if VARIATE_AT in each)
    heard = told[n_before - 1]
    assert len(told) > n_before + 1
    for each in told[n_before:]:
        np.testing.assert_array_equal(each[VARIATE_AT], heard[VECTOR])
        assert (each[VECTOR] != heard[VECTOR]).any()


def test_what_is_remembered_of_another_vector_moves_no_private_update() -> None:
    """The variate is that of the vector in the message, and none is kept."""
    config = EpisodeRecord(0, -1, 0, 1, 0).to_config()
    kept = ArrayRecord({VARIATE: Array(np.full(2, 1e6, np.float32))})
    context = Context(1, 2, {}, RecordDict({f"{VARIATE}/0": kept}), {})
    arrays = {VARIATE: np.ones(2, np.float32), VARIATE_AT: np.array([3.0, 4.0], np.float32)}
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({name: Array(values) for name, values in arrays.items()}),
            CONFIG: ConfigRecord(dict(config)),
        }
    )
    with task_identity(Identity(1)):
        message = Message(content, 2, "train")
    seen: list[Any] = []

    def gradient(at: np.ndarray) -> np.ndarray:
        seen.append(at.tolist())
        return 2.0 * at

    asked = LocalCorrection.of(message, context, remembers=False)
    correction = asked.for_task(gradient)
    assert seen == [[3.0, 4.0]]
    assert correction.shift is not None
    assert correction.shift.tolist() == [-5.0, -7.0]
    result = LocalUpdate(np.zeros(2, np.float32), 1, 0.0, np.array([5.0, 6.0], np.float32))
    assert asked.finish(result).tolist() == [0.0, 0.0, 5.0, 6.0]
    assert context.state[f"{VARIATE}/0"] == kept
