"""Ten real nodes, one of which is killed in the middle of a run and comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulations import inprocess
from tests.nodes.loopback import (
    MODES,
    Loopback,
    assert_same_model,
    loopback,
    results_of,
    running,
    serving,
    wait_until,
)

pytestmark = pytest.mark.slow

N_PARTICIPANTS = 10
KILLED = 7
DEADLINE_S = 60.0
ROUNDS = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with loopback(tmp_path_factory.mktemp("loopback"), N_PARTICIPANTS, 0) as made:
        yield made


def test_a_masked_run_goes_on_without_a_killed_node(place: Loopback, tmp_path: Path) -> None:
    """Each of its sums is of all, or of all but one; a sum is opened or the round is skipped."""
    node = place.consortium.nodes[KILLED]
    chosen = place.settings(
        tmp_path,
        *MODES["masked"],
        f"federation.rounds={ROUNDS}",
        f"federation.reply_timeout_s={DEADLINE_S:g}",
    )
    with running(place, chosen) as is_over:
        place.wait_for("run", f"Round 1 of {ROUNDS}", timeout_s=400.0)
        node.kill()
        with serving(node):
            is_over(900.0)
            wait_until(lambda: node.joined, f"it did not come back: {node.complaint}", 240.0)
            found = results_of(tmp_path)
            replies = [log["n_replies"] for log in found["rounds"]]
            assert replies[0] == N_PARTICIPANTS
            assert set(replies) <= {0, N_PARTICIPANTS - 1, N_PARTICIPANTS}
            assert N_PARTICIPANTS - 1 in replies
            named = {f["party"] for f in found["failures"] if "is skipped" not in f["reason"]}
            assert named == {f"member-{KILLED}"}
            assert max(log["seconds"] for log in found["rounds"]) < 2 * DEADLINE_S
            assert_as_in_process(place, tmp_path / "masked", *MODES["masked"])
            assert_as_in_process(place, tmp_path / "plain", *MODES["plain"])


def assert_as_in_process(place: Loopback, folder: Path, *overrides: str) -> None:
    real, here = folder / "real", folder / "here"
    place.run(place.settings(real, *overrides))
    inprocess.run(place.settings(here, *overrides))
    assert_same_model((real, here))
    assert not results_of(real)["failures"]
