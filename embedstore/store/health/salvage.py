"""Salvage: copies all sound entries of a damaged generation into a fresh one, and remembers which were not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from embedstore.store import layout
from embedstore.store.health import entries
from embedstore.store.health.raw import RawStore
from embedstore.store.layout import BLOCK, DATABASES, FIELDS, META, VECTORS
from embedstore.store.tables import Tables
from embedstore.store.writing import Writer

_BYTES_AT_ONCE, _AT_ONCE = 1 << 25, 10_000  # in one transaction, which holds its dirty pages in memory


@dataclass
class Salvaged:
    """What could not be copied.

    Attributes:
        damaged: database -> the keys of its damaged entries, as they stand there.
        torn: database -> the last key before and the first behind a place that can't be read, b"" for none.
        fewer: databases of which fewer entries were met than there should be, for no reason that is known.
    """

    damaged: dict[bytes, list[bytes]] = field(default_factory=dict)
    torn: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    fewer: list[bytes] = field(default_factory=list)


def salvage(raw: RawStore, target: Writer, progress: Callable[[int, int], None]) -> Salvaged:
    """Copy what is sound; where one flipped bit of a key is all that is wrong, under the right key."""
    left = Salvaged()
    known: dict[bytes, Any] = {}
    done, total = 0, sum(map(raw.count, DATABASES))
    for database in DATABASES:
        if database in raw.missing:
            continue
        batch: list[tuple[bytes, bytes]] = []
        size = met = 0
        for key, value in raw.walk(database):
            met, done = met + 1, done + 1
            progress(min(done, total), total)
            own = _own_key(database, key, value, known)
            if own is None:
                left.damaged.setdefault(database, []).append(key)
                continue
            batch.append((own, bytes(value[:-4])))
            size += len(value)
            if database == META:
                known[own] = layout.unpack(value[:-4])
            if size >= _BYTES_AT_ONCE or len(batch) >= _AT_ONCE:
                _write(target, database, batch)
                batch, size = [], 0
        _write(target, database, batch)
        if database in raw.torn:
            if _copied(target, database) < raw.count(database):  # else only the order was wrong, and nothing is lost
                left.torn[database] = raw.torn[database]
        elif met < raw.count(database):
            left.fewer.append(database)
    return left


def _own_key(database: bytes, key: bytes, value: memoryview, known: dict[bytes, Any]) -> bytes | None:
    """Return the key to write an entry under; None where it is not to be copied."""
    if entries.problem(database, key, value) is not None:
        own = entries.true_key(database, key, value)
        if own is None:
            return None
        key = own
    if database == FIELDS and b"names" in known and layout.number_of(key) >= len(known[b"names"]):
        return None
    if database == VECTORS:
        column = layout.column_of(key)
        space = known.get(b"space:" + column.space.encode())
        dim = None if space is None else space["outputs"].get(column.output)
        if dim is None or len(value) != BLOCK // 8 + 2 * BLOCK * dim + 4:
            return None
    return key


def _write(target: Writer, database: bytes, batch: list[tuple[bytes, bytes]]) -> None:
    def put(tables: Tables) -> None:
        for key, payload in batch:
            tables.put_entry(database, key, payload)

    if batch:
        target.write(put)


def _copied(target: Writer, database: bytes) -> int:
    return target.read(lambda tables: len(tables.keys(database)))


def lost_blocks(left: Salvaged, numbers: int, blocks: int) -> Iterator[tuple[int, int, int]]:
    """Yield the field's number, block and version of all blocks of fields that were lost, or may have been.

    Where the database is torn, these are all between the two ends, as of version 0: nobody knows of what versions.
    """
    for key in left.damaged.get(FIELDS, []):
        if entries.sound_key(FIELDS, key):
            yield layout.number_of(key), layout.block_of(key), layout.version_of(key)
    if FIELDS in left.torn:
        last, first = left.torn[FIELDS]
        for number in range(numbers):
            for block in range(blocks):
                if last[:10] <= layout.field_key(number, block, 0)[:10] <= (first[:10] or b"\xff"):
                    yield number, block, 0
