"""embedstore summaries: the saved summaries of a store, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore import Summary


def summaries(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    delete: Annotated[
        str | None, typer.Option(help="Delete the summary of this name; runs trained from it stay.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Compare the saved summaries by what they cost and by what they hide.

    Example: embedstore summaries parts.store
    """
    import embedstore
    from embedstore.errors import SummaryError

    kept: list[embedstore.Summary] = []
    unread: dict[str, str] = {}
    with embedstore.open(store) as opened:
        if delete is not None:
            opened.delete_summary(delete)
        for name in opened.summary_names:
            try:
                kept.append(opened.summary(name))
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
    labels = sorted({label for summary in kept for label in summary.averaging_loss})
    rows = [
        [
            summary.name,
            _made_by(summary),
            str(len(summary.labels)),
            f"{summary.nbytes / 1024:.0f} kB",
            *(_far(summary, label) for label in labels),
            _hidden(summary),
        ]
        for summary in kept
    ]
    columns = ["name", "made by", "prototypes", "size", *(f"far: {label}" for label in labels), "hides most of"]
    if rows:
        console.table(f"Summaries of '{store}'", columns, rows, right=(2, 3, *range(4, 4 + len(labels))))
        console.say("far: pictures without a prototype near; near is the same distance for all summaries of one label.")
    for name, why in unread.items():
        console.say(f"'{name}' can't be read: {why}")


def _facts(summary: "Summary") -> dict[str, Any]:
    return {
        "name": summary.name,
        "strategy": summary.strategy,
        "parameters": summary.parameters,
        "seed": summary.seed,
        "split": summary.split,
        "store_version": summary.store_version,
        "seen": len(summary.seen),
        "prototypes": len(summary.labels),
        "bytes": summary.nbytes,
        "averaging_loss": [loss.__dict__ for loss in summary.averaging_loss.values()],
        "warnings": summary.warnings,
    }


def _made_by(summary: "Summary") -> str:
    given = [f"{name}={value}" for name, value in summary.parameters.items() if value not in (None, False)]
    return " ".join([summary.strategy, *given])


def _far(summary: "Summary", label: str) -> str:
    loss = summary.averaging_loss.get(label)
    return "-" if loss is None or loss.near is None else f"{loss.far / loss.count:.0%}"


def _hidden(summary: "Summary") -> str:
    """Name the mode of which the largest share has no prototype near."""
    shares = {
        mode: far / loss.modes[mode] for loss in summary.averaging_loss.values() for mode, far in loss.far_modes.items()
    }
    if not shares:
        return "-"
    worst = max(sorted(shares), key=shares.__getitem__)
    return f"{worst} ({shares[worst]:.0%})"
