"""embedstore log: what made each version of a store."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from embedstore.store.versions import STEP, STEPS, TARGET, Version
from embedstore.triage.undoing import NO_COUNTS, UNDONE
from embedstore_cli import console


def log(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, times in UTC.")] = False,
) -> None:
    """List the versions of a store, newest first: when, by what, how much, their tags, and which can still be opened.

    Example: embedstore log parts.store
    """
    import embedstore

    with embedstore.open(store) as opened:
        versions = opened.log()[::-1]
    if json:
        console.print_json(
            [{**version.__dict__, "details": dict(version.details), "tags": list(version.tags)} for version in versions]
        )
        return
    rows = [
        [
            str(version.number),
            local_time(version.time),
            made_by(version),
            how_much(version),
            ", ".join(version.tags),
            "yes" if version.readable else "no",
        ]
        for version in versions
    ]
    columns = ["version", "time", "made by", "samples", "tags", "can be opened"]
    console.table(f"Versions of '{store}', newest first", columns, rows, right=(0,))
    if any(not version.readable for version in versions):
        console.say(
            "A compaction removes what only old versions need. It keeps the newest version, those with a tag, and those that "
            "saved summaries were made of."
        )


def made_by(version: Version) -> str:
    """Return what made a version; of an undo or a rollback, with the version that it went back on, of a refresh its step."""
    details = version.details
    if UNDONE in details:
        return f"{version.action} of {details[UNDONE]}"
    if TARGET in details:
        return f"{version.action} to {details[TARGET]}"
    return f"{version.action}, step {details[STEP]} of {details[STEPS]}" if STEP in details else version.action


def how_much(version: Version) -> str:
    """Return how much of what a version changed."""
    return ", ".join(f"{count} {what}" for what, count in version.details.items() if what not in NO_COUNTS)


def local_time(time: str) -> str:
    """Return a time of the log, which is UTC, as the clock on the wall showed it."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
