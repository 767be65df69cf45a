"""The tables of a run, as rows of text; and as plain text, for a file or a pipe."""

from typing import Any

from embedstore.visible import visible
from storage_parts.results import MEASURES
from storage_parts.steps import STEPS

Rows = list[list[str]]


def measured(run: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the columns and the rows of the table of all measures, disk and memory."""
    systems = run["systems"]
    columns = ["measure", "unit", *(one["name"] for one in systems.values())]
    rows = []
    for measure in MEASURES:
        cells = [_cell(one["measures"].get(measure.key)) for one in systems.values()]
        if any(cell != "-" for cell in cells):
            rows.append([measure.title, measure.unit, *cells])
    raw = 2 * run["rows"] * run["generator"]["dim"]
    for part, title in (("vectors", "vectors"), ("metadata", "ids and metadata"), ("index", "index")):
        sizes = [one.get("disk", {}).get(part) for one in systems.values()]
        rows.append(
            [f"disk: {title}", "x raw float16", *("-" if size is None else f"{size / raw:.3f}" for size in sizes)]
        )
    for step in STEPS:
        held = [one["memory"].get(step) for one in systems.values()]
        cells = ["-" if one is None else f"{one['private'] / 2**20:.0f} / {one['peak'] / 2**20:.0f}" for one in held]
        rows.append([f"peak memory: {step}", "MiB, own / with mapped files", *cells])
    return columns, rows


def aimed(run: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the columns and rows of the table of aims."""
    words = {True: "reached", False: "not reached", None: "can't tell"}
    return ["aim", "this run", ""], [[aim["aim"], aim["measured"], words[aim["reached"]]] for aim in run["aims"]]


def remarks(run: dict[str, Any]) -> list[str]:
    """Return what must be known to read the figures, a line each."""
    generator, machine = run["generator"], run["machine"]
    lines = [
        f"{run['rows']:,} vectors of {generator['dim']} numbers, float16; seed {generator['seed']}; {generator['clusters']} "
        f"clusters, each in {generator['latent']} of {generator['dim']} dimensions, with noise; intrinsic dimension as "
        f"measured {run['intrinsic_dimension']:.1f}; {run['queries']} queries held out, and others for tuning.",
        f"{machine['processor']}, {run['threads']} threads for all, {machine['memory'] / 2**30:.0f} GiB, "
        f"{machine['system']}; Python {machine['python']}; "
        + ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        + ".",
        f"Medians over {run['rounds']} rounds, in brackets the lowest and highest (of the repetitions, if there was one). "
        "Each step in a fresh process, systems in rotated order, all files read once before, so only syncs wait for the disk; a "
        "small write goes before the timed one.",
        f"Recall is recall@10, told where below 1. Settings are tuned to {run['tuned_to']} on other queries.",
    ]
    lines += [f"{note}." for one in run["systems"].values() for note in one["notes"]]
    lines += [
        f"{one['name']}, settings: {', '.join(f'{k} {v}' for k, v in one['settings'].items())}."
        for one in run["systems"].values()
        if one.get("settings")
    ]
    lines += [
        f"{one['name']}, {step}: not run ({visible(reason)})."
        for one in run["systems"].values()
        for step, reason in one["not run"].items()
    ]
    return lines + [f"{name}: not run ({reason})." for name, reason in run["not_run"].items()]


def short(value: float) -> str:
    """Return a number with three figures, thousands and millions by letter."""
    for limit, letter in ((1e6, " M"), (1e4, " k")):
        if value >= limit:
            return short(value / (1e6 if letter == " M" else 1e3)) + letter
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def plain(columns: list[str], rows: Rows) -> str:
    """Return a table as text with aligned columns; the first two to the left."""
    widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns))]
    lines = []
    for row in [columns, *rows]:
        cells = [
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    spread = f" ({short(found['low'])} to {short(found['high'])})" if found["repetitions"] > 1 else ""
    recall = found.get("recall", 1.0)
    return short(found["value"]) + spread + (f" r {recall:.3f}" if recall < 0.9995 else "")
