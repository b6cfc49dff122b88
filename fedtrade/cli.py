"""The `fedtrade` command: the one place in the library that reads configuration.

Heavy packages are imported by the command that needs them, so that `--help` answers at once.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedtrade.errors import ConfigurationError, FedtradeError

if TYPE_CHECKING:
    from fedtrade.settings import Settings

__all__ = ["app", "main"]

USER_ERROR = 2
INTERRUPTED = 130

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
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}


def main() -> None:
    """Run the command line; a `FedtradeError` becomes one sentence and exit status 2."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _plain_errors():
        app()


@app.command(context_settings=PASS_ON)
def simulate(context: typer.Context, overrides: Overrides = None) -> None:
    """Simulate a federation: train, score out of time, report.

    OVERRIDES change the configuration (`fedtrade config` shows it); `-m key=a,b` sweeps,
    `--config-dir DIR` adds a folder of your own configuration groups.
    """
    from conf.launch import launch

    finished: list[Path] = []
    launch([*(overrides or []), *context.args], lambda settings: finished.append(_run(settings)))
    if len(finished) > 1:
        _gather_sweep(finished)


@app.command()
def config(
    overrides: Overrides = None,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON, as apps take it.")] = False,
) -> None:
    """Print the resolved and validated configuration."""
    from conf import compose

    settings = compose(overrides or [])
    if json:
        print(settings.to_json())
        return
    import yaml

    print(yaml.safe_dump(settings.to_mapping(), sort_keys=False), end="")


@app.command()
def predict(
    model: Annotated[Path, typer.Option(help="The model.safetensors of a run.")],
    data: Annotated[Path, typer.Option(help="CSV or Parquet file of prices up to today.")],
    market: Annotated[
        Path | None,
        typer.Option(help="Prices that stand for the market; by default those of --data."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the forecasts here.")] = None,
) -> None:
    """Forecast the next bar of each asset in a price file."""
    from fedtrade.prediction import predict_file, print_forecasts, write_forecasts

    forecasts = predict_file(model, data, market)
    print_forecasts(forecasts)
    if json is not None:
        write_forecasts(forecasts, json)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="Which benchmark: grid, value ...")],
    json: Annotated[Path | None, typer.Option(help="Write the records here.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="KEY=VALUE for the benchmark.")
    ] = None,
) -> None:
    """Run a benchmark and print its records: case, subject, metric, value, unit."""
    records = _benchmark(name)(**_options(option or []))
    from fedtrade.report.records import print_records, write_records

    print_records(records)
    if json is not None:
        write_records(records, json)


def _run(settings: "Settings") -> Path:
    from fedtrade.components import build
    from fedtrade.report import print_results, read_results

    out = Path(settings.out)
    try:
        build(settings.runtime, "runtime", settings=settings)
    except KeyboardInterrupt:
        _say(
            f"Interrupted. The last checkpoint is in {out / 'checkpoint'}; the same command with "
            "resume=true goes on from there."
        )
        raise typer.Exit(INTERRUPTED) from None
    if settings.progress != "none":
        print_results(read_results(out / "results.json"))
        print(f"Report: {out / 'report.html'}")
    return out


def _gather_sweep(folders: list[Path]) -> None:
    from fedtrade.report import print_sweep, read_results, write_sweep
    from fedtrade.report.sweep import gather

    sweep = gather({folder.name: read_results(folder / "results.json") for folder in folders})
    print_sweep(sweep)
    for path in write_sweep(sweep, folders[0].parent):
        print(f"Sweep: {path}")


def _benchmark(name: str) -> Callable[..., list[dict[str, Any]]]:
    from importlib import import_module

    try:
        module = import_module(f"simulations.bench.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"simulations.bench.{name}":
            raise
        raise ConfigurationError(f"there is no benchmark {name!r}; try grid or value.") from None
    run: Callable[..., list[dict[str, Any]]] = module.run
    return run


def _options(pairs: list[str]) -> dict[str, Any]:
    import yaml

    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"--option {pair!r} is not of the form KEY=VALUE.")
        options[key] = yaml.safe_load(value)
    return options


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except FedtradeError as error:
        _say(f"Error: {error}")
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        _say("Interrupted.")
        sys.exit(INTERRUPTED)


def _say(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    main()
