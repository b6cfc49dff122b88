import io
from typing import Any

import pytest
from rich.console import Console

from fedtrade.report.console import Progress, print_results
from fedtrade.report.privacy import parameter_text
from fedtrade.report.results import Results, parse_results


def screen(width: int = 100, *, is_terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=is_terminal, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def run(progress: Progress) -> None:
    with progress:
        for episode in range(2):
            progress.episode_started(episode, n_participants=3, label="from 2001-03-02 [x]")
            progress.round_finished(1, n_replies=3, loss=1.5)
            progress.round_finished(2, n_replies=2, n_failures=1, loss=None)
            progress.stage("fitting GJR-GARCH [/]")
        progress.finished("stored in [out]")


def test_a_file_gets_one_line_an_episode() -> None:
    console = screen()
    run(Progress(2, 2, console=console))
    first, second, last = shown(console).splitlines()
    assert first.startswith("episode 1/2: 2 rounds, 2 of 3 replied, loss n/a, 1 failed, ")
    assert second.startswith("episode 2/2: ")
    assert last == "stored in [out]"


def test_a_terminal_gets_a_live_bar() -> None:
    console = screen(140, is_terminal=True)
    progress = Progress(2, 2, console=console)
    with progress:
        progress.episode_started(0, n_participants=3, label="from 2001 [x]")
        progress.round_finished(1, n_replies=2, n_failures=1, loss=1.5)
        progress._bars.refresh()
    text = shown(console)
    assert "episode 1/2 from 2001 [x]" in text
    assert "round 1, 2 of 3 replied, 1 failed, loss 1.5" in text
    assert "1/4" in text


@pytest.mark.parametrize("is_terminal", [False, True])
def test_quiet_prints_nothing(is_terminal: bool) -> None:
    console = screen(is_terminal=is_terminal)
    run(Progress(2, 2, console=console, mode="none"))
    assert shown(console) == ""


def test_plain_lines_in_a_terminal() -> None:
    console = screen(is_terminal=True)
    run(Progress(2, 2, mode="plain", console=console))
    assert shown(console).startswith("episode 1/2: 2 rounds, 2 of 3 replied, ")
    assert len(shown(console).splitlines()) == 3


def test_an_error_ends_the_bar_and_reports_no_episode() -> None:
    console = screen()

    def fail() -> None:
        with Progress(2, 2, console=console) as progress:
            progress.episode_started(0, n_participants=3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert shown(console) == ""


def test_no_rounds_is_not_an_endless_bar() -> None:
    console = screen()
    with Progress(1, 0, console=console) as progress:
        progress.episode_started(0, n_participants=1)
    assert shown(console).startswith("episode 1/1: no rounds, ")


def test_results_fit_100_columns(results: Results) -> None:
    console = screen()
    print_results(results, console)
    text = shown(console)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "…" not in text
    for expected in ("Pinball loss", "2.5 %", "FZ0 loss", "Hit rate", "+0.5 to +2.7 %", "+2.9"):
        assert expected in text
    assert " ".join(results.verdict.split()) in " ".join(text.split())
    assert "Note: A frozen public model" in text


def test_a_narrow_terminal_gets_fewer_columns(results: Results) -> None:
    console = screen(80)
    print_results(results, console)
    text = shown(console)
    table = text[: text.index("the best of a column")]
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "Pinball loss" in table
    assert " 5 %" not in table


def test_a_narrow_terminal_keeps_the_hit_rate_of_the_headline(results: Results) -> None:
    """Columns at the headline's level come before the same score at other levels."""
    console = screen(80)
    print_results(results, console)
    head = shown(console).splitlines()[:6]
    assert any("Hit rate" in line for line in head)
    console = screen(60)
    print_results(results, console)
    table = shown(console)[: shown(console).index("the best of a column")]
    assert "Hit rate" in table
    assert "2.5 %" not in table


def test_the_best_score_and_the_hardest_baseline_are_marked(results: Results) -> None:
    console = screen()
    print_results(results, console)
    lines = shown(console).splitlines()
    pooled = next(line for line in lines if line.strip().startswith("Pooled"))
    assert "6.53*" in pooled
    assert sum("6.55*" in line for line in lines) == 0
    assert sum("HAR-mix-t6 <" in line for line in lines) == 1


def test_gains_of_a_signal_are_in_the_unit_of_its_headline(signal: Results) -> None:
    """Reversal earns 1.00 bp and federated 0.50; buying and holding is shown, but no baseline."""
    console = screen()
    print_results(signal, console)
    arms, against = shown(console).split("the best of a column")
    assert max(len(line.rstrip()) for line in shown(console).splitlines()) <= 100
    assert "[bp/day]" in arms
    assert "Pinball" not in arms
    row = next(line for line in against.splitlines() if "Reversal <" in line)
    assert " ".join(row.split()) == "Reversal < -0.50 -2.50 to +1.50 +1.5 50 % -1.50"
    assert against.count("[bp/day]") == 3
    assert "Buy and hold  " in against


def test_a_narrow_terminal_keeps_the_headlines_cost(signal: Results) -> None:
    console = screen(80)
    print_results(signal, console)
    head, _ = shown(console).split("the best of a column")
    assert max(len(line.rstrip()) for line in shown(console).splitlines()) <= 80
    assert "…" not in shown(console)
    for title in ("Net return", "Rank IC", "Net Sharpe", "DSR", "Turnover"):
        assert head.count(title) == 1


def test_users_names_are_no_markup(content: dict[str, Any]) -> None:
    content["metrics"].append(
        {"arm": "[red]mine[/]", "metric": "pinball", "level": 0.01, "value": 1.0}
    )
    content["verdict"] = "[bold]all[/bold] [/nonsense]"
    console = screen()
    print_results(parse_results(content), console)
    assert "[red]mine[/]" in shown(console)
    assert "[bold]all[/bold] [/nonsense]" in shown(console)


def test_nothing_recorded_prints_the_verdict(content: dict[str, Any]) -> None:
    content["metrics"], content["notes"], content["privacy"] = [], [], None
    console = screen(200)
    print_results(parse_results(content), console)
    assert shown(console).strip() == content["verdict"]


def test_a_sum_of_scores_has_cases_instead_of_participants(summed: Results) -> None:
    console = screen()
    print_results(summed, console)
    _, against = shown(console).split("the best of a column")
    assert "cases better" in against
    assert "better off" not in against
    assert "worst" not in against
    row = next(line for line in against.splitlines() if "HAR-mix-t6 <" in line)
    assert row.split()[-2:] == ["61", "%"]
    assert max(len(line.rstrip()) for line in shown(console).splitlines()) <= 100


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_privacy_statement_fits(results: Results, width: int) -> None:
    """Five thousand bytes down and seven thousand up each time; eight episodes of ten rounds."""
    console = screen(width)
    print_results(results, console)
    lines = shown(console).splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "Who learns what (trust mode masked)" in text
    assert results.privacy is not None
    assert results.privacy.parameters
    numbers = [f"{p.name} {parameter_text(p.value)}" for p in results.privacy.parameters]
    assert f"It rests on {', '.join(numbers)}." in text
    assert "the sum of the updates of all participants" in text
    assert "A round of training: 3 exchanges, 5 kB to each and 7 kB from each." in text
    assert "each participant's update" not in text


def test_the_promise_of_noise_is_printed(content: dict[str, Any]) -> None:
    values = {"epsilon": 7.99, "model_epsilon": 2.5, "delta": 1e-5, "models": 13}
    content["privacy"]["parameters"] = [
        {"name": name, "value": value, "meaning": ""}
        for name, value in {**values, "noise_by": "server", "covers": "its updates"}.items()
    ]
    console = screen()
    print_results(parse_results(content), console)
    text = " ".join(shown(console).split())
    assert "Promise: All that one participant contributes (its updates): epsilon 2.5 for" in text
    assert "7.99 for the whole run (13 models), delta 1e-05; noise by the server." in text
