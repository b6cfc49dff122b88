import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import Context, Message

from clients.client_app import app
from clients.kept_state import keep
from clients.local_rules import obey
from clients.participant import Participant
from fedtrade.errors import ConfigurationError, LimitError, NodeError, ProtocolError
from fedtrade.settings import Settings
from fedtrade.wire import ROUND_NUMBER, own_version
from simulations.task_identity import Identity, task_identity
from tests.clients.own_node import (
    RUN_ID,
    context,
    count,
    greeting,
    message,
    node_config,
    remember,
)


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with task_identity(Identity(run_id=RUN_ID)):
        yield


def both(asked: Message, own: Context) -> Message:
    return keep(asked, own, lambda m, c: obey(m, c, remember))


def settings_of(own: Context) -> Settings:
    return Settings.from_json(str(own.run_config["settings"]))


def test_a_message_is_answered_by_the_machines_own_settings(tmp_path: Path) -> None:
    data = {"_target_": "fedtrade.market.files.csv", "path": str(tmp_path / "mine.csv")}
    own = context(node_config(tmp_path, data=data, identities=str(tmp_path / "mine.json")))
    before, seen = dict(own.run_config), []

    def look(asked: Message, inner: Context) -> Message:
        seen.append(settings_of(inner))
        return asked

    obey(message(), own, look)
    assert seen[0].data.options["path"] == data["path"]
    assert seen[0].aggregation.to_mapping()["identities"] == str(tmp_path / "mine.json")
    assert not seen[0].evaluation.show_path
    assert own.run_config == before


@pytest.mark.parametrize("said", ["9.9.9, messages 1", "", "0.1.0"])
def test_a_server_of_another_version_is_refused_before_anything_else(
    tmp_path: Path, said: str
) -> None:
    """Even where its settings cannot be read any more."""
    own = context(node_config(tmp_path))
    own.run_config["settings"] = '{"of": "another version"}'
    with pytest.raises(ConfigurationError) as caught:
        obey(greeting(said), own, remember)
    sentence = str(caught.value)
    assert f"the server is fedtrade {said}, and this is fedtrade {own_version()}" in sentence
    assert "install the same one everywhere" in sentence
    assert count(own) == 0


def test_a_server_that_does_not_say_its_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the server does not say which fedtrade it is"):
        obey(message("query.describe"), context(node_config(tmp_path)), remember)
    obey(greeting(), context(node_config(tmp_path)), remember)


def test_in_a_simulation_a_server_that_says_another_version_is_refused_too(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match=r"the server is fedtrade 9\.9\.9"):
        app(greeting("9.9.9"), context({"partition-id": 0}))


@pytest.mark.parametrize(
    ("started_as", "own_role"), [("key-holder", "participant"), ("participant", "key_holder")]
)
def test_a_node_that_was_started_in_another_role_than_its_own_answers_nothing(
    tmp_path: Path, started_as: str, own_role: str
) -> None:
    config = node_config(tmp_path, role=own_role) | {"role": started_as}
    own = context(config, "aggregation=encrypted")
    with pytest.raises(ConfigurationError, match=rf"have role={own_role}.*started as another"):
        obey(message(), own, remember)
    assert count(own) == 0


def test_a_key_holder_opens_no_data(tmp_path: Path) -> None:
    """Not even where the server asks it for what a participant does."""
    data = {"_target_": "os.system", "command": f"touch {tmp_path / 'opened'}"}
    config = node_config(tmp_path, role="key_holder", number=4, data=data)
    for kind in ("train", "evaluate", "query.sum"):
        asked = message(kind, **{ROUND_NUMBER: 1})
        with pytest.raises((ProtocolError, NodeError)):
            app(asked, context(config, "aggregation=encrypted"))
    with pytest.raises(ProtocolError, match=r"the node holds the key.*it has no data"):
        Participant.of(context(config, "aggregation=encrypted"))
    assert not (tmp_path / "opened").exists()


def test_settings_that_change_in_the_middle_of_a_run_are_refused(tmp_path: Path) -> None:
    config = node_config(tmp_path)
    both(message(), context(config))
    with pytest.raises(LimitError, match="others than at its first message"):
        both(message(), context(config, "federation.rounds=9"))
    own = context(config)
    both(message(), own)
    assert count(own) == 2


def test_no_more_messages_are_answered_than_allowed(tmp_path: Path) -> None:
    """Those that end in an error count, as they cost work too; another run counts anew."""
    config = node_config(tmp_path, allow={"most_answers": 2})

    def fail(asked: Message, own: Context) -> Message:
        raise ProtocolError("what is this?")

    both(message(), context(config))
    with pytest.raises(ProtocolError, match="what is this"):
        keep(message(), context(config), lambda m, c: obey(m, c, fail))
    with pytest.raises(LimitError, match=r"answered 2 messages.*allow\.most_answers"):
        both(message(), context(config))
    with task_identity(Identity(run_id=8)):
        both(message(), context(config, run_id=8))


def test_a_round_that_the_settings_do_not_have_is_not_trained(tmp_path: Path) -> None:
    own = context(node_config(tmp_path), "federation.rounds=3")
    obey(message("train", **{ROUND_NUMBER: 3}), own, remember)
    for asked in (
        message("train", **{ROUND_NUMBER: 4}),
        message("train.default", **{ROUND_NUMBER: 4}),
        message("train"),
    ):
        with pytest.raises(LimitError, match=r"asks for round .*federation\.rounds=3"):
            obey(asked, own, remember)
    assert count(own) == 1


def test_work_that_takes_too_long_is_broken_off(tmp_path: Path) -> None:
    """Whatever it catches; and what it has changed until then is kept."""
    config = node_config(tmp_path, allow={"most_seconds": 0.2})

    def dawdle(asked: Message, inner: Context) -> Message:
        remember(asked, inner)
        try:
            time.sleep(5.0)
        except Exception:
            pytest.fail("it was told as an error that the app could answer")
        return asked

    began = time.monotonic()
    with pytest.raises(LimitError, match=r"longer than 0\.2 s.*allow\.most_seconds"):
        keep(message(), context(config), lambda m, c: obey(m, c, dawdle))
    assert time.monotonic() - began < 4.0
    again = context(config)
    both(message(), again)
    assert count(again) == 2
    time.sleep(0.3)  # nothing rings any more


def test_work_within_its_time_is_left_alone(tmp_path: Path) -> None:
    own = context(node_config(tmp_path, allow={"most_seconds": 30.0}))
    obey(message(), own, remember)
    worker = threading.Thread(target=obey, args=(message(), own, remember))
    worker.start()
    worker.join(10.0)
    assert count(own) == 2


def test_nothing_is_done_for_a_run_that_is_not_allowed(tmp_path: Path) -> None:
    own = context(node_config(tmp_path), "aggregation=plain")
    with pytest.raises(LimitError, match=r"allow\.modes"):
        obey(message(), own, remember)
    assert count(own) == 0
