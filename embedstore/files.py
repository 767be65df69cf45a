"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import filelock

# A folder to write in, the file in it that whoever writes holds, and the one that stands there from when it is held: a folder
# without that was made this moment, and its lock is still to be taken.
_ASIDE, _LOCK, _HELD = ".export-", "export.lock", "export.held"
# Folders in it with what is replaced: not all of it has been moved there yet, or all has and the new files get their names.
_BEFORE, _REPLACED = "export.before", "export.replaced"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside, sync it and give it its name: readers see the old one or the new one, entirely.

    The name beside has the process's id, so another process may write the same file. What fails leaves nothing behind.

    Raises:
        OSError: the system does not let it be written; it names this file, not the one beside.
    """
    with _fresh_beside(path) as (fresh, file):
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        fresh.replace(path)


def try_to_write(path: Path) -> None:
    """Make an empty file beside and remove it: what `write_whole` can't write is told before the work is done, not after it.

    Raises:
        OSError: as `write_whole` does, for want of a permission, or since the name is too long.
    """
    with _fresh_beside(path):
        pass


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Give a folder on the same disk to write in, and remove it; those that killed processes left there are removed first.

    Where `put_in_place` did not get to its end, that is made up for. Where not even that can be done, the folder stays for the
    next `sweep`, since the old files are in it.

    Raises:
        OSError: the system does not let it be made.
    """
    sweep(target.parent)
    aside, settled = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=target.parent)), True
    try:
        with filelock.FileLock(aside / _LOCK):
            (aside / _HELD).touch()
            try:
                yield aside
            except BaseException:
                settled = False
                with suppress(OSError):  # what went wrong first is what is told
                    _settle(aside, target.parent)
                    settled = True
                raise
    finally:
        if settled:
            shutil.rmtree(aside, ignore_errors=True)


def put_in_place(targets: Sequence[Path], aside: Path) -> None:
    """Give new files their names, all of them or none: where one can't get it, those that were there before are there again.

    So they are after an interrupt, unless all the new ones have their names by then. A kill in between leaves no two that do not
    belong together; the next `sweep` brings the old ones back, or the new ones in.

    Args:
        targets: what they are to be named.
        aside: the folder by `folder_beside` that has a file of each of these names, synced.

    Raises:
        OSError: the system does not let one have its name.
    """
    before, replaced = aside / _BEFORE, aside / _REPLACED
    before.mkdir()
    old = [one for one in reversed(targets) if one.exists()] if len(targets) > 1 else []
    moves = [
        *((one, before / one.name) for one in old),
        (before, replaced),
        *((aside / one.name, one) for one in targets),
    ]
    try:
        for this, there in moves:
            this.replace(there)
    except BaseException as error:
        if any((aside / one.name).exists() for one in targets):
            for was, at in reversed(moves):
                # An interrupt may come when a move was made and nothing tells so yet but the files.
                if os.path.lexists(at) and not os.path.lexists(was):
                    at.replace(was)
        if not isinstance(error, OSError):
            raise
        named = next((one for one in (there, this) if one in targets), targets[-1])
        raise OSError(error.errno, error.strerror, str(named)) from error


def sweep(folder: Path) -> None:
    """Remove what killed processes wrote aside in a folder; what they were about to replace comes back, or is replaced."""
    for left in folder.glob(f"{_ASIDE}*/{_HELD}"):
        with suppress(filelock.Timeout, OSError):  # an export that still runs holds its lock
            with filelock.FileLock(left.with_name(_LOCK), timeout=0):
                _settle(left.parent, folder)
            shutil.rmtree(left.parent, ignore_errors=True)


def _settle(aside: Path, folder: Path) -> None:
    """End the moves of a `put_in_place` that was stopped, unless somebody has put other files where it was about to put these."""
    before, replaced = aside / _BEFORE, aside / _REPLACED
    waiting: list[Path] = []
    if before.is_dir():
        waiting = list(before.iterdir())
    elif replaced.is_dir() and any(replaced.iterdir()):
        waiting = [one for one in aside.iterdir() if one.is_file() and one.name not in (_LOCK, _HELD)]
    if not any((folder / one.name).exists() for one in waiting):
        for one in waiting:
            one.replace(folder / one.name)


@contextmanager
def _fresh_beside(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Give a new file beside, which is removed where it was not given another name; errors name the file that was asked for."""
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)  # of a dead process that had this id
        with fresh.open("xb") as file:  # never through a link that somebody has put there
            yield fresh, file
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with suppress(
            OSError
        ):  # a name too long can't be removed either, and would be told in place of the one asked for
            fresh.unlink(missing_ok=True)
