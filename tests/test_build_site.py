"""The documentation's pages are built, and their links lead somewhere."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs" / "build_site.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, timeout=60)
    return folder


def test_every_markdown_page_has_an_html_page(site: Path) -> None:
    expected = {path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    assert expected < built


def test_every_link_inside_the_site_leads_to_a_file(site: Path) -> None:
    """The API reference is left out: it is built by another tool."""
    dead = [
        (page.relative_to(site), link)
        for page in site.rglob("*.html")
        for link in re.findall(r'(?:href|src)="([^"#:]+)["#]', page.read_text(encoding="utf-8"))
        if "api/" not in link and not (page.parent / link).exists()
    ]
    assert dead == []


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    script = runpy.run_path(str(SCRIPT))
    with pytest.raises(SystemExit, match=r"README\.md: the link to absent\.md leads nowhere\."):
        script["relinked"](Path("README.md"), "absent.md", {}, tmp_path)
