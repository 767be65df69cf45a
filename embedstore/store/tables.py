"""Typed access to the databases inside one transaction; the only code that turns keys and values into objects."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SummaryError
from embedstore.store import layout
from embedstore.store.fields import ID, Field, join_blocks
from embedstore.store.layout import BLOCK, Column
from embedstore.store.meta import Compacted, MetaTable, head_entry, head_of
from embedstore.store.rows import Rows, by_block, visible

__all__ = ["Compacted", "Tables", "head_entry", "head_of"]


_BLOCKS_AT_ONCE = 256  # of vectors in one call to LMDB, which reads all pages of all of them


class Tables(MetaTable):
    """The databases of a store as one transaction sees them."""

    # Fields

    def field(self, name: str, version: int) -> Field:
        """Return what all allocated rows have in a field, as of a version."""
        names, count = self.names(), self.row_count()
        if name not in names:
            return Field((), np.full(count, -1, np.int32))
        newest = self._newest_blocks(names.index(name), version)
        blocks = ((block, *layout.unpack_field(payload)) for block, payload in newest if block * BLOCK < count)
        return join_blocks(blocks, count, BLOCK, distinct=name == ID)

    def texts(self, name: str, rows: npt.NDArray[np.int64], version: int) -> list[str | None]:
        """Return what some rows (n,), ascending, have in a field, as of a version; reads only the blocks that hold them."""
        names, found = self.names(), list[str | None]()
        if name not in names:
            return [None] * len(rows)
        number = names.index(name)
        for block, inside in by_block(rows):
            texts, codes = self._field_block(number, block, version)
            known = [*texts, None]
            found += [known[code] for code in codes[rows[inside] % BLOCK].tolist()]
        return found

    def texts_since(self, name: str, rows: npt.NDArray[np.int64], version: int) -> list[int]:
        """Return by which version each of some rows (n,) got what it has in a field as of a version; 0 where it never had any."""
        names, since = self.names(), [0] * len(rows)
        for block, inside in by_block(rows) if name in names else ():
            before: list[str | None] = [None] * len(inside)
            prefix = layout.field_key(names.index(name), block, 0)[:-8]
            for key in self.keys(layout.FIELDS, prefix):  # oldest first
                if layout.version_of(key) > version:
                    break
                after = self.texts(name, rows[inside], layout.version_of(key))
                for at, old, new in zip(inside.tolist(), before, after, strict=True):
                    since[at] = layout.version_of(key) if new != old else since[at]
                before = after
        return since

    def needed_field_blocks(self, versions: Iterable[int]) -> int:
        """Return how many blocks of fields some of these versions read."""
        asked = sorted(versions)
        needed, last, beyond = (
            0,
            b"",
            0,
        )  # of the block before: its key but the version, and the first asked that may read it
        for key in self._keys(layout.FIELDS):
            at = bisect_left(asked, layout.version_of(key))
            if last and key[:-8] != last:
                needed += beyond < len(asked)
            elif last:
                needed += beyond < at
            last, beyond = key[:-8], at
        return needed + (bool(last) and beyond < len(asked))

    def field_block(self, name: str, block: int, version: int) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Return the texts of a block of a field as of a version, and the place of each row's own among them, -1 for none."""
        names = self.names()
        return self._field_block(names.index(name), block, version) if name in names else _no_texts()

    def field_blocks(self, block: int, version: int) -> dict[str, tuple[list[str], npt.NDArray[np.int32]]]:
        """Return `field_block` of every field."""
        return {name: self._field_block(number, block, version) for number, name in enumerate(self.names())}

    def _field_block(self, number: int, block: int, version: int) -> tuple[list[str], npt.NDArray[np.int32]]:
        payload = self._newest_block(number, block, version)
        return _no_texts() if payload is None else layout.unpack_field(payload)

    def put_fields(self, rows: npt.NDArray[np.int64], fields: Mapping[str, Sequence[str | None]], version: int) -> None:
        """Write what some rows (n,) have in some fields, as of a version; a block that stays as it was is not written."""
        names = self.names()
        fresh = [
            name for name, texts in fields.items() if name not in names and any(text is not None for text in texts)
        ]
        if fresh:
            names += fresh
            self.put_names(names)
        blocks = list(by_block(rows))
        for name in [name for name in fields if name in names]:
            number, texts = names.index(name), fields[name]
            for block, inside in blocks:
                known, codes = self._field_block(number, block, version)
                values: list[str | None] = [*known, None]
                before = [values[code] for code in codes.tolist()] if known else [None] * BLOCK
                after = list(before)
                first, last = int(inside[0]), int(inside[-1])
                if (np.diff(inside) == 1).all() and (np.diff(rows[first : last + 1]) == 1).all():  # as in a bulk write
                    after[rows[first] % BLOCK : rows[last] % BLOCK + 1] = texts[first : last + 1]
                else:
                    for at, row in zip(inside.tolist(), (rows[inside] % BLOCK).tolist(), strict=True):
                        after[row] = texts[at]
                if after != before:
                    self._put(layout.FIELDS, layout.field_key(number, block, version), layout.pack_field(after))

    def drop_fields(self, version: int, most: int) -> int:
        """Delete up to `most` blocks of fields of exactly this version; return how many."""
        return self._drop_keys(
            layout.FIELDS, (key for key in self._keys(layout.FIELDS) if layout.version_of(key) == version), most
        )

    # Versions

    def log(self) -> list[dict[str, Any]]:
        """Return what made each version, oldest first."""
        return [entry for _, entry in self._values(layout.LOG)]

    def log_entry(self, version: int) -> dict[str, Any] | None:
        """Return what made a version; None where there is no such."""
        entry: dict[str, Any] | None = self._value(layout.LOG, layout.version_key(version))
        return entry

    def put_log_entry(self, version: int, entry: dict[str, Any]) -> None:
        """Say what made a version."""
        self._put(layout.LOG, layout.version_key(version), layout.pack(entry))

    def tags(self) -> dict[str, int]:
        """Return the version that each tag names."""
        return {key.decode(): version for key, version in self._values(layout.TAGS)}

    def put_tag(self, name: str, version: int) -> None:
        """Name a version."""
        self._put(layout.TAGS, name.encode(), layout.pack(version))

    def drop_tag(self, name: str) -> bool:
        """Take a name from its version; return whether there was one."""
        return bool(self._transaction.delete(name.encode(), db=self._environment.database(layout.TAGS)))

    # Rows

    def rows(self) -> Rows:
        """Return all allocated rows as one (n,) array of `layout.ROW`."""
        count = self.row_count()
        blocks = np.tile(layout.empty_rows(), (-(-count // BLOCK), 1))
        for key, rows in self._values(layout.ROWS):  # in order; a get for each would take twice as long
            block = int.from_bytes(key, "big")
            if block < len(blocks):
                blocks[block] = rows
        return blocks.reshape(-1)[:count]

    def count_visible(self, version: int) -> int:
        """Return how many rows are part of a version, without holding them all."""
        left, found = self.row_count(), 0
        for _, rows in self._values(layout.ROWS):
            found += int(np.count_nonzero(visible(rows[: max(0, left)], version)))
            left -= BLOCK
        return found

    def row_block(self, block: int) -> Rows:
        """Return a copy of a block of rows; one that was never written is empty."""
        rows: Rows | None = self._value(layout.ROWS, layout.row_key(block))
        return layout.empty_rows() if rows is None else rows.copy()

    def put_row_block(self, block: int, rows: Rows) -> None:
        """Write a block of rows."""
        self._put(layout.ROWS, layout.row_key(block), rows.tobytes())

    # Vectors

    def vector_block(
        self, column: Column, block: int, dim: int | None = None
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float16]] | None:
        """Return presence and vectors of a block, valid inside the transaction; None where nothing was written.

        Args:
            column: which of the rows' vectors.
            block: its number.
            dim: how many numbers each must have; where not given, as many as the teacher gives.
        """
        payload = self._get(layout.VECTORS, layout.vector_key(column, block))
        return None if payload is None else layout.unpack_vectors(payload, dim or self.dimension(column))

    def take_vectors(
        self, column: Column, rows: npt.NDArray[np.int64], out: npt.NDArray[np.float16], checked: set[int]
    ) -> int | None:
        """Copy the vectors of some rows (n,), ascending, into `out` (n, d).

        Args:
            column: which of their vectors.
            rows: their numbers, some of them perhaps more than once.
            out: where to; contiguous.
            checked: blocks whose checksum need not be checked again; those that are met are added.

        Returns:
            The block that is not there, if any; `out` is then incomplete.
        """
        if not len(rows):
            return None
        prefix, dim = layout.column_prefix(column), out.shape[1]
        blocks = rows // BLOCK
        crossed, broken = np.diff(blocks) != 0, np.diff(rows) != 1
        numbers: list[int] = blocks[np.append(0, np.flatnonzero(crossed) + 1)].tolist()
        starts = np.append(0, np.flatnonzero(crossed | broken) + 1)  # of runs, each in one block
        owners = np.append(0, np.cumsum(crossed))[starts]  # the place of each run's block in `numbers`
        edges = np.searchsorted(owners, np.arange(0, len(numbers) + _BLOCKS_AT_ONCE, _BLOCKS_AT_ONCE)).tolist()
        bounds = 2 * dim * np.append(starts, len(rows))
        offsets = layout.BITMAP + 2 * dim * (rows[starts] % BLOCK)
        cursor, size = self._cursor(layout.VECTORS), layout.sealed_size(dim)
        target = out.view(np.uint8).reshape(-1).data
        for at, (first, last) in enumerate(pairwise(edges)):
            part = numbers[at * _BLOCKS_AT_ONCE : (at + 1) * _BLOCKS_AT_ONCE]
            keys = [prefix + layout.row_key(block) for block in part]  # as `vector_key`
            # In one call, since a batch drawn at random meets nearly as many blocks as rows.
            found = cursor.getmulti(keys)
            if len(found) < len(keys):
                there = {bytes(key) for key, _ in found}
                return next(block for block, key in zip(part, keys, strict=True) if key not in there)
            for block, key, (_, value) in zip(part, keys, found, strict=True):
                if block not in checked or len(value) != size:
                    layout.vectors_of(layout.unseal(layout.VECTORS, key, value), dim)
                    checked.add(block)
            # Run by run, in bytes: NumPy takes longer to look at a block than to copy some rows of it.
            values = [found[owner][1] for owner in (owners[first:last] - at * _BLOCKS_AT_ONCE).tolist()]
            ends = bounds[first : last + 1].tolist()
            for value, offset, start, end in zip(values, offsets[first:last].tolist(), ends, ends[1:], strict=False):
                target[start:end] = value[offset : offset + end - start]
        return None

    def put_vectors(self, column: Column, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float16]) -> None:
        """Write the vectors (n, d) of some rows into their blocks."""
        for block, inside in by_block(rows):
            key, at = layout.vector_key(column, block), rows[inside] % BLOCK
            part = vectors[inside[0] : inside[-1] + 1] if (np.diff(inside) == 1).all() else vectors[inside]
            present = np.ones(BLOCK, bool)
            if len(at) < BLOCK or (np.diff(at) != 1).any():
                known = self.vector_block(column, block, vectors.shape[1])
                present = np.zeros(BLOCK, bool) if known is None else known[0].copy()
                values = np.zeros((BLOCK, vectors.shape[1]), np.float16) if known is None else known[1].copy()
                present[at], values[at] = True, part
                part = values
            sealed = layout.pack_vectors(key, present, part)
            self._transaction.put(key, sealed, db=self._environment.database(layout.VECTORS))

    def drop_vectors(self, column: Column, rows: npt.NDArray[np.int64]) -> None:
        """Mark some rows (n,) as without a vector in a column."""
        for block, inside in by_block(rows):
            known = self.vector_block(column, block)
            if known is None or not known[0][rows[inside] % BLOCK].any():
                continue
            key, present = layout.vector_key(column, block), known[0].copy()
            present[rows[inside] % BLOCK] = False
            sealed = layout.pack_vectors(key, present, known[1])
            self._transaction.put(key, sealed, db=self._environment.database(layout.VECTORS))

    def columns(self) -> list[Column]:
        """Return all columns that hold anything, complete or not."""
        return list(dict.fromkeys(layout.column_of(key) for key in self._sound_keys(layout.VECTORS)))

    def presence(self, column: Column, count: int) -> npt.NDArray[np.bool_]:
        """Return which of the first `count` rows have a vector in a column."""
        present = np.zeros(-(-count // BLOCK) * BLOCK, bool)
        for block in range(len(present) // BLOCK):
            payload = self._get(layout.VECTORS, layout.vector_key(column, block))
            if payload is not None:
                present[block * BLOCK : (block + 1) * BLOCK] = layout.presence_of(payload)
        return present[:count]

    # Samples whose vectors were lost

    def lost(self) -> list[dict[str, str]]:
        """Return what is known of samples whose vectors were lost, each as the texts of its fields."""
        return [fields for _, fields in self._values(layout.LOST)]

    def put_lost(self, fields: dict[str, str]) -> None:
        """Keep what is known of a sample until it is embedded again."""
        self._put(layout.LOST, layout.id_key(fields[ID]), layout.pack(fields))

    def drop_lost(self, ids: Iterable[str]) -> None:
        """Forget about samples that were lost: they are embedded again, or no longer wanted."""
        for sample_id in ids:
            self._transaction.delete(layout.id_key(sample_id), db=self._environment.database(layout.LOST))

    # Pictures set aside

    def aside(self) -> list[dict[str, str]]:
        """Return the pictures set aside: path and reason, sorted by path."""
        return sorted((entry for _, entry in self._values(layout.ASIDE)), key=lambda entry: entry["path"])

    def replace_aside(self, entries: dict[str, str]) -> None:
        """Write the pictures set aside (path -> reason) in place of those before."""
        self._transaction.drop(self._environment.database(layout.ASIDE), delete=False)
        for path, reason in entries.items():
            self._put(layout.ASIDE, layout.id_key(path), layout.pack({"path": path, "reason": reason}))

    # Summaries

    def summary(self, name: str) -> bytes | None:
        """Return a saved summary's bytes; None where there is none of the name."""
        payload = self._get(layout.SUMMARIES, name.encode()) if name else None  # LMDB takes no empty key
        return None if payload is None else bytes(payload)

    def put_summary(self, name: str, data: bytes) -> None:
        """Save a summary's bytes.

        Raises:
            SummaryError: they are too many for one value.
        """
        if len(data) > layout.MOST_BYTES:
            raise SummaryError(
                f"The summary '{name}' has {len(data) / 1e9:.1f} GB, and a store keeps none above {layout.MOST_BYTES / 1e9:.1f} "
                "GB; summarise fewer pictures, or keep fewer prototypes."
            )
        self._put(layout.SUMMARIES, name.encode(), data)

    def drop_summary(self, name: str) -> bool:
        """Delete a saved summary; return whether there was one."""
        return bool(name) and self._transaction.delete(name.encode(), db=self._environment.database(layout.SUMMARIES))

    def summary_names(self) -> list[str]:
        """Return the names of the saved summaries, sorted."""
        return [key.decode() for key in self._sound_keys(layout.SUMMARIES)]

    # Below

    def _newest_blocks(self, number: int, version: int) -> Iterator[tuple[int, memoryview]]:
        """Yield the block numbers and payloads of a field, of each block the newest at or before a version."""
        cursor = self._cursor(layout.FIELDS)
        newest: tuple[bytes, Any] | None = None
        found = cursor.set_range(layout.field_key(number, 0, 0))
        while found:
            key = bytes(cursor.key())
            if layout.number_of(key) != number:
                break
            if layout.version_of(key) <= version:
                if newest is not None and layout.block_of(newest[0]) != layout.block_of(key):
                    yield layout.block_of(newest[0]), layout.unseal(layout.FIELDS, *newest)
                newest = key, cursor.value()
            found = cursor.next()
        if newest is not None:
            yield layout.block_of(newest[0]), layout.unseal(layout.FIELDS, *newest)

    def _newest_block(self, number: int, block: int, version: int) -> memoryview | None:
        cursor = self._cursor(layout.FIELDS)
        beyond = cursor.set_range(layout.field_key(number, block, version + 1))
        if not (cursor.prev() if beyond else cursor.last()):
            return None
        key = bytes(cursor.key())
        if layout.number_of(key) != number or layout.block_of(key) != block:
            return None
        return layout.unseal(layout.FIELDS, key, cursor.value())


def _no_texts() -> tuple[list[str], npt.NDArray[np.int32]]:
    return [], np.full(BLOCK, -1, np.int32)
