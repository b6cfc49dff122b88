"""Flower's SuperNode asks again sooner, if it is the one that is known."""

import time
from types import SimpleNamespace

import pytest
from flwr.supercore.retry import http_retry
from flwr.supernode import start_client_internal

from clients.node import pinned
from clients.node.prompt import Pauses, shorten_pauses


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


@pytest.mark.parametrize(
    ("poll_s", "silence_s", "pause_s"),
    [(0.2, 0.0, 0.2), (0.2, 4.0, 0.2), (0.2, 20.0, 1.0), (0.2, 3600.0, 3.0), (5.0, 3600.0, 5.0)],
)
def test_it_asks_less_often_the_longer_nothing_has_come(
    poll_s: float, silence_s: float, pause_s: float
) -> None:
    assert Pauses(poll_s).before_next_question(silence_s) == pytest.approx(pause_s)


def test_a_message_ends_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [100.0], list[float]()
    monkeypatch.setattr(
        "clients.node.prompt.time", SimpleNamespace(monotonic=lambda: now[0], sleep=slept.append)
    )
    pauses = Pauses(0.2)
    now[0] += 40.0
    pauses.sleep(3)
    pauses.sleep(0.5)  # until the answer to what came is there
    pauses.sleep(3)
    now[0] += 10.0
    pauses.sleep(3)
    assert slept == pytest.approx([2.0, 0.02, 0.2, 0.5])


def test_another_flower_keeps_its_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "package_version", "1.42.0")
    assert shorten_pauses(0.05) == "Flower is 1.42.0, not 1.41.x"
    assert start_client_internal.time is time
