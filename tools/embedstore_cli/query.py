"""embedstore query: the samples nearest to a picture, a sample or a text."""

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console
from embedstore_cli.conditions import conditions
from embedstore_cli.engine_export import answered_sentence
from embedstore_cli.version_option import VersionOption, asked_version


def query(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    image: Annotated[Path | None, typer.Option(help="Nearest to this picture.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Nearest to this sample.")] = None,
    text: Annotated[str | None, typer.Option(help="Nearest to this text; needs a teacher with a text tower.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=VALUE over label, mode, group, split or another column; may be given more than once."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many answers.")] = 5,
    exact: Annotated[
        bool, typer.Option("--exact", help="Scan all that meet the conditions, and leave an index aside.")
    ] = False,
    via: Annotated[
        str | None,
        typer.Option(help="Ask this search engine, where the store was exported to: milvus.", show_default=False),
    ] = None,
    uri: Annotated[
        str | None,
        typer.Option(
            help="With --via, its address; where not given, EMBEDSTORE_MILVUS_URI says it.", show_default=False
        ),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(help="With --via, the name there; after the store where not given.", show_default=False),
    ] = None,
    version: VersionOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Find the nearest samples by cosine similarity in the teacher's space.

    --via milvus asks the copy that embedstore export STORE URI --to milvus made, and ranks what it names by the store's own
    vectors, so the store has to be here, too; programs without it ask Milvus themselves. A copy of another store, or of another
    version with other samples, texts or vectors, is refused.

    Example: embedstore query parts.store --image odd.png --where label=good --top 5
    """
    import embedstore
    from embedstore.analysis.requests import EngineWarning
    from embedstore.analysis.search import serving_index
    from embedstore.errors import SettingsError
    from embedstore.search_engines import open_export
    from embedstore.store.embedding_store import refuse_unbuilt
    from embedstore.store.index import IndexWarning
    from embedstore.visible import visible

    if via is None and (uri is not None or collection is not None):
        raise SettingsError(
            "Only a search engine has --uri and --collection; give --via milvus, too, or leave them out."
        )
    asked = conditions(where or [])
    with (
        embedstore.open(store, version=asked_version(version)) as opened,
        warnings.catch_warnings(record=True) as caught,
        nullcontext() if via is None else open_export(opened, via, uri, collection=collection) as export,
    ):
        for kind in (IndexWarning, EngineWarning):
            warnings.simplefilter("always", kind)
        refuse_unbuilt(opened)
        hits = opened.query(
            image=image, id=id, text=text, top=top, where=asked, exact=True if exact else None, via=export
        )
        index = None if exact or export else serving_index(opened, top, asked)
        by_engine = None if export is None else answered_sentence(export)
    for warning in caught:
        typer.echo(f"Warning: {visible(str(warning.message))}", err=True)
    if asked and not hits:
        which = "sample" if id is None else "other sample"
        raise SettingsError(
            f"No {which} of the store meets the conditions; see what it holds: embedstore info '{store}'"
        )
    if json:
        console.print_json([hit.__dict__ for hit in hits])
        return
    rows = [[f"{hit.similarity:.3f}", hit.label or "-", hit.mode or "-", hit.group or "-", hit.id] for hit in hits]
    console.table(f"Nearest in '{store}'", ["similarity", "label", "mode", "group", "id"], rows, right=(0,))
    if not hits:
        console.say("The store has no samples." if id is None else "The store has no other sample.")
    if by_engine is not None:
        console.say(by_engine)
    if index is not None:
        console.say(
            f"By the index, which finds {index.recall:.1%} of the nearest, for rare samples {index.rare_recall:.1%}, as "
            "measured with stored samples; --exact scans all."
        )
