"""embedstore delete: samples out of a store."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def delete(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    ids: Annotated[
        list[str] | None, typer.Argument(help="The samples' ids.", metavar="ID...", show_default=False)
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="CSV with a column id, or path; - reads it from the standard input.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be deleted, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Delete samples, all or none, as one version.

    Their pictures are not touched. Earlier versions keep the samples until a compaction. To keep samples out of all
    learning without deleting them, set their split: embedstore relabel STORE ID... aside --field split

    Example: embedstore delete parts.store good/blurred.png good/hand.png
    """
    import embedstore
    from embedstore.errors import SettingsError
    from embedstore.store.changes import rows_of
    from embedstore_cli.change import Generation
    from embedstore_cli.id_file import read_ids

    named = list(ids or [])
    if source is not None:
        named += read_ids(source)[0]
    if not named:
        raise SettingsError("No samples were named; give their ids, or --from FILE.csv with a column id.")
    with embedstore.open(store) as opened:
        before = Generation.of(opened)
        if dry_run:  # it only reads, so it works while another process writes
            count = len(rows_of(opened, named))
        else:
            with opened.write("delete") as writer:
                count = writer.delete(named)
        facts = {"deleted": count, "samples": len(opened), "version": opened.version, "dry_run": dry_run}
        compacted = before.compacted(opened)
    if json:
        console.print_json(facts)
        return
    if dry_run:
        console.say(
            f"{count} of {console.count(facts['samples'], 'sample', 'samples')} would be deleted; nothing was changed."
        )
        return
    console.say(
        f"{console.count(count, 'sample was', 'samples were')} deleted; "
        f"'{store}' holds {facts['samples']} at version {facts['version']}.",
        f"To take that back: embedstore rollback '{store}' {facts['version'] - 1}",
        *compacted,
        "The pictures are where they were: a build from a folder that still holds them adds them again. The split 'aside' keeps "
        "samples out of learning without deleting them.",
    )
