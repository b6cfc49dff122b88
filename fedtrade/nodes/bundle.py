"""The app's bundle that Flower hands to nodes: our packages, from wherever they are installed."""

import shutil
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from fedtrade.errors import NodeError, OutputError

__all__ = ["MOST_BYTES", "PACKAGES", "write_bundle"]

PACKAGES: Final = ("fedtrade", "strategies", "clients", "conf")
CODE: Final = "*.py"
SETTINGS: Final = {"conf": ("*.yaml",)}
"""Files besides code, by package."""

MOST_BYTES: Final = 10 * 1024 * 1024
"""Flower takes no bundle that is larger, packed."""

PYPROJECT: Final = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "fedtrade"
version = "{version}"
description = "Federated learning for trading firms."
license = "Apache-2.0"

[tool.flwr.app]
publisher = "fedtrade"
fab-include = ["**/*.py", "**/*.yaml"]

[tool.flwr.app.components]
serverapp = "strategies.server_app:app"
clientapp = "clients.client_app:app"

[tool.flwr.app.config]
settings = ""
"""


def write_bundle(folder: Path, packages: tuple[str, ...] = PACKAGES) -> Path:
    """Write the app's folder, as `flwr run FOLDER` takes it.

    It holds code and the configuration's groups; no other file, whatever lies beside them.

    Raises
    ------
    NodeError
        If a package is not installed, or the bundle is larger than Flower takes.
    OutputError
        If it cannot be written.
    """
    try:
        for package in packages:
            _copy(_place(package), folder / package, (CODE, *SETTINGS.get(package, ())))
        text = PYPROJECT.format(version=version("fedtrade"))
        (folder / "pyproject.toml").write_text(text, encoding="utf-8")
        _check_size(folder)
    except OSError as error:
        raise OutputError(
            f"the bundle cannot be written to {folder} ({error.strerror}); free some space, or "
            "choose another folder."
        ) from None
    return folder


def _copy(source: Path, target: Path, kinds: tuple[str, ...]) -> None:
    """Copy files of some kinds; a link may lead anywhere and is left out."""
    for path in (found for kind in kinds for found in source.rglob(kind)):
        if path.is_file() and not path.is_symlink():
            copied = target / path.relative_to(source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)


def _place(package: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise NodeError(f"the package {package!r} is not installed, and a bundle needs it.")
    return Path(next(iter(found.submodule_search_locations)))


def _check_size(folder: Path) -> None:
    with TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in folder.rglob("*"):
                archive.write(path, path.relative_to(folder))
        size = file.tell()
    if size > MOST_BYTES:
        raise NodeError(
            f"the bundle has {size / 2**20:.1f} MiB, and Flower takes "
            f"{MOST_BYTES / 2**20:.0f} MiB; take large files out of {', '.join(PACKAGES)}."
        )
