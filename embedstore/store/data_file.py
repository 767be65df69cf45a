"""A look at LMDB's data file before it is mapped: reading a page beyond its end would kill the process.

A file may be shorter than its pages without harm, where the last ones were freed before they were ever written (seen in 5
of 100 states of a small file). So a short file is no proof of damage: another process walks it, and may die of it.
"""

import os
import signal
import struct
import subprocess
from pathlib import Path

import lmdb

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.store.health.isolation import interpreter

DATA = "data.mdb"

# LMDB's meta pages, the first two of the file, on 64-bit systems: the size of a page, the last page in use, and the
# number of the transaction that wrote the page (lmdb.h, mdb.c: MDB_meta).
_PAGE_SIZE, _LAST_PAGE = struct.Struct("<40xI"), struct.Struct("<136xQQ")
# A leaf page: its number, padding, that it is a leaf, where free space begins and ends, where its one entry is; and that.
PLACEHOLDER = b"\0\0"  # the key of that entry
_LEAF, _ENTRY = struct.Struct("<QHHHHH"), struct.pack("<HHHH", 0, 0, 0, 2) + PLACEHOLDER  # (MDB_page, MDB_node)
_PATIENCE_SECONDS = 600

_CODE = "import sys; from embedstore.store.data_file import walk; walk(sys.argv[1])"
_BEGUN = b"begun"
_STOPPED = {-signal.SIGINT, -signal.SIGTERM, -9}  # by somebody, or for want of memory: no verdict on the file
_MOST_FREED = 1 << 30  # bytes


def refuse_truncated(directory: Path) -> None:
    """Raise where the data file of a generation ends before pages that are in use.

    Raises:
        CorruptStoreError: it does, or LMDB itself dies of it.
        StoreError: nobody can tell, for the process that looks could not.
    """
    if missing_bytes(directory / DATA) and not can_be_walked(directory):
        raise CorruptStoreError(
            f"'{directory / DATA}' is cut off: it ends before data that belongs to it; save what is left with: "
            f"embedstore repair '{directory.parent.parent}', or restore the store from a copy."
        )


def can_be_walked(directory: Path) -> bool:
    """Return whether another process lives through a walk over every value of a data file.

    Raises:
        StoreError: it could not be started, was stopped, or took too long.
    """
    command, environment = interpreter(_CODE, os.path.abspath(directory))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
            env=environment,
        )
        if _BEGUN in done.stdout and done.returncode not in _STOPPED:
            return done.returncode == 0
        why = f"the process that looked at it ended with code {done.returncode}"
    except subprocess.TimeoutExpired:
        why = f"that took more than {_PATIENCE_SECONDS} s"
    except OSError as error:
        why = f"no process could be started for that ({error.strerror})"
    raise StoreError(
        f"'{directory / DATA}' is shorter than its head says, and whether it lacks anything can't be told, for {why}; try "
        "again, or restore the store from a copy."
    )


def missing_bytes(file: Path) -> int:
    """Return how many bytes a data file lacks of the pages that its head speaks of; 0 for what is no such file."""
    try:
        with file.open("rb") as opened:
            first = opened.read(_LAST_PAGE.size)
            (page_size,) = _PAGE_SIZE.unpack(first[: _PAGE_SIZE.size])
            opened.seek(page_size)
            metas = [_LAST_PAGE.unpack(head) for head in (first, opened.read(_LAST_PAGE.size))]
            size = os.fstat(opened.fileno()).st_size
    except (OSError, struct.error, OverflowError):
        return 0  # LMDB says what is wrong with it
    last_page, _ = max(metas, key=lambda meta: meta[1])
    return int(max(0, (last_page + 1) * page_size - size))


def put_placeholders(file: Path) -> None:
    """Lengthen a data file that is cut off by pages that hold one entry each, which no store has.

    In place of a page of zeros, LMDB would end the process that walks over it.
    """
    missing = missing_bytes(file)
    with file.open("r+b") as opened:
        (page_size,) = _PAGE_SIZE.unpack(opened.read(_PAGE_SIZE.size))
        size = os.fstat(opened.fileno()).st_size
        for page in range(size // page_size, (size + missing) // page_size):
            opened.seek(page * page_size)
            opened.write(_LEAF.pack(page, 0, 2, _LEAF.size, page_size - len(_ENTRY), page_size - len(_ENTRY)))
            opened.seek((page + 1) * page_size - len(_ENTRY))
            opened.write(_ENTRY)


def fill_up(directory: Path) -> None:
    """Lengthen a data file to all of its pages, so that nobody has to walk it; only for the store's one writer."""
    file = directory / DATA
    missing = missing_bytes(file)
    if 0 < missing <= _MOST_FREED:  # else the head was tampered with
        os.truncate(file, file.stat().st_size + missing)


def walk(directory: str) -> None:
    """Touch every value of a data file. What is beyond the end of the file kills the process that does this."""
    os.write(1, _BEGUN)
    with (
        lmdb.open(directory, readonly=True, lock=False, max_dbs=64) as environment,
        environment.begin(buffers=True) as transaction,
    ):
        for name, _ in transaction.cursor():
            database = environment.open_db(bytes(name), transaction, create=False)
            for _, value in transaction.cursor(database):
                _ = bytes(value[:1]) + bytes(value[-1:])
