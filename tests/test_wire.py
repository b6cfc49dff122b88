from importlib.metadata import version

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.tasks.task import Model
from fedtrade.wire import (
    EpisodeRecord,
    bar_text,
    bars_of,
    check_version,
    own_version,
    pack_model,
    seconds_of,
    split_prefix,
    unpack_models,
)

EPISODE = EpisodeRecord(number=3, fold=-1, origin=946_857_600, test_end=949_449_600, n_skip=2)


def test_a_strangers_version_stays_in_one_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_version('x\nTraceback (most recent call last):\n{"event": 1}', "its node")
    assert str(caught.value).splitlines() == [str(caught.value)]


def test_an_episode_survives_its_message() -> None:
    assert EpisodeRecord.from_config({**EPISODE.to_config(), "sum": "nowcast"}) == EPISODE


@pytest.mark.parametrize("name", ["episode", "fold", "origin", "test-end", "n-skip"])
@pytest.mark.parametrize("value", [None, "7", 1.5])
def test_a_wrong_entry_of_an_episode_is_named(name: str, value: object) -> None:
    config: dict[str, object] = {**EPISODE.to_config(), name: value}
    with pytest.raises(ValueError, match=f"{name}={value!r}, not a whole number"):
        EpisodeRecord.from_config(config)


def test_a_bar_is_a_date_at_midnight_and_a_time_otherwise() -> None:
    assert bar_text(946_857_600) == EPISODE.origin_date == "2000-01-03"
    assert bar_text(946_857_600 + 5400) == "2000-01-03T01:30:00"


def test_bars_survive_as_seconds() -> None:
    bars = np.array(["1969-12-31T23:00", "2000-01-03", "2100-06-01T12:34:56"], "datetime64[s]")
    seconds = seconds_of(bars)
    assert seconds.dtype == np.float64
    assert seconds[0] == -3600.0
    np.testing.assert_array_equal(bars_of(seconds), bars)


def test_models_survive_their_packing() -> None:
    """By arm, each with its vector and its learned sums, among other arrays."""
    one = Model(np.arange(3, dtype=np.float32), {"moments": np.eye(2), "other": np.ones(1)})
    two = Model(np.zeros(1, dtype=np.float32))
    arrays = {"shared/nowcast": np.ones(4), **pack_model("federated", one), **pack_model("b", two)}
    found = unpack_models(arrays)
    assert list(found) == ["federated", "b"]
    np.testing.assert_array_equal(found["federated"].vector, one.vector)
    assert found["federated"].vector.dtype == np.float32
    assert found["federated"].learned.keys() == {"moments", "other"}
    np.testing.assert_array_equal(found["federated"].learned["moments"], np.eye(2))
    assert found["b"].learned == {}


def test_a_prefix_is_split_off() -> None:
    found = split_prefix({"a/x": np.ones(1), "a/b/y": np.ones(2), "c": np.ones(3)}, "a/")
    assert {name: len(values) for name, values in found.items()} == {"x": 1, "b/y": 2}


def test_another_version_is_refused_with_both_names() -> None:
    check_version(own_version(), "the server")
    assert own_version().startswith(version("fedtrade"))
    with pytest.raises(ConfigurationError) as caught:
        check_version("0.0.9, messages 7", "the server")
    assert str(caught.value) == (
        f"the server is fedtrade 0.0.9, messages 7, and this is fedtrade {own_version()}: install "
        "the same one everywhere."
    )
    with pytest.raises(ConfigurationError, match="the node does not say which fedtrade it is"):
        check_version(None, "the node")
