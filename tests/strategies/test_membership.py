import logging
from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedtrade.errors import FedtradeError
from fedtrade.wire import seconds_of
from simulations.grid import InProcessGrid
from strategies.membership import Membership, discover, shared_calendar

BARS = np.datetime64("2000-01-01", "s") + np.arange(10) * np.timedelta64(1, "D")


def _discover(
    describe: Callable[[int], tuple[object, np.ndarray]], n_nodes: int = 3, **options: float
) -> Membership:
    """Let nodes describe themselves by a function of their partition."""
    app = ClientApp()

    @app.query("describe")
    def answer(message: Message, context: Context) -> Message:
        number, seconds = describe(int(context.node_config["partition-id"]))
        metrics = {} if number is None else {"participant": number}
        content = RecordDict(
            {
                "arrays": ArrayRecord({"bars": Array(seconds)}),
                "metrics": MetricRecord(metrics),  # type: ignore[arg-type]
            }
        )
        return Message(content, reply_to=message)

    with InProcessGrid(app, n_nodes) as grid:
        return discover(grid, int(options.get("n_expected", n_nodes)), options.get("timeout_s", 9))


def test_the_calendar_has_the_bars_of_all() -> None:
    found = _discover(lambda k: (k, seconds_of(BARS[2 * k : 2 * k + 6])))
    assert sorted(found.participants.values()) == [0, 1, 2]
    assert found.refusals == ()
    np.testing.assert_array_equal(found.calendar, BARS[2:8])  # the ends are held by one alone


def test_more_holders_than_participants_cannot_be_asked_for() -> None:
    """A trust mode with too many contributors to reach says so itself, with its own remedy."""
    app = ClientApp()

    @app.query("describe")
    def answer(message: Message, context: Context) -> Message:
        number = int(context.node_config["partition-id"])
        arrays = ArrayRecord({"bars": Array(seconds_of(BARS))})
        metrics = MetricRecord({"participant": number})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    with InProcessGrid(app, 3) as grid:
        found = discover(grid, 3, 9, least_holders=50)
    np.testing.assert_array_equal(found.calendar, BARS)


@pytest.mark.parametrize("number", [None, -1, 0.5, [1]])
def test_a_node_without_a_number_is_left_out(number: object) -> None:
    found = _discover(lambda k: (number if k == 1 else k, seconds_of(BARS)))
    assert sorted(found.participants.values()) == [0, 2]


@pytest.mark.parametrize(
    "seconds",
    [
        np.array([np.nan]),
        np.array([1e300]),
        np.zeros(0),
        np.zeros((2, 2)),
        np.array(["2000-01-01"]),
    ],
)
def test_a_node_without_bars_is_left_out(seconds: np.ndarray) -> None:
    found = _discover(lambda k: (k, seconds if k == 0 else seconds_of(BARS)))
    assert sorted(found.participants.values()) == [1, 2]
    np.testing.assert_array_equal(found.calendar, BARS)


def test_a_second_node_with_a_number_is_left_out() -> None:
    found = _discover(lambda k: (min(k, 1), seconds_of(BARS)))
    assert sorted(found.participants.values()) == [0, 1]
    ((node, reason),) = found.refusals
    assert node not in found.participants
    assert "participant 1, as another node does; give each node its own partition-id" in reason


def test_nobody_can_take_part(caplog: pytest.LogCaptureFixture) -> None:
    """The error has the first reason, the log each node's."""
    with (
        caplog.at_level(logging.WARNING, "flwr"),
        pytest.raises(FedtradeError, match="no participant can take part: the participant's numb"),
    ):
        _discover(lambda k: (None, seconds_of(BARS)))
    assert caplog.text.count("is left out: the participant's number") == 3


def test_too_few_nodes_are_waited_for_and_told() -> None:
    with pytest.raises(FedtradeError, match=r"1 of 4 participants came within 0 s; start the oth"):
        _discover(lambda k: (k, seconds_of(BARS)), n_nodes=1, n_expected=4, timeout_s=0)


# --- the calendar -------------------------------------------------------------------------------


def test_made_up_bars_move_nobody() -> None:
    """Between, before and after those of the others."""
    liar = np.unique(np.concatenate([BARS, BARS + np.timedelta64(1, "h"), BARS - 10**9, BARS + 1]))
    np.testing.assert_array_equal(shared_calendar([BARS, liar, BARS]), BARS)


def test_a_third_of_those_who_were_there_suffices() -> None:
    """Two of six hold the fifth bar; one in two the last but one, when the others have ended."""
    without = np.delete(BARS, 4)
    np.testing.assert_array_equal(shared_calendar([BARS] * 2 + [without] * 4), BARS)
    np.testing.assert_array_equal(shared_calendar([BARS] * 2 + [without] * 5), without)
    np.testing.assert_array_equal(shared_calendar([BARS] * 2 + [BARS[:3]] * 9), BARS)


def test_two_participants_keep_all_that_they_hold() -> None:
    np.testing.assert_array_equal(shared_calendar([BARS[:4], BARS[4:]]), BARS)


def test_repeated_bars_of_one_participant_count_once() -> None:
    liar = np.repeat(BARS + 1, 9)
    np.testing.assert_array_equal(shared_calendar([BARS, BARS, liar]), BARS)


def test_participants_that_share_nothing_are_told() -> None:
    with pytest.raises(
        FedtradeError, match="no bar is held by 2 participants; give them data of the same market"
    ):
        shared_calendar([BARS, BARS + 1, BARS + 2])


def test_periods_of_ones_own_are_kept_if_one_holder_is_enough() -> None:
    stretches = [BARS[:3], BARS[3:6], BARS[6:9]]
    assert (shared_calendar(stretches, least_holders=1) == BARS[:9]).all()
