"""embedstore thin: a store for a small machine, and what it loses."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console
from embedstore_cli.conditions import WhereOption, conditions
from embedstore_cli.losses import GoodOption, loss_sentences


def thin(
    store: Annotated[Path, typer.Argument(help="The store; it stays as it is.", show_default=False)],
    small: Annotated[Path, typer.Argument(help="The new store.", show_default=False)],
    views: Annotated[
        int | None, typer.Option(help="Augmented views to keep; all where not given.", show_default=False)
    ] = None,
    dims: Annotated[
        int | None,
        typer.Option(help="Principal axes of the training side to keep in place of all numbers.", show_default=False),
    ] = None,
    drop_pictures: Annotated[
        bool, typer.Option("--drop-pictures", help="Leave out the pictures that are kept for students.")
    ] = False,
    where: WhereOption = None,
    good: GoodOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make a smaller store: fewer views, fewer numbers a vector, fewer samples; and measure what that loses.

    The new store is whole: it is trained from, searched and added to like any other. With --dims its teacher is a new one, the
    old one's vectors on fewer axes, so summaries and students of the old store don't fit it. Stopped in the middle, nothing is
    left of it.

    Example: embedstore thin parts.store small.store --views 8 --dims 128 --good good
    """
    import embedstore

    with console.progress("Thinning", "blocks") as progress:
        report = embedstore.thin(
            store,
            small,
            views=views,
            dims=dims,
            where=conditions(where or []),
            drop_pictures=drop_pictures,
            good=good,
            progress=progress,
        )
    if json:
        console.print_json(report)
        return
    share = report.bytes / report.bytes_before
    console.say(
        f"'{small}' has {console.count(report.samples, 'sample', 'samples')} (of {report.samples_before}), {report.views} views "
        f"(of {report.views_before}) and {report.dim} numbers a vector (of {report.dim_before}), in {report.bytes / 1e6:.1f} MB "
        f"(of {report.bytes_before / 1e6:.1f} MB, {share:.1%}).",
        *loss_sentences(report.loss),
    )
    if report.left_out:
        console.say(f"Left out: the outputs {', '.join(report.left_out)}.")
    if report.summaries_left_out:
        console.say(f"Make its summaries again with embedstore summarize: {', '.join(report.summaries_left_out)}.")
