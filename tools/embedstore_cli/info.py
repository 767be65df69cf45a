"""embedstore info: what a store holds."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedstore.errors import CorruptStoreError, MissingPackageError, SummaryError
from embedstore.images import leaves
from embedstore_cli import console
from embedstore_cli.version_option import VersionOption, asked_version

if TYPE_CHECKING:
    from embedstore import EmbeddingStore


def info(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    version: VersionOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what a store holds: teacher, views, labels, splits, summaries, and the pictures set aside with the reason.

    Example: embedstore info parts.store
    """
    import embedstore

    with embedstore.open(store, version=asked_version(version)) as opened:
        facts = _facts(opened)
        if version is None:
            facts |= _today(opened)
    if json:
        console.print_json(facts)
        return
    console.say(
        f"{facts['path']}: {console.count(facts['samples'], 'sample', 'samples')} at version {facts['version']}",
        f"teacher     {facts['teacher']} ({_origin(facts)}, {facts['dim']} dimensions)",
        f"outputs     {console.outputs(facts['outputs']) or 'none is complete yet'}",
        f"views       {_views(facts)} ({_recipe(facts['recipe'])})",
        f"images      {facts['image_root'] or 'not known, since the vectors were imported'}",
        f"labels      {_line(facts['labels'])}",
        f"modes       {_line(facts['modes'])}",
        f"splits      {_line(facts['splits'])}",
        f"groups      {facts['groups']}; {console.count(facts['without_group'], 'sample has', 'samples have')} none",
        f"attributes  {', '.join(facts['attributes']) or 'none'}",
        f"tags        {', '.join(f'{name} (version {number})' for name, number in facts['tags'].items()) or 'none'}",
        f"summaries   {', '.join(facts['summaries']) or 'none'}",
        *(f"            {name} is {words}" for name, words in facts["estimates"].items()),
    )
    if version is not None:
        return
    for other in facts["other_teachers"]:
        console.say(f"also        {other['in_words']}; see: embedstore migrate --help")
    console.say(
        f"index       {facts['index']}",
        f"set aside   {console.count(len(facts['set_aside']), 'picture', 'pictures')}" + ":" * bool(facts["set_aside"]),
        *(f"            {entry['path']}: {entry['reason']}" for entry in facts["set_aside"]),
    )
    if facts["lost"]:
        console.say(
            f"lost        {console.count(len(facts['lost']), 'sample', 'samples')}, such as '{facts['lost'][0]}', "
            "whose vectors a repair had to give up; embed them again with: embedstore build"
        )
    if facts["outputs_incomplete"]:
        from embedstore.store.snapshot import HOW_TO_COMPLETE

        console.say(
            f"incomplete  {', '.join(facts['outputs_incomplete'])}: not all samples have it; {HOW_TO_COMPLETE}."
        )
    if facts["unfinished"] or facts["first_build"]:
        what = "a first build" if facts["first_build"] else "a build or refresh"
        state = "that is running" if facts["running"] else "that was interrupted; give the same command again"
        console.say(f"unfinished  {console.count(facts['unfinished'], 'sample', 'samples')} of {what} {state}.")


def _facts(store: "EmbeddingStore") -> dict[str, Any]:
    """Return what is so at the version that is read."""
    tags = {name: number for name, number in store.tags.items() if store.pinned is None or number == store.version}
    return {
        "path": str(store.path),
        "version": store.version,
        "samples": len(store),
        "teacher": store.teacher,
        "declared": store.declared,
        "fingerprint": store.fingerprint,
        "dim": store.dim,
        "outputs": store.outputs,
        "views": store.views,
        "recipe": store.recipe.to_dict(),
        "image_root": _image_root(store),
        **{f"{name}s": _counts(store.counts(name)) for name in ("label", "mode", "split")},
        "groups": len(set(store.field("group")) - {None}),
        "without_group": store.field("group").count(None),
        "attributes": [name for name in store.attribute_names if set(store.counts(name)) - {None}],
        "tags": tags,
        "summaries": store.all_summary_names,
        "estimates": _estimates(store),
    }


def _today(store: "EmbeddingStore") -> dict[str, Any]:
    """Return what is so now, whatever a version says."""
    from embedstore.store.embedding_store import awaits_first_build
    from embedstore.store.writing import is_written

    first, unfinished = awaits_first_build(store), store.unfinished()
    return {
        "set_aside": store.set_aside,
        "unfinished": unfinished,
        "first_build": first,  # it is not finished
        "running": (first or unfinished > 0) and is_written(store.path),
        "outputs_incomplete": sorted(store.space["outputs"].keys() - store.outputs.keys()) if store.outputs else [],
        "lost": store.lost,
        "other_teachers": _other_teachers(store),
        "index": _index(store),
    }


def _estimates(store: "EmbeddingStore") -> dict[str, str]:
    """Return what each summary that is mapped from another teacher says of that; one that can't be read tells nothing here."""
    found: dict[str, str] = {}
    for name in store.all_summary_names:
        with contextlib.suppress(SummaryError):
            if (estimate := store.summary(name).estimate) is not None:
                found[name] = estimate.in_words()
    return found


def _other_teachers(store: "EmbeddingStore") -> list[dict[str, Any]]:
    from embedstore.teacher_change import space_states

    if len(store.teachers) < 2:  # the usual case, told without a look at what is there
        return []
    return [state.__dict__ | {"in_words": state.in_words()} for state in space_states(store) if not state.active]


def _image_root(store: "EmbeddingStore") -> str | None:
    """Return the image folder; None where vectors were imported and no picture of theirs is in it."""
    if not store.declared:
        return str(store.image_root)
    uri = store.sample_at(0).uri if len(store) else ""
    there = not leaves(uri) and os.path.isfile(store.image_root / uri)  # Path.is_file raises where a name is too long
    return str(store.image_root) if there else None


def _origin(facts: dict[str, Any]) -> str:
    return "declared, not checked" if facts["declared"] else f"fingerprint {facts['fingerprint'][:12]}"


def _index(store: "EmbeddingStore") -> str:
    try:
        index = store.index_info
    except (CorruptStoreError, MissingPackageError) as error:
        return str(error)
    return "none: search scans all vectors, exactly" if index is None else index.in_words()


def _counts(counts: dict[str | None, int]) -> dict[str, int]:
    return {"(none)" if name is None else name: count for name, count in counts.items()}


def _line(counts: dict[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in list(counts.items())[:12]]
    return ", ".join(shown) + (f" and {len(counts) - 12} more" if len(counts) > 12 else "") or "none"


def _views(facts: dict[str, Any]) -> str:
    if facts.get("first_build"):
        return "none is complete yet"
    return f"the plain picture and {facts['views']} augmented ones"


def _recipe(recipe: dict[str, Any]) -> str:
    drawn = [name for name in ("turns", "flips", "light") if recipe[name]]
    return f"crops, {', '.join(drawn)}; {recipe['fit']}" if drawn else f"crops only; {recipe['fit']}"
