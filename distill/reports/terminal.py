"""Reports as text and tables for a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from distill.evaluation.report import Report


def print_report(report: Report, console: Console | None = None) -> None:
    """Print a run's report, the answer first."""
    out = console or Console(highlight=False, soft_wrap=True)
    for sentence in sentences(report):
        out.print(sentence, markup=False)
    if report.good is None:
        rows = [[one.label, str(one.pictures), f"{one.recall:.2f}"] for one in report.by_class]
        out.print(_table(["label", "test pictures", "recall"], rows))
        if report.aside:
            rows = [
                [one.mode, ", ".join(f"{count} {label}" for label, count in one.answers.items())]
                for one in report.aside
            ]
            out.print(_table(["set aside, neither learned nor tested", "taken for"], rows))
        return
    rows = [
        [
            one.mode,
            f"{one.caught} of {one.pictures}",
            f"{one.recall:.2f}",
            f"{one.parts_missed} of {one.parts}",
            f"{one.escape_bound:.0%}",
        ]
        for one in report.by_mode
    ]
    out.print(_table(["kind of defect", "caught", "recall", "parts with an escape", "up to (95 %)"], rows))
    if report.aside:
        rows = [[one.mode, f"{one.rejected} of {one.pictures}"] for one in report.aside]
        out.print(_table(["set aside, neither learned nor tested", "rejected"], rows))


def sentences(report: Report) -> list[str]:
    """Say the main figures in words."""
    if report.good is None:
        return [
            f"Policy '{report.policy}': {report.accuracy:.1%} of {report.counts['test']} test pictures get the right "
            f"label, {report.macro_recall:.1%} averaged over the labels; the worst is '{report.worst_class}'. Name the "
            "good label (--good) to get escapes and overkill."
        ]
    assert report.recall is not None  # noqa: S101  a report with a good label has all figures
    worst = report.by_mode[0]
    return [
        f"Policy '{report.policy}': with a threshold for {report.overkill_wanted:.0%} overkill, chosen on the good ones of "
        f"{report.counts['val']} validation pictures, {report.recall:.1%} of the defects in {report.counts['test']} "
        f"test pictures are caught and {1 - report.recall:.1%} escape; {report.overkill:.1%} of the good ones are "
        "rejected.",
        f"AUROC {report.auroc:.3f}, AUPR {report.aupr:.3f}, recall averaged over 2 to 10 % overkill "
        f"{report.mean_recall:.3f}, averaged over kinds of defect {report.macro_mode_recall:.3f}; the worst kind is "
        f"'{worst.mode}' ({worst.recall:.0%}).",
    ]


def _table(columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
