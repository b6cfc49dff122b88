"""The card that goes with a trained model: what it is for, how good it was, where it ends.

After Mitchell et al., *Model Cards for Model Reporting*, FAT* 2019,
https://arxiv.org/abs/1810.03993.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedtrade.atomic import write_atomically
from fedtrade.report.arms import describe_arm
from fedtrade.report.comparisons import comparisons
from fedtrade.report.console import comparison_cells, comparison_head
from fedtrade.report.html import method, run_facts
from fedtrade.report.known_metrics import summary_columns
from fedtrade.report.privacy import traffic_text
from fedtrade.report.results import Results, metric
from fedtrade.secure.statement import SERVER

_USES = {
    "risk": "Forecasts of value at risk and expected shortfall of the next bar, by asset.",
    "volatility": "Forecasts of realised volatility, by asset.",
    "signal": "A cross-sectional signal for the next bar, by asset.",
}
_LIMITS = {
    "risk": (
        "Forecasts are quantiles of one asset's next return; they do not add up to the risk of "
        "a portfolio.",
        "A level of 1 % is breached once in a hundred bars even if the model is right; judge it "
        "on hundreds of bars.",
    ),
    "volatility": ("Realised volatility is itself an estimate, and losses inherit its noise.",),
    "signal": (
        "A signal that shows no edge after costs in the table must not be traded.",
        "Slippage beyond the stated costs and limits on short sales are not modelled.",
    ),
}
_COMMON_LIMITS = (
    "Scores describe the test periods named above; markets change, so score the model again "
    "before relying on it.",
    "Features need warm-up history; with less history than in training the forecasts lean on "
    "their priors.",
    "Training together hides data, not every trace of it: unless the settings switch on "
    "differential privacy, no formal privacy guarantee holds.",
)


def write_model_card(results: Results, path: str | Path, *, model_file: str) -> None:
    """Write the model card as Markdown.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_atomically(path, model_card(results, model_file=model_file))


def model_card(results: Results, *, model_file: str = "model.safetensors") -> str:
    """The model card as Markdown; `model_file` is the name of the model beside it."""
    use = _USES.get(results.task, f"The task `{_plain(results.task)}`.")
    limits = (*_LIMITS.get(results.task, ()), *_COMMON_LIMITS)
    parts = [
        f"# Model card: {_plain(results.task)}",
        _plain(results.verdict),
        "## Intended use",
        f"{use} For research and as one input among several to a person's decision.",
        "## Training and test data",
        _list(f"{_plain(term)}: {_plain(text)}" for term, text in run_facts(results)),
        "## Scores out of time",
        _scores(results),
        *_gains(results),
        "## Method",
        "\n\n".join(method(results)),
        *_privacy(results),
        "## Limits",
        _list((*map(_plain, results.notes), *limits)),
        "## How to load it",
        _loading(model_file),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(results: Results) -> str:
    columns = summary_columns(results)
    if not columns:
        return "None were recorded."
    head = ["Arm"]
    for column in columns:
        unit = f" ({column.metric.unit})" if column.metric.unit else ""
        head.append(f"{column.title}{unit}")
    rows = []
    for arm in results.arms:
        values = [metric(results, arm, c.metric.name, c.level) for c in columns]
        if any(value is not None for value in values):
            cells = [c.text(value) for c, value in zip(columns, values, strict=True)]
            rows.append([describe_arm(arm).title, *cells])
    return _table(head, rows)


def _gains(results: Results) -> list[str]:
    found = comparisons(results)
    if not found:
        return []
    head = ["Federated against", *comparison_head(results)]
    rows = [[describe_arm(c.against).title, *comparison_cells(c)] for c in found]
    return ["Positive gains mean that the federated model is better.", _table(head, rows)]


def _privacy(results: Results) -> list[str]:
    privacy = results.privacy
    if privacy is None:
        return []
    learned = "; ".join(each.what for each in privacy.learns if each.party == SERVER)
    text = (
        f"Trained with the trust mode {privacy.mode}. In this run the server learned "
        f"{learned}. {' '.join(privacy.broken_by[:1])} {traffic_text(privacy)} The whole statement "
        "is in the report and in results.json."
    )
    return ["## Who learned what", _plain(text)]


def _loading(model_file: str) -> str:
    return (
        "Forecasts for a file of your own prices (CSV or Parquet):\n\n"
        f"```sh\nfedtrade predict --model {model_file} --data prices.csv\n```\n\n"
        "The parameters, by name:\n\n"
        "```python\nfrom safetensors.numpy import load_file\n\n"
        f'parameters = load_file("{model_file}")\n```'
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    cells = ([cell if set(cell) <= {"-", ":"} else _plain(cell) for cell in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _plain(text: str) -> str:
    """Users' text on one line, with the characters that Markdown and HTML act on escaped."""
    return re.sub(r"([\\`*\[\]<>|#])", r"\\\1", " ".join(text.split()))
