"""Runs in children of a process that has everything loaded; they kill themselves when told to.

Each line of standard input is a JSON object with `settings`, and `kill_at`: before which of its
operations on files in the run's folder the child gets SIGKILL, from 0; null for none. For each line
there is one with how the child ended and, if it was not killed, how many operations there were.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

OPERATIONS = frozenset({"open", "os.rename", "os.remove", "os.mkdir"})


def count_operations(folder: Path, kill_at: int | None) -> list[int]:
    """Watch this process; the list's only entry is the number of operations so far."""
    n = [0]
    inside = str(folder)

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or not str(values[0]).startswith(inside):
            return
        if n[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        n[0] += 1

    sys.addaudithook(hook)
    return n


def serve() -> None:
    """Answer each line."""
    from fedtrade.baselines.ewma import ewma_t6
    from fedtrade.settings import Settings
    from fedtrade.tasks import risk
    from simulations.inprocess import run

    vars(risk)["NAIVE_FORECASTERS"] = {"ewma_t6": ewma_t6}  # others are slow to fit
    for line in sys.stdin:
        asked = json.loads(line)
        settings = Settings.from_mapping(asked["settings"])
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                n = count_operations(Path(settings.out), asked["kill_at"])
                run(settings)
                os.write(write, str(n[0]).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        said = os.read(read, 64).decode()
        os.close(read)
        _, status = os.waitpid(child, 0)
        ended = {"code": os.waitstatus_to_exitcode(status), "n": int(said) if said else None}
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    serve()
