"""Every package lists in `__all__` exactly the names it offers."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ("fedtrade", "strategies", "clients", "conf", "simulations")
SOURCES = sorted(path for package in HOUSE for path in (ROOT / package).rglob("*.py"))
PACKAGES = [path.parent for path in SOURCES if path.name == "__init__.py"]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def bound_names(node: ast.stmt, origins: tuple[str, ...]) -> set[str]:
    """Names that a top-level statement defines, or imports from below one of the origins."""
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return {node.name}
        case ast.Assign():
            return {target.id for target in node.targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.If(body=body, orelse=orelse):
            return set[str]().union(*(bound_names(part, origins) for part in [*body, *orelse]))
        case ast.ImportFrom(module=str(module)) if f"{module}.".startswith(origins):
            return {alias.asname or alias.name for alias in node.names}
        case _:
            return set()


def public_names(source: str, *origins: str) -> set[str]:
    dotted_origins = tuple(f"{origin}." for origin in origins)
    names = set[str]().union(
        *(bound_names(node, dotted_origins) for node in ast.parse(source).body)
    )
    return {name for name in names if not name.startswith("_")}


def listed_names(source: str) -> list[str]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def test_public_names_are_own_and_reexported_ones() -> None:
    source = "\n".join(
        [
            "import os",
            "from typing import Any",
            "from fedtrade.errors import DataError",
            "from fedtrade.market.panel import Panel, _private",
            "LIMIT: int = 3",
            "def f(): pass",
        ]
    )
    assert public_names(source, "fedtrade.market") == {"Panel", "LIMIT", "f"}


@pytest.mark.parametrize("package", PACKAGES, ids=dotted)
def test_a_package_lists_every_public_name_once(package: Path) -> None:
    source = (package / "__init__.py").read_text(encoding="utf-8")
    listed = listed_names(source)
    assert len(listed) == len(set(listed))
    assert set(listed) == public_names(source, dotted(package))


@pytest.mark.parametrize("package", PACKAGES, ids=dotted)
def test_every_name_a_package_lists_exists(package: Path) -> None:
    module = importlib.import_module(dotted(package))
    assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_every_name_a_module_lists_is_bound_in_it(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert set(listed_names(source)) <= public_names(source, *HOUSE)
