"""distill export: a run's student as one ONNX file for the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from distill.terminal.export import Export


def export(
    run: Annotated[Path, typer.Argument(help="The run's directory.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="What to write; ends in .onnx.", show_default=False)],
    int8: Annotated[
        bool, typer.Option("--int8", help="Convolutions in 8-bit whole numbers, calibrated on training pictures.")
    ] = False,
    vectors: Annotated[
        bool,
        typer.Option("--vectors/--no-vectors", help="With the map to the teacher's space, where the run learned one."),
    ] = True,
    store: Annotated[Path | None, typer.Option(help="The store, where it has moved.")] = None,
    images: Annotated[Path | None, typer.Option(help="The image folder, where it has moved.")] = None,
    student: Annotated[
        str | None, typer.Option(help="The run's own MODULE:FUNCTION once more; it is imported and run.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Write a run's student as ONNX with preprocessing, threshold and labels inside, checked against PyTorch.

    Example: distill export runs/own part.onnx
    """
    import distill

    with console.Steps() as steps:
        exported = distill.export(
            run,
            file,
            int8=int8,
            vectors=vectors,
            store=store,
            images=images,
            student=student,
            overwrite=overwrite,
            progress=steps.progress,
        )
    if json:
        console.print_json(exported.to_dict())
        return
    _show(exported)


def _show(exported: "Export") -> None:
    facts = exported.facts
    rows = [
        [
            "PyTorch",
            "",
            *_figures(exported.pytorch.recall, exported.pytorch.overkill),
            f"{exported.pytorch.milliseconds:.1f}",
            "",
            "",
        ]
    ]
    for check in exported.checks:
        figures = check.figures
        rows.append(
            [
                check.precision,
                f"{check.bytes / 1e6:.2f}",
                *_figures(figures.recall, figures.overkill),
                f"{figures.milliseconds:.1f}",
                f"{check.largest_difference:.6f}",
                str(check.changed),
            ]
        )
    console.table(
        f"On the {exported.pictures} pictures of the test side, one at a time on one thread:",
        ["", "MB", "recall", "overkill", "ms a picture", "largest difference", "other decisions"],
        rows,
        right=(1, 2, 3, 4, 5, 6),
    )
    if facts.threshold is not None:
        console.say(f"Rejected above {facts.threshold:.4f}, chosen for {facts.overkill:.0%} overkill.")
    if facts.where is not None:
        side = facts.where.side
        console.say(
            f"It has a map of where a defect is, of {side} x {side} places; distill predict --page FILE.html shows it."
        )
    if exported.cosine is not None:
        console.say(f"Its vectors and the teacher's own have a mean cosine of {exported.cosine:.2f} there.")
    console.say(
        *exported.remarks, f"Written to '{exported.path}'; ask it with: distill predict '{exported.path}' IMAGES"
    )


def _figures(recall: float | None, overkill: float | None) -> list[str]:
    return ["" if share is None else f"{share:.1%}" for share in (recall, overkill)]
