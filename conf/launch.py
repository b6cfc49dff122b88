"""Run a function once, or once for each point of a sweep, through Hydra's own entry point."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

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

__all__ = ["launch"]


def launch(arguments: Sequence[str], run: Callable[[Settings], object]) -> None:
    """Compose the settings for the arguments of a command line and hand them to `run`.

    With `-m` (or `--multirun`) it is called for each combination of the swept values, and `out`
    becomes a numbered folder below the one that was set.

    Raises
    ------
    ConfigurationError
        If the arguments or the settings are wrong; what `run` raises passes through.
    """

    @hydra.main(config_path=CONFIG_PATH, config_name=CONFIG_NAME, version_base="1.3")
    def job(config: DictConfig) -> None:
        settings = to_settings(config)
        active = HydraConfig.get()
        if active.mode is RunMode.MULTIRUN:
            out = str(Path(active.sweep.dir) / active.sweep.subdir)
            settings = settings.model_copy(update={"out": out})
        run(settings)

    # Without it Hydra prints errors itself, with its own hints, and exits with status 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    program, sys.argv = sys.argv, ["fedtrade simulate", *arguments]
    try:
        job()
    except HydraException as error:
        raise ConfigurationError(hydra_sentence(error)) from None
    except OmegaConfBaseException as error:
        raise ConfigurationError(str(error).splitlines()[0]) from None
    finally:
        sys.argv = program
