import time

import pytest
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.inflatable.inflatable_utils import ObjectUnavailableError, pull_objects

from fedtrade.nodes.pull_sooner import FUNCTIONS, pull_sooner


def test_a_part_that_is_on_its_way_is_asked_for_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FUNCTIONS:
        function = getattr(inflatable_utils, name)
        monkeypatch.setattr(function, "__kwdefaults__", dict(function.__kwdefaults__))
    asked = []

    def pull(object_id: str) -> bytes:
        asked.append(object_id)
        if len(asked) < 4:
            raise ObjectUnavailableError(object_id)
        return b"here"

    pull_sooner()
    began = time.monotonic()
    assert pull_objects(["a"], pull) == {"a": b"here"}
    assert time.monotonic() - began < 0.9  # Flower's own pauses are 1, 2 and 4 s
