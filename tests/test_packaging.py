"""What is built holds what is needed, and nothing else."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PACKAGES = ("fedtrade", "strategies", "clients", "conf", "simulations")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINNED = re.compile(r"([a-z0-9-]+)==([0-9][0-9A-Za-z.]*)")
MEBIBYTE = 1024 * 1024


def sources(*packages: str) -> set[str]:
    """Files of the packages, relative to the checkout."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.iterdir()
    return built


def test_the_wheel_holds_the_packages_with_their_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources(*PACKAGES)
    assert {"fedtrade/py.typed", "conf/simulate.yaml"} <= names


def test_the_wheel_carries_the_licence_and_the_command(wheel: Path) -> None:
    info = f"fedtrade-{PROJECT['project']['version']}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        licence = archive.read(f"{info}/licenses/LICENSE").decode()
        commands = archive.read(f"{info}/entry_points.txt").decode()
        about = archive.read(f"{info}/METADATA").decode()
    assert "Apache License" in licence
    assert "fedtrade = fedtrade.cli:main" in commands
    assert "License-Expression: Apache-2.0" in about


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Flower's app bundle, made from a copy of the checkout."""
    app = tmp_path_factory.mktemp("app") / "fedtrade"
    unwanted = shutil.ignore_patterns(
        ".*", "__pycache__", "runs", "outputs", "multirun", "site", "build", "dist"
    )
    shutil.copytree(ROOT, app, ignore=unwanted)
    command = [sys.executable, "-c", "from flwr.cli.app import app; app()", "build"]
    subprocess.run(command, cwd=app, check=True, capture_output=True, timeout=120)
    (built,) = app.glob("*.fab")
    return built.read_bytes()


def test_the_app_bundle_holds_the_code_and_the_configuration(bundle: bytes) -> None:
    code = sources("fedtrade", "strategies", "clients", "conf")
    expected = {name for name in code if name.endswith((".py", ".yaml"))}
    with zipfile.ZipFile(BytesIO(bundle)) as archive:
        names = set(archive.namelist())
    assert names == expected | {"LICENSE", "pyproject.toml", ".info/CONTENT"}


def test_the_app_bundle_is_small(bundle: bytes) -> None:
    """Flower refuses more than 10 MiB; ours is code and a few lines of configuration."""
    assert len(bundle) < 2 * MEBIBYTE


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    matches = [PINNED.fullmatch(line) for line in lines if not line.startswith("#")]
    return {match[1]: Version(match[2]) for match in matches if match}


def declared() -> list[Requirement]:
    project = PROJECT["project"]
    extras: Iterable[list[str]] = project["optional-dependencies"].values()
    return [Requirement(line) for line in sum(extras, project["dependencies"])]


def required_names(requirements: Iterable[Requirement]) -> set[str]:
    """Names of the requirements and of all that they require in turn, as far as installed."""
    seen: set[tuple[str, str]] = set()
    queue = [(canonicalize_name(r.name), e) for r in requirements for e in ("", *r.extras)]
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        queue += [
            (canonicalize_name(needed.name), further)
            for needed in map(Requirement, lines)
            if needed.marker is None or needed.marker.evaluate({"extra": extra})
            for further in ("", *needed.extras)
        ]
    return {name for name, _ in seen}


def test_constraints_are_sorted_exact_versions_without_addresses() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    assert [row for row in rows if not PINNED.fullmatch(row)] == []
    names = [row.split("==")[0] for row in rows]
    assert names == sorted(set(names))


def test_constraints_satisfy_what_the_project_declares() -> None:
    versions = pins()
    unmet = [str(r) for r in declared() if versions[canonicalize_name(r.name)] not in r.specifier]
    assert unmet == []


@pytest.mark.skipif(
    (sys.platform, sys.version_info[:2]) != ("linux", (3, 11)),
    reason="constraints.txt is resolved for Linux and Python 3.11",
)
def test_constraints_name_everything_that_is_needed_in_turn() -> None:
    assert required_names(declared()) - pins().keys() == set()


def test_the_makefile_helps_from_another_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "make demo" in done.stdout
