"""Everything that a run leaves in its folder."""

from pathlib import Path

from fedtrade.model_file import write_model
from fedtrade.outcome import EpisodeOutcome
from fedtrade.report.html import write_report
from fedtrade.report.model_card import write_model_card
from fedtrade.report.results import FEDERATED, Results, write_results
from fedtrade.settings import Settings

__all__ = ["write_outputs"]


def write_outputs(
    folder: Path, settings: Settings, results: Results, final: EpisodeOutcome
) -> None:
    """Write `results.json`, `report.html`, `model.safetensors` and `model_card.md`.

    Raises
    ------
    OutputError
        If a file cannot be written; what was there before is kept.
    """
    write_results(results, folder / "results.json")
    write_model(
        folder / "model.safetensors", final.models[FEDERATED], settings, final.episode.origin
    )
    write_model_card(results, folder / "model_card.md", model_file="model.safetensors")
    write_report(results, folder / "report.html")
