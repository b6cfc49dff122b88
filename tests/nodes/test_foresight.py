"""A run that cannot work is refused before anything is started for it."""

import time
from pathlib import Path

import pytest

from conf.nodes import server_settings
from fedtrade.errors import FedtradeError
from fedtrade.nodes.foresight import check_ahead
from fedtrade.nodes.launch import launch_server
from fedtrade.nodes.provision import provision
from tests.nodes.provisioned import consortium, named


def test_a_server_refuses_at_once_what_its_register_does_not_bear(tmp_path: Path) -> None:
    """Three participants are too few for masked sums with the defaults."""
    three = consortium(participants=named("alpha", "beta", "gamma"), key_holders=[])
    provision(three, tmp_path / "made")
    folder, out = tmp_path / "made/server", tmp_path / "out"
    before = sorted(path.name for path in folder.iterdir())
    settings, server = server_settings([f"server.folder={folder}", f"out={out}", "server.port=0"])
    began = time.monotonic()
    with pytest.raises(FedtradeError, match=r"no graph of 3 members bears .*dropout_share"):
        launch_server(settings, server)
    assert time.monotonic() - began < 20.0  # nobody is waited for
    assert sorted(path.name for path in folder.iterdir()) == before
    assert not out.exists()


def test_a_folder_that_is_not_there_is_named_by_its_setting(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    settings, server = server_settings([f"server.folder={folder}", f"out={tmp_path / 'out'}"])
    with pytest.raises(FedtradeError, match=f"server.folder={folder} is not there; name"):
        launch_server(settings, server)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["federation.n_participants=3"], "no graph of 3 members"),
        (["federation.n_participants=4"], None),
        (["federation.n_participants=null"], None),
        (["federation.n_participants=2", "aggregation=encrypted"], "min_contributors=3"),
        (
            ["federation.n_participants=4", "strategy=robust", "aggregation.dropout_share=0"],
            "cannot tell 0 liars",
        ),
        (
            ["federation.n_participants=10", "federation.quorum=0.5"],
            r"federation\.quorum=0\.5 closes a round with 5",
        ),
    ],
)
def test_what_can_be_known_before_anybody_comes(overrides: list[str], reason: str | None) -> None:
    settings, _ = server_settings(overrides)
    if reason is None:
        check_ahead(settings)
        return
    with pytest.raises(FedtradeError, match=reason):
        check_ahead(settings)
