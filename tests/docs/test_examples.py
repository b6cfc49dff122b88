"""Every example in the documentation is run as it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fedtrade.market import sp500

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


def blocks(page: str) -> list[tuple[str, str, str]]:
    return BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


def run(command: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    "page",
    [
        "quickstart.md",
        "extending.md",
        "robustness/attacks.md",
        "arena.md",
        "nodes/index.md",
        "nodes/provisioning.md",
        "privacy/accounting.md",
        "privacy/audit.md",
        "privacy/ledger.md",
        "privacy/mechanisms.md",
        "privacy/participant.md",
        "privacy/record.md",
        "secure/groups.md",
        "secure/index.md",
        "secure/statistics.md",
    ],
)
def test_examples_of_a_page_run_in_order(page: str, tmp_path: Path) -> None:
    panel = sp500(start="2021-01-01").select(["AAPL", "JPM", "KO", "XOM"])
    prices = pd.DataFrame(panel.close, columns=list(panel.assets))
    prices.insert(0, "date", panel.bars.astype("datetime64[D]"))
    prices.to_csv(tmp_path / "prices.csv", index=False)
    found = blocks(page)
    commands = [text for language, _, text in found if language == "bash"]
    assert commands, f"{page} shows no command"
    for _, file, text in found:
        if file:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(text, encoding="utf-8")
    for command in commands:
        run(command, tmp_path)


def test_the_pages_show_only_commands_that_exist() -> None:
    """A page that names a verb of the Makefile names one that is there."""
    verbs = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    named = {verb for page in pages for verb in re.findall(r"`make ([\w-]+)`", page.read_text())}
    assert named
    assert named <= verbs
    assert shutil.which("bash")
