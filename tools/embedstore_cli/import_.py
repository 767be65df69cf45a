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
        str | None,
        typer.Option(
            help="What made the vectors, such as open_clip:ViT-B-32/openai; an exported Parquet or .safetensors file names it.",
            show_default=False,
        ),
    ] = None,
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
    strip: Annotated[
        str | None,
        typer.Option(help="What every path begins with, such as /data/photos/; it is taken off.", show_default=False),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give samples that are there already these vectors.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Bring vectors that were made elsewhere into a store, all or none.

    The teacher is declared: nobody checks it, and the store never takes vectors of another name. Only what left a store that
    the teacher filled becomes such a store again. Vectors keep their length and are rounded to float16. Without a column id
    or path, ids are the file's name and the row's number: watches/17

    Example: embedstore import watches.store watches.npy --teacher open_clip:ViT-B-32/openai
    """
    import embedstore
    from embedstore.imports import import_vectors

    with console.progress("Importing", "vectors") as progress:
        report = import_vectors(
            store,
            source,
            teacher=teacher,
            fields=fields,
            column=column,
            images=images,
            strip=strip,
            replace=replace,
            progress=progress,
        )
    if json:
        console.print_json(report)
        return
    with embedstore.open(store) as opened:
        said = "declared to be of" if opened.declared else "of the teacher"
    console.say(
        f"Imported {console.count(report.count, 'vector', 'vectors')} of {report.dim} numbers, {said} '{report.teacher}', in "
        f"{report.seconds:.1f} s; {report.replaced} of them took the place of others.",
        f"'{store}' holds {console.count(report.samples, 'sample', 'samples')} at version {report.version}.",
    )
    if report.unknown_pictures:
        console.say(
            f"{console.count(report.unknown_pictures, 'sample', 'samples')} got another vector than that of the picture, so "
            "nothing says any more which picture it is of; embedstore refresh embeds the pictures of such samples anew."
        )
    if report.attributes:
        names = ", ".join(f"'{name}'" for name in report.attributes)
        console.say(f"Taken as attributes, which --where can ask for: the columns {names}.")
    if report.left_out:
        names = ", ".join(f"'{name}'" for name in report.left_out)
        console.say(f"Not imported, since they hold neither texts nor numbers nor dates: the columns {names}.")


import_.__name__ = "import"  # the verb; Python keeps the word for itself
