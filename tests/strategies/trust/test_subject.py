"""A server that asks members for different things under the masks or pads of one sum."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from fedtrade.secure.payload import training_layout
from fedtrade.settings import Settings
from fedtrade.wire import CALENDAR, CONFIG, ROUND_NUMBER, SHARED_PREFIX, seconds_of
from tests.strategies.trust.encrypted import federated
from tests.strategies.trust.federation import Federation, stages_of, with_fields

Make = Callable[..., Settings]
Change = Callable[[Message], Message]

VICTIM = 0
FIRST_ROUND = 3


def _other_model(message: Message) -> Message:
    vector = message.content.array_records["arrays"]["vector"].numpy()
    arrays = {**message.content.array_records["arrays"], "vector": Array(vector + np.float32(0.1))}
    message.content["arrays"] = ArrayRecord(arrays)
    return message


def _other_config(message: Message) -> Message:
    config = message.content.config_records[CONFIG]
    message.content[CONFIG] = ConfigRecord({**config, "whatever": 1})
    return message


def _other_step(message: Message) -> Message:
    """Fewer members make finer steps, so that the same update is more of them."""
    return with_fields(message, "round", **{"n-members": 8})


def _meddled(change: Change) -> Callable[[int, Message], Message]:
    def rewrite(number: int, message: Message) -> Message:
        is_meant = number == VICTIM and "train" in stages_of(message)
        return change(message) if is_meant else message

    return rewrite


@pytest.mark.parametrize(
    ("mode", "change"),
    [
        ("masked", _other_model),
        ("masked", _other_config),
        ("masked", _other_step),
        ("encrypted", _other_model),
        ("encrypted", _other_config),
    ],
)
def test_members_that_were_asked_different_things_have_no_sum_together(
    nine: Make, mode: str, change: Change
) -> None:
    settings = nine(f"aggregation={mode}", "strategy.weights=equal", "model=mlp")
    with federated(settings) as run:
        run.prepare()
        before = run.vector
        run.grid.rewrite = _meddled(change)
        report = run.round()
    assert report.skipped
    assert np.array_equal(run.vector, before)


def test_the_same_for_all_is_added_up(nine: Make) -> None:
    """What the tests above change for one member is no hindrance where it is everybody's."""
    settings = nine("aggregation=masked", "strategy.weights=equal", "model=mlp")
    with federated(settings) as run:
        run.prepare()
        run.grid.rewrite = lambda _, message: message
        report = run.round()
    assert not report.skipped
    assert report.n_replies == 9


def test_a_key_holder_that_is_told_another_length_opens_nothing(nine: Make) -> None:
    """It would put the noise of an update on what is not one."""
    settings = nine("aggregation=encrypted", "strategy.weights=equal", "model=mlp")

    def rewrite(number: int, message: Message) -> Message:
        if "decrypt" not in stages_of(message):
            return message
        size: Any = message.content.config_records["secure.decrypt"]["size"]
        return with_fields(message, "decrypt", size=size + 1)

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        return cut if "decrypt" in stages else None

    def cut(reply: Message) -> Message:
        arrays = reply.content.array_records["arrays"]
        if "words" in arrays:
            arrays["words"] = Array(arrays["words"].numpy()[:-1].copy())
        return reply

    with federated(settings) as run:
        run.prepare()
        run.grid.rewrite, run.grid.fate = rewrite, fate
        report = run.round()
    assert report.skipped


def test_an_update_among_parts_that_are_known_is_not_read(nine: Make) -> None:
    """Of all others the server wants parts of a sum whose first entries are zeros.

    It asks them for the nowcast of another episode, and takes the victim's words, padded, for its
    part of it. Without the subject in the masks the victim's update stands in the total. Against
    a server that lies the committee would not sign; here nothing but the masks is in its way.
    """
    semi_honest = ("aggregation=masked", "aggregation.adversary=semi_honest")
    settings = nine(*semi_honest, "strategy.weights=equal", "model=mlp")
    with federated(settings) as run:
        run.prepare()
        wanted = np.asarray(run.calendar)
        shape = [len(wanted), 5]
        sizes: list[int] = []
        totals: list[np.ndarray] = []
        run.grid.rewrite = _as_a_sum(run, wanted)
        run.grid.fate = _padded(shape, sizes)
        decode = run.mode.sums.decode

        def look(layout: Any, total: np.ndarray, n_members: int) -> Any:
            totals.append(total.copy())
            return decode(layout, total, n_members)

        run.mode.sums.decode = look  # type: ignore[method-assign]
        run.mode.next_is_training = False
        run.add_up("nowcast")
        layout = training_layout(
            run.settings.aggregation,  # type: ignore[arg-type]
            len(run.vector),
            9,
            by_examples=False,
        )
    assert sizes == [layout.size]
    words = totals[0].view(layout.dtype)[: layout.size]
    most = 2.0 ** (8 * words.itemsize)
    assert np.histogram(words.astype(np.float64), 8, (0.0, most))[0].min() > 3  # of 23 each


def _as_a_sum(run: Federation, calendar: np.ndarray) -> Callable[[int, Message], Message]:
    def rewrite(number: int, message: Message) -> Message:
        if "upload" not in stages_of(message):
            return message
        content = RecordDict(dict(message.content))
        kind = message.metadata.message_type
        if number == VICTIM:
            arrays = {k: Array(v) for k, v in (run._arrays() | {"vector": run.vector}).items()}
            config = {**run.episode.to_config(), ROUND_NUMBER: 1}
            kind = MessageType.TRAIN
        else:
            arrays = {f"{SHARED_PREFIX}{CALENDAR}": Array(seconds_of(calendar))}
            config = dict(content.config_records[CONFIG])
            config["episode"] = int(config.get("episode", 0)) + 1
        content["arrays"], content[CONFIG] = ArrayRecord(arrays), ConfigRecord(config)
        meta = message.metadata
        return Message(content, meta.dst_node_id, kind, ttl=meta.ttl, group_id=meta.group_id)

    return rewrite


def _padded(shape: list[int], sizes: list[int]) -> Callable[[int, Mapping[str, int]], Any]:
    def fate(number: int, stages: Mapping[str, int]) -> Any:
        if number != VICTIM or "upload" not in stages:
            return None

        def change(reply: Message) -> Message:
            words = reply.content.array_records["arrays"]["words"].numpy()
            sizes.append(len(words))
            padded = np.zeros(int(np.prod(shape)), np.uint64)
            as_bytes = words.tobytes().ljust(padded.nbytes, b"\0")[: padded.nbytes]
            padded[:] = np.frombuffer(as_bytes, np.uint64)
            reply.content["arrays"] = ArrayRecord({"words": Array(padded)})
            told = dict(reply.content.config_records["secure.round"])
            reply.content["secure.round"] = ConfigRecord({**told, "shape": shape})
            return reply

        return change

    return fate
