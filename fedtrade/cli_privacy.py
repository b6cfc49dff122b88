"""`fedtrade privacy`: a participant's budgets, what was spent of them, and what attacks find."""

import json as json_text
from dataclasses import asdict
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fedtrade.errors import ConfigurationError

if TYPE_CHECKING:
    from fedtrade.privacy.ledger import Account
    from fedtrade.privacy.ledger.plan import Means
    from fedtrade.privacy.ledger.release import Release
    from fedtrade.privacy.units import Unit

__all__ = ["app"]

app = typer.Typer(
    help="Show, cap and plan what a participant spends of its privacy, and attack the promise.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Option("--ledger", help="The participant's ledger.")]
Participant = Annotated[str | None, typer.Option(help="Only of this participant.")]
Dataset = Annotated[str, typer.Option(help="Name of the data.")]
UnitName = Annotated[
    Literal["participant", "record", "label"],
    typer.Option(
        help="What is protected: all that a participant contributes, one record, or one as a label."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def status(ledger: File, participant: Participant = None, json: AsJson = False) -> None:
    """Show what was spent, and what is left, and see that the history says the same."""
    from fedtrade.privacy.ledger import Ledger
    from fedtrade.privacy.ledger.listing import standing_values
    from fedtrade.privacy.ledger.tables import print_table, status_table

    with Ledger(ledger) as own:
        own.check()
        standings = [s for s in own.standings() if participant in (None, s.account.participant)]
        ever = [own.spent_ever(standing.account) for standing in standings]
        behind_s = own.clock_behind_s()
    if json:
        values = [
            {**standing_values(s), "spent_ever": total if total < inf else None}
            for s, total in zip(standings, ever, strict=True)
        ]
        print(json_text.dumps(values, indent=2))
        return
    print_table(status_table(standings))
    for standing, total in zip(standings, ever, strict=True):
        if total > standing.spent:
            print(f"{standing.account}: epsilon {total:.3g} in all windows together.")
    if behind_s > 60.0:
        print(
            f"The clock is {behind_s / 3600.0:.3g} h behind what the ledger has seen: until then "
            "no budget renews."
        )


@app.command()
def history(
    ledger: File,
    participant: Participant = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only so many entries.")] = None,
    json: AsJson = False,
) -> None:
    """Show each budget that was set, and each operation."""
    from fedtrade.privacy.ledger import Ledger
    from fedtrade.privacy.ledger.listing import entry_values
    from fedtrade.privacy.ledger.tables import history_table, print_table

    with Ledger(ledger) as own:
        entries = own.history(last=None if participant else last)
    if participant is not None:
        entries = [entry for entry in entries if entry.account.participant == participant]
        entries = entries[-last:] if last else entries
    if json:
        print(json_text.dumps([entry_values(entry) for entry in entries], indent=2))
    else:
        print_table(history_table(entries))


@app.command("set-budget")
def set_budget(
    ledger: File,
    participant: Annotated[str, typer.Option(help="Whose budget.")],
    epsilon: Annotated[float, typer.Option(help="The most that may be spent.")],
    delta: Annotated[float, typer.Option(help="At which epsilon is meant.")] = 1e-5,
    dataset: Dataset = "prices",
    unit: UnitName = "participant",
    starts: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="ISO date, in UTC, from which spending counts. By default nothing is given back.",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(help="ISO date, in UTC.")] = None,
    renews_days: Annotated[
        float | None, typer.Option(help="Begin anew every so many days, 1 or more.")
    ] = None,
    accountant: Annotated[
        Literal["pld", "rdp", "sum"], typer.Option(help="Which adds up.")
    ] = "pld",
    units: Annotated[
        int | None,
        typer.Option(min=1, help="How many are protected; delta must be below one over it."),
    ] = None,
) -> None:
    """Set a budget, in the place of the one before; the ledger is made if it is not there."""
    from fedtrade.privacy.ledger import Ledger
    from fedtrade.privacy.ledger.tables import print_table, status_table

    account = _account(participant, dataset, unit)
    with Ledger(ledger, create=True) as own:
        own.set_budget(
            account,
            epsilon=epsilon,
            delta=delta,
            starts=None if starts is None else _time("--from", starts),
            ends=inf if until is None else _time("--until", until),
            renews_days=renews_days,
            accountant=accountant,
            units=units,
        )
        standing = own.standing(account)
    assert standing is not None
    print_table(status_table([standing]))


@app.command()
def plan(
    ledger: Annotated[
        Path | None, typer.Option(help="A ledger; otherwise --epsilon is all there is.")
    ] = None,
    participant: Annotated[str | None, typer.Option(help="Whose budget in the ledger.")] = None,
    dataset: Dataset = "prices",
    unit: UnitName = "participant",
    epsilon: Annotated[float | None, typer.Option(help="A budget, without a ledger.")] = None,
    delta: Annotated[float, typer.Option(help="Of that budget.")] = 1e-5,
    accountant: Annotated[
        Literal["pld", "rdp", "sum"], typer.Option(help="Of that budget.")
    ] = "pld",
    noise: Annotated[
        float | None, typer.Option(help="How many rounds fit at this noise multiplier?")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Which noise do so many rounds need?")
    ] = None,
    utility: Annotated[
        float | None, typer.Option(help="How many rounds fit at this value of the curve?")
    ] = None,
    curve: Annotated[
        Path | None, typer.Option(help="JSON file of the utility by noise; see the docs.")
    ] = None,
    noise_on: Annotated[
        Literal["sums", "training"],
        typer.Option(help="Where a run adds noise: privacy=participant, or privacy=record."),
    ] = "sums",
    sampling: Annotated[
        float, typer.Option(help="Of noise on training: the probability of a record in a step.")
    ] = 1.0,
    steps: Annotated[int, typer.Option(min=1, help="Of training, in each round.")] = 1,
    records: Annotated[
        int | None,
        typer.Option(min=1, help="Of training, that one unit is part of: look_back_bars."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Say how many rounds a budget affords at a noise or utility, or which noise rounds need.

    A round costs what a participant's node charges for it.
    """
    from fedtrade.privacy.ledger.release import Release

    if [noise, rounds, utility].count(None) != 2:
        raise ConfigurationError("plan needs one of --noise, --rounds and --utility.")
    if (utility is None) != (curve is None):
        raise ConfigurationError("--utility and --curve need each other.")
    if ledger is not None:
        means = _means(ledger, participant, dataset, unit)
    elif epsilon is not None:
        from fedtrade.privacy.ledger import Budget
        from fedtrade.privacy.ledger.plan import Means

        Budget(epsilon, delta, 0.0).check_sound()
        means = Means(epsilon, delta, accountant, {})
    else:
        raise ConfigurationError("plan needs a budget: --ledger and --participant, or --epsilon.")
    if utility is not None and curve is not None:
        noise = _noise_of(curve, utility)
    release = Release(unit, noise_on, sampling, steps, records)
    _print_plan(_planned(means, noise, rounds, release), json)


@app.command("audit", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def audit(
    context: typer.Context,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Hydra overrides, such as `privacy.record.epsilon=2`."),
    ] = None,
    canaries: Annotated[int, typer.Option(help="Canaries in the bounded trainings.")] = 500,
    models: Annotated[int, typer.Option(help="Trainings of the membership attack.")] = 32,
    days: Annotated[int, typer.Option(help="Days that are to be read off gradients.")] = 50,
    confidence: Annotated[float, typer.Option(help="Of each bound.")] = 0.95,
) -> None:
    """Attack the record level of a run's settings: canaries, membership, gradient inversion.

    OVERRIDES are those of `fedtrade simulate`, with privacy=record and
    privacy.record.epsilon=2 unless they say otherwise: larger claims can hardly be refuted.
    Writes audit.json and audit.html to `out`; exit status 1 if the claim is refuted, or if the
    audit would not notice a broken mechanism.
    """
    from conf.launch import runs_of
    from fedtrade.privacy.audit.audit import audit as attack
    from fedtrade.privacy.audit.report import print_audit, write_audit

    given = [*(overrides or []), *context.args]
    level = (
        []
        if any(key.startswith("privacy=") for key in given)
        else ["privacy=record", "privacy.record.epsilon=2"]
    )
    passed = True
    for settings in runs_of([*level, *given]):
        found = attack(
            settings,
            n_canaries=canaries,
            n_models=models,
            n_days=days,
            confidence=confidence,
            on_step=lambda step: print(f"{step} ...", flush=True),
        )
        write_audit(found, Path(settings.out))
        print_audit(found)
        print(f"Report: {Path(settings.out) / 'audit.html'}")
        passed = passed and found.passed
    if not passed:
        raise typer.Exit(1)


def _planned(
    means: "Means", noise: float | None, rounds: int | None, release: "Release"
) -> dict[str, Any]:
    from fedtrade.privacy.ledger.plan import affordable_rounds, needed_noise

    if rounds is None:
        assert noise is not None
        rounds = affordable_rounds(means, release.event(noise))
    else:
        noise = needed_noise(means, rounds, release.event)
    return {
        "noise_multiplier": noise,
        "rounds": rounds,
        **asdict(release),
        "epsilon": means.epsilon,
        "delta": means.delta,
        "accountant": means.accountant,
    }


def _print_plan(planned: dict[str, Any], json: bool) -> None:
    if json:
        print(json_text.dumps(planned, indent=2))
        return
    print(
        f"{planned['rounds']} rounds with a noise multiplier of {planned['noise_multiplier']:.4g} "
        f"on {planned['noise_on']} fit into what is left of epsilon={planned['epsilon']:g} at "
        f"delta={planned['delta']:g} for a {planned['unit']} (accountant "
        f"{planned['accountant']})."
    )


def _noise_of(curve: Path, utility: float) -> float:
    from fedtrade.privacy.ledger.plan import Curve

    return Curve.read(curve).most_noise(utility)


def _means(ledger: Path, participant: str | None, dataset: str, unit: "Unit") -> "Means":
    from fedtrade.privacy.ledger import Ledger
    from fedtrade.privacy.ledger.plan import Means

    if participant is None:
        raise ConfigurationError("--ledger needs --participant, whose budget it is.")
    account = _account(participant, dataset, unit)
    with Ledger(ledger) as own:
        standing, counts = own.standing(account), own.counts(account)
    if standing is None or standing.budget is None:
        raise ConfigurationError(
            f"{ledger} has no budget of {account}; set one with `fedtrade privacy set-budget`."
        )
    standing.budget.check_valid(standing.at)
    budget = standing.budget
    return Means(budget.epsilon, budget.delta, budget.accountant, dict(counts))


def _account(participant: str, dataset: str, unit: "Unit") -> "Account":
    from fedtrade.privacy.ledger import Account

    return Account(participant, dataset, unit)


def _time(option: str, text: str) -> float:
    """Seconds since 1970 of an ISO date; without a zone it is in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{option}={text!r} is no ISO date such as 2026-12-31 or 2026-12-31T18:00:00."
        ) from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
