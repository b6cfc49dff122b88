"""Flower's inner parts are relied on only where they are those that are known."""

import hashlib
import inspect

import pytest
from flwr.supercore.superexec import run_superexec

from clients.node import pinned
from clients.node.executor import why_not
from clients.node.pinned import lacks, replace


def test_what_this_version_of_flower_has_is_relied_on() -> None:
    known = hashlib.sha256(inspect.getsource(run_superexec).encode()).hexdigest()
    assert lacks(run_superexec, "get_executor", source=known) == ""
    assert why_not() == ""


def test_another_version_a_missing_name_and_another_source_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "flwr.supercore.superexec.run_superexec"
    assert lacks(run_superexec, "get_executor", "nothing") == f"{module} has no nothing"
    assert lacks(run_superexec, source="0" * 64) == f"{module} is not the one that is known"
    monkeypatch.setattr(pinned, "package_version", "1.42.0")
    assert lacks(run_superexec, "get_executor") == "Flower is 1.42.0, not 1.41.x"
    assert why_not() == "Flower is 1.42.0, not 1.41.x"


def test_names_get_another_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "FLOWER", pinned.FLOWER)  # to be restored
    replace(pinned, FLOWER="9.")
    assert lacks(run_superexec).endswith("not 9.x")
