from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedtrade.errors import FedtradeError
from fedtrade.wire import seconds_of
from simulations.grid import InProcessGrid
from strategies.membership import Membership, discover

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


def test_the_calendar_has_every_bar_that_somebody_holds() -> None:
    found = _discover(lambda k: (k, seconds_of(BARS[3 * k : 3 * k + 4])))
    assert sorted(found.participants.values()) == [0, 1, 2]
    np.testing.assert_array_equal(found.calendar, BARS)


@pytest.mark.parametrize("number", [None, -1, 0.5, [1]])
def test_a_node_without_a_number_is_left_out(number: object) -> None:
    found = _discover(lambda k: (number if k == 1 else k, seconds_of(BARS)))
    assert sorted(found.participants.values()) == [0, 2]


@pytest.mark.parametrize(
    "seconds", [np.array([np.nan]), np.zeros(0), np.zeros((2, 2)), np.array(["2000-01-01"])]
)
def test_a_node_without_bars_is_left_out(seconds: np.ndarray) -> None:
    found = _discover(lambda k: (k, seconds if k == 0 else seconds_of(BARS)))
    assert sorted(found.participants.values()) == [1, 2]
    np.testing.assert_array_equal(found.calendar, BARS)


def test_two_nodes_with_one_number_are_refused() -> None:
    with pytest.raises(FedtradeError, match="participant 0, as another node does; give each node"):
        _discover(lambda k: (0, seconds_of(BARS)))


def test_nobody_can_take_part() -> None:
    with pytest.raises(FedtradeError, match="no participant can take part: the participant's numb"):
        _discover(lambda k: (None, seconds_of(BARS)))


def test_too_few_nodes_are_waited_for_and_told() -> None:
    with pytest.raises(FedtradeError, match=r"1 of 4 participants came within 0 s; start the oth"):
        _discover(lambda k: (k, seconds_of(BARS)), n_nodes=1, n_expected=4, timeout_s=0)
