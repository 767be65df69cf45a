"""embedstore compact: leave out what no kept version needs."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def compact(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Write a store anew without what only old versions need; the newest, tagged and summarised versions stay.

    Tag a version first to keep it: embedstore tag STORE NAME --version N. It needs as much free disk space as the store has
    when it is done; stopped in the middle, it leaves the store as it was.

    Example: embedstore compact parts.store
    """
    import embedstore

    with embedstore.open(store) as opened:
        with console.progress("Compacting", "blocks") as progress:
            report = opened.compact(progress)
        newest, tags = opened.version, opened.tags
    if json:
        console.print_json(report)
        return
    kept = []
    for version in report.kept:
        names = ", ".join(f"'{name}'" for name, number in tags.items() if number == version)
        reason = f"tag {names}" if names else "newest" if version == newest else "a summary was made of it"
        kept.append(f"{version} ({reason})")
    console.say(
        f"'{store}' has {report.rows} rows in {_megabytes(report.bytes)}, before it was {report.rows_before} in "
        f"{_megabytes(report.bytes_before)}.",
        f"These versions can be opened: {', '.join(kept)}; {report.removed} others can't any more.",
    )
    if report.index_removed:
        console.say(f"The index knew the rows as they were; make it again with: embedstore index '{store}'")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
