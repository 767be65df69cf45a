"""The record as tables, a part of the study each."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

FIGURES = {
    "recall": "all",
    "macro_mode_recall": "kinds",
    "worst_mode_recall": "worst",
    "mean_recall": "all, 2-10 %",
    "mean_macro_mode_recall": "kinds, 2-10 %",
    "overkill": "overkill",
    "auroc": "AUROC",
}
DECIDES = "mean_macro_mode_recall"


def print_tables(console: Console, record: Mapping[str, Any]) -> None:
    """Print each part's conditions by bytes."""
    data, protocol = record["data"], record["protocol"]
    console.print(
        f"{data['pictures']} pictures of {data['parts']} parts; recall at {protocol['overkill']:.0%} overkill of all defects, "
        "mean over kinds and worst kind; the same averaged over 2 to 10 %; the overkill then reached; AUROC. Last: mean over "
        "kinds, averaged over 2 to 10 %, minus that of plain k-means in as many bytes.",
        highlight=False,
    )
    conditions = record["conditions"].items()
    for part in dict.fromkeys(told["part"] for _, told in conditions):
        table = Table(title=part, title_justify="left")
        for column in ("summary", "KB", *FIGURES.values(), "minus k-means"):
            table.add_column(column, justify="left" if column == "summary" else "right", no_wrap=True)
        of_part = [(name, told) for name, told in conditions if told["part"] == part]
        for name, told in sorted(of_part, key=lambda one: (one[1]["summary"], one[1]["bytes"])):
            figures = [_number(told["figures"][key][0]) for key in FIGURES]
            against = told["against"].get(protocol["baseline"])
            gap = "" if against is None else _gap(*against[DECIDES])
            table.add_row(name, f"{told['bytes'] / 1000:,.0f}", *figures, gap)
        console.print(table)
    for name, figures in record["leak"].items():
        console.print(f"own, {name}: AUROC {figures['auroc']:.3f}, recall {figures['recall']:.3f}", highlight=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _gap(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "-"
    sign = "*" if low > 0 or high < 0 else " "
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]{sign}"
