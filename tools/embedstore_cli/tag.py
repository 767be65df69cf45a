"""embedstore tag: names for versions, which a compaction keeps."""

from pathlib import Path
from typing import Annotated

import typer

from embedstore_cli import console


def tag(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    name: Annotated[
        str | None, typer.Argument(help="The tag; without it, all tags are listed.", show_default=False)
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            help="The version's number, or another tag of it; the newest where not given.",
            metavar="N|TAG",
            show_default=False,
        ),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the name away from its version.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Name a version, so that it can be opened by that name and no compaction removes it; or list the names.

    Example: embedstore tag parts.store before-relabelling
    """
    import embedstore
    from embedstore.errors import SettingsError
    from embedstore_cli.log import local_time
    from embedstore_cli.version_option import asked_version

    if delete and (name is None or version is not None):
        raise SettingsError("--delete takes the name of one tag and no version; give the name alone.")
    if name is None and version is not None:
        raise SettingsError(f"Version '{version}' was to get a tag without a name; give the name after the store.")
    with embedstore.open(store) as opened:
        if name is not None and delete:
            number = opened.delete_tag(name)
        elif name is not None:
            number = opened.tag(name, asked_version(version))
        tags, times = opened.tags, {entry.number: entry.time for entry in opened.log()}
    if json:
        console.print_json(tags)
    elif name is None:
        rows = [[one, str(number), local_time(times[number])] for one, number in tags.items()]
        if rows:
            console.table(f"Tags of '{store}'", ["tag", "version", "made"], rows, right=(1,))
        else:
            console.say(f"'{store}' has no tags yet; name its newest version with: embedstore tag '{store}' NAME")
    elif delete:
        console.say(f"Version {number} has no longer the tag '{name}'; the next compaction may remove that version.")
    else:
        console.say(f"Version {number} has the tag '{name}': no compaction removes it.")
