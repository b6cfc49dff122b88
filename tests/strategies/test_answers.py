"""Which parts of a sum and which evaluations are believed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from fedtrade.errors import FedtradeError
from fedtrade.models import Linear
from fedtrade.tasks.risk import Risk
from fedtrade.wire import EpisodeRecord, bars_of
from simulations.grid import InProcessGrid
from strategies.answers import finished_sum, read_evaluations, read_sums
from strategies.exchange import Answer

DAY = 86_400
EPISODE = EpisodeRecord(0, 0, origin=3 * DAY, test_end=6 * DAY, n_skip=0)
CALENDAR = bars_of(np.arange(8.0) * DAY)
ARMS = ["ewma_t6", "federated"]


@pytest.fixture(autouse=True)
def _grid() -> Iterator[None]:
    """Messages can be made only within a run."""
    with InProcessGrid(ClientApp(), 1):
        yield


def _answer(
    node: int = 1, config: dict[str, Any] | None = None, **arrays: np.ndarray | None
) -> Answer:
    content = RecordDict({"config": ConfigRecord(config or {})})
    message = Message(content, node, "evaluate")
    return Answer(node, message, {k: v for k, v in arrays.items() if v is not None})


# --- sums ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        None,
        np.array([np.nan, 0.0]),
        np.array([-np.inf, 0.0]),
        np.array([-1.1e12, 0.0]),
        np.array([0.0]),
        np.array([1, 2]),
        np.array(["a", "b"]),
    ],
)
def test_a_bad_part_costs_its_sender(part: np.ndarray | None) -> None:
    good = np.array([1e12, -1e12])
    answers = [_answer(1, sum=part), _answer(2, sum=good), _answer(3, sum=good)]
    parts, arms, refusals = read_sums(answers)
    assert arms == ()
    np.testing.assert_array_equal(parts, [good, good])
    ((node, reason),) = refusals
    assert node == 1
    assert "its part of the sum is missing, not finite, absurd (beyond 1e+12)" in reason


def test_no_part_at_all() -> None:
    parts, arms, refusals = read_sums([_answer(1), _answer(2)])
    assert (parts, arms, [refusal.node_id for refusal in refusals]) == ([], (), [1, 2])


def test_parts_of_other_arms_are_not_added() -> None:
    """Also where they have the same shape; those of the majority are."""
    arms = (ARMS, ARMS, ARMS[::-1], "ewma_t6")
    answers = [_answer(k, {"arms": each}, sum=np.ones(2)) for k, each in enumerate(arms)]
    parts, found, refusals = read_sums(answers)
    assert (len(parts), found) == (2, tuple(ARMS))
    assert [refusal.node_id for refusal in refusals] == [2, 3]


class _Odd(Risk):
    """Finishes a sum in an odd way."""

    def __init__(self, outcome: Any) -> None:
        super().__init__(Linear)
        self._outcome = outcome

    def finish_sum(self, name: str, total: np.ndarray) -> np.ndarray:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return np.array(self._outcome)


def test_the_total_is_finished() -> None:
    total = np.full((3, 2), 3.0)
    np.testing.assert_array_equal(finished_sum(Risk(Linear), "moments", total), total)


def test_a_task_may_leave_entries_unknown() -> None:
    finished = finished_sum(_Odd([np.nan, 1.0]), "nowcast", np.ones(2))
    np.testing.assert_array_equal(finished, [np.nan, 1.0])


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (ValueError("no contribution"), "'nowcast' cannot be used: no contribution"),
        ([np.inf, 1.0], "'nowcast' is not finite"),
        ([np.nan, np.nan], "'nowcast' is not finite"),
    ],
)
def test_a_sum_that_cannot_be_used_is_told(outcome: Any, message: str) -> None:
    with pytest.raises(FedtradeError, match=message):
        finished_sum(_Odd(outcome), "nowcast", np.ones(2))


# --- evaluations --------------------------------------------------------------------------------

TASK = Risk(Linear)
N_TOTALS = len(TASK.totals)


def _evaluation(node: int = 1, arms: Any = ARMS, **changes: Any) -> Answer:
    """An honest evaluation of bars 4, 5 and 6, but for the changes."""
    arrays = {
        "bars": np.array([4.0, 5.0, 6.0]) * DAY,
        "totals": np.ones((len(ARMS), N_TOTALS)),
        "daily": np.ones((1, len(ARMS), 3)),
    }
    return _answer(node, {"arms": arms}, **(arrays | changes))


def _read(*answers: Answer, task: Risk = TASK) -> tuple[list[int], dict[int, str]]:
    evaluations, refusals = read_evaluations(answers, task, {"federated"}, EPISODE, CALENDAR)
    return list(evaluations), dict(refusals)


def _daily(row: list[list[float]]) -> np.ndarray:
    return np.array([row])


NAN, INF = np.nan, np.inf
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "repeated arms": ({"arms": ["federated", "federated"]}, "arms that repeat"),
    "missing arm": ({"arms": ["ewma_t6", "fhs"]}, "no scores of federated"),
    "no bars": ({"bars": np.zeros(0)}, "bars that are not one or more times"),
    "text for bars": ({"bars": np.array(["a"])}, "bars that are not one or more times"),
    "repeated bars": ({"bars": np.array([4.0, 4.0, 5.0]) * DAY}, "not strictly increasing"),
    "falling bars": ({"bars": np.array([6.0, 5.0, 4.0]) * DAY}, "not strictly increasing"),
    "NaN bars": ({"bars": np.array([4.0, NAN, 6.0]) * DAY}, "not strictly increasing"),
    "the origin": ({"bars": np.array([3.0, 4.0, 5.0]) * DAY}, "outside of the episode's"),
    "after the end": ({"bars": np.array([5.0, 6.0, 7.0]) * DAY}, "outside of the episode's"),
    "made-up bars": ({"bars": np.array([4.0, 4.5, 6.0]) * DAY}, "not in the federation's"),
    "shape": ({"daily": np.ones((1, 2, 2))}, "shapes"),
    "NaN total": ({"totals": np.full((2, N_TOTALS), NAN)}, "totals that are not finite"),
    "huge total": ({"totals": np.full((2, N_TOTALS), 1e300)}, "totals that are not finite"),
    "infinite day": ({"daily": _daily([[INF, 1, 1], [1, 1, 1]])}, "infinite or absurd"),
    "hidden day": ({"daily": _daily([[1, 1, 1], [1, NAN, 1]])}, "not finite where other arms"),
    "no day": ({"daily": np.full((1, 2, 3), NAN)}, "or nowhere"),
    "odd path": ({"path": np.ones((2, 3))}, "a path of shape"),
    "NaN path": ({"path": np.full((3, 3), NAN)}, "a path that is not finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_evaluation_costs_its_sender(name: str) -> None:
    changes, reason = BAD[name]
    found, refusals = _read(_evaluation(1, **changes), _evaluation(2))
    assert found == [2]
    assert reason in refusals[1]


def test_a_bar_may_have_no_value_for_all_arms() -> None:
    assert _read(_evaluation(daily=_daily([[1, NAN, 1], [2, NAN, 2]]))) == ([1], {})


def test_scores_of_which_no_metrics_follow_are_refused() -> None:
    class Picky(Risk):
        def scores(self, totals: np.ndarray, daily: np.ndarray) -> Any:
            if totals[0] == 7.0:
                raise ZeroDivisionError("no bar")
            return super().scores(totals, daily)

    totals = np.ones((2, N_TOTALS))
    totals[1, 0] = 7.0
    found, refusals = _read(_evaluation(1, totals=totals), _evaluation(2), task=Picky(Linear))
    assert found == [2]
    assert "no metrics follow from its scores of federated: no bar" in refusals[1]


def test_the_majority_decides_on_the_arms() -> None:
    answers = [_evaluation(1, ["mine", "federated"]), _evaluation(2), _evaluation(3, ARMS[::-1])]
    found, refusals = _read(*answers)
    assert found == [2, 3]
    assert "other arms than most have: mine, federated" in refusals[1]
