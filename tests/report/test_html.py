import html.parser
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedtrade.errors import OutputError
from fedtrade.report.comparisons import SUMMED_SCORES
from fedtrade.report.html import report, write_report
from fedtrade.report.page import typographic
from fedtrade.report.results import Results, parse_results

NASTY = """<script>alert("x")</script> & 'q' $\\frac{1}{2}$ 日本 -->"""
VOID = {"meta", "br", "path", "use", "rect"}


class Checker(html.parser.HTMLParser):
    """Collects tags, text, references and identifiers, and checks that elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            assert not name.startswith("on"), f"a script in {name}"

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check(document: str) -> tuple[Checker, str]:
    checker = Checker()
    checker.feed(document)
    checker.close()
    assert checker.open == []
    text = " ".join(" ".join(checker.text).split())
    return checker, text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def document(results: Results) -> str:
    return report(results)


def test_the_page_stands_alone(document: str) -> None:
    checker, _ = check(document)
    assert checker.tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert all(link.startswith("#") for link in checker.links)
    assert {link[1:] for link in checker.links} <= set(checker.ids)
    assert "@import" not in document
    assert "url(http" not in document


def test_identifiers_are_unique_over_all_figures(document: str) -> None:
    checker, _ = check(document)
    assert document.count("<svg ") == 5
    assert len(checker.ids) == len(set(checker.ids))


def test_the_verdict_comes_first_and_the_notes_are_shown(document: str, results: Results) -> None:
    _, text = check(document)
    assert text.index(results.verdict) < text.index("What was run")
    assert results.notes[0] in text


def test_the_numbers_are_there(document: str) -> None:
    _, text = check(document)
    for number in ("6.55 bp", "+1.6 %", "+0.5 to +2.7 %", "+2.9", "20.31"):
        assert number in text
    assert "799 replies, 1 failed, in 80 rounds" in text
    assert "the update holds values that are not finite" in text
    assert '"history_days": 60' in text


def test_gains_of_a_signal_are_in_the_unit_of_its_headline(signal: Results) -> None:
    """Everywhere: in the tiles, the tables and the plots."""
    document = report(signal)
    checker, text = check(document)
    tiles = document[document.index('class="tiles"') : document.index("What was run")]
    assert "+0.50\u00a0bp/day</strong>" in tiles
    assert "\u22120.50\u00a0bp/day</strong>" in tiles
    assert "over Reversal, the hardest baseline (95 %: -2.50 to +1.50 bp/day" in text
    assert "the worst: -1.50 bp/day" in text
    assert checker.text.count("gain, bp/day (federated better \u2192)") == 1
    assert checker.text.count("gain, bp/day") == 2
    assert "less that of the other arm" in text
    # Percentages are of participants, levels and shares only, not of gains.
    assert "+0.0 %" not in text
    assert "carries the market's risk" in text


def test_each_shown_metric_is_explained(document: str) -> None:
    _, text = check(document)
    for words in ("Quantile loss of the VaR", "Fissler and Ziegel", "Kupiec 1995", "block boot"):
        assert words in text
    assert "Rank correlation" not in text


def test_it_follows_the_scheme_of_the_reader(document: str) -> None:
    assert "prefers-color-scheme: dark" in document
    assert "@media print" in document
    body = document[document.index("<body>") :]
    # Every colour of the theme is a variable, or a dark page would have dark text.
    assert "#1b2430" not in body
    assert "var(--ink)" in body


def test_users_text_is_escaped(content: dict[str, Any]) -> None:
    content["verdict"] = content["task"] = NASTY
    content["notes"] = [NASTY]
    content["settings"] = {NASTY: NASTY, "data": NASTY}
    content["failures"][0] |= {"participant": NASTY, "reason": NASTY}
    content["series"]["path"] |= {"asset": NASTY, "participant": NASTY}
    for record in content["metrics"]:
        if record["participant"] == "1":
            record["participant"] = NASTY
        if record["arm"] == "fhs":
            record["arm"] = NASTY
        record["metric"] = record["metric"].replace("vs:fhs", f"vs:{NASTY}")
    content["created"] = content["fedtrade_version"] = NASTY
    checker, text = check(report(parse_results(content)))
    assert "script" not in checker.tags
    assert 'alert("x")' in text
    assert "日本" in text


def test_one_participant_and_no_path(make_content: Callable[..., dict[str, Any]]) -> None:
    content = make_content(n_participants=1, n_episodes=1)
    content["series"]["path"] = None
    document = report(parse_results(content))
    check(document)
    assert document.count("<svg ") == 4


def test_a_thousand_participants_are_aggregated(
    make_content: Callable[..., dict[str, Any]],
) -> None:
    content = make_content(n_participants=1000, n_episodes=1)
    content["failures"] *= 80
    document = report(parse_results(content))
    _, text = check(document)
    assert "of 1,000 better off" in text
    assert "worst: participant" in text
    assert "30 more are in results.json" in text
    assert len(document) < 1_500_000


def test_a_run_without_anything_still_has_a_page(content: dict[str, Any]) -> None:
    for part in ("episodes", "rounds", "failures", "metrics", "notes"):
        content[part] = []
    content["series"] = {}
    content["settings"] = {}
    document = report(parse_results(content))
    _, text = check(document)
    assert content["verdict"] in text
    assert "<svg" not in document


def test_null_values_are_shown_as_missing(content: dict[str, Any]) -> None:
    for record in content["metrics"]:
        if record["arm"] == "federated" and record["participant"] == "all":
            record["value"] = None
    for record in content["rounds"]:
        record["loss"] = record["seconds"] = None
    path = content["series"]["path"]
    path["var"][:10] = [None] * 10
    path["es"] = [None] * len(path["es"])
    content["series"]["daily"]["federated"][:5] = [None] * 5
    _, text = check(report(parse_results(content)))
    assert "NaN" not in text
    assert "nan" not in text.split()


def test_the_same_results_make_the_same_page(results: Results, document: str) -> None:
    assert report(results) == document


def test_true_minus_signs_only_before_numbers() -> None:
    assert typographic("-2.8 % on 2001-03-02") == "\u22122.8\u00a0% on 2001-03-02"
    assert typographic("HAR-mix-t6 (t = -2)") == "HAR-mix-t6 (t\u00a0=\u00a0\u22122)"
    assert typographic("-0.2 to +2.4 %") == "\u22120.2 to +2.4\u00a0%"


def test_writing_replaces_as_a_whole(content: dict[str, Any], tmp_path: Path) -> None:
    results = parse_results(content | {"metrics": [], "series": {}, "rounds": []})
    write_report(results, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").endswith("</html>\n")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(results, tmp_path / "file" / "report.html")


def test_importing_the_report_does_not_import_matplotlib() -> None:
    code = "import sys, fedtrade.report; sys.exit('matplotlib' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_of_a_sum_of_scores_a_sentence_says_what_nobody_knows(summed: Results) -> None:
    document = report(summed)
    _, text = check(document)
    section = text[text.index("Who gains, and who does not") :]
    assert SUMMED_SCORES in section
    assert document.count("<svg ") == 3  # neither participants nor a path
    assert "Worst participant" not in text
    assert "Better off" not in text
    assert "61 % of cases, one participant in one test period, better than with HAR-mix-t6" in text
    assert "A case is one participant in one test period" in text


def test_the_report_says_who_learns_what(results: Results) -> None:
    _, text = check(report(results))
    assert "Who learns what Trust mode masked, in this run." in text
    assert "the sum of the updates of all participants in each round" in text
    assert "The server together with 5 of the 9 neighbours of a participant" in text
    assert "threshold 7 shares that open a secret (t)" in text
    assert "A round of training 80 3 5 kB 7 kB 6 kB 8 kB" in text
    assert "The whole run 3 5 kB" in text
    assert "was resumed" not in text


def test_a_resumed_run_says_that_not_all_was_counted(content: dict[str, Any]) -> None:
    content["privacy"]["traffic_is_whole"] = False
    _, text = check(report(parse_results(content)))
    assert "The run was resumed: what was sent before the interruption is not counted." in text


def test_a_statement_without_numbers_has_no_empty_tables(content: dict[str, Any]) -> None:
    content["privacy"] |= {"parameters": [], "traffic": [], "mode": NASTY}
    _, text = check(report(parse_results(content)))
    assert "Exchanges" not in text
    assert "Meaning" not in text


def test_results_without_a_statement_have_no_such_section(content: dict[str, Any]) -> None:
    content["privacy"] = None
    _, text = check(report(parse_results(content)))
    assert "Who learns what" not in text
