"""What goes out with a run: code, and nothing else."""

import os
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

import fedtrade
from fedtrade.errors import NodeError, OutputError
from fedtrade.nodes import bundle
from fedtrade.nodes.bundle import PACKAGES, write_bundle
from fedtrade.nodes.flower import environment, tool


def test_the_bundle_has_the_installed_code_and_configuration(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*PACKAGES, "pyproject.toml"}
    source = Path(fedtrade.__file__)
    assert (tmp_path / "fedtrade/__init__.py").read_bytes() == source.read_bytes()
    assert (tmp_path / "conf/client.yaml").is_file()
    app = tomllib.loads((tmp_path / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert app["components"] == {
        "serverapp": "strategies.server_app:app",
        "clientapp": "clients.client_app:app",
    }


def test_keys_data_and_logs_beside_the_code_stay_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "house" / "parlour"
    (package / "kits").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("node.key", "ca.crt", "prices.csv", "run.log", "state.db", "kits/client.yaml"):
        (package / name).write_text("secret")
    (package / "link.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "outside.py").write_text("secret")
    monkeypatch.syspath_prepend(tmp_path / "house")
    write_bundle(tmp_path / "app", ("parlour",))
    found = {str(p.relative_to(tmp_path / "app")) for p in (tmp_path / "app").rglob("*.*")}
    assert found == {"pyproject.toml", "parlour/__init__.py"}


def test_a_bundle_that_flower_would_refuse_is_named_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "house" / "hall"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "large.py").write_bytes(os.urandom(bundle.MOST_BYTES + 1))
    monkeypatch.syspath_prepend(tmp_path / "house")
    with pytest.raises(NodeError, match=r"the bundle has 10\.0 MiB, and Flower takes 10 MiB"):
        write_bundle(tmp_path / "app", ("hall",))


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="'no_such_package' is not installed"):
        write_bundle(tmp_path, ("no_such_package",))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written to .*file"):
        write_bundle(tmp_path / "file")


def test_flower_builds_it_whole(tmp_path: Path) -> None:
    """Flower leaves out what its own rules exclude; a module that is needed must not be."""
    app = write_bundle(tmp_path / "app")
    subprocess.run(
        [tool("flwr"), "build", "--app", app],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        check=True,
        capture_output=True,
        timeout=60,
    )
    (fab,) = tmp_path.glob("*.fab")
    with zipfile.ZipFile(fab) as archive:
        packed = {name for name in archive.namelist() if name.endswith((".py", ".yaml"))}
    assert packed == {str(p.relative_to(app)) for s in ("py", "yaml") for p in app.rglob(f"*.{s}")}
