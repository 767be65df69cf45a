"""embedstore rollback: a new version that looks like an earlier one."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def rollback(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    version: Annotated[str, typer.Argument(help="A version's number, or a tag.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Make a new version with the samples, labels and vectors of an earlier one, to the last byte.

    Summaries that a refresh has put in the place of others make room for those again. A rollback is a version as well, so it
    can be rolled back by the number of the one before it, until a compaction removes that. Image files are not touched.

    Example: embedstore rollback parts.store before-refresh-12
    """
    import embedstore
    from embedstore_cli.version_option import numbered

    with embedstore.open(store) as opened:
        newest = opened.version
    report = embedstore.rollback(store, numbered(version), dry_run=dry_run)
    if json:
        console.print_json(report)
        return
    if report.nothing:
        console.say(f"'{store}' looks like version {report.target} already; nothing was changed.")
        return
    would = "would be" if dry_run else "is"
    console.say(
        f"'{store}' {would} as it was at version {report.target}: {report.back} rows come back, {report.gone} that came since "
        f"go, and {console.count(report.updated, 'sample gets', 'samples get')} texts back."
    )
    if report.other_vectors:
        with embedstore.open(store, version=report.target) as then:
            views = console.count(then.views + 1, "view", "views")
            console.say(f"The teacher '{then.teacher}' {would} in use again, with {views} a picture.")
    for name, made_of in report.summaries.items():
        console.say(f"The summary '{name}' {would} the one made of version {made_of} again.")
    for name, made_of in report.later_summaries.items():
        console.say(
            f"The summary '{name}' stays, and was made of version {made_of}, which the store does not look like any more; make "
            "it again, or delete it."
        )
    if dry_run:
        console.say("Nothing was changed.")
        return
    console.say(
        f"To take that back: embedstore rollback '{store}' {newest}",
        "Image files are as they were, so what they changed comes in again with the next build or refresh.",
    )
