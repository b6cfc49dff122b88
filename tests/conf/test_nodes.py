"""From a kit and a command line to the settings of a party's machine."""

import re
from pathlib import Path

import pytest

from conf.nodes import client_settings, server_settings
from fedtrade.errors import ConfigurationError
from fedtrade.nodes.consortium import Consortium
from fedtrade.nodes.provision import provision


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a 'strange' ${place}")
    strict = {"allow": {"modes": ["masked"], "most_rounds": 5}, "data": "from_run"}
    values = {
        "name": "desk",
        "server": {"address": "127.0.0.1:18443"},
        "participants": [{"name": "alpha"}, {"name": "beta", "settings": strict}],
    }
    provision(Consortium.from_mapping(values), folder)
    return folder / "kits"


def kit(path: Path) -> str:
    return f"kit={path}"


def test_a_kit_names_the_party_its_server_and_its_files(
    kits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = client_settings([kit(kits / "alpha"), "data.path=prices.csv"])
    assert (settings.name, settings.number, settings.role) == ("alpha", 0, "participant")
    assert settings.superlink == "127.0.0.1:18443"
    for path in (settings.root_certificates, settings.key, settings.identity_key):
        assert path is not None
        assert Path(path).is_file()
    assert settings.state == str(kits / "alpha" / "state")
    assert settings.data is not None
    # As one writes it: relative to where the command is, and right wherever its processes run.
    assert settings.data.model_dump()["path"] == str(tmp_path / "prices.csv")


def test_a_kit_found_from_within_is_the_same(kits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["data=from_run"]
    outside = client_settings([kit(kits / "alpha"), *overrides])
    monkeypatch.chdir(kits / "alpha")
    assert client_settings(["kit=.", *overrides]) == outside


def test_the_command_line_beats_the_kit_and_the_kit_the_defaults(kits: Path) -> None:
    settings = client_settings([kit(kits / "beta")])
    assert (settings.allow.modes, settings.allow.most_rounds) == (("masked",), 5)
    assert settings.allow.min_contributors == 3
    assert settings.data is None
    chosen = client_settings(["allow.most_rounds=7", kit(kits / "beta"), "allow.modes=[plain]"])
    assert (chosen.allow.modes, chosen.allow.most_rounds) == (("plain",), 7)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no start kit is named; add kit=FOLDER"),
        (["name=a"], "data.path has no value; add data.path=VALUE to the command."),
        (["name=a", "data=from_run"], "number has no value"),
        (["name=a", "--pln"], "there is no option --pln"),
        (
            [
                *("name=a", "number=0", "state=a", "data=from_run", "key=a"),
                *("root_certificates=a", "superlink=fed.example.com"),
            ],
            "superlink: 'fed.example.com' is not HOST:PORT",
        ),
        (["kit=a", "kit=b"], "kit=b is the second kit"),
        (["kit=nowhere"], "kit=nowhere: the manifest cannot be read"),
        (["name=a", "alow.modes=[plain]"], "there is no setting alow; did you mean allow?"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        client_settings(arguments)


def test_a_limit_of_the_wrong_kind_is_named(kits: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"allow\.min_contributors"):
        client_settings([kit(kits / "beta"), "allow.min_contributors=1"])


def test_the_servers_runs_have_real_nodes_deadlines_and_no_data_of_its_own() -> None:
    settings, server = server_settings(["federation=small", "server.port=0"])
    assert settings.federation.reply_timeout_s == 30.0
    assert settings.federation.n_participants is None
    assert settings.data.target == "fedtrade.market.sources.own"
    assert settings.aggregation.mode == "masked"
    assert (server.port, server.gateway) == (0, True)
    patient, _ = server_settings(["federation.reply_timeout_s=60"])
    assert patient.federation.reply_timeout_s == 60.0


def test_a_servers_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"no setting server\.prot; did you mean"):
        server_settings(["server.prot=1"])
    with pytest.raises(ConfigurationError, match=r"^server\.port=99999: "):
        server_settings(["server.port=99999"])


def test_one_port_is_not_for_two() -> None:
    with pytest.raises(ConfigurationError, match="port and monitor_port are both 9464; each"):
        server_settings(["server.port=9464"])
    with pytest.raises(ConfigurationError, match="port and superlink_port are both 8443"):
        server_settings(["server.superlink_port=8443"])
    free = ["server.port=0", "server.superlink_port=0", "server.monitor_port=0"]
    assert server_settings(free)[1].port == 0
    alone, (_, own) = "server.superlink_port=8443", server_settings(["server.gateway=false"])
    assert own.port == server_settings(["server.gateway=false", alone])[1].superlink_port
