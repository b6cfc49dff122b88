"""Messages that neither train nor score go without torch, which takes a second to import."""

import subprocess
import sys

import pytest

from fedtrade.lazy_torch import torch

UNTRAINED = """
import sys
from conf import compose
from clients.participant import Participant
for task in ("risk", "volatility", "signal"):
    participant = Participant(compose([f"task={task}", "federation.n_participants=3"]), 0)
    participant.task.initial(0)
    assert participant.bars.size
    assert "torch" not in sys.modules, task
"""


def test_a_participant_describes_itself_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNTRAINED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_as_before_behind_it(collects: bool) -> None:
    code = f"""
import gc
from fedtrade.lazy_torch import torch
gc.enable() if {collects} else gc.disable()
torch.zeros
assert gc.isenabled() is {collects}
assert gc.get_freeze_count() > 100_000
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_is_torch() -> None:
    import torch as real

    assert torch.Tensor is real.Tensor
    assert torch.exp is real.exp
