import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from clients.budget import within_budget
from clients.costs import costs_of
from clients.discretion import KeptOutError
from clients.participant import Participant
from fedtrade.errors import BudgetError, LedgerError, LimitError
from fedtrade.privacy.accountant import spent
from fedtrade.privacy.dp_sgd import RecordNoise
from fedtrade.privacy.events import Concentrated, times
from fedtrade.privacy.ledger import Account, Ledger
from fedtrade.privacy.ledger.release import Release
from fedtrade.privacy.participant.claim import Claim
from fedtrade.privacy.units import Unit
from fedtrade.secure.wire import REFUSED, ROUND
from fedtrade.settings import Settings
from fedtrade.tasks.record_training import TrainsOnRecords
from fedtrade.wire import ROUND_NUMBER
from simulations.grid import InProcessGrid
from simulations.task_identity import Identity, task_identity
from tests.clients.own_node import RUN_ID, context, message, node_config
from tests.strategies.trust.federation import Federation, composer

Make = Callable[..., Settings]

NOISE = ("privacy=record", "privacy.record.look_back_bars=44")
COVERED = "privacy.participant.exclude=[scores]"
ON_SUMS = ("privacy=participant", COVERED)
UPDATES = "privacy.participant.exclude=[scores,sums]"
UNCOVERED = ["sums", "scores"]
ALPHA = Account("alpha", unit="record")
WHOLE = Account("alpha", unit="participant")
N = 5


@pytest.fixture
def identity() -> Iterator[None]:
    with task_identity(Identity(run_id=RUN_ID)):
        yield


def training(number: int = 1) -> Message:
    return message("train", **{ROUND_NUMBER: number, "episode": 0})


def node(folder: Path, *overrides: str, **privacy: Any) -> Context:
    config = node_config(folder, privacy=privacy)
    return context(config, *overrides)


def ledger_of(folder: Path) -> Ledger:
    return Ledger(folder / "state" / "privacy.sqlite")


def same(asked: Message, own: Context) -> Message:
    return asked


def actions(folder: Path) -> list[str]:
    with ledger_of(folder) as ledger:
        return [entry.action for entry in ledger.history(ALPHA)]


@pytest.mark.usefixtures("identity")
def test_an_answer_is_allocated_before_it_is_computed_and_consumed_before_it_leaves(
    tmp_path: Path,
) -> None:
    seen = []

    def look(asked: Message, own: Context) -> Message:
        seen.extend(actions(tmp_path))
        return asked

    own = node(tmp_path, *NOISE)
    within_budget(training(3), own, look)
    assert seen == ["allocated"]
    assert actions(tmp_path) == ["allocated", "consumed"]
    events = costs_of(training(), own)["record"]
    with ledger_of(tmp_path) as ledger:
        standing = ledger.standing(ALPHA)
        (entry, _) = ledger.history(ALPHA)
    purpose = {"run": RUN_ID, "asked": "train", "episode": 0, "round": 3}
    assert entry.detail["purpose"] == purpose
    assert standing is not None
    assert standing.spent == spent(events, 1e-5)
    n_rounds = Participant.of(own).n_rounds
    assert spent([times(event, n_rounds) for event in events], 1e-5) == pytest.approx(8.0, rel=1e-2)


@pytest.mark.usefixtures("identity")
def test_what_is_refused_is_given_back_and_what_breaks_is_not(tmp_path: Path) -> None:
    own = node(tmp_path, *NOISE)
    for error, last in ((LimitError("no"), "released"), (RuntimeError("broken"), "allocated")):

        def fail(asked: Message, own: Context, error: Exception = error) -> Message:
            raise error

        with pytest.raises(type(error)):
            within_budget(training(), own, fail)
        assert actions(tmp_path)[-1] == last


@pytest.mark.usefixtures("identity")
@pytest.mark.parametrize(
    ("reason", "last"), [(KeptOutError.SENTENCE, "released"), ("it cannot", "consumed")]
)
def test_who_keeps_out_by_its_bars_alone_spends_nothing(
    tmp_path: Path, reason: str, last: str
) -> None:
    """That it cannot compute what is asked is something about its prices."""

    def refuse(asked: Message, own: Context) -> Message:
        refusal = {ROUND: ConfigRecord({REFUSED: reason})}
        return Message(RecordDict(refusal), reply_to=asked)

    within_budget(training(), node(tmp_path, *NOISE), refuse)
    assert actions(tmp_path)[-2:] == ["allocated", last]


@pytest.mark.usefixtures("identity")
def test_a_cap_is_put_in_force_once_and_again_when_it_changes(tmp_path: Path) -> None:
    for epsilon, n_budgets in ((4.0, 1), (4.0, 1), (9.0, 2)):
        cap = {"epsilon": epsilon, "renews_days": 365.0}
        within_budget(training(), node(tmp_path, *NOISE, record=cap), same)
        assert actions(tmp_path).count("budget") == n_budgets
    with ledger_of(tmp_path) as ledger:
        standing = ledger.standing(ALPHA)
    assert standing is not None
    assert standing.budget is not None
    assert (standing.budget.epsilon, standing.budget.renews_days) == (9.0, 365.0)


@pytest.mark.usefixtures("identity")
def test_settings_leave_a_stricter_budget_as_it_was_set_by_hand(tmp_path: Path) -> None:
    own = node(tmp_path, *NOISE, record={"epsilon": 8.0, "renews_days": 365.0})
    within_budget(training(), own, same)
    end = time.time() + 86400.0
    with ledger_of(tmp_path) as ledger:
        ledger.set_budget(ALPHA, epsilon=0.5, delta=1e-5, ends=end)
    with suppress(BudgetError):
        within_budget(training(), own, same)
    with ledger_of(tmp_path) as ledger:
        standing = ledger.standing(ALPHA)
    assert standing is not None
    assert standing.budget is not None
    budget = standing.budget
    assert (budget.epsilon, budget.ends, budget.renews_days) == (0.5, end, None)


@pytest.mark.usefixtures("identity")
def test_a_budget_that_is_spent_refuses_before_anything_is_computed(tmp_path: Path) -> None:
    own = node(tmp_path, *NOISE, record={"epsilon": 1e-3})

    def never(asked: Message, own: Context) -> Message:
        raise AssertionError

    with pytest.raises(BudgetError, match=r"requested epsilon \d.*, remaining 0\.001 of 0\.001"):
        within_budget(training(), own, never)
    assert actions(tmp_path) == ["budget"]


@pytest.mark.usefixtures("identity")
def test_without_noise_a_budget_allows_no_training(tmp_path: Path) -> None:
    own = node(tmp_path)
    within_budget(training(), own, same)
    assert not (tmp_path / "state" / "privacy.sqlite").exists()
    with Ledger(tmp_path / "state" / "privacy.sqlite", create=True) as ledger:
        ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5)
    with pytest.raises(BudgetError, match=r"all that each of its records does.* 1 of 1; set"):
        within_budget(training(), own, same)
    for kind in ("query.sum", "evaluate"):
        with pytest.raises(LimitError, match=r"the run has privacy=none, and .*ledger demands it"):
            within_budget(message(kind), own, same)
    assert actions(tmp_path) == ["budget"]


@pytest.mark.usefixtures("identity")
def test_a_budget_in_the_ledger_alone_demands_what_one_in_the_settings_does(
    tmp_path: Path,
) -> None:
    with Ledger(tmp_path / "state" / "privacy.sqlite", create=True) as ledger:
        ledger.set_budget(ALPHA, epsilon=8.0, delta=1e-5)
    for asked in (message("query.sum"), training()):
        with pytest.raises(LimitError, match=r"sums leave without noise.*demands it \(record\)"):
            within_budget(asked, node(tmp_path, *NOISE), same)
    own = node(tmp_path, *NOISE, uncovered=["sums"])
    with pytest.raises(LimitError, match=r"scores leave without noise"):
        within_budget(message("evaluate"), own, same)
    own = node(tmp_path, *NOISE, "privacy.record.secure_noise=false", uncovered=UNCOVERED)
    with pytest.raises(LimitError, match=r"secure_noise=false.*exact"):
        within_budget(training(), own, same)
    assert actions(tmp_path) == ["budget"]
    own = node(tmp_path, *NOISE, uncovered=UNCOVERED)
    for asked in (message("query.sum"), training(), message("evaluate")):
        within_budget(asked, own, same)
    assert actions(tmp_path) == ["budget", "allocated", "consumed"]


@pytest.mark.usefixtures("identity")
def test_a_ledger_that_is_new_where_a_budget_is_wanted_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    own = node(tmp_path, *NOISE, record={"epsilon": 8.0}, uncovered=UNCOVERED)
    for n_lost in (1, 2):
        for _ in range(2):
            within_budget(training(), own, same)
        assert caplog.text.count("the privacy ledger privacy.sqlite is new") == n_lost
        (tmp_path / "state" / "privacy.sqlite").unlink()
    within_budget(training(), node(tmp_path, *NOISE), same)
    assert caplog.text.count("is new") == 2


@pytest.mark.usefixtures("identity")
def test_noise_that_protects_records_alone_is_none_for_a_participants_budget(
    tmp_path: Path,
) -> None:
    own = node(tmp_path, *NOISE)
    with Ledger(tmp_path / "state" / "privacy.sqlite", create=True) as ledger:
        ledger.set_budget(Account("alpha"), epsilon=1.0, delta=1e-5)
    with pytest.raises(BudgetError, match=r"protects all that it contributes.* 1 of 1; set"):
        within_budget(training(), own, same)
    assert actions(tmp_path) == []


@pytest.mark.usefixtures("identity")
def test_a_run_spends_no_more_than_one_run_may(tmp_path: Path) -> None:
    """A second run has the same again, from the budget of all."""
    own = node(tmp_path, *NOISE, uncovered=UNCOVERED)
    events = costs_of(training(), own)["record"]
    two = spent([times(event, 2) for event in events], 1e-5)
    cap = {"epsilon": 100.0, "run_epsilon": two}
    for run_id in (RUN_ID, RUN_ID + 1):
        config = node_config(tmp_path, privacy={"record": cap, "uncovered": UNCOVERED})
        own = context(config, *NOISE, run_id=run_id)
        for _ in range(2):
            within_budget(training(), own, same)
        with pytest.raises(BudgetError, match=rf"alpha/prices in run {run_id} .record. does not"):
            within_budget(training(), own, same)
    with ledger_of(tmp_path) as ledger:
        standing = ledger.standing(ALPHA)
    assert standing is not None
    assert standing.spent == spent([times(event, 4) for event in events], 1e-5)


@pytest.mark.usefixtures("identity")
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (UPDATES,),
        ("privacy.participant.adaptive={target_quantile: 0.5}", UPDATES),
        ("privacy.participant.scope=model",),
    ],
)
def test_all_that_a_run_may_ask_for_comes_to_its_claim(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    """A record that is gone makes another contribution of one: noise of half the width."""
    short = ("evaluation.n_origins=1", "federation.rounds=3")
    own = node(tmp_path, *ON_SUMS, *short, *overrides, uncovered=UNCOVERED)
    participant = Participant.of(own)
    noise = participant.noise
    assert noise is not None
    for _ in range(participant.most_rounds):
        within_budget(training(), own, same)
    for _ in range(noise.plan.most_sums):
        within_budget(message("query.sum"), own, same)
    claim = Claim.of(noise)
    with ledger_of(tmp_path) as ledger:
        whole, record = ledger.standing(WHOLE), ledger.standing(ALPHA)
    assert whole is not None
    assert record is not None
    assert whole.spent == pytest.approx(claim.epsilon, rel=1e-9)
    rho = sum(event.rho * event.count for event in claim.events if isinstance(event, Concentrated))
    assert record.spent == pytest.approx(spent([Concentrated(4.0 * rho)], 1e-5), rel=1e-9)


@pytest.mark.usefixtures("identity")
def test_with_noise_of_both_kinds_a_record_costs_what_its_own_leaves_of_it(tmp_path: Path) -> None:
    both = node(tmp_path, "privacy=both", COVERED, "privacy.record.look_back_bars=44")
    on_sums, in_training = node(tmp_path, *ON_SUMS), node(tmp_path, *NOISE)
    found = costs_of(training(), both)
    assert found["record"] == costs_of(training(), in_training)["record"]
    assert found["participant"] == costs_of(training(), on_sums)["participant"]
    assert costs_of(message("query.sum"), both) == costs_of(message("query.sum"), on_sums)
    assert set(costs_of(message("query.sum"), both)) == {"label", "record", "participant"}


@pytest.mark.usefixtures("identity")
def test_what_is_planned_is_what_is_charged(tmp_path: Path) -> None:
    own = node(tmp_path, *ON_SUMS)
    noise = Participant.of(own).noise
    assert noise is not None
    for unit, events in costs_of(training(), own).items():
        (event,), planned = events, Release(unit).event(noise.plan.update_noise)
        assert isinstance(event, Concentrated)
        assert isinstance(planned, Concentrated)
        assert planned.rho == pytest.approx(event.rho, rel=1e-12)
    own = node(tmp_path, *NOISE)
    participant, level = Participant.of(own), Participant.of(own).privacy.record
    assert level is not None
    assert isinstance(participant.task, TrainsOnRecords)
    n_steps = participant.task.local_steps
    dp_sgd = RecordNoise.of(level, participant.n_rounds * n_steps)
    costs = costs_of(training(), own)
    for unit, n_records in (("record", level.unit_records(1)), ("label", None)):
        release = Release(unit, "training", level.sampling_probability, n_steps, n_records)
        assert costs[unit] == (release.event(dp_sgd.stddev / dp_sgd.clip),)


@pytest.mark.usefixtures("identity")
def test_noise_for_labels_is_none_for_a_budget_of_records(tmp_path: Path) -> None:
    """What a day does in the features of later days is hidden by 64 times the noise."""
    label = (*NOISE, "privacy.record.unit=label")
    own, capped = node(tmp_path, *label), node(tmp_path, *label, record={"epsilon": 8.0})
    assert set(costs_of(training(), own)) == {"label"}
    with pytest.raises(BudgetError, match=r"protects all that each of its records does.*unit=day"):
        within_budget(training(), capped, same)
    assert actions(tmp_path) == ["budget"]


@pytest.mark.usefixtures("identity")
def test_a_label_costs_least_where_all_that_a_record_does_is_hidden(tmp_path: Path) -> None:
    own = node(tmp_path, *NOISE, label={"epsilon": 8.0}, uncovered=UNCOVERED)
    found = costs_of(training(), own)
    assert set(found) == {"label", "record"}
    assert spent(found["label"], 1e-5) < spent(found["record"], 1e-5) / 10.0
    within_budget(training(), own, same)
    with ledger_of(tmp_path) as ledger:
        standing = ledger.standing(Account("alpha", "prices", "label"))
    assert standing is not None
    assert standing.spent == spent(found["label"], 1e-5)


@pytest.mark.usefixtures("identity")
def test_what_is_outside_of_a_runs_promise_costs_nothing(tmp_path: Path) -> None:
    for noise in (NOISE, (*ON_SUMS, UPDATES)):
        own = node(tmp_path, *noise)
        within_budget(message("query.sum"), own, same)
        within_budget(message("evaluate"), own, same)
    assert not (tmp_path / "state" / "privacy.sqlite").exists()


@pytest.mark.usefixtures("identity")
def test_a_ledger_that_cannot_be_used_lets_nothing_leave(tmp_path: Path) -> None:
    own = node(tmp_path, *NOISE)
    path = tmp_path / "state" / "privacy.sqlite"
    path.write_text("no ledger " * 1000)
    path.chmod(0o600)

    def never(asked: Message, own: Context) -> Message:
        raise AssertionError

    with pytest.raises(LedgerError, match="is damaged or no ledger"):
        within_budget(training(), own, never)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return composer(tmp_path_factory, N, n_rounds=2)


@contextmanager
def federation(
    settings: Settings, folder: Path, epsilon: float, run: int, unit: Unit
) -> Iterator[Federation]:
    """One run of several; participant 2 has a budget."""
    configs = {}
    for number in range(N):
        privacy: dict[str, Any] = {"uncovered": UNCOVERED}
        if number == 2:
            privacy[unit] = {"epsilon": epsilon}
        allow = {"modes": ["plain", "masked"], "scores": "by_participant"}
        configs[number] = node_config(
            folder / str(number), number=number, allow=allow, privacy=privacy
        )
    run_config = {"settings": settings.to_json()}
    with InProcessGrid(
        "clients.client_app:app", N, run_config=run_config, node_configs=configs, seed=run
    ) as grid:
        yield Federation(grid, settings)


@pytest.mark.parametrize(
    ("mode", "unit", "noise"),
    [
        ("plain", "record", NOISE),
        ("plain", "participant", (*ON_SUMS, UPDATES)),
        ("masked", "participant", (*ON_SUMS, UPDATES)),
        pytest.param("masked", "record", NOISE, marks=pytest.mark.slow),
        pytest.param("masked", "record", (*ON_SUMS, UPDATES), marks=pytest.mark.slow),
    ],
)
def test_a_participant_whose_budget_is_spent_stays_out_and_the_others_go_on(
    five: Make, tmp_path: Path, mode: str, unit: Unit, noise: tuple[str, ...]
) -> None:
    """Its budget is for two rounds, in all runs together."""
    changes = ["aggregation.dropout_share=0.2", "aggregation.colluding_share=0"]
    settings = five(
        f"aggregation={mode}",
        *(changes if mode == "masked" else []),
        *noise,
        "federation.rounds=4",
    )
    own = context({"partition-id": 2}, run_id=RUN_ID)
    own.run_config["settings"] = settings.to_json()
    with task_identity(Identity(run_id=RUN_ID)):
        events = costs_of(training(), own)[unit]
    epsilon = spent([times(event, 2) for event in events], 1e-5)
    with federation(settings, tmp_path, epsilon, 2, unit) as run:
        run.prepare()
        for _ in range(2):
            assert run.round().refusals == ()
        report = run.round()
        assert (report.skipped, report.n_replies) == ("", 4)
        reason = run.participants(report)[2]
        assert f"the privacy budget of alpha/prices ({unit}) does not cover" in reason
        assert "requested epsilon" in reason
        assert "remaining 0 of" in reason or "remaining 1e-" in reason
        report = run.round()
        assert (report.skipped, report.n_replies, set(run.participants(report))) == ("", 4, {2})
    with federation(settings, tmp_path, epsilon, 3, unit) as run:
        run.prepare()
        reasons = run.participants(run.round())
        assert set(reasons) == {2}
        assert "the privacy budget of alpha/prices" in reasons[2]
    with Ledger(tmp_path / "1" / "state" / "privacy.sqlite") as ledger:
        without_budget = ledger.standing(Account("alpha", unit=unit))
    assert without_budget is not None
    assert without_budget.spent == spent([times(event, 5) for event in events], 1e-5)
