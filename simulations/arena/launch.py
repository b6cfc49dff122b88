"""From the arguments of `fedtrade arena` to its outputs."""

import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from conf import compose
from conf.composition import composed_values
from fedtrade.errors import ConfigurationError, FedtradeError
from fedtrade.report.settings_text import settings_yaml
from fedtrade.robust import build_rule
from fedtrade.settings import Component
from simulations.arena.cell import NO_ATTACK, Cell
from simulations.arena.console import CellProgress, print_arena
from simulations.arena.report import write_arena_report
from simulations.arena.results import ArenaResults, results_of, write_arena
from simulations.arena.settings import ArenaSettings
from simulations.arena.store import CellStore
from simulations.arena.sweep import plan_cells, run_cells

__all__ = ["arena_settings", "plan_of", "presets", "run"]

RESULTS, REPORT = "arena.json", "arena.html"
_ALL_KEYS = "`fedtrade arena --plan` lists every setting and its value."
_CALL = re.compile(r"([\w-]+)\((.*)\)", re.DOTALL)


def presets() -> list[str]:
    """Names of `conf/arena_NAME.yaml`."""
    names = (entry.name for entry in files("conf").iterdir())
    return sorted(n[6:-5] for n in names if n.startswith("arena_") and n.endswith(".yaml"))


def arena_settings(overrides: Sequence[str] = (), preset: str | None = None) -> ArenaSettings:
    """Compose and validate the settings of a sweep.

    Raises
    ------
    ConfigurationError
        If there is no such preset, or a setting is unknown, missing or out of range.
    """
    if preset is not None and preset not in presets():
        raise ConfigurationError(
            f"there is no preset {preset!r}; choose from {', '.join(presets())}."
        )
    name = "arena" if preset is None else f"arena_{preset}"
    return ArenaSettings.from_mapping(composed_values(name, overrides, all_keys=_ALL_KEYS))


def plan_of(settings: ArenaSettings) -> tuple[Cell, ...]:
    """The cells of the settings, with everything that is named there looked up.

    Raises
    ------
    ConfigurationError
        If a rule or an attack does not exist or refuses its options.
    """
    for rule in settings.rules:
        if rule.component is None:
            _check_rule(rule.name)
    attacks = {attack.name: attack.component or _attack(attack.name) for attack in settings.attacks}
    return plan_cells(settings, attacks)


def run(
    *,
    overrides: Sequence[str] = (),
    preset: str | None = None,
    only_plan: bool = False,
    json: str | None = None,
) -> None:
    """Run a sweep from where it stopped; write its results and report, and print the standings.

    Parameters
    ----------
    only_plan : bool
        Print the settings, the number of cells and how many are finished, and run none.
    json : str or None
        Where to write the results as well.

    Raises
    ------
    FedtradeError
        If the settings are wrong, an output cannot be written, or a cell failed; then after
        everything else is done.
    """
    settings = arena_settings(overrides, preset)
    cells = plan_of(settings)
    out = Path(settings.out)
    store = CellStore(out)
    if only_plan:
        n_known = sum(store.load(cell) is not None for cell in cells) if settings.resume else 0
        print(settings_yaml(settings.to_mapping()), end="")
        print(f"# {len(cells):,} cells, {n_known:,} of them finished")
        return
    if not settings.resume:
        store.clear()
    results = _sweep(settings, cells, store)
    for path in (out / RESULTS, *([Path(json)] if json else [])):
        write_arena(results, path)
    write_arena_report(results, out / REPORT)
    if settings.progress != "none":
        print_arena(results)
        print(f"Report: {out / REPORT}")
    if results.failures:
        first = results.failures[0]
        raise FedtradeError(
            f"{len(results.failures)} of {len(cells)} cells failed, the first is {first.label} "
            f"against {first.attack} on {first.problem}: {first.reason.rstrip('.')}. Run the same "
            "command again to try these alone."
        )


def _sweep(settings: ArenaSettings, cells: Sequence[Cell], store: CellStore) -> ArenaResults:
    n_workers = settings.n_workers if settings.n_workers is not None else _n_cores()
    with CellProgress(len(cells), mode=settings.progress) as progress:
        return results_of(settings, run_cells(cells, store, n_workers, progress.finished))


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_rule(name: str) -> None:
    try:
        build_rule(name)
    except (KeyError, TypeError, ValueError) as error:
        text = str(error.args[0] if error.args else error).rstrip(".")
        raise ConfigurationError(f"rules: {name!r}: {text}.") from None


def _attack(name: str) -> Component | None:
    """An attack by its file in conf/attack, with options in brackets behind it."""
    if name == NO_ATTACK:
        return None
    call = _CALL.fullmatch(name)
    group, options = (call[1], call[2]) if call else (name, "")
    overrides = [f"attack.{option.strip()}" for option in _split(options)]
    try:
        return compose([f"attack={group}", *overrides]).attack
    except ConfigurationError as error:
        raise ConfigurationError(f"attacks: {name!r}: {error}") from None


def _split(options: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts: list[str] = [""]
    depth = 0
    for character in options:
        depth += (character in "[({") - (character in "])}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]
