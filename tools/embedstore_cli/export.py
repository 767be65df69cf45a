"""embedstore export: a part of a store as a file; the file's ending decides the format."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def export(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="FILE.safetensors: a summary to train from.", show_default=False)],
    summary: Annotated[str | None, typer.Option(help="The summary's name.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write a summary to one file, from which students are trained without the store.

    Train with: distill train --summary FILE.safetensors --images DIR --out RUN

    Example: embedstore export parts.store rare20.safetensors --summary rare20
    """
    import embedstore
    from embedstore.exports import export

    with embedstore.open(store) as opened:
        export(opened, file, summary=summary, overwrite=overwrite)
    console.say(f"Wrote '{file}' ({file.stat().st_size / 1e6:.1f} MB).")
