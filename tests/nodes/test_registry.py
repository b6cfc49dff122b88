import json
from pathlib import Path

import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.registry import Party, Registry


def party(number: int, **changes: object) -> Party:
    values = {"name": f"party-{number}", "number": number, "role": "participant"}
    keys = {"node_key": f"ecdsa-sha2-nistp384 {number}", "identity": f"{number:064x}"}
    return Party.from_mapping({**values, **keys, **changes})


def test_a_register_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    registry = Registry(parties=(party(0), party(1, revoked=True), party(2, role="key_holder")))
    registry.write(path)
    assert Registry.read(path) == registry
    assert [p.number for p in registry.active] == [0, 2]


@pytest.mark.parametrize("what", ["name", "number", "node_key", "identity"])
def test_no_two_parties_share_what_tells_them_apart(tmp_path: Path, what: str) -> None:
    """Not even with one that was taken out."""
    path = tmp_path / "registry.json"
    Registry(parties=(party(0), party(1, revoked=True))).write(path)
    values = json.loads(path.read_text())
    values["parties"][1][what] = values["parties"][0][what]
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigurationError, match=f"two parties have the {what}"):
        Registry.read(path)


@pytest.mark.parametrize("text", ["", "[", "[]", '{"parties": [{"name": "a"}]}'])
def test_what_is_no_register_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registry.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        Registry.read(path)
    with pytest.raises(
        ConfigurationError, match=r"cannot be read .* `fedtrade provision` makes it"
    ):
        Registry.read(tmp_path / "nothing.json")
