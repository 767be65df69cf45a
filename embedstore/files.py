"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside, sync it and give it its name: readers see the old one or the new one, entirely.

    The name beside has the process's id, so another process may write the same file. What fails leaves nothing behind.

    Raises:
        OSError: the system does not let it be written; it names this file, not the one beside.
    """
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)  # of a dead process that had this id
        with fresh.open("xb") as file:  # never through a link that somebody has put there
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        fresh.unlink(missing_ok=True)
