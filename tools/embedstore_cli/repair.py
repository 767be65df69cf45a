"""embedstore repair: makes a damaged store sound again and says what was lost."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore.store.health.repair import RepairReport

_SHOWN = 10  # ids of a list


def repair(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove the damaged data instead of keeping it aside.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, with all ids.")] = False,
) -> None:
    """Make a damaged store sound again without its teacher, and list what must be embedded again.

    All that is sound is copied beside the damaged data, which is kept aside until you delete it. Needs as much room on the disk
    as the store has. Where too little is left, nothing is changed.

    Example: embedstore repair parts.store
    """
    from embedstore.store.health.repair import repair

    with console.progress("Repairing", "entries") as progress:
        report = repair(store, discard=discard, progress=progress)
    if json:
        console.print_json(report)
    else:
        console.say(*_lines(store, report))


def _lines(store: Path, report: "RepairReport") -> Iterator[str]:
    if not report.changed:
        yield f"{store}: nothing is wrong, so nothing was done."
        return
    if report.samples == 0:
        yield f"{store}: repaired, but none of its samples is left; it is empty at version {report.version}."
    else:
        at = "" if report.version is None else f" It has {report.samples:,} samples at version {report.version}."
        yield f"{store}: repaired.{at}"
    if report.embed_again:
        yield ""
        yield f"{len(report.embed_again):,} samples lost their vectors. What else is known of them is kept. They come back by:"
        yield f"  embedstore build '{store}' IMAGES (or embedstore import, where their vectors were made elsewhere)"
        yield f"  {_some(report.embed_again)}"
    if report.outputs_incomplete:
        yield ""
        yield f"Of {_some(report.outputs_incomplete)} vectors were lost; no sample left for that. They come back by:"
        yield f"  embedstore build '{store}' IMAGES"
    if report.views is not None:
        had = report.views + report.views_incomplete
        yield ""
        yield f"Vectors of augmented views were lost; no sample left for that, and of {had} views {report.views} can be used now."
        yield "The others come back by:"
        yield f"  embedstore build '{store}' IMAGES --views {had}"
    if report.nameless:
        yield ""
        yield f"{report.nameless:,} samples lost their ids, so nobody can tell whose vectors they were, and they are out."
        yield f"  embedstore build '{store}' IMAGES brings the pictures in anew."
    for name, ids in report.emptied.items():
        yield ""
        if name.startswith("said:"):
            yield f"Of {len(ids):,} samples it is lost what folder or manifest said last of '{name.removeprefix('said:')}'."
            yield "The next build takes their word anew, also where it was changed by hand."
        else:
            yield f"{len(ids):,} samples lost their '{name.removeprefix('attribute:')}'. The next build takes it from folder or"
            yield "manifest; what was changed by hand has to be changed again."
        yield f"  {_some(ids)}"
    yield from _small(store, report)


def _small(store: Path, report: "RepairReport") -> Iterator[str]:
    facts = [*report.remarks]
    if report.closed:
        facts.append(f"These versions lost something and can't be opened any more: {_some(report.closed)}.")
    if report.tags:
        facts.append(f"These tags were taken away: {_some(report.tags)}.")
    if report.summaries:
        facts.append(f"These summaries were lost; make them again by embedstore summarize: {_some(report.summaries)}.")
    facts += [f"Damaged entries of '{table}' were dropped: {count:,}." for table, count in report.dropped.items()]
    if report.index_removed:
        facts.append(f"The search index was removed; make it again by: embedstore index '{store}'")
    if report.kept_aside is not None:
        facts.append(
            f"The damaged data is kept in '{report.kept_aside}'; delete that folder once nothing of it is needed."
        )
    if facts:
        yield ""
    yield from facts


def _some(values: Sequence[object]) -> str:
    shown = ", ".join(map(str, values[:_SHOWN]))
    return shown + (f" and {len(values) - _SHOWN:,} more (all with --json)" if len(values) > _SHOWN else "")
