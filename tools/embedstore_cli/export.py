"""embedstore export: vectors or a summary as a file; the file's ending decides the format."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console
from embedstore_cli.conditions import WhereOption, conditions
from embedstore_cli.losses import GoodOption, loss_sentences
from embedstore_cli.version_option import VersionOption, asked_version


def export(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    file: Annotated[
        Path,
        typer.Argument(
            help="FILE.parquet, FILE.npy (with FILE.csv beside it) or FILE.safetensors; a summary: FILE.safetensors.",
            show_default=False,
        ),
    ],
    summary: Annotated[
        str | None, typer.Option(help="Write this summary instead of vectors.", show_default=False)
    ] = None,
    prototypes_only: Annotated[
        bool,
        typer.Option(
            "--prototypes-only",
            help="Of the summary, a few kilobytes to compare pictures with at a terminal; no student is trained from them.",
        ),
    ] = False,
    where: WhereOption = None,
    view: Annotated[int, typer.Option(help="Whose vectors; 0 is the plain picture.")] = 0,
    light: Annotated[
        bool,
        typer.Option("--light", help="Write a light file: directions to look for neighbours in, two bytes a number."),
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="With --light, one byte a number.")] = False,
    dims: Annotated[
        int | None,
        typer.Option(help="With --light, on so many principal axes of the training side.", show_default=False),
    ] = None,
    views: Annotated[
        int | None, typer.Option(help="With --light, so many augmented views, too.", show_default=False)
    ] = None,
    good: GoodOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    version: VersionOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Write vectors with their fields to a file, or a summary, from which students are trained without the store.

    --light writes a light file, FILE.safetensors: directions, in which the nearest samples are found without the store, by a
    program of yours (embedstore.exports.read_light_file) or by: distill predict MODEL IMAGES --by retrieval
    --gallery FILE.safetensors. What that loses of neighbours is measured; embedstore import and distill train do not take it.

    Embedding Atlas opens the Parquet file, and embedstore import reads all of them again. With a summary, train by: distill
    train --summary FILE.safetensors --images DIR --out RUN. With --prototypes-only nobody trains from it; it is for: distill
    predict MODEL IMAGES --by prototypes --summary FILE.safetensors

    Example: embedstore export parts.store rare20.safetensors --summary rare20
    """
    import embedstore
    from embedstore.analysis.neighbour_loss import light_loss, refuse_unknown_good
    from embedstore.errors import SettingsError
    from embedstore.exports import BESIDE, LightForm, export, read_light_file

    given = {"--int8": int8, "--dims": dims is not None, "--views": views is not None, "--good": good is not None}
    if not light and any(given.values()):
        named = ", ".join(name for name, is_given in given.items() if is_given)
        one = "" if views is None else " (the vectors of one view are written by --view)"
        raise SettingsError(f"Only a light file is written with {named}; give --light, too, or leave that out{one}.")
    form = LightForm(int8, dims, views or 0) if light else None
    asked = conditions(where or [])
    with embedstore.open(store, version=asked_version(version)) as opened:
        refuse_unknown_good(opened, good)
        export(
            opened,
            file,
            summary=summary,
            prototypes_only=prototypes_only,
            where=asked,
            view=view,
            light=form,
            overwrite=overwrite,
        )
        loss = None if form is None else light_loss(opened, read_light_file(file), good)
        number = opened.version
    size = file.stat().st_size
    beside = None if summary is not None else BESIDE.get(file.suffix)
    if json:
        told = {"file": str(file), "bytes": size, "version": number, "beside": beside and str(file.with_suffix(beside))}
        console.print_json(told if loss is None else {**told, "loss": asdict(loss)})
        return
    also = "" if beside is None else f", and its fields to '{file.with_suffix(beside)}'"
    told_size = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    console.say(f"Wrote '{file}' ({told_size}){also}.", *([] if loss is None else loss_sentences(loss)))
