"""The flat records in which benchmarks report."""

from collections.abc import Iterable
from typing import TypedDict

__all__ = ["Record", "table"]


class Record(TypedDict):
    """One measured number."""

    case: str
    subject: str
    metric: str
    value: float
    unit: str


def table(records: Iterable[Record]) -> str:
    """The records as aligned lines of text, one a record."""
    rows = [("case", "subject", "metric", "value", "unit")]
    rows += [
        (r["case"], r["subject"], r["metric"], f"{r['value']:.4g}", r["unit"]) for r in records
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
