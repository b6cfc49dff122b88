"""The `fedtrade` command: the one place in the library that reads configuration.

Heavy packages are imported by the command that needs them, so that `--help` answers at once.
"""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
import typer.core

from fedtrade.cli_privacy import app as privacy
from fedtrade.errors import ConfigurationError, FedtradeError

if TYPE_CHECKING:
    from fedtrade.report.records import Record
    from fedtrade.settings import Settings

__all__ = ["app", "main"]

USER_ERROR = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

app = typer.Typer(
    name="fedtrade",
    help="Train trading-signal and risk models together without showing each other data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Hydra overrides, such as `task=risk federation.rounds=5`."),
]
PASS_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": ["--help", "-h"],
}


class _Interrupted(Exception):  # noqa: N818 - not an error, and it ends the program with a message
    """Ctrl-C was pressed; the message says what was kept."""


def main() -> None:
    """Run the command line; a `FedtradeError` becomes one sentence and exit status 2."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Models are small and participants many: threads inside of one model only cost.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with _plain_errors():
        status = app(standalone_mode=False)
        if status == INTERRUPTED:  # where no command has more to say about Ctrl-C
            raise _Interrupted("Interrupted.")
        sys.exit(status if isinstance(status, int) else 0)


def _print_version(wanted: bool) -> None:
    from importlib.metadata import version

    if wanted:
        print(f"fedtrade {version('fedtrade')}")
        raise typer.Exit


@app.callback()
def _options_of_all(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show it."),
    ] = False,
) -> None:
    pass


@app.command(context_settings=PASS_ON)
def simulate(context: typer.Context, overrides: Overrides = None) -> None:
    """Simulate a federation: train, score out of time, report.

    OVERRIDES change the configuration (`fedtrade config` shows it). `-m key=a,b` runs every
    combination. `--config-dir DIR` adds a folder of your own configuration groups.
    """
    from conf.launch import runs_of

    arguments = [*(overrides or []), *context.args]
    runs = runs_of(arguments)
    stored_before = [_stored_at(settings) for settings in runs]
    try:
        if len(runs) == 1:
            _simulate(runs[0])
        elif runs:
            _sweep(runs)
    except KeyboardInterrupt:
        raise _Interrupted(_how_to_resume(arguments, runs, stored_before)) from None


@app.command(context_settings=PASS_ON)
def config(
    context: typer.Context,
    overrides: Overrides = None,
    json: Annotated[
        bool, typer.Option("--json", help="One line of JSON, as apps take it.")
    ] = False,
) -> None:
    """Print the resolved and validated configuration.

    OVERRIDES and options are those of `fedtrade simulate`; a sweep prints each of its runs.
    """
    from conf.launch import runs_of
    from fedtrade.report.settings_text import settings_yaml

    runs = runs_of([*(overrides or []), *context.args])
    if json:
        print(*(settings.to_json() for settings in runs), sep="\n")
    else:
        print("---\n".join(settings_yaml(settings.to_mapping()) for settings in runs), end="")


@app.command()
def predict(
    model: Annotated[Path, typer.Option(help="The model.safetensors of a run.")],
    data: Annotated[Path, typer.Option(help="CSV or Parquet file of prices up to today.")],
    market: Annotated[
        Path | None,
        typer.Option(help="Prices that stand for the market; by default those of --data."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the forecasts here.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            help="KEY=VALUE, how to read the prices: a key of data=csv or data=parquet.",
        ),
    ] = None,
) -> None:
    """Forecast the next bar of each asset in a price file."""
    from fedtrade.prediction import predict_file, print_prediction, write_prediction

    prediction = predict_file(model, data, market, _options(option or []))
    print_prediction(prediction)
    if json is not None:
        write_prediction(prediction, json)


@app.command()
def bench(
    name: Annotated[
        str,
        typer.Argument(
            help="Which benchmark: gateway, grid, nodes, privacy, robust, secure or value."
        ),
    ],
    json: Annotated[Path | None, typer.Option(help="Write the records here.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="KEY=VALUE for the benchmark.")
    ] = None,
) -> None:
    """Run a benchmark and print its records: case, subject, metric, value, unit."""
    records = _benchmark(name, _options(option or []))
    from fedtrade.report.records import print_records, write_records

    print_records(records)
    if json is not None:
        write_records(records, json)


@app.command(context_settings=PASS_ON)
def arena(
    context: typer.Context,
    overrides: Overrides = None,
    preset: Annotated[
        str | None, typer.Option(help="Start from conf/arena_PRESET.yaml, such as tail_risk.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the settings and run nothing.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the results here as well.")] = None,
) -> None:
    """Sweep aggregation rules against attacks; report the worst case of each rule.

    OVERRIDES change the configuration, such as `rules=[krum,median] shares=[0.2]`. A sweep that
    was interrupted goes on where it stopped when the same command is run again.
    """
    from fedtrade.components import factory
    from fedtrade.settings import Component

    with _interrupts_held():
        import torch  # noqa: F401 - half imported, it takes the whole process down with it
    sweep = factory(
        Component.model_validate({"_target_": "simulations.arena.launch.run"}),
        "arena",
        overrides=[*(overrides or []), *context.args],
        preset=preset,
        only_plan=plan,
        json=None if json is None else str(json),
    )
    try:
        sweep()
    except KeyboardInterrupt:
        # Whoever asked for a fresh start has it; going on must not begin anew.
        arguments = [text for text in sys.argv[1:] if not text.startswith("resume=")]
        command = shlex.join(["fedtrade", *arguments])
        raise _Interrupted(
            f"Interrupted. Finished cells are kept; go on from there with:\n  {command}"
        ) from None


@app.command(context_settings=PASS_ON)
def run(
    context: typer.Context,
    on: Annotated[str, typer.Option(help="A connection of Flower's configuration.")],
    overrides: Overrides = None,
) -> None:
    """Submit a run to a SuperLink that is there, and follow it.

    OVERRIDES are those of `fedtrade simulate`. The results are written where the SuperLink runs.
    """
    from conf.launch import runs_of
    from fedtrade.nodes.launch import launch_run

    for settings in runs_of([*(overrides or []), *context.args]):
        launch_run(settings, on)


@app.command()
def bundle(
    folder: Annotated[Path, typer.Argument(help="Where to; it must not be there yet.")],
) -> None:
    """Write the app's folder for Flower's own command: `flwr run FOLDER CONNECTION`."""
    from fedtrade.nodes.bundle import write_bundle

    if folder.exists():
        raise ConfigurationError(f"{folder} is there already; choose another folder.")
    print(f"{write_bundle(folder)}: flwr run {shlex.quote(str(folder))} CONNECTION --stream")


@app.command(context_settings=PASS_ON)
def server(
    context: typer.Context,
    overrides: Overrides = None,
    only: Annotated[bool, typer.Option("--only", help="Serve, and start no run.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, whatever an earlier run has left.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the settings and start nothing.")
    ] = False,
) -> None:
    """Start a SuperLink with TLS and node authentication, and one run on it, to its end.

    OVERRIDES change conf/server.yaml. A run that was cut off goes on from its last checkpoint.
    """
    from conf.nodes import server_settings
    from fedtrade.nodes.launch import launch_server
    from fedtrade.report.settings_text import settings_yaml

    settings, own = server_settings([*(overrides or []), *context.args])
    if plan:
        print(settings_yaml(settings.to_mapping() | {"server": own.to_mapping()}), end="")
        return
    launch_server(settings, own, only=only, fresh=fresh)


@app.command(context_settings=PASS_ON)
def client(
    context: typer.Context,
    overrides: Overrides = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the settings and start nothing.")
    ] = False,
) -> None:
    """Start a party's node: `fedtrade client kit=FOLDER data.path=prices.csv`.

    OVERRIDES change conf/client.yaml; they stay on this machine and beat what a run brings.
    """
    from conf.nodes import client_settings, kit_of, settings_of_kit
    from fedtrade.nodes.launch import launch_client
    from fedtrade.report.settings_text import settings_yaml

    arguments = [*(overrides or []), *context.args]
    own = client_settings(arguments)
    if plan:
        print(settings_yaml(own.to_mapping()), end="")
        return
    kit = kit_of(arguments)
    launch_client(own, None if kit is None else settings_of_kit(kit))


class _MakeByDefault(typer.core.TyperGroup):
    """`fedtrade provision consortium.yaml` is `fedtrade provision make consortium.yaml`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_named = bool(args) and self.get_command(ctx, args[0]) is not None
        return super().resolve_command(ctx, args if is_named else ["make", *args])


provision = typer.Typer(
    cls=_MakeByDefault,
    help="Make a consortium's certificates, keys and start kits: `fedtrade provision FILE`.",
    no_args_is_help=True,
)
app.add_typer(provision, name="provision")
app.add_typer(privacy, name="privacy")
Folder = Annotated[Path, typer.Option("--folder", help="Of the consortium.")]
CONSORTIUM = Path("consortium")


@provision.command("make")
def provision_make(
    file: Annotated[Path, typer.Argument(help="consortium.yaml: who belongs to it.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to; by default beside the file.")
    ] = None,
) -> None:
    """Make what is not there yet: authority, server certificate, register, and a kit a party."""
    from fedtrade.nodes.consortium import Consortium
    from fedtrade.nodes.launch import print_provisioned
    from fedtrade.nodes.provision import default_folder
    from fedtrade.nodes.provision import provision as make

    print_provisioned(make(Consortium.read(file), folder or default_folder(file)))


@provision.command("revoke")
def provision_revoke(
    name: Annotated[str, typer.Argument(help="Of the party.")], folder: Folder = CONSORTIUM
) -> None:
    """Take a party out; a server that runs on the folder shuts it out within seconds."""
    from fedtrade.nodes.provision import revoke

    party = revoke(folder, name)
    print(
        f"{party.name} is revoked: give the server the new registry.json and identities*.json, and "
        "the other parties the new identities*.json with MANIFEST.sha256 from their kits."
    )


@provision.command("renew")
def provision_renew(
    file: Annotated[Path, typer.Argument(help="consortium.yaml.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Of the consortium; by default beside the file.")
    ] = None,
) -> None:
    """Make a new certificate of the server; the nodes need nothing new."""
    from fedtrade.nodes.consortium import Consortium
    from fedtrade.nodes.provision import default_folder, renew

    place = folder or default_folder(file)
    until = renew(Consortium.read(file), place)
    certificate = place / "server" / "server.crt"
    print(f"{certificate} is new, valid until {until:%Y-%m-%d}; start the server again.")


@provision.command("keys")
def provision_keys(
    folder: Annotated[Path, typer.Argument(help="Where to put them.")] = Path(),
) -> None:
    """Make a party's keys on its own machine, and print what consortium.yaml wants of them."""
    from fedtrade.nodes.kits import make_keys

    node_key, identity = make_keys(folder)
    print(f"node_key: {node_key}\nidentity: {identity}")


@provision.command("check")
def provision_check(kit: Annotated[Path, typer.Argument(help="A kit's folder.")]) -> None:
    """See that a kit is whole and its keys private, and what it sets by itself."""
    from conf.nodes import settings_of_kit
    from fedtrade.nodes.launch import sentence_on_kit

    found = settings_of_kit(kit)
    if found:
        print(sentence_on_kit(found))
    print(f"{kit} is whole.")


def _simulate(settings: "Settings") -> None:
    from fedtrade.report import print_results, read_results

    out = _run(settings)
    if settings.progress != "none":
        print_results(read_results(out / "results.json"))
        print(f"Report: {out / 'report.html'}")


def _sweep(runs: Sequence["Settings"]) -> None:
    """Run one after the other; a failed run ends the sweep, and what was finished is reported."""
    finished: list[Path] = []
    try:
        for number, settings in enumerate(runs, start=1):
            if settings.progress != "none":
                _say(f"run {number}/{len(runs)}: {settings.out}")
            finished.append(_run(_resumable(settings)))
    except FedtradeError as error:
        if finished:
            _gather(finished)
        raise type(error)(f"run {len(finished) + 1} of {len(runs)}: {error}") from error
    _gather(finished)


def _run(settings: "Settings") -> Path:
    from fedtrade.components import factory

    with _interrupts_held():
        import torch  # noqa: F401 - half imported, it takes the whole process down with it
    simulation = factory(settings.runtime, "runtime", settings=settings)
    simulation()
    return Path(settings.out)


def _resumable(settings: "Settings") -> "Settings":
    """A point of a sweep that was never begun has nothing to resume."""
    if _stored_at(settings) is not None:
        return settings
    return settings.model_copy(update={"resume": False})


def _stored_at(settings: "Settings") -> int | None:
    """When the checkpoint in the run's folder was begun (nanoseconds), None without one."""
    from fedtrade.checkpoint import FOLDER, RUN_FILE

    try:
        return (Path(settings.out) / FOLDER / RUN_FILE).stat().st_mtime_ns
    except OSError:
        return None


def _gather(folders: Sequence[Path]) -> None:
    from fedtrade.report import print_sweep, read_results, write_sweep
    from fedtrade.report.sweep import gather

    root = Path(os.path.commonpath([folder.parent for folder in folders]))
    sweep = gather(
        {str(folder.relative_to(root)): read_results(folder / "results.json") for folder in folders}
    )
    print_sweep(sweep)
    for path in write_sweep(sweep, root):
        print(f"Sweep: {path}")


def _how_to_resume(
    arguments: Sequence[str], runs: Sequence["Settings"], stored_before: Sequence[int | None]
) -> str:
    """Where the last checkpoint is and the command that goes on from there.

    A checkpoint that was there before and is not being resumed belongs to an earlier run.
    """
    begun = [
        settings.out
        for settings, before in zip(runs, stored_before, strict=True)
        if _stored_at(settings) not in ((None,) if settings.resume else (None, before))
    ]
    if not begun:
        return "Interrupted before the first round: nothing was stored yet."
    from fedtrade.checkpoint import FOLDER

    others = (argument for argument in arguments if not argument.startswith("resume="))
    command = shlex.join(["fedtrade", "simulate", *others, "resume=true"])
    return (
        f"Interrupted. The last checkpoint is in {Path(begun[-1]) / FOLDER}; "
        f"go on from there with:\n  {command}"
    )


def _benchmark(name: str, options: dict[str, Any]) -> list["Record"]:
    from importlib.util import find_spec

    from fedtrade.components import factory
    from fedtrade.settings import Component

    module = f"simulations.bench.{name}"
    if not name.isidentifier() or find_spec(module) is None:
        raise ConfigurationError(
            f"there is no benchmark {name!r}; try gateway, grid, nodes, privacy, robust, secure or "
            "value."
        )
    target = Component.model_validate({"_target_": f"{module}.run", **options})
    run = factory(target, "bench")
    records: list[Record] = run()
    return records


def _options(pairs: list[str]) -> dict[str, Any]:
    """Options by key; values are YAML, or texts where they are none, such as `decimal=,`."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"--option {pair!r} is not of the form KEY=VALUE.")
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    from omegaconf import OmegaConf
    from yaml import YAMLError

    if len(text) == 1 and not text.isalnum():  # a separator, which may mean something in YAML
        return text
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # type: ignore[call-overload,index]
    except YAMLError:
        return text


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except FedtradeError as error:
        _say(f"Error: {error}")
        sys.exit(USER_ERROR)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(USER_ERROR)
    except click.ClickException as error:
        # Both typer and click add a suggestion, one to the message and one in formatting it.
        is_complete = "Did you mean" in error.message
        _say(f"Error: {error.message if is_complete else error.format_message()}")
        sys.exit(error.exit_code)
    except _Interrupted as interrupted:
        _say(str(interrupted))
        if any(thread.daemon for thread in threading.enumerate()):
            # A worker thread in the middle of native code; Python's own end would abort on it.
            # Threads that are no daemons, such as a pool's, are waited for.
            sys.stdout.flush()
            os._exit(INTERRUPTED)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Nothing may be written when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)


def _say(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    main()
