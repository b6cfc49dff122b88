"""Answers of the risk task do without SciPy, which each fresh process would have to load."""

import subprocess
import sys
from collections.abc import Callable

from fedtrade.settings import Settings

RUN = """
import sys
from flwr.clientapp import ClientApp
from simulations.grid import simulate

answer, heavy = ClientApp.__call__, {"scipy", "sklearn", "arch", "skfolio"}

def watched(self, message, context):
    before = set(sys.modules)  # the server, in the same process here, may have loaded them
    reply = answer(self, message, context)
    print(message.metadata.message_type, sorted(heavy & (set(sys.modules) - before)))
    return reply

ClientApp.__call__ = watched
simulate(
    "strategies.server_app:app",
    "clients.client_app:app",
    n_participants=int(sys.argv[2]),
    run_config={"settings": sys.argv[1]},
    seed=0,
)
"""


def test_they_are_trained_and_scored_without_scipy(tiny: Callable[..., Settings]) -> None:
    settings = tiny("task.baselines=ewma")
    done = subprocess.run(
        [sys.executable, "-c", RUN, settings.to_json(), str(settings.n_nodes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert {"train []", "evaluate []"} <= set(answers)
    assert not [answer for answer in answers if not answer.endswith("[]")]
