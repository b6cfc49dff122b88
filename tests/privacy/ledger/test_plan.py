import json
from pathlib import Path
from typing import Any

import pytest

from fedtrade.errors import BudgetError, ConfigurationError
from fedtrade.privacy.accountant import spent
from fedtrade.privacy.events import Approximate, Concentrated, Gaussian, Pure
from fedtrade.privacy.ledger import Account, AccountantName, Charge, Ledger
from fedtrade.privacy.ledger.composition import counts_of
from fedtrade.privacy.ledger.plan import Curve, Means, affordable_rounds, needed_noise
from fedtrade.privacy.ledger.release import Release

WHOLE = Means(2.0, 1e-5, "pld", {})


def test_as_many_rounds_fit_as_the_accountant_says_and_not_one_more() -> None:
    n = affordable_rounds(WHOLE, Gaussian(10.0))
    assert (
        spent([Gaussian(10.0, count=n)], 1e-5) <= 2.0 < spent([Gaussian(10.0, count=n + 1)], 1e-5)
    )


def test_pure_rounds_can_be_counted_by_hand() -> None:
    """Of epsilon 1, 0.75 is spent: a quarter is left, for one Gaussian of 0.2 and not two."""
    means = Means(1.0, 1e-5, "sum", counts_of([Pure(0.25, 3)]))
    noise = needed_noise(means, 1, Gaussian)
    assert affordable_rounds(means, Gaussian(noise)) == 1
    assert spent([Gaussian(noise)], 1e-5, "sum") == pytest.approx(0.25, rel=2e-3)


def test_nothing_fits_where_everything_is_spent() -> None:
    means = Means(1.0, 1e-5, "sum", counts_of([Approximate(0.5, 1e-5)]))
    assert affordable_rounds(means, Gaussian(100.0)) == 0
    with pytest.raises(BudgetError, match="no noise makes 3 rounds fit into what is left of"):
        needed_noise(means, 3, Gaussian)


@pytest.mark.parametrize("n_rounds", [1, 7, 500])
def test_rounds_and_noise_answer_each_other(n_rounds: int) -> None:
    noise = needed_noise(WHOLE, n_rounds, Gaussian)
    assert affordable_rounds(WHOLE, Gaussian(noise)) >= n_rounds
    assert spent([Gaussian(noise, count=n_rounds)], 1e-5) <= 2.0
    assert spent([Gaussian(noise / 1.002, count=n_rounds)], 1e-5) > 2.0


def test_what_was_spent_leaves_fewer_rounds() -> None:
    already = Means(2.0, 1e-5, "pld", counts_of([Gaussian(10.0, count=5)]))
    every = affordable_rounds(WHOLE, Gaussian(10.0))
    assert affordable_rounds(already, Gaussian(10.0)) == every - 5


@pytest.mark.parametrize("accountant", ["pld", "rdp", "sum"])
@pytest.mark.parametrize(
    ("release", "noise"),
    [
        (Release("participant"), 10.0),
        (Release("record"), 10.0),
        (Release("label"), 7.0),
        (Release("label", "training", n_steps=3), 12.0),
        (Release("record", "training", unit_records=4), 50.0),
    ],
)
def test_a_ledger_admits_as_many_rounds_as_were_planned_and_not_one_more(
    tmp_path: Path, release: Release, noise: float, accountant: AccountantName
) -> None:
    account, event = Account("alpha", unit=release.unit), release.event(noise)
    with Ledger(tmp_path / "privacy.sqlite", create=True) as ledger:
        ledger.set_budget(account, epsilon=8.0, delta=1e-5, accountant=accountant)
        ledger.allocate([Charge(account, (release.event(2.0 * noise),))])
        means = Means(8.0, 1e-5, accountant, ledger.counts(account))
        n = affordable_rounds(means, event)
        assert n > 1
        ledger.allocate([Charge(account, (event,)) for _ in range(n)])
        with pytest.raises(BudgetError):
            ledger.allocate([Charge(account, (event,))])


@pytest.mark.slow
def test_sampled_training_is_planned_as_a_ledger_admits_it(tmp_path: Path) -> None:
    account = Account("alpha", unit="record")
    event = Release("record", "training", 0.05, 10, 3).event(2.0)
    n = affordable_rounds(Means(4.0, 1e-5, "pld", {}), event)
    assert n > 1
    with Ledger(tmp_path / "privacy.sqlite", create=True) as ledger:
        ledger.set_budget(account, epsilon=4.0, delta=1e-5)
        ledger.allocate([Charge(account, (event,)) for _ in range(n)])
        with pytest.raises(BudgetError):
            ledger.allocate([Charge(account, (event,))])


def test_a_record_pays_four_times_the_rho_of_noise_on_sums() -> None:
    assert Release("participant").event(10.0) == Concentrated(0.005)
    assert Release("record").event(10.0) == Release("label").event(10.0) == Concentrated(0.02)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (("participant", "training"), "protects no unit=participant"),
        (("record", "training"), "a record is part of several records of training: say of how"),
        (("record", "sums", 0.5), "has no sampling, steps or records that count"),
        (("record", "sums", 1.0, 2), "has no sampling, steps or records that count"),
    ],
)
def test_what_no_run_releases_is_refused(values: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Release(*values)


def test_a_curve_answers_with_what_was_measured_alone(tmp_path: Path) -> None:
    points = [(1.0, 7.0), (2.0, 7.1), (4.0, 7.4)]
    path = tmp_path / "curve.json"
    values = {
        "metric": "pinball",
        "points": [{"noise_multiplier": z, "value": v} for z, v in points],
    }
    path.write_text(json.dumps(values))
    curve = Curve.read(path)
    assert curve.most_noise(7.3) == 2.0
    assert curve.most_noise(7.4) == 4.0
    with pytest.raises(ConfigurationError, match=r"nothing in the curve reaches pinball=6\.9; the"):
        curve.most_noise(6.9)
    path.write_text(json.dumps({**values, "lower_is_better": False}))
    assert Curve.read(path).most_noise(7.1) == 4.0


@pytest.mark.parametrize("text", ["", "[]", '{"metric": "pinball", "points": []}'])
def test_what_is_no_curve_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curve.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"the curve .*curve\.json"):
        Curve.read(path)
