"""embedstore export: vectors or a summary as a file, whose ending decides the format; or vectors to a search engine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from embedstore_cli import console
from embedstore_cli.conditions import WhereOption, conditions
from embedstore_cli.engine_export import made_sentences
from embedstore_cli.losses import GoodOption, loss_sentences
from embedstore_cli.version_option import VersionOption, asked_version


def export(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    file: Annotated[
        str,
        typer.Argument(
            help="FILE.parquet, FILE.npy (with FILE.csv beside it) or FILE.safetensors; a summary: FILE.safetensors; "
            "with --to, the engine's address.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            help="Copy to this search engine: milvus, at http://HOST:19530 or, for milvus-lite, FOLDER.db.",
            show_default=False,
        ),
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="With --to, the name there; after the store where not given.", show_default=False)
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            help="With --to, FLAT (exact; chosen up to 200,000 samples), IVF_FLAT, HNSW or AUTOINDEX.",
            show_default=False,
        ),
    ] = None,
    recall: Annotated[
        float | None, typer.Option(help="With --to, the share of the 10 nearest to find, .99.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="With --to, of the samples that it is measured with, 0.", show_default=False)
    ] = None,
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
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace a file that is there, another store's export, or one that may be at work."
        ),
    ] = False,
    version: VersionOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Write vectors with their fields to a file or a search engine, or a summary, to train students without the store.

    --light writes a light file, FILE.safetensors: directions, in which the nearest samples are found without the store, by a
    program of yours (embedstore.exports.read_light_file) or by: distill predict MODEL IMAGES --by retrieval
    --gallery FILE.safetensors. What that loses of neighbours is measured; embedstore import and distill train do not take it.

    Embedding Atlas opens the Parquet file, and embedstore import reads all of them again. With a summary, train by: distill
    train --summary FILE.safetensors --images DIR --out RUN. With --prototypes-only nobody trains from it; it is for: distill
    predict MODEL IMAGES --by prototypes --summary FILE.safetensors

    --to milvus copies ids, vectors and fields to Milvus; embedstore query --via milvus asks there, and refuses a copy that is out
    of step with the store: give the same command again after changes. Searchers meet the copy before until the new one is
    complete and measured. A server's token is taken from EMBEDSTORE_MILVUS_TOKEN. milvus-lite indexes in this process, which
    takes about 16 kB of memory a sample of 256 numbers; from some 100,000 samples on, take a server.

    Example: embedstore export parts.store rare20.safetensors --summary rare20
    """
    import embedstore
    from embedstore.analysis.neighbour_loss import light_loss, refuse_unknown_good
    from embedstore.errors import SettingsError
    from embedstore.exports import BESIDE, LightForm, export, read_light_file
    from embedstore.search_engines import export_to

    given = {"--int8": int8, "--dims": dims is not None, "--views": views is not None, "--good": good is not None}
    if not light and any(given.values()):
        named = ", ".join(name for name, is_given in given.items() if is_given)
        one = "" if views is None else " (the vectors of one view are written by --view)"
        raise SettingsError(f"Only a light file is written with {named}; give --light, too, or leave that out{one}.")
    options: dict[str, Any] = {"collection": collection, "kind": index, "recall": recall, "seed": seed}
    of_engine = {name: value for name, value in options.items() if value is not None}
    if to is None and of_engine:
        raise SettingsError(
            "Only a search engine takes --collection, --index, --recall or --seed; give --to, too, or leave them out."
        )
    asked = conditions(where or [])
    if to is not None:
        if summary is not None or prototypes_only or light or asked:
            raise SettingsError(
                "A search engine gets all samples; leave out --to, or --summary, --prototypes-only, --light and --where."
            )
        with embedstore.open(store, version=asked_version(version)) as opened, console.Steps() as steps:
            made = export_to(opened, to, file, view=view, overwrite=overwrite, progress=steps.progress, **of_engine)
        if json:
            console.print_json(made)
        else:
            console.say(*made_sentences(made))
        return
    path = Path(file)
    form = LightForm(int8, dims, views or 0) if light else None
    with embedstore.open(store, version=asked_version(version)) as opened:
        refuse_unknown_good(opened, good)
        export(
            opened,
            path,
            summary=summary,
            prototypes_only=prototypes_only,
            where=asked,
            view=view,
            light=form,
            overwrite=overwrite,
        )
        loss = None if form is None else light_loss(opened, read_light_file(path), good)
        number = opened.version
    size = path.stat().st_size
    beside = None if summary is not None else BESIDE.get(path.suffix)
    if json:
        told = {"file": str(path), "bytes": size, "version": number, "beside": beside and str(path.with_suffix(beside))}
        console.print_json(told if loss is None else {**told, "loss": asdict(loss)})
        return
    also = "" if beside is None else f", and its fields to '{path.with_suffix(beside)}'"
    told_size = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    console.say(f"Wrote '{path}' ({told_size}){also}.", *([] if loss is None else loss_sentences(loss)))
