"""distill evaluate: a finished run's figures, computed anew."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run's directory.", show_default=False)],
    store: Annotated[Path | None, typer.Option(help="The store, where it has moved.")] = None,
    images: Annotated[Path | None, typer.Option(help="The image folder, where it has moved.")] = None,
    student: Annotated[
        str | None, typer.Option(help="The run's own MODULE:FUNCTION once more; it is imported and run.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Score a run's held-out pictures again and print the report.

    Example: distill evaluate runs/own
    """
    import distill
    from distill.reports.caveats import remarks_on

    report = distill.evaluate(run, store=store, images=images, student=student)
    if json:
        console.print_json(report.to_dict() | {"remarks": remarks_on(report)})
        return
    from distill.reports.console import print_report

    print_report(report)
