"""embedstore upgrade: bring a store of an earlier release to the format of this one."""

from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def upgrade(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Bring a store that an earlier release wrote to the format of this one; samples, vectors, summaries and versions stay.

    It needs as much free disk space as the store has. Stopped in the middle, or on a full disk, it leaves the store as it
    was: give the same command again. Earlier releases can't read the store afterwards.

    Example: embedstore upgrade parts.store
    """
    from embedstore.store.migrations import upgrade

    with ExitStack() as shown:
        bar = cache(lambda: shown.enter_context(console.progress("Upgrading", "entries")))

        def progress(done: int, total: int) -> None:
            bar()(done, total)  # shown only where there is work

        report = upgrade(store, progress)
    if json:
        console.print_json(report)
    elif report.before == report.format:
        console.say(f"'{store}' has format {report.format}, that of this release; nothing was changed.")
    else:
        console.say(
            f"'{store}' had format {report.before} and has format {report.format} now: {report.samples} samples, newest "
            f"version {report.version}; all versions can be opened."
        )
