"""Everything that a run leaves in its folder."""

from pathlib import Path

from fedtrade.atomic import remove
from fedtrade.model_file import write_model
from fedtrade.outcome import EpisodeOutcome
from fedtrade.report.html import write_report
from fedtrade.report.model_card import write_model_card
from fedtrade.report.results import Results, write_results
from fedtrade.settings import Settings
from fedtrade.tasks.task import FEDERATED

__all__ = ["remove_outputs", "write_outputs"]

RESULTS = "results.json"
MODEL = "model.safetensors"
MODEL_CARD = "model_card.md"
REPORT = "report.html"


def write_outputs(
    folder: Path, settings: Settings, results: Results, final: EpisodeOutcome, bar: str
) -> None:
    """Write `results.json`, `report.html`, `model.safetensors` and `model_card.md`.

    Parameters
    ----------
    bar : str
        The usual spacing of the data's bars, such as `"1D"`.

    Raises
    ------
    OutputError
        If a file cannot be written; what was there before is kept.
    """
    write_results(results, folder / RESULTS)
    write_model(folder / MODEL, final.models[FEDERATED], settings, final.episode.origin, bar)
    write_model_card(results, folder / MODEL_CARD, model_file=MODEL)
    write_report(results, folder / REPORT)


def remove_outputs(folder: Path) -> None:
    """Remove what an earlier run left, and nothing else.

    Raises
    ------
    OutputError
        If a file cannot be removed.
    """
    for name in (RESULTS, MODEL, MODEL_CARD, REPORT):
        remove(folder / name)
