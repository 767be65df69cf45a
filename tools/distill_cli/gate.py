"""distill gate: may a new student replace the old one?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distill_cli import options
from embedstore_cli import console
from embedstore_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from distill.evaluation.gate import Gate


def gate(
    new: Annotated[Path, typer.Argument(help="The new run's directory.", show_default=False)],
    old: Annotated[
        Path | None,
        typer.Argument(help="The old run's. [default: the one that the new run began with]", show_default=False),
    ] = None,
    overkill: options.GateOverkill = False,
    accept_unknown: options.AcceptUnknown = False,
    store: Annotated[Path | None, typer.Option(help="The new run's store, where it has moved.")] = None,
    images: Annotated[Path | None, typer.Option(help="The image folder, where it has moved.")] = None,
    student: Annotated[
        str | None, typer.Option(help="The runs' own MODULE:FUNCTION once more; it is imported and run.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Compare a new student with the old one on pictures that neither learned from, for each kind of defect.

    Exit code: 0 passed; 1 failed: a kind of defect, or all together, escape more often beyond their interval; 2 an error: not
    compared; 3 can't tell: nothing is shown to be worse, but a kind has too few test parts to show a rise, however large.
    With --accept-unknown, 3 becomes 0.

    Example: distill gate runs/new runs/old
    """
    import distill

    found = distill.gate(new, old, overkill=overkill, store=store, images=images, student=student)
    if json:
        console.print_json(found.to_dict())
    else:
        from distill.reports.console import print_gate

        print_gate(found)
    leave(found, accept_unknown=accept_unknown)


def leave(found: "Gate", *, accept_unknown: bool) -> None:
    """Exit with the code of an outcome; return where it is 0."""
    unknown = ExitCode.DONE if accept_unknown else ExitCode.UNKNOWN
    code = {"passed": ExitCode.DONE, "failed": ExitCode.ATTENTION, "unknown": unknown}[found.outcome]
    if code != ExitCode.DONE:
        raise typer.Exit(code)
