"""Turn the Markdown pages of the project into HTML pages that work from disk.

`python docs/build_site.py SITE` writes `SITE/index.html` (README.md) and one page for each Markdown
file of docs/, in the same folders, with links between them rewritten. It stops at a link to a file
that does not exist.
"""

import html
import re
import shutil
import sys
from pathlib import Path

import markdown2

ROOT = Path(__file__).parents[1]
TOP_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
EXTRAS = ["fenced-code-blocks", "header-ids", "tables", "code-friendly", "cuddled-lists"]
LINK = re.compile(r'(href|src)="(?!#|[a-z][a-z0-9+.-]*:)([^"#]+)(#[^"]*)?"')

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 1rem; }
nav { border-bottom: 1px solid #8884; padding-bottom: .5rem; margin-bottom: 1.5rem; }
pre, code { font: 14px/1.45 ui-monospace, monospace; }
pre { background: #8881; padding: .75rem; overflow-x: auto; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #8884; padding: .25rem .6rem; text-align: left; vertical-align: top; }
img { max-width: 100%; }
:root { color-scheme: light dark; }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<nav>{navigation}</nav>
<main>
{body}
</main>
</body>
</html>
"""


def main(site: Path) -> None:
    """Write all pages, and copy the files that they show or link to."""
    pages = {page: address(page) for page in markdown_pages()}
    for source, target in pages.items():
        destination = site / target
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_text(rendered(source, pages, site), encoding="utf-8")
    print(f"{len(pages)} pages in {site}")


def markdown_pages() -> list[Path]:
    """Pages relative to the checkout, README first."""
    top = [Path(name) for name in TOP_PAGES if (ROOT / name).is_file()]
    return top + sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))


def address(page: Path) -> Path:
    """Where a page goes, relative to the site."""
    return Path("index.html") if page.name == "README.md" else page.with_suffix(".html")


def rendered(source: Path, pages: dict[Path, Path], site: Path) -> str:
    """Return the HTML page of one Markdown file."""
    text = (ROOT / source).read_text(encoding="utf-8")
    body = LINK.sub(
        lambda match: f'{match[1]}="{relinked(source, match[2], pages, site)}{match[3] or ""}"',
        markdown2.markdown(text, extras=EXTRAS),
    )
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    return PAGE.format(
        title=html.escape(title[1] if title else source.stem),
        style=STYLE,
        navigation=navigation(source, pages),
        body=body,
    )


def relinked(source: Path, link: str, pages: dict[Path, Path], site: Path) -> str:
    """Return a link's address in the site; a file that is no page is copied there."""
    linked = (ROOT / source.parent / link).resolve()
    if not linked.exists() or not linked.is_relative_to(ROOT):
        sys.exit(f"{source}: the link to {link} leads nowhere.")
    inside = linked.relative_to(ROOT)
    if linked.is_dir():
        return link
    if inside not in pages:
        (site / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(linked, site / inside)
    return relative(source, pages.get(inside, inside), pages)


def relative(source: Path, target: Path, pages: dict[Path, Path]) -> str:
    """Return the way from a page to a file of the site."""
    return "../" * (len(pages[source].parts) - 1) + target.as_posix()


def navigation(source: Path, pages: dict[Path, Path]) -> str:
    """Links to the pages of docs/ and the API reference."""
    shown = [page for page in pages if "decisions" not in page.parts]
    names = {page: page.stem.capitalize().replace("-", " ") for page in shown}
    links = [(names[page], pages[page]) for page in shown] + [("API", Path("api/index.html"))]
    return " · ".join(f'<a href="{relative(source, to, pages)}">{name}</a>' for name, to in links)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
