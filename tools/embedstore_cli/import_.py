"""embedstore import: vectors that were made elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def import_(
    store: Annotated[Path, typer.Argument(help="The store; made where there is none.", show_default=False)],
    source: Annotated[
        Path,
        typer.Argument(
            help="VECTORS.npy, FILE.parquet, an exported FILE.safetensors, or a folder of clip-retrieval.",
            show_default=False,
        ),
    ],
    teacher: Annotated[
        str, typer.Option(help="What made the vectors, such as open_clip:ViT-B-32/openai.", show_default=False)
    ],
    fields: Annotated[
        Path | None,
        typer.Option(
            help="CSV for a .npy file, a row a vector: id or path, label, mode, group, split and other columns; "
            "VECTORS.csv where it is there."
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(help="The Parquet column with the vectors; text_emb for the captions of clip-retrieval."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="The folder of the pictures; paths become relative to it.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give samples that are there already these vectors.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Bring vectors that were made elsewhere into a store, all or none.

    The teacher is declared: nobody checks it, and the store never takes vectors of another name. Vectors keep their length
    and are rounded to float16. Without a column id or path, ids are the file's name and the row's number: watches/17

    Example: embedstore import watches.store watches.npy --teacher open_clip:ViT-B-32/openai
    """
    from embedstore.imports import import_vectors

    with console.progress("Importing", "vectors") as progress:
        report = import_vectors(
            store,
            source,
            teacher=teacher,
            fields=fields,
            column=column,
            images=images,
            replace=replace,
            progress=progress,
        )
    if json:
        console.print_json(report)
        return
    console.say(
        f"Imported {report.count} vectors of {report.dim} numbers, declared to be of '{report.teacher}', in "
        f"{report.seconds:.1f} s; {report.replaced} of them took the place of others.",
        f"'{store}' holds {report.samples} samples at version {report.version}.",
    )
    if report.left_out:
        names = ", ".join(f"'{name}'" for name in report.left_out)
        console.say(f"Not imported, since they hold neither texts nor numbers nor dates: the columns {names}.")


import_.__name__ = "import"  # the verb; Python keeps the word for itself
