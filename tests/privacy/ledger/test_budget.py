from math import inf

import pytest

from fedtrade.errors import BudgetError, LedgerError
from fedtrade.privacy.ledger import Account, Budget, Limits, Window
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


def test_the_first_window_lasts_until_so_many_days_after_the_renewals_begin() -> None:
    budget = Budget(1.0, 1e-5, starts=0.0, renews_days=30, renews_from=10 * DAY)
    assert budget.window(0.0) == budget.window(39 * DAY) == Window(0.0, 40 * DAY)
    assert budget.window(40 * DAY) == Window(40 * DAY, 70 * DAY)


def test_a_budget_in_the_place_of_another_begins_with_its_window() -> None:
    before = Budget(1.0, 1e-5, starts=0.0, renews_days=30)
    assert before.followed(None, 45 * DAY) == (30 * DAY, None)
    assert before.followed(30, 45 * DAY) == (30 * DAY, None)
    assert before.followed(7, 45 * DAY) == (30 * DAY, 45 * DAY)
    late = Budget(1.0, 1e-5, starts=0.0, renews_days=30, renews_from=10 * DAY)
    assert late.followed(30, 20 * DAY) == (0.0, 10 * DAY)
    assert late.followed(30, 45 * DAY) == (40 * DAY, None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"renews_days": 1e-12}, "renews_days=1e-12 must be at least 1: a budget that renews"),
        ({"delta": 0.1}, "delta=0.1 of a budget must be below 0.1, as a promise"),
        ({"delta": 0.01, "units": 100}, r"delta=0.01 of a budget must be below 1/100=0\.01: other"),
        ({"delta": 0.9, "units": 1}, "delta=0.9 of a budget must be below 0.1"),
    ],
)
def test_a_budget_that_caps_nothing_is_not_sound(changes: dict[str, float], sentence: str) -> None:
    budget = Budget(**{"epsilon": 1.0, "delta": 1e-5, "starts": 0.0, **changes})  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match=sentence):
        budget.check_sound()
    Budget(1.0, 0.009, 0.0, renews_days=1.0, units=100).check_sound()


def test_of_limits_and_a_budget_the_stricter_holds_in_each_respect() -> None:
    limits = Limits(8.0, 1e-5, 365.0, "pld", 10)
    assert limits.within(None) == limits
    assert limits.within(Budget(0.5, 1e-4, 0.0)) == Limits(0.5, 1e-5, None, "pld", 10)
    other = Budget(9.0, 1e-6, 0.0, renews_days=30, accountant="rdp", units=99)
    assert limits.within(other) == Limits(8.0, 1e-6, 365.0, "rdp", 99)


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
        ({"renews_from": -1.0}, "renews_from=-1.0 must not come before the start"),
        ({"units": 0}, "units=0 of a budget must be a whole number"),
        ({"accountant": "moments"}, "accountant='moments' of a budget is none of pld, rdp, sum"),
    ],
)
def test_a_budget_that_promises_nothing_is_refused(
    changes: dict[str, float], sentence: str
) -> None:
    with pytest.raises(LedgerError, match=sentence):
        Budget(**{"epsilon": 1.0, "delta": 1e-5, "starts": 0.0, **changes})  # type: ignore[arg-type]


def test_a_budget_survives_as_json() -> None:
    for budget in (Budget(1.0, 1e-5, 3.5), Budget(2.0, 1e-6, 1.0, 9.0, 0.5, "sum", 2.0, 7, "{}")):
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
