"""`fedtrade provision revoke` while a server runs, with real nodes."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from fedtrade.nodes.provision import revoke
from tests.nodes.commands import make_place
from tests.nodes.test_commands import RUN, RUN_S

NOTICED_S = 10.0


@pytest.mark.slow
def test_a_revoked_party_is_out_at_once_and_the_run_goes_on(tmp_path: Path) -> None:
    place = make_place(tmp_path, ("alpha", "beta", "gamma"))
    overrides = (*RUN, "federation.rounds=8", f"out={tmp_path / 'run'}")
    with ExitStack() as stack:
        clients = {name: stack.enter_context(place.client(name)) for name in place.names}
        server = stack.enter_context(place.server(*overrides))
        server.wait_for("Round 1 of 8", RUN_S)
        began = time.monotonic()
        revoke(place.consortium, "gamma")
        server.wait_for("gamma is taken out.", NOTICED_S)
        took_s = time.monotonic() - began
        clients["gamma"].wait_for("has shut this node out", 3 * NOTICED_S)
        assert server.wait(RUN_S) == 0, server.said
        for name in ("alpha", "beta"):
            assert clients[name].process.status is None
        # Its kit does not help it any more, at this server and at the next.
        second = stack.enter_context(place.server("--only"))
        second.wait_for("Submit runs with: ")
        with place.client("gamma", "rejoin_s=0", f"state={tmp_path / 'state'}") as again:
            assert again.wait() == 2
            assert "has shut this node out: its key was taken out" in again.said
    assert took_s < NOTICED_S
    results = json.loads((tmp_path / "run/results.json").read_text())
    refused = [entry for entry in results["failures"] if entry["party"] == "gamma"]
    # It may have been cut off in the middle of a round, before the run looks at the register.
    told = [entry for entry in refused if entry["reason"] == "gamma has been revoked"]
    assert len(told) == 1, refused
    assert len(refused) <= 2, refused
    assert {entry["party"] for entry in results["failures"]} == {"gamma"}
    assert results["rounds"][0]["n_replies"] == 3
    assert results["rounds"][-1]["n_replies"] == 2
