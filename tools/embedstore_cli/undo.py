"""embedstore undo: what one version changed, set back by a new one."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def undo(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    version: Annotated[
        str | None,
        typer.Argument(
            help="Its number, or a tag; where not given, the newest that can be undone and is not yet: again and again, step by "
            "step.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Set back the labels, splits, groups and other fields that a version changed, as a new version.

    It is refused where a later version changed one of them again, and for versions that added or removed samples; without a
    number also where such a version is the newer one (embedstore rollback takes those back). An undo can be undone by its number.

    Example: embedstore undo parts.store
    """
    import embedstore
    from embedstore import triage
    from embedstore.errors import StoreError
    from embedstore_cli.change import Generation
    from embedstore_cli.log import how_much, local_time, made_by
    from embedstore_cli.triage import outcome, remarks_on_torn
    from embedstore_cli.version_option import number_in

    with embedstore.open(store) as opened:
        number = triage.last_undoable(opened) if version is None else number_in(opened, version)
        if number is None:
            raise StoreError(
                f"No version of '{store}' is left to be undone; see what made each, and give the number of one: embedstore log "
                f"'{store}'"
            )
        if version is None:
            triage.refuse_newer_samples(opened, number)
        before = Generation.of(opened)
        change = (triage.plan_undo if dry_run else triage.undo)(opened, number)
        undone = next(entry for entry in opened.log() if entry.number == number)
        torn, compacted = remarks_on_torn(opened, change), before.compacted(opened)
    if json:
        console.print_json(
            {
                "undone": number,
                "version": change.version,
                "changed": change.samples,
                "fields": change.fields,
                "dry_run": dry_run,
            }
        )
        return
    what = f"{made_by(undone)}: {how_much(undone)}; {local_time(undone.time)}"
    console.say(f"Version {number} ({what}): {outcome(change, dry_run=dry_run)}.")
    console.say(*torn)
    if change.version is not None:
        console.say(
            f"'{store}' is at version {change.version}; to take that back: embedstore undo '{store}' {change.version}"
        )
    console.say(*compacted)
