"""Reports as text and tables for a terminal."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from distill.evaluation.comparison import Comparison, PolicyFigures
from distill.evaluation.figures import finds_none
from distill.evaluation.gate import Gate
from distill.evaluation.intervals import FIGURES, Difference
from distill.evaluation.report import Report
from distill.reports import gate as gate_words
from distill.reports.caveats import caveats, remarks_on
from distill.reports.words import NO_ESCAPE, order
from embedstore.visible import visible


def print_report(report: Report, console: Console | None = None) -> None:
    """Print a run's report, the answer first."""
    out = console or Console(highlight=False, soft_wrap=True)
    for sentence in sentences(report):
        out.print(visible(sentence), markup=False)
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
    """Say the main figures in words, and what is doubtful about them."""
    if report.good is None:
        return [
            f"Policy '{report.policy}': {report.accuracy:.1%} of {report.counts['test']} test pictures get the right "
            f"label, {report.macro_recall:.1%} averaged over the labels; the worst is '{report.worst_class}'. Name the "
            "good label (--good) to get escapes and overkill."
        ]
    assert report.recall is not None  # noqa: S101  a report with a good label has all figures
    worst = f"the worst kind is '{report.by_mode[0].mode}' ({report.by_mode[0].recall:.0%})"
    if finds_none(report.by_mode):
        worst = f"none is caught of any of the {len(report.by_mode)} kinds"
    return [
        f"Policy '{report.policy}': with a threshold for {report.overkill_wanted:.0%} overkill, chosen on the good ones of "
        f"{report.counts['val']} validation pictures, {report.recall:.1%} of the defects in {report.counts['test']} "
        f"test pictures are caught and {1 - report.recall:.1%} escape; {report.overkill:.1%} of the good ones are "
        "rejected.",
        f"AUROC {report.auroc:.3f}, AUPR {report.aupr:.3f}, recall averaged over 2 to 10 % overkill "
        f"{report.mean_recall:.3f}, averaged over kinds of defect {report.macro_mode_recall:.3f}; {worst}.",
        *remarks_on(report),
    ]


def print_gate(gate: Gate, console: Console | None = None) -> None:
    """Print how a new student fares against the old one, the answer first."""
    out = console or Console(highlight=False)
    out.print(visible(gate_words.answer(gate).en), markup=False, soft_wrap=True)
    rows = [[cell.en for cell in row] for row in gate_words.rows(gate)]
    table = _table([title.en for title in gate_words.COLUMNS], rows)
    if not out.is_terminal:  # a file has no edge to fold at
        table.width = Measurement.get(out, out.options.update(max_width=1000), table).maximum
    out.print(table, crop=False)
    for note in gate_words.notes(gate):
        out.print(visible(note.en), markup=False, soft_wrap=True)


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print policies side by side, then which differences are beyond noise, then what the figures can't tell."""
    out = console or Console(highlight=False)
    out.print(_tested(comparison), markup=False, soft_wrap=True)
    no_escape = _no_escape_table(comparison)
    for table in (_figures_table(comparison), _worst_table(comparison), *no_escape):
        if not out.is_terminal:  # a file has no edge to fold at
            table.width = Measurement.get(out, out.options.update(max_width=1000), table).maximum
        out.print(table, crop=False)
        out.print()
    notes = [*([NO_ESCAPE.en] if no_escape else []), *(one.en for one in caveats(comparison)), *comparison.remarks]
    said = order(comparison)
    notes = notes if said is None else [said.en, *notes]
    for sentence in [*difference_sentences(comparison), *(f"Note: {one}" for one in notes)]:
        out.print(visible(sentence), markup=False, soft_wrap=True)


def difference_sentences(comparison: Comparison) -> list[str]:
    """Say each policy's differences to the baseline: those beyond noise, those within it, those without an interval."""
    sentences = []
    for policy in dict.fromkeys(one.policy for one in comparison.against_baseline):
        for verdict, start in (
            ("more", f"More with '{policy}'"),
            ("less", f"Less with '{policy}'"),
            ("noise", f"No difference beyond noise with '{policy}'"),
            ("unknown", f"No interval with '{policy}', since too few parts tell"),
        ):
            told = [_said(one) for one in comparison.against_baseline if (one.policy, one.verdict) == (policy, verdict)]
            if told:
                sentences.append(f"{start}: {'; '.join(told)}.")
    if sentences:
        sentences.insert(
            0,
            f"Differences to '{comparison.baseline}' on the same pictures, with 95 % intervals over parts"
            f"{' and trainings' if comparison.looks > 1 else ''}:",
        )
    return sentences


def _tested(comparison: Comparison) -> str:
    parts, folds, seeds = (
        f"{count:,} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((comparison.parts, "part"), (comparison.folds, "fold"), (comparison.seeds, "seed"))
    )
    each = f": each by {comparison.looks} trainings" if comparison.looks > comparison.seeds else ""
    return (
        f"Each policy is tested on the same {comparison.pictures:,} pictures of {parts}, in {folds} with {seeds}{each}."
    )


def _figures_table(comparison: Comparison) -> Table:
    if comparison.good is None:
        columns = ["accuracy", "recall,\nby label"]
    else:
        wanted = 100 * (comparison.overkill_wanted or 0)
        columns = ["AUROC", f"recall\nat {wanted:g}%", "over-\nkill", "recall\n2-10%", "recall\nby kind"]
    runs = comparison.folds * comparison.seeds
    rows = [
        [
            one.policy,
            *("–" if value is None else f"{value:.3f}" for value in _values(one, comparison.good)),
            _duration(one.seconds / runs),
            "–" if one.peak_memory is None else f"{one.peak_memory / 1e6:,.0f} MB",
        ]
        for one in comparison.policies
    ]
    return _table(["policy", *columns, "time\na run", "peak\nmemory"], rows)


def _values(one: PolicyFigures, good: str | None) -> list[float | None]:
    if good is None:
        return [one.accuracy, one.macro_recall]
    return [one.auroc, one.recall, one.overkill, one.mean_recall, one.macro_mode_recall]


def _worst_table(comparison: Comparison) -> Table:
    good = comparison.good
    rows = []
    for one in comparison.policies:
        if good is not None and finds_none(one.by_mode):
            caught = f"0 of {sum(kind.pictures for kind in one.by_mode)}"
            rows.append([one.policy, "none is caught of any kind", caught, "0.00", "–"])
            continue
        for worst in (one.by_class if good is None else one.by_mode)[:1]:
            span = "one part" if worst.low is None or worst.high is None else f"{worst.low:.2f} to {worst.high:.2f}"
            caught = f"{worst.caught:.{0 if comparison.looks == 1 else 1}f} of {worst.pictures}"
            rows.append([one.policy, worst.name, caught, f"{worst.recall:.2f}", span])
    kind, right = ("worst label", "right") if good is None else ("worst kind of defect", "caught")
    return _table(["policy", kind, right, "recall", "95 % interval"], rows)


def _no_escape_table(comparison: Comparison) -> list[Table]:
    """Return a table of what each policy rejects where its threshold lets no defect of the parts pass that it is chosen on."""
    rows = [
        [one.policy, f"{one.zero_escape_overkill:.3f}", f"{one.zero_escape_recall:.3f}"]
        for one in comparison.policies
        if one.zero_escape_overkill is not None and one.zero_escape_recall is not None
    ]
    return [_table(["no escape among\nthe training parts", "over-\nkill", "recall"], rows)] if rows else []


def _said(one: Difference) -> str:
    if one.value is None:
        return f"{FIGURES[one.figure]} (the test sides do not give it)"
    span = "" if one.low is None or one.high is None else f" ({one.low:+.3f} to {one.high:+.3f})"
    return f"{FIGURES[one.figure]} {one.value:+.3f}{span}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _table(columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table
