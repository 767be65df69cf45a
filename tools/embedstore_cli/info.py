"""embedstore info: what a store holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedstore.errors import CorruptStoreError
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
        facts: dict[str, Any] = {
            "path": str(store),
            "version": opened.version,
            "samples": len(opened),
            "teacher": opened.teacher,
            "fingerprint": opened.fingerprint,
            "dim": opened.dim,
            "views": opened.views,
            "recipe": opened.recipe.to_dict(),
            "image_root": str(opened.image_root),
            **{f"{name}s": _counts(opened.counts(name)) for name in ("label", "mode", "split")},
            "groups": len(set(opened.field("group")) - {None}),
            "without_group": opened.field("group").count(None),
            "summaries": opened.summary_names,
            "set_aside": opened.set_aside,
            "unfinished": opened.unfinished(),
            "lost": opened.lost,
            "index": _index(opened),
        }
    if json:
        console.print_json(facts)
        return
    console.say(
        f"{facts['path']}: {facts['samples']} samples at version {facts['version']}",
        f"teacher     {facts['teacher']} (fingerprint {facts['fingerprint'][:12]}, {facts['dim']} dimensions)",
        f"views       the plain picture and {facts['views']} augmented ones ({_recipe(facts['recipe'])})",
        f"images      {facts['image_root']}",
        f"labels      {_line(facts['labels'])}",
        f"modes       {_line(facts['modes'])}",
        f"splits      {_line(facts['splits'])}",
        f"groups      {facts['groups']}; {facts['without_group']} samples have none",
        f"summaries   {', '.join(facts['summaries']) or 'none'}",
        f"index       {facts['index']}",
        f"set aside   {len(facts['set_aside'])} pictures" + ":" * bool(facts["set_aside"]),
        *(f"            {entry['path']}: {entry['reason']}" for entry in facts["set_aside"]),
    )
    if facts["lost"]:
        console.say(
            f"lost        {len(facts['lost'])} samples, such as '{facts['lost'][0]}', whose vectors a repair had to give up; "
            "embed them again with: embedstore build"
        )
    if facts["unfinished"]:
        console.say(
            f"unfinished  {facts['unfinished']} samples of an interrupted build wait; run the same embedstore build again."
        )


def _index(store: "EmbeddingStore") -> str:
    try:
        index = store.index_info
    except CorruptStoreError as error:
        return str(error)
    if index is None:
        return "none: search scans all vectors, exactly"
    return (
        f"{index.factory} of {index.rows} samples at version {index.version}, recall@10 {index.recall:.3f} as measured"
    )


def _counts(counts: dict[str | None, int]) -> dict[str, int]:
    return {"(none)" if name is None else name: count for name, count in counts.items()}


def _line(counts: dict[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in list(counts.items())[:12]]
    return ", ".join(shown) + (f" and {len(counts) - 12} more" if len(counts) > 12 else "") or "none"


def _recipe(recipe: dict[str, Any]) -> str:
    drawn = [name for name in ("turns", "flips", "light") if recipe[name]]
    return f"crops, {', '.join(drawn)}; {recipe['fit']}" if drawn else f"crops only; {recipe['fit']}"
