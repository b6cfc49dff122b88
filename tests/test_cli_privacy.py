import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedtrade.cli import app
from fedtrade.errors import BudgetError, ConfigurationError, LedgerError
from fedtrade.privacy.events import Gaussian, Pure, times
from fedtrade.privacy.ledger import Account, Charge, Ledger
from fedtrade.privacy.ledger.release import Release


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "privacy.sqlite"


def said(*arguments: object) -> str:
    """What a command prints; its errors are raised as they are."""
    texts = [str(argument) for argument in arguments]
    runner = CliRunner(env={"COLUMNS": "160"})
    result = runner.invoke(app, ["privacy", *texts], catch_exceptions=False, color=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def set_budget(file: Path, *options: object) -> str:
    return said("set-budget", "--ledger", file, "--participant", "alpha", *options)


def test_a_budget_is_set_spent_and_shown(file: Path) -> None:
    assert "alpha" in set_budget(file, "--epsilon", 2, "--until", "2999-12-31")
    with Ledger(file) as ledger:
        charge = Charge(Account("alpha"), (Gaussian(3.0),))
        ledger.consume(ledger.allocate([charge], {"run": 7}))
    table = said("status", "--ledger", file)
    assert "2999-12-31" in table
    assert "━" in table
    (row,) = json.loads(said("status", "--ledger", file, "--json"))
    assert (row["participant"], row["dataset"], row["unit"]) == ("alpha", "prices", "participant")
    assert row["budget"]["epsilon"] == 2.0
    assert row["budget"]["ends"] == "2999-12-31T00:00:00+00:00"
    assert row["spent"] == row["spent_ever"] == pytest.approx(2.0 - row["remaining"])
    lines = said("history", "--ledger", file)
    assert "1 x gaussian(" in lines
    assert "run=7" in lines
    entries = json.loads(said("history", "--ledger", file, "--json", "--participant", "alpha"))
    assert [entry["action"] for entry in entries] == ["budget", "allocated", "consumed"]
    assert json.loads(said("history", "--ledger", file, "--json", "--last", 1)) == entries[-1:]


def test_all_windows_together_are_told(file: Path) -> None:
    with Ledger(file, create=True, now=lambda: 1e9) as ledger:
        ledger.set_budget(
            Account("alpha"), epsilon=1.0, delta=1e-5, renews_days=30, accountant="sum"
        )
        ledger.allocate([Charge(Account("alpha"), (Pure(0.5),))])
    assert "alpha/prices (participant): epsilon 0.5 in all windows together." in said(
        "status", "--ledger", file
    )


def test_a_clock_behind_the_ledger_is_told(file: Path) -> None:
    with Ledger(file, create=True, now=lambda: 2e10) as ledger:
        ledger.set_budget(Account("alpha"), epsilon=1.0, delta=1e-5)
    assert "behind what the ledger has seen" in " ".join(said("status", "--ledger", file).split())


def test_plan_answers_with_rounds_or_noise(file: Path) -> None:
    set_budget(file, "--epsilon", 2)
    whose = ("--ledger", file, "--participant", "alpha")
    planned = json.loads(said("plan", *whose, "--rounds", 10, "--json"))
    assert planned["rounds"] == 10
    noise = planned["noise_multiplier"]
    assert "10 rounds with a noise multiplier of" in said("plan", *whose, "--noise", noise)
    with Ledger(file) as ledger:
        event = Release("participant").event(noise)
        ledger.allocate([Charge(Account("alpha"), (times(event, 4),))])
    assert "6 rounds" in said("plan", *whose, "--noise", noise)
    assert "10 rounds" in said("plan", "--epsilon", 2, "--noise", noise)
    plain = ("plan", "--epsilon", 8, "--noise", 10)
    assert "245 rounds with a noise multiplier of 10 on sums" in said(*plain)
    assert "61 rounds" in said(*plain, "--unit", "record")
    training = ("--noise-on", "training", "--unit", "label")
    assert "277 rounds" in said(*plain, *training)
    assert "27 rounds" in said(*plain, *training, "--steps", 10)
    curve = file.with_name("curve.json")
    points = [{"noise_multiplier": noise, "value": 7.1}]
    curve.write_text(json.dumps({"metric": "pinball", "points": points}))
    assert "6 rounds" in said("plan", *whose, "--curve", curve, "--utility", 7.2)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (["status", "--ledger", "none.sqlite"], LedgerError, "there is no ledger none.sqlite"),
        (["plan", "--epsilon", "1"], ConfigurationError, "one of --noise, --rounds and --utility"),
        (["plan", "--noise", "1"], ConfigurationError, "plan needs a budget"),
        (["plan", "--epsilon", "-1", "--noise", "1"], LedgerError, "epsilon=-1"),
        (["plan", "--epsilon", "1", "--utility", "1"], ConfigurationError, "need each other"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    arguments: list[str], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        said(*arguments)


def test_bad_budgets_are_refused(file: Path) -> None:
    for options, error, sentence in (
        (("--epsilon", 0), LedgerError, "epsilon=0 of a budget"),
        (("--epsilon", 1, "--delta", 1), LedgerError, "delta=1 of a budget"),
        (
            ("--epsilon", 1, "--delta", 0.9),
            LedgerError,
            r"delta=0\.9 of a budget must be below 0\.1",
        ),
        (("--epsilon", 1, "--units", 100_000), LedgerError, "must be below 1/100000"),
        (("--epsilon", 1, "--renews-days", 1e-12), LedgerError, "renews_days=1e-12"),
        (("--epsilon", 1, "--until", "soon"), ConfigurationError, "--until='soon' is no ISO date"),
        (("--epsilon", 1, "--until", "1999-01-01"), LedgerError, "must come after its start"),
    ):
        with pytest.raises(error, match=sentence):
            set_budget(file, *options)
    set_budget(file, "--epsilon", 1)
    with pytest.raises(ConfigurationError, match=r"has no budget of beta/prices \(participant\)"):
        said("plan", "--ledger", file, "--participant", "beta", "--noise", 1)
    set_budget(file, "--epsilon", 1, "--from", "1999-01-01", "--until", "1999-02-01")
    with pytest.raises(BudgetError, match="it ended on 1999-02-01"):
        said("plan", "--ledger", file, "--participant", "alpha", "--noise", 1)
