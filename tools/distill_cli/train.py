"""distill train: a student from a store."""

from pathlib import Path
from typing import Annotated

import typer

from distill.training.settings import Settings
from embedstore_cli import console

_DEFAULT = Settings()


def train(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    policy: Annotated[str, typer.Option(help="Targets: none, class-mean, own, or the control random-vectors.")],
    out: Annotated[Path, typer.Option(help="The run's directory.")],
    good: Annotated[str | None, typer.Option(help="The label of good parts; escape and overkill need it.")] = None,
    student: Annotated[str, typer.Option(help="small, or a timm model's name.")] = _DEFAULT.student,
    loss: Annotated[str, typer.Option(help="Alignment: cosine, mse, l1 or contrastive.")] = _DEFAULT.loss,
    weight: Annotated[float, typer.Option("--lambda", help="Weight of the alignment.")] = _DEFAULT.weight,
    temperature: Annotated[float, typer.Option(help="Of the contrastive loss.")] = _DEFAULT.temperature,
    size: Annotated[int, typer.Option(help="Side of the student's input, in pixels.")] = _DEFAULT.size,
    epochs: Annotated[int, typer.Option(help="Passes over the training pictures.")] = _DEFAULT.epochs,
    seed: Annotated[int, typer.Option(help="Of weights, order and views.")] = _DEFAULT.seed,
    overkill: Annotated[float, typer.Option(help="Share of good parts that may be rejected.")] = _DEFAULT.overkill,
    summary: Annotated[str | None, typer.Option(help="A saved summary; else one is made of the training side.")] = None,
    ce_views: Annotated[
        str,
        typer.Option(help="all: every view feeds both losses; whole: whole pictures for labels, views for alignment."),
    ] = _DEFAULT.ce_views,
    images: Annotated[Path | None, typer.Option(help="The image folder, where it has moved.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a student without the teacher, choose its threshold on the validation side, and report on the test side.

    Example: distill train parts.store --policy own --good good --out runs/own
    """
    settings = Settings(
        policy=policy,
        good=good,
        student=student,
        loss=loss,
        weight=weight,
        temperature=temperature,
        size=size,
        epochs=epochs,
        seed=seed,
        overkill=overkill,
        options={} if summary is None else {policy: {"summary": summary}},
        ce_views=ce_views,
    )
    import distill

    with console.progress(f"Training ({policy})", "epochs") as progress:
        run = distill.train(
            store, out, settings, images=images, resume=resume, progress=lambda done, total, _: progress(done, total)
        )
    if json:
        console.print_json(run.report.to_dict() | {"remarks": run.remarks})
        return
    from distill.reports.terminal import print_report

    for remark in run.remarks:
        console.say(remark)
    print_report(run.report)
    console.say(f"Everything is in '{out}'.")
