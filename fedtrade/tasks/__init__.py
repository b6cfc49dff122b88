"""What is learned: one task a file, all with the same protocol."""

from fedtrade.tasks.task import (
    Evaluation,
    Forecast,
    ForecastPath,
    Headline,
    LocalUpdate,
    Model,
    NamesArms,
    Sample,
    Score,
    Shared,
    Task,
)

__all__ = [
    "Evaluation",
    "Forecast",
    "ForecastPath",
    "Headline",
    "LocalUpdate",
    "Model",
    "NamesArms",
    "Sample",
    "Score",
    "Shared",
    "Task",
]
