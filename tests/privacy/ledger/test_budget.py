from math import inf

import pytest

from fedtrade.errors import BudgetError, LedgerError
from fedtrade.privacy.ledger import Account, Budget, Window
from fedtrade.privacy.ledger.budget import date_text
from fedtrade.privacy.ledger.budget_text import budget_from_json, budget_to_json

DAY = 86400.0


def test_a_budget_without_renewal_has_one_window() -> None:
    budget = Budget(1.0, 1e-5, starts=100.0, ends=200.0)
    assert budget.window(150.0) == Window(100.0, 200.0)
    assert budget.window(0.0) == budget.window(1000.0) == Window(100.0, 200.0)


def test_a_window_begins_every_so_many_days() -> None:
    budget = Budget(1.0, 1e-5, starts=10 * DAY, renews_days=30)
    assert budget.window(10 * DAY) == Window(10 * DAY, 40 * DAY)
    assert budget.window(40 * DAY - 1) == Window(10 * DAY, 40 * DAY)
    assert budget.window(40 * DAY) == Window(40 * DAY, 70 * DAY)
    assert budget.window(0.0) == Window(10 * DAY, 40 * DAY)


def test_the_last_window_ends_with_the_budget() -> None:
    budget = Budget(1.0, 1e-5, starts=0.0, ends=45 * DAY, renews_days=30)
    assert budget.window(44 * DAY) == budget.window(99 * DAY) == Window(30 * DAY, 45 * DAY)


def test_nothing_can_be_spent_outside_of_a_budgets_time() -> None:
    budget = Budget(1.0, 1e-5, starts=0.0, ends=DAY)
    budget.check_valid(0.0)
    with pytest.raises(BudgetError, match=r"it ended on 1970-01-02 00:00:00 UTC; set a new one"):
        budget.check_valid(DAY)
    with pytest.raises(BudgetError, match=r"it begins on 1970-01-01"):
        budget.check_valid(-1.0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epsilon": 0.0}, "epsilon=0 of a budget must be a positive number"),
        ({"epsilon": -1.0}, "epsilon=-1"),
        ({"epsilon": inf}, "epsilon=inf"),
        ({"epsilon": float("nan")}, "epsilon=nan"),
        ({"delta": 0.0}, "delta=0 of a budget must lie between 0 and 1"),
        ({"delta": 1.0}, "delta=1 "),
        ({"delta": float("nan")}, "delta=nan"),
        ({"ends": 0.0}, "must come after its start"),
        ({"starts": inf}, "must come after its start"),
        ({"renews_days": 0.0}, "renews_days=0 must be a positive number"),
        ({"accountant": "moments"}, "accountant='moments' of a budget is none of pld, rdp, sum"),
    ],
)
def test_a_budget_that_promises_nothing_is_refused(
    changes: dict[str, float], sentence: str
) -> None:
    with pytest.raises(LedgerError, match=sentence):
        Budget(**{"epsilon": 1.0, "delta": 1e-5, "starts": 0.0, **changes})  # type: ignore[arg-type]


def test_a_budget_survives_as_json() -> None:
    for budget in (Budget(1.0, 1e-5, 3.5), Budget(2.0, 1e-6, 1.0, 9.0, 0.5, "sum")):
        assert budget_from_json(budget_to_json(budget)) == budget
    assert budget_from_json(None) is None


def test_an_account_has_names_that_can_be_read() -> None:
    assert str(Account("alpha", "prices", "record")) == "alpha/prices (record)"
    with pytest.raises(LedgerError, match="participant='' must be a name"):
        Account("")
    with pytest.raises(LedgerError, match=r"dataset='a\\nb' must be a name"):
        Account("alpha", "a\nb")
    with pytest.raises(LedgerError, match="unit='day' is none of label, record, participant"):
        Account("alpha", unit="day")  # type: ignore[arg-type]


def test_dates_are_in_utc() -> None:
    assert date_text(0.0) == "1970-01-01 00:00:00 UTC"
    assert date_text(inf) == "never"
    assert date_text(1e300) == "1e+300 s"
