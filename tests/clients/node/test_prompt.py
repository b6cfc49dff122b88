"""Flower's SuperNode asks again sooner, if it is the one that is known."""

import time

import pytest
from flwr.supercore.retry import http_retry
from flwr.supernode import start_client_internal

from clients.node import pinned
from clients.node.prompt import shorten_pauses


@pytest.fixture(autouse=True)
def flower_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is replaced becomes Flower's again behind each test."""
    monkeypatch.setattr(start_client_internal, "time", time)
    monkeypatch.setattr(http_retry, "MAX_RETRY_DELAY", http_retry.MAX_RETRY_DELAY)


def test_its_pauses_are_short() -> None:
    assert shorten_pauses(0.05) == ""
    began = time.monotonic()
    start_client_internal.time.sleep(3)  # after a pull in vain
    start_client_internal.time.sleep(0.5)  # until a reply is there
    assert 0.06 < time.monotonic() - began < 0.5
    assert http_retry.MAX_RETRY_DELAY == 3


def test_it_asks_as_often_as_the_party_wants() -> None:
    shorten_pauses(0.4)
    began = time.monotonic()
    start_client_internal.time.sleep(3)
    assert 0.39 < time.monotonic() - began < 1.0


def test_another_flower_keeps_its_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "package_version", "1.42.0")
    assert shorten_pauses(0.05) == "Flower is 1.42.0, not 1.41.x"
    assert start_client_internal.time is time
