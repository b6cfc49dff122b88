"""From the arguments of a command line to the settings of each run, by Hydra's own entry point.

Hydra composes every point of a sweep before the first one runs, so that a mistake in the last
costs nothing, and an error or Ctrl-C during a run never passes through Hydra.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from conf import CONFIG_NAME, CONFIG_PATH
from conf.composition import hydra_sentence, to_settings
from fedtrade.errors import ConfigurationError
from fedtrade.settings import Settings

__all__ = ["runs_of"]


def runs_of(arguments: Sequence[str]) -> list[Settings]:
    """The settings of one run or, with `-m` (or `--multirun`), of each point of a sweep.

    In a sweep `out` becomes a numbered folder below the one that was set. Hydra's other options
    (`--config-dir DIR`, `--cfg job`, ...) work as everywhere; those that only print give no run.

    Raises
    ------
    ConfigurationError
        If the arguments, or the settings of any point, are wrong.
    SystemExit
        With status 0, after `--hydra-help` or `--version`.
    """
    found: list[Settings] = []
    mistakes: list[ConfigurationError] = []

    @hydra.main(config_path=CONFIG_PATH, config_name=CONFIG_NAME, version_base="1.3")
    def job(config: DictConfig) -> None:
        # Kept, not raised: Hydra announces exceptions of a job with the list of its overrides.
        try:
            found.append(_at_its_place(to_settings(config)))
        except ConfigurationError as error:
            mistakes.append(error)

    with TemporaryDirectory() as scratch:
        # Where Hydra keeps notes on a sweep; its own place for them is the current folder.
        notes = f"hydra.sweep.dir='{scratch}'"
        with _arguments([*_options_first(arguments), notes]), _sentences():
            job()
    if mistakes:
        raise mistakes[0]
    return found


def _options_first(arguments: Sequence[str]) -> list[str]:
    """Hydra refuses overrides on both sides of an option; here they may stand anywhere."""
    return sorted(arguments, key=lambda text: "=" in text and not text.startswith("-"))


def _at_its_place(settings: Settings) -> Settings:
    """In a sweep, with the folder of the point that Hydra is at."""
    active = HydraConfig.get()
    if active.mode is not RunMode.MULTIRUN:
        return settings
    return settings.model_copy(update={"out": str(Path(settings.out) / str(active.job.num))})


@contextmanager
def _arguments(arguments: Sequence[str]) -> Iterator[None]:
    """Hydra reads `sys.argv`, and prints and exits by itself unless told to raise."""
    before, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = ["fedtrade simulate", *arguments], "1"
    try:
        yield
    finally:
        sys.argv = before
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn everything that Hydra complains about into one sentence."""
    printed = StringIO()
    try:
        with redirect_stderr(printed), warnings.catch_warnings():
            warnings.filterwarnings("error", message="provider=.*not available")
            yield
    except HydraException as error:
        raise ConfigurationError(hydra_sentence(error)) from None
    except UserWarning as warning:
        raise ConfigurationError(
            f"a folder of hydra.searchpath does not exist: {warning}"
        ) from None
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigurationError(f"{str(error).splitlines()[0].rstrip('.')}.") from None
    except SystemExit as stop:
        if stop.code:
            complaint = printed.getvalue().rstrip().rpartition("error: ")[2]
            raise ConfigurationError(
                f"{complaint}; `fedtrade simulate --help` lists the options."
            ) from None
        raise
    sys.stderr.write(printed.getvalue())
