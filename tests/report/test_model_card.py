from pathlib import Path
from typing import Any

from fedtrade.report.model_card import model_card, write_model_card
from fedtrade.report.results import Results, parse_results


def test_the_card_says_what_how_good_and_how_to_load(results: Results) -> None:
    card = model_card(results, model_file="model.safetensors")
    assert card.startswith("# Model card: risk\n")
    for words in (
        results.verdict,
        "8, from 2001-03-02 to 2016-03-20",
        "| Federated | 6.55 |",
        "| HAR-mix-t6 | +1.6 % | +0.5 to +2.7 % | +2.9 | 100 % |",
        "they do not add up to the risk of a portfolio",
        "fedtrade predict --model model.safetensors",
        results.notes[0],
    ):
        assert words in card


def test_gains_of_a_signal_are_in_the_unit_of_its_headline(signal: Results) -> None:
    expected = "| Reversal | -0.50 bp/day | -2.50 to +1.50 bp/day | +1.5 | 50 % | -1.50 bp/day |"
    assert expected in model_card(signal)


def test_rows_of_a_table_have_the_same_number_of_cells(results: Results) -> None:
    rows = [line for line in model_card(results).splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {7}


def test_users_text_cannot_break_the_card(content: dict[str, Any]) -> None:
    content["verdict"] = "a\n# b | <i>c</i> `d`"
    for record in content["metrics"]:
        record["arm"] = record["arm"].replace("fhs", "f|hs")
    card = model_card(parse_results(content))
    assert "a \\# b \\| \\<i\\>c\\</i\\> \\`d\\`" in card
    assert "| f\\|hs | " in card


def test_a_run_without_metrics_has_a_card(content: dict[str, Any]) -> None:
    content["metrics"] = []
    card = model_card(parse_results(content | {"task": "my_task"}))
    assert "None were recorded." in card
    assert "The task `my_task`." in card


def test_the_card_is_written(results: Results, tmp_path: Path) -> None:
    write_model_card(results, tmp_path / "MODEL_CARD.md", model_file="m.safetensors")
    assert "m.safetensors" in (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_a_card_of_a_sum_of_scores_has_cases_instead_of_participants(summed: Results) -> None:
    card = model_card(summed)
    head = "| Federated against | Gain | 95 % interval | t | Cases better |"
    assert f"{head}\n| --- | ---: | ---: | ---: | ---: |\n" in card
    assert "| HAR-mix-t6 | +1.6 % | +0.5 to +2.7 % | +2.9 | 61 % |" in card


def test_the_card_says_who_learned_what(results: Results) -> None:
    text = model_card(results)
    assert "## Who learned what" in text
    assert "Trained with the trust mode masked. In this run the server learned the sum of" in text
    assert "The server together with 5 of the 9 neighbours" in text
    assert "A round of training: 3 exchanges, 5 kB to each and 7 kB from each." in text


def test_a_card_without_a_statement_says_nothing_of_it(content: dict[str, Any]) -> None:
    content["privacy"] = None
    assert "Who learned what" not in model_card(parse_results(content))
