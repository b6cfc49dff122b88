from collections.abc import Iterator
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedtrade.errors import AccountingError, BudgetError, LedgerError
from fedtrade.privacy.accountant import spent
from fedtrade.privacy.events import Approximate, Event, Gaussian, Laplace, Pure
from fedtrade.privacy.ledger import Account, Charge, Ledger, Limits

DAY = 86400.0
NOON = 1_800_000_000.0
ALPHA = Account("alpha")
BETA = Account("beta")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger(tmp_path / "privacy.sqlite", create=True, now=clock) as ledger:
        yield ledger


def ask(ledger: Ledger, *events: Event, account: Account = ALPHA) -> tuple[int, ...]:
    return ledger.allocate([Charge(account, events)])


def left(ledger: Ledger, account: Account = ALPHA) -> float:
    standing = ledger.standing(account)
    assert standing is not None
    return standing.remaining


def test_what_is_allocated_is_spent_whether_it_is_consumed_or_not(ledger: Ledger) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, accountant="sum")
    one, other = ask(ledger, Pure(0.25)), ask(ledger, Pure(0.5))
    assert left(ledger) == pytest.approx(0.25)
    ledger.consume(one)
    assert left(ledger) == pytest.approx(0.25)
    ledger.release(other)
    assert left(ledger) == pytest.approx(0.75)
    assert [entry.action for entry in ledger.history()] == [
        "budget",
        "allocated",
        "allocated",
        "consumed",
        "released",
    ]
    ledger.check()


def test_what_a_budget_does_not_cover_is_refused_with_what_is_left(ledger: Ledger) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, ends=NOON + DAY, accountant="sum")
    ask(ledger, Pure(0.75))
    with pytest.raises(BudgetError) as caught:
        ask(ledger, Pure(0.5))
    assert str(caught.value) == (
        "the privacy budget of alpha/prices (participant) does not cover what is asked: requested "
        "epsilon 0.5 at delta=1e-05, remaining 0.25 of 1 until 2027-01-16 08:00:00 UTC; ask for "
        "less, or set a larger budget with `fedtrade privacy set-budget`."
    )
    assert left(ledger) == pytest.approx(0.25)
    ask(ledger, Pure(0.25))
    assert left(ledger) == 0.0


def test_tenths_add_up_to_the_whole(ledger: Ledger) -> None:
    """Numbers that are not exact must not cost the last operation."""
    ledger.set_budget(ALPHA, epsilon=0.3, delta=1e-5, accountant="sum")
    for epsilon in (0.1, 0.1999999999999, 0.0000000000001):
        ask(ledger, Pure(epsilon))
    with pytest.raises(BudgetError):
        ask(ledger, Pure(0.001))


def test_an_operation_on_several_accounts_is_allocated_as_a_whole_or_not_at_all(
    ledger: Ledger,
) -> None:
    ledger.set_budget(BETA, epsilon=1.0, delta=1e-5)
    with pytest.raises(BudgetError, match="beta/prices"):
        ledger.allocate([Charge(ALPHA, (Pure(0.5),)), Charge(BETA, (Pure(2.0),))])
    assert ledger.standing(ALPHA) is None
    assert left(ledger, BETA) == 1.0
    operations = ledger.allocate([Charge(ALPHA, (Pure(0.5),)), Charge(BETA, (Pure(1.0),))])
    ledger.consume(operations)
    assert left(ledger, BETA) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("accountant", ["pld", "rdp", "sum"])
def test_gaussian_rounds_fit_as_long_as_the_accountant_says(
    ledger: Ledger, accountant: str
) -> None:
    ledger.set_budget(ALPHA, epsilon=3.0, delta=1e-5, accountant=accountant)  # type: ignore[arg-type]
    event, n_rounds = Gaussian(5.0), 0
    while spent([Gaussian(5.0, count=n_rounds + 1)], 1e-5, accountant) <= 3.0:
        ask(ledger, event)
        n_rounds += 1
    assert n_rounds >= 2
    with pytest.raises(BudgetError, match=r"requested epsilon 0\.\d+ at delta=1e-05, remaining 0"):
        ask(ledger, event)
    standing = ledger.standing(ALPHA)
    assert standing is not None
    assert standing.spent == spent([Gaussian(5.0, count=n_rounds)], 1e-5, accountant)


def test_operations_of_many_kinds_are_added_up_together(ledger: Ledger) -> None:
    ledger.set_budget(ALPHA, epsilon=4.0, delta=1e-5)
    events = [Gaussian(3.0), Laplace(10.0, 4), Pure(0.25), Gaussian(3.0), Laplace(10.0)]
    for event in events:
        ask(ledger, event)
    standing = ledger.standing(ALPHA)
    assert standing is not None
    together = spent([Gaussian(3.0, count=2), Laplace(10.0, 5), Pure(0.25)], 1e-5)
    assert standing.spent == pytest.approx(together, rel=1e-9)
    assert standing.remaining == 4.0 - standing.spent


def test_a_pure_mechanism_of_what_is_left_fits(ledger: Ledger) -> None:
    ledger.set_budget(ALPHA, epsilon=4.0, delta=1e-5)
    ask(ledger, Gaussian(2.0))
    ask(ledger, Pure(left(ledger)))


def test_a_delta_of_its_own_counts_against_the_budgets(ledger: Ledger) -> None:
    ledger.set_budget(ALPHA, epsilon=4.0, delta=1e-5, accountant="sum")
    ask(ledger, Approximate(0.1, 6e-6))
    with pytest.raises(BudgetError, match=r"requested epsilon inf at .*, remaining 3\.9"):
        ask(ledger, Approximate(0.1, 6e-6))


def test_without_a_budget_everything_is_kept_and_nothing_capped(ledger: Ledger) -> None:
    ask(ledger, Pure(5.0))
    standing = ledger.standing(ALPHA)
    assert standing is not None
    assert (standing.budget, standing.remaining) == (None, inf)
    assert standing.spent == pytest.approx(5.0, rel=1e-3)
    ledger.set_budget(ALPHA, epsilon=6.0, delta=1e-5, accountant="sum")
    assert left(ledger) == pytest.approx(1.0)


def test_an_operation_is_settled_once(ledger: Ledger) -> None:
    operations = ask(ledger, Pure(0.5))
    ledger.consume(operations)
    for again in (ledger.consume, ledger.release):
        with pytest.raises(LedgerError, match="was consumed or released before"):
            again(operations)
    with pytest.raises(LedgerError, match="no operation 99 that was allocated"):
        ledger.release([99])
    with pytest.raises(LedgerError, match=r"no operation \d+ that was allocated"):
        ledger.consume([operations[0] + 1])  # the entry that consumed it
    ledger.check()


def test_a_budget_that_has_ended_covers_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, ends=NOON + DAY)
    clock.at += DAY
    assert left(ledger) == 0.0
    with pytest.raises(BudgetError, match=r"nothing is left of the privacy budget: it ended on"):
        ask(ledger, Pure(0.1))


def test_a_budget_renews_and_all_that_was_ever_spent_stays_known(
    ledger: Ledger, clock: Clock
) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, renews_days=30, accountant="sum")
    for _ in range(3):
        ask(ledger, Pure(1.0))
        with pytest.raises(BudgetError):
            ask(ledger, Pure(0.1))
        clock.at += 30 * DAY
        assert left(ledger) == 1.0
    assert ledger.spent_ever(ALPHA) == pytest.approx(3.0)
    assert ledger.spent_ever(BETA) == 0.0
    ledger.check()


def test_a_release_in_a_later_window_gives_nothing_back_in_it(ledger: Ledger, clock: Clock) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, renews_days=30, accountant="sum")
    early = ask(ledger, Pure(0.5))
    clock.at += 30 * DAY
    ask(ledger, Pure(0.75))
    ledger.release(early)
    assert left(ledger) == pytest.approx(0.25)
    assert ledger.spent_ever(ALPHA) == pytest.approx(0.75)
    ledger.check()


def test_another_budget_gives_nothing_back(ledger: Ledger, clock: Clock) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, accountant="sum")
    ask(ledger, Pure(0.75))
    clock.at += DAY
    budget = ledger.set_budget(ALPHA, epsilon=2.0, delta=1e-5, accountant="sum")
    assert budget.starts == NOON
    assert left(ledger) == pytest.approx(1.25)
    ledger.set_budget(ALPHA, epsilon=0.5, delta=1e-5, accountant="sum")
    assert left(ledger) == 0.0
    with pytest.raises(BudgetError, match=r"requested epsilon 0\.1 .* remaining 0 of 0\.5"):
        ask(ledger, Pure(0.1))
    ledger.check()


@pytest.mark.parametrize("before", ["none", "one window", "renewing"])
def test_a_budget_that_renews_gives_back_nothing_when_it_is_set(
    ledger: Ledger, clock: Clock, before: str
) -> None:
    """It renews so many days later, and not by windows of the past."""
    if before != "none":
        renews = 365 if before == "renewing" else None
        ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, renews_days=renews, accountant="sum")
    ask(ledger, Pure(0.9))
    clock.at += 10 * DAY + 100
    for _ in range(2):
        ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, renews_days=1, accountant="sum")
        assert left(ledger) == pytest.approx(0.1)
        clock.at += 0.4 * DAY
    with pytest.raises(BudgetError, match=r"remaining 0\.1 of 1"):
        ask(ledger, Pure(0.9))
    clock.at += 0.3 * DAY
    assert left(ledger) == 1.0
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, starts=NOON, accountant="sum")
    assert left(ledger) == pytest.approx(0.1)
    ledger.check()


def test_a_budget_that_promises_nothing_is_not_put_in_force(ledger: Ledger) -> None:
    for unsound in ({"renews_days": 1e-12}, {"delta": 0.9}, {"units": 100_000}):
        with pytest.raises(LedgerError, match="must be"):
            ledger.set_budget(ALPHA, **{"epsilon": 1.0, "delta": 1e-5, **unsound})  # type: ignore[arg-type]
    assert ledger.standing(ALPHA) is None


def test_limits_never_loosen_what_was_set_by_hand(ledger: Ledger, clock: Clock) -> None:
    tomorrow = NOON + DAY
    limits = Limits(8.0, 1e-5, 365.0)
    ledger.keep_within(ALPHA, limits)
    assert left(ledger) == 8.0
    ledger.set_budget(ALPHA, epsilon=0.5, delta=1e-5, ends=tomorrow)
    for wanted in (limits, limits, Limits(9.0, 1e-5, 365.0)):
        ledger.keep_within(ALPHA, wanted)
        standing = ledger.standing(ALPHA)
        assert standing is not None
        assert standing.budget is not None
        budget = standing.budget
        assert (budget.epsilon, budget.ends, budget.renews_days) == (0.5, tomorrow, None)
    assert [entry.action for entry in ledger.history()] == ["budget"] * 4
    clock.at = tomorrow
    ledger.keep_within(ALPHA, limits)
    with pytest.raises(BudgetError, match="it ended on"):
        ask(ledger, Pure(0.1))
    ledger.set_budget(ALPHA, epsilon=20.0, delta=1e-5, renews_days=365)
    ledger.keep_within(ALPHA, limits)
    assert left(ledger) == 8.0
    ledger.check()


def test_a_clock_that_is_set_back_renews_and_reopens_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, renews_days=30, accountant="sum")
    clock.at += 31 * DAY
    ask(ledger, Pure(0.75))
    clock.at = NOON
    assert left(ledger) == pytest.approx(0.25)
    assert ledger.clock_behind_s() == 31 * DAY
    with pytest.raises(BudgetError):
        ask(ledger, Pure(0.5))
    ask(ledger, Pure(0.25))
    times = [entry.time for entry in ledger.history()]
    assert times == sorted(times)
    ledger.check()


def test_a_clock_that_is_set_back_does_not_revive_a_budget_that_has_ended(
    ledger: Ledger, clock: Clock
) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5, ends=NOON + DAY)
    clock.at += 2 * DAY
    ask(ledger, Pure(0.1), account=BETA)
    clock.at = NOON
    with pytest.raises(BudgetError, match="it ended on"):
        ask(ledger, Pure(0.1))


@pytest.mark.parametrize("now", [nan, inf])
def test_a_clock_that_says_no_time_is_refused(ledger: Ledger, clock: Clock, now: float) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5)
    clock.at = now
    for act in (lambda: ask(ledger, Pure(0.1)), lambda: left(ledger)):
        with pytest.raises(LedgerError, match=rf"the clock says {now!r}, which is no number"):
            act()
    clock.at = NOON
    assert left(ledger) == 1.0


def test_an_event_of_which_there_is_no_bound_is_refused_and_nothing_is_spent(
    ledger: Ledger,
) -> None:
    ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5)
    with pytest.raises(AccountingError):
        ask(ledger, Pure(-1.0))
    assert left(ledger) == 1.0


def test_a_history_says_what_was_done_for_what(ledger: Ledger, clock: Clock) -> None:
    operations = ledger.allocate(
        [Charge(ALPHA, (Gaussian(2.0), Gaussian(2.0, count=3)))], {"run": 7, "what": "training"}
    )
    ledger.consume(operations)
    ask(ledger, Pure(1.0), account=BETA)
    allocated, consumed = ledger.history(ALPHA)
    assert allocated.detail["purpose"] == {"run": 7, "what": "training"}
    assert list(allocated.detail["events"].values()) == [4]
    assert (consumed.operation, consumed.time) == (allocated.number, NOON)
    assert [entry.account for entry in ledger.history(last=2)] == [ALPHA, BETA]
    assert ledger.history(Account("nobody")) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "consume", "release", "wait"]), st.floats(0.01, 0.6)),
        max_size=25,
    )
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_done_the_sum_is_that_of_what_was_not_released(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float]]
) -> None:
    clock, pending, counted = Clock(), [], 0.0
    path = tmp_path_factory.mktemp("ledger") / "privacy.sqlite"
    with Ledger(path, create=True, now=clock) as ledger:
        ledger.set_budget(ALPHA, epsilon=1.5, delta=1e-5, accountant="sum")
        for step, size in steps:
            if step == "wait":
                clock.at += (size - 0.3) * DAY
            elif step == "ask":
                try:
                    pending.append((ask(ledger, Pure(size)), size))
                    counted += size
                except BudgetError:
                    assert counted + size > 1.5
            elif pending:
                operations, size = pending.pop()
                getattr(ledger, step)(operations)
                counted -= size if step == "release" else 0.0
            assert counted <= 1.5 + 1e-6
            assert left(ledger) == pytest.approx(1.5 - counted, abs=1e-9)
        ledger.check()
