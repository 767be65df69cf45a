"""embedstore relabel: another label, or another text in any field, for some samples."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def relabel(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="The samples' ids, then the label that they get.", metavar="ID... LABEL", show_default=False
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="CSV with the columns id (or path) and label (or what --field names); with id alone, LABEL is for all. - reads "
            "it from the standard input.",
        ),
    ] = None,
    field: Annotated[
        str, typer.Option(help="label, mode, group, split, or any other, which is an attribute.")
    ] = "label",
    none: Annotated[
        bool, typer.Option("--none", help="Take the text away, from all ids or where the file's cell is empty.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Give samples another label, all or none, as one version; nothing is embedded again.

    Later builds keep it until the folder or manifest says something new of the sample. An empty label is refused, for it is
    mostly a slip: --none takes a label away.

    Example: embedstore relabel parts.store good/17.png good/18.png crack
    """
    import embedstore
    from embedstore.errors import SettingsError
    from embedstore.images import FIELDS
    from embedstore.store.changes import count_others
    from embedstore.store.fields import as_stored
    from embedstore_cli.change import Generation, new_labels, way_back

    field = field.strip()
    texts = _asked(list(words or []), source, field, none=none)
    with embedstore.open(store) as opened:
        before, labels = Generation.of(opened), opened.counts("label")
        fresh = as_stored(field) not in (*FIELDS, *opened.attribute_names)
        if source is None and (slip := next((text for text in texts.values() if text and text in opened), None)):
            raise SettingsError(f"'{slip}' is a sample's id, and no {field}; give the {field} after the ids.")
        if dry_run:  # it only reads, so it works while another process writes
            count = count_others(opened, field, texts)
        else:
            with opened.write("relabel") as writer:
                count = writer.set(field, texts)
        version, compacted = opened.version, before.compacted(opened)
    if json:
        facts = {"changed": count, "asked": len(texts), "field": field, "version": version, "dry_run": dry_run}
        console.print_json(facts)
        return
    others = (
        "; " + console.count(len(texts) - count, "other", "others") + " had it already" if count < len(texts) else ""
    )
    told = new_labels(texts.values(), labels) if field == "label" else []
    samples = console.count(count, "sample", "samples")
    if dry_run:
        console.say(f"{samples} would {_outcome(field, texts, 'get', count)}{others}. Nothing was changed.", *told)
        return
    console.say(f"{samples} {_outcome(field, texts, 'got', count)}{others}.", *told)
    if fresh and count:
        console.say(f"'{field}' is a new attribute, which no sample had before.")
    console.say(way_back(store, version) if count else f"'{store}' is at version {version}.", *compacted)


def _outcome(field: str, texts: dict[str, str | None], verb: str, count: int) -> str:
    given = set(texts.values())
    if given == {None}:
        return f"have no {field}" if verb == "get" else f"{'has' if count == 1 else 'have'} no {field} any more"
    return f"{verb} another {field}" if len(given) > 1 else f"{verb} the {field} '{given.pop()}'"


def _asked(words: list[str], source: Path | None, field: str, *, none: bool) -> dict[str, str | None]:
    """Return id -> text from what stands on the command line and in the file."""
    from embedstore.errors import SettingsError
    from embedstore_cli.id_file import one_text_each, read_ids

    if field in ("", "id", "path", "uri"):
        raise SettingsError(f"The field '{field}' can't be changed; use label, mode, group, split or an attribute.")
    if source is None:
        ids, rest, cells = (words, [], None) if none else (words[:-1], words[-1:], None)
    else:
        (ids, cells), rest = read_ids(source, field), words
    if not ids:
        raise SettingsError(f"No samples were named; give their ids and then the {field}, or --from FILE.csv.")
    wants_text = cells is None and not none
    if len(rest) > wants_text:
        raise SettingsError(f"'{rest[0]}' is one too many beside what '{source}' and the options say; leave it out.")
    if wants_text:
        if not rest or not rest[0].strip():
            raise SettingsError(f"No {field} was given, or an empty one; give it last, or take it away with --none.")
        cells = [rest[0].strip()] * len(ids)
    elif cells is None:
        cells = [""] * len(ids)
    elif "" in cells and not none:
        raise SettingsError(
            f"{cells.count('')} of the {len(cells)} rows have an empty {field}; fill them in, leave the rows out, or give "
            "--none to take the text away there."
        )
    return one_text_each(ids, [text or None for text in cells])
