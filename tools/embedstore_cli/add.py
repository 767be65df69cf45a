"""embedstore add: some pictures into a store, without looking at the rest of the image folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console
from embedstore_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from embedstore.results import BuildReport


def add(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Pictures, or folders of them, inside of the store's image folder.", show_default=False),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Of all of them, in place of the parent folder's name.", show_default=False)
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet as for build, paths relative to the image folder; without IMAGES, all that it names."
        ),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Where it is loaded from; the store's own spec where not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Embed some pictures and add them to a store, as one version; all other samples stay as they are.

    A picture that the store has under another name, where it is no more, goes along with what was known of it. Where the
    pictures do not tell what became of a known one, as where one half of a swap is given, nothing is added.
    A picture that the store knows is embedded again only where its bytes changed. An interrupted run goes on where it was
    when the same command is given again. Pictures that can't be read are set aside and listed by: embedstore info STORE

    Exit code 1: nothing was added or changed, and pictures can't be used.

    Example: embedstore add parts.store photos/scratch photos/good/new.png
    """
    import embedstore
    from embedstore_cli.change import Generation

    with embedstore.open(store) as opened:
        before = Generation.of(opened)
    with console.progress("Looking at pictures", "pictures") as progress:
        report = embedstore.add(store, images or [], label=label, manifest=manifest, teacher=teacher, progress=progress)
    useless = report.set_aside > 0 and not (report.new or report.changed or report.updated)
    if json:
        console.print_json(report)
    else:
        _tell(store, report)
        with embedstore.open(store) as opened:
            console.say(*before.compacted(opened))
    if useless:
        raise typer.Exit(ExitCode.ATTENTION)


def _tell(store: Path, report: "BuildReport") -> None:
    from embedstore_cli.build import tell_of_aside, tell_who_left

    console.say(
        f"{console.count(report.new, 'sample was', 'samples were')} added, {report.changed} have another picture, "
        f"{report.updated} other labels or fields; "
        f"'{store}' holds {report.samples} at version {report.version}.",
        f"The teacher '{report.teacher}' embedded {report.embedded} views in {report.seconds:.1f} s.",
    )
    tell_who_left(store, report)
    if report.resumed:
        resumed = console.count(report.resumed, "sample was", "samples were")
        console.say(f"{resumed} embedded by an interrupted run before, and not again.")
    tell_of_aside(store, report)
    if report.ignored:
        console.say(
            console.count(report.ignored, "file was", "files were") + " passed over: no picture, by the ending."
        )
