from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flwr.app import Context, Message

from clients.client_app import app
from clients.discretion import discreet
from fedtrade.errors import (
    BudgetError,
    ConfigurationError,
    DataError,
    FedtradeError,
    LimitError,
    NodeError,
    OutputError,
    ProtocolError,
    RangeError,
)
from simulations.task_identity import Identity, task_identity
from tests.clients.own_node import RUN_ID, context, greeting, message, node_config
from tests.nodes.test_run_memory import full_disk


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with task_identity(Identity(run_id=RUN_ID)):
        yield


Call = Callable[[Message, Context], Message]


def failing(error: Exception, cause: Exception | None = None) -> Call:
    def answer(asked: Message, own: Context) -> Message:
        raise error from cause

    return answer


@pytest.mark.parametrize(
    "error",
    [
        LimitError("this participant allows masked."),
        ConfigurationError("federation.rounds=0 is too few."),
        ProtocolError("the server skipped the greeting."),
        BudgetError("epsilon 1 is left, and 2 are asked for."),
    ],
)
def test_a_sentence_about_the_run_is_told(tmp_path: Path, error: FedtradeError) -> None:
    with pytest.raises(type(error)) as caught:
        discreet(message(), context(node_config(tmp_path)), failing(error))
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("the price 101.25 of ACME"), None),
        (DataError("ACME: the price of 2020-01-01 is -3"), None),
        (RangeError("the value 17.5 is out of range"), None),
        (ConfigurationError("task: 17.5 is too large"), ValueError("17.5")),
        (ConfigurationError("see above"), DataError("ACME")),
        (KeyError("ACME"), None),
    ],
)
def test_what_may_tell_of_prices_stays_in_the_nodes_own_log(
    tmp_path: Path, error: Exception, cause: Exception | None
) -> None:
    with pytest.raises(NodeError) as caught:
        discreet(message(), context(node_config(tmp_path)), failing(error, cause))
    assert str(caught.value) == (
        f"this participant could not answer ({type(error).__name__}); its own log says why."
    )
    assert caught.value.__cause__ is error


def test_in_a_simulation_errors_leave_as_they_are() -> None:
    with pytest.raises(DataError, match="ACME"):
        discreet(message(), context({"partition-id": 0}), failing(DataError("ACME")))


def told(asked: Message, own: Context, tmp_path: Path) -> str:
    """What the whole app tells the server; nothing of where things lie."""
    with pytest.raises(FedtradeError) as caught:
        app(asked, own)
    assert str(tmp_path) not in str(caught.value)
    return str(caught.value)


def test_where_things_lie_is_not_told(tmp_path: Path) -> None:
    data = {"_target_": "fedtrade.market.files.csv", "path": str(tmp_path / "gone.csv")}
    willing = {"modes": ["plain"], "scores": "by_participant"}
    config = node_config(tmp_path, data=data, allow=willing)
    own = context(config, "aggregation=plain")
    assert "could not answer (DataError)" in told(greeting(), own, tmp_path)
    config |= {"identity-key": str(tmp_path / "gone.key"), "role": "key-holder"}
    holder = node_config(tmp_path, role="key_holder", number=4)
    own = context(holder | {"identity-key": config["identity-key"]}, "aggregation=encrypted")
    told(greeting(), own, tmp_path)
    (tmp_path / "ca.crt").unlink()
    said = told(greeting(), own, tmp_path)
    assert "root_certificates=ca.crt cannot be read" in said
    (tmp_path / "state/local.json").write_text("{")
    assert "local-settings='local.json', which cannot be read" in told(greeting(), own, tmp_path)


def test_a_full_disk_is_named_and_no_path(tmp_path: Path) -> None:
    own = context(node_config(tmp_path))
    with full_disk(), pytest.raises(OutputError) as caught:
        app(message("query.secure"), own)
    assert "what this participant remembers of the run cannot be written" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
