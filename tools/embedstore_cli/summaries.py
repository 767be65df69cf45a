"""embedstore summaries: the saved summaries of a store, side by side."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore import Summary

_LABELS = 3  # that have a column: more have no room in 80 columns


def summaries(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    delete: Annotated[
        str | None, typer.Option(help="Delete the summary of this name; runs trained from it stay.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Compare the saved summaries by what they cost and by what they hide.

    In JSON, bytes are what prototypes (float32) and codes take in memory, training_bytes what training needs of them, as in the
    column size, and own_bytes what a store keeps of the same pictures, plain and in all views.

    Example: embedstore summaries parts.store
    """
    import embedstore
    from embedstore.errors import SummaryError

    kept: list[embedstore.Summary] = []
    unread: dict[str, str] = {}
    with embedstore.open(store) as opened:
        if delete is not None:
            opened.delete_summary(delete)
        active, teachers = opened.fingerprint, opened.teachers
        for name in opened.all_summary_names:
            try:
                kept.append(replace(opened.summary(name), name=name))  # of NAME@VERSION the name stays NAME
            except SummaryError as error:
                unread[name] = str(error)
    if json:
        console.print_json({"summaries": [_facts(summary) for summary in kept], "unread": unread})
        return
    if delete is not None:
        console.say(f"Deleted '{delete}'.")
    if not kept and not unread:
        console.say(f"'{store}' has no summary yet; make one with: embedstore summarize '{store}' class-mean")
        return
    if kept:
        labels = _most_far(kept)
        _tables(store, kept, labels)
        size = "size: of all that training needs of it, own vectors in all views included where pictures are kept"
        if len({(frozenset(summary.seen), summary.own_bytes()) for summary in kept}) == 1:
            size += f"; a store keeps {kept[0].own_bytes() / 1e3:.0f} kB of vectors of the same pictures"
        console.say(
            f"{size}.",
            "far: pictures without a prototype near, that is nearer than pictures of the label usually are to the nearest "
            "other part; with compressed-own, without their own code near.",
        )
        if {label for summary in kept for label in summary.averaging_loss} - set(labels):
            console.say(f"The table has the {_LABELS} labels with the largest shares; see all with --json.")
        if _nears_differ(kept):
            console.say(
                "These summaries were made of other pictures, groups or splits, so that near differs between them: compare "
                "'far' only after making them again."
            )
    console.say(*(line for summary in kept for line in _of_teachers(summary, active, teachers)))
    for name, why in unread.items():
        console.say(f"'{name}' can't be read: {why}")


def _tables(store: Path, kept: "list[Summary]", labels: list[str]) -> None:
    """Print what the summaries cost and hide, and how they were made: in two tables, so that each has room in 80 columns."""
    columns = ["name", "size", *(f"far: {label}" for label in labels), "hides most of"]
    rows = [
        [
            summary.name,
            f"{summary.training_bytes() / 1e3:.0f} kB",
            *(_far(summary, label) for label in labels),
            _hidden(summary),
        ]
        for summary in kept
    ]
    console.table(f"Summaries of '{store}'", columns, rows, right=(1, *range(2, 2 + len(labels))), whole=(0,))
    made = [[summary.name, str(len(summary.labels)), _made_by(summary)] for summary in kept]
    console.table("How they were made", ["name", "prototypes", "made by"], made, right=(1,), whole=(0,))


def _most_far(kept: "list[Summary]") -> list[str]:
    """Return the labels that a column is for, sorted: of many those of which some summary leaves the largest share far."""
    far: dict[str, float] = {}
    for summary in kept:
        for label, loss in summary.averaging_loss.items():
            share = -1.0 if loss.near is None else loss.far / loss.count
            far[label] = max(far.get(label, -1.0), share)
    return sorted(sorted(far, key=lambda label: (-far[label], label))[:_LABELS])


def _of_teachers(summary: "Summary", active: str, teachers: dict[str, str]) -> Iterator[str]:
    """Yield what is to be known of a summary that was not made of the vectors in use."""
    if summary.fingerprint != active:
        whose = teachers.get(summary.fingerprint, "unknown")
        yield f"'{summary.name}' is for the teacher '{whose}', which is not in use, so nothing is compared with it."
    if summary.estimate is not None:
        yield f"'{summary.name}' is {summary.estimate.in_words()}. Distances are those of the old vectors."


def _facts(summary: "Summary") -> dict[str, Any]:
    return {
        "name": summary.name,
        "strategy": summary.strategy,
        "parameters": summary.parameters,
        "seed": summary.seed,
        "split": summary.split,
        "store_version": summary.store_version,
        "fingerprint": summary.fingerprint,
        "estimate": None if summary.estimate is None else summary.estimate.to_dict(),
        "seen": len(summary.seen),
        "prototypes": len(summary.labels),
        "bytes": summary.nbytes,
        "training_bytes": summary.training_bytes(),
        "own_bytes": summary.own_bytes(),
        "averaging_loss": [loss.__dict__ for loss in summary.averaging_loss.values()],
        "warnings": summary.warnings,
    }


def _made_by(summary: "Summary") -> str:
    parameters = summary.parameters.items()
    given = [
        f"{name}={value}" for name, value in parameters if value is not None and value is not False
    ]  # but 0 is told
    return " ".join([summary.strategy, *given])


def _far(summary: "Summary", label: str) -> str:
    loss = summary.averaging_loss.get(label)
    return "-" if loss is None or loss.near is None else f"{loss.far / loss.count:.0%}"


def _hidden(summary: "Summary") -> str:
    """Name the kind that is hidden most, and the share without a prototype, or code, near; see `ClassLoss.hidden_modes`."""
    hidden = [
        (far / loss.modes[mode], mode)
        for loss in summary.averaging_loss.values()
        for mode, far in loss.hidden_modes.items()
    ]
    if not hidden:
        return "-"
    share, mode = min(hidden, key=lambda one: (-one[0], one[1]))
    return f"{mode} ({share:.0%})"


def _nears_differ(summaries: "list[Summary]") -> bool:
    """Return whether near is not the same for all, since groups or splits changed between them."""
    nears: dict[str, set[float | None]] = {}
    for summary in summaries:
        for label, loss in summary.averaging_loss.items():
            nears.setdefault(label, set()).add(None if loss.near is None else round(loss.near, 9))
    return any(len(values) > 1 for values in nears.values())
