"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import filelock

# A folder to write in, the file in it that whoever writes holds, and the one that stands there from when it is held: a folder
# without that was made this moment, and its lock is still to be taken.
_ASIDE, _LOCK, _HELD = ".export-", "export.lock", "export.held"


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

    Raises:
        OSError: the system does not let it be made.
    """
    for left in target.parent.glob(f"{_ASIDE}*/{_HELD}"):
        with suppress(filelock.Timeout, OSError):  # an export that still runs holds its lock
            with filelock.FileLock(left.with_name(_LOCK), timeout=0):
                pass
            shutil.rmtree(left.parent, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=target.parent))
    try:
        with filelock.FileLock(aside / _LOCK):
            (aside / _HELD).touch()
            yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


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
