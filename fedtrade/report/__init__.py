"""What a person sees of a run: progress, tables, plots, the HTML report and the stored results.

Matplotlib is imported only when something is drawn.
"""

from fedtrade.report.console import Progress, print_results
from fedtrade.report.html import report, write_report
from fedtrade.report.model_card import model_card, write_model_card
from fedtrade.report.plots import picture
from fedtrade.report.results import (
    SCHEMA_VERSION,
    Results,
    metric,
    parse_results,
    read_results,
    write_results,
)
from fedtrade.report.sweep import gather, print_sweep, read_sweep, write_sweep

__all__ = [
    "SCHEMA_VERSION",
    "Progress",
    "Results",
    "gather",
    "metric",
    "model_card",
    "parse_results",
    "picture",
    "print_results",
    "print_sweep",
    "read_results",
    "read_sweep",
    "report",
    "write_model_card",
    "write_report",
    "write_results",
    "write_sweep",
]
