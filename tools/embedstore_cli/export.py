"""embedstore export: vectors or a summary as a file; the file's ending decides the format."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console
from embedstore_cli.conditions import WhereOption, conditions
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
    where: WhereOption = None,
    view: Annotated[int, typer.Option(help="Whose vectors; 0 is the plain picture.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    version: VersionOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Write vectors with their fields to a file, or a summary, from which students are trained without the store.

    Embedding Atlas opens the Parquet file, and embedstore import reads all of them again. With a summary, train by: distill
    train --summary FILE.safetensors --images DIR --out RUN

    Example: embedstore export parts.store rare20.safetensors --summary rare20
    """
    import embedstore
    from embedstore.exports import BESIDE, export

    with embedstore.open(store, version=asked_version(version)) as opened:
        export(opened, file, summary=summary, where=conditions(where or []), view=view, overwrite=overwrite)
        number = opened.version
    size = file.stat().st_size
    beside = None if summary is not None else BESIDE.get(file.suffix)
    if json:
        console.print_json(
            {"file": str(file), "bytes": size, "version": number, "beside": beside and str(file.with_suffix(beside))}
        )
        return
    also = "" if beside is None else f", and its fields to '{file.with_suffix(beside)}'"
    console.say(f"Wrote '{file}' ({size / 1e6:.1f} MB){also}.")
