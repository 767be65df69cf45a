"""Completion: makes a salvaged generation whole enough to be examined, from what its own entries say of each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from embedstore.errors import StoreError
from embedstore.store import layout
from embedstore.store.fields import ATTRIBUTE, ID
from embedstore.store.health.isolation import Event
from embedstore.store.health.problems import Seen
from embedstore.store.health.salvage import Salvaged, lost_blocks
from embedstore.store.health.soundness import own_keys
from embedstore.store.layout import BLOCK, FIELDS, META, NEVER, ROWS, VECTORS, Head
from embedstore.store.tables import Compacted, Tables, head_entry, head_of
from embedstore.store.writing import Writer, log_entry


class Completion:
    """Settings, rows and ids are there afterwards, and no half-done publication is.

    Attributes:
        head: the newest version.
        lost_rows: blocks whose rows were lost, each with the ids that stood there.
        emptied: (field's number, block) whose texts in the newest version were lost.
        changed: versions that are not what they were.
        unsure: whether fields of the newest version may say another thing than they did, and nobody can tell where.
    """

    _session: Writer
    _left: Salvaged

    def __init__(self, store: Path):
        self._store = store
        self.head = Head(0, "", (), None)
        self.lost_rows: dict[int, list[str]] = {}
        self.emptied: set[tuple[int, int]] = set()
        self.changed: list[tuple[int, int]] = []  # from, up to and without
        self.unsure = False

    def run(self, session: Writer, left: Salvaged) -> Iterator[Event]:
        """Do all of it to the generation of `session`, and yield what was done."""
        self._session, self._left = session, left
        yield from self._mend_head()
        self._refuse_without_settings()
        yield from self._mend_names()
        yield from self._mend_rows()
        self._take_back()
        yield from self._count_anew()
        yield from self._mend_fields()

    def _mend_head(self) -> Iterator[Event]:
        """Take the newest version from the head or the log, and give the log back what can be told of lost versions."""
        meta, log = self._session.read(lambda tables: (settings_of(tables), {e["version"]: e for e in tables.log()}))
        heads = {version: head_of(entry) for version, entry in log.items()}
        if "head" not in meta and not log:
            raise self.hopeless("neither the newest version nor the log can be read")
        known = [*heads.values(), *([head_of(meta["head"])] if "head" in meta else [])]
        self.head = max(reversed(known), key=lambda head: head.version)
        if "head" not in meta:
            yield {"said": f"The newest version, {self.head.version}, was taken from the log."}
        fresh = {} if heads.get(self.head.version) == self.head else {self.head.version: self.head}
        fresh |= _between({**heads, self.head.version: self.head})
        if lost := sorted(fresh.keys() - log.keys()):
            versions = ", ".join(map(str, lost))
            yield {"said": f"The log had lost what made these versions, which can still be read: {versions}."}

        def put(tables: Tables) -> None:
            tables.put_head(self.head)
            for version, head in fresh.items():
                entry = log_entry(head, "unknown", {})
                near = log.get(version - 1) or log.get(version + 1) or entry
                known = log.get(version) or {**entry, "time": near["time"]}
                tables.put_log_entry(version, known | head_entry(head))
            if b"compacted" in self._left.damaged.get(META, []):
                # What a compaction left is not known; a tag names a version that can be read.
                kept = sorted({self.head.version, *tables.tags().values()} & {self.head.version, *log})
                tables.put_compacted(Compacted(self.head.version, tuple(kept)))

        self._session.write(put)

    def _refuse_without_settings(self) -> None:
        meta = self._session.read(settings_of)
        for name, what in (
            ("store", "how its views are drawn"),
            (f"space:{self.head.space}", "which teacher filled it"),
        ):
            if name not in meta:
                raise self.hopeless(f"the store has lost {what}")

    def _mend_names(self) -> Iterator[Event]:
        """Where the names of fields are lost, the ids are known by their hashes, and the others become attributes."""
        if "names" in self._session.read(settings_of):
            return

        def find(tables: Tables) -> tuple[int, int | None]:
            keys, count, found = tables.keys(FIELDS), 0, None
            for key in keys:
                number, block = layout.number_of(key), layout.block_of(key)
                count = max(count, number + 1)
                has, own = own_keys(there(tables.entry(FIELDS, key)), {})
                if found is None and has.any() and (own == tables.row_block(block)["key"])[has].all():
                    found = number
            return count, found

        count, ids = self._session.read(find)
        if ids is None and count:
            raise self.hopeless("the names of its fields are lost, and none of them holds ids")
        names = [ID if number == ids else f"{ATTRIBUTE}field {number}" for number in range(count)]
        self._session.write(lambda tables: tables.put_names(names))
        self.unsure = True
        self.changed.append((1, NEVER))
        yield {
            "said": "The names of all fields but the ids were lost; what stood in them is kept in attributes 'field NUMBER'."
        }

    def _mend_rows(self) -> Iterator[Event]:
        """Count the rows anew where that was lost, and close the gaps between blocks."""
        meta, blocks = self._session.read(lambda tables: (settings_of(tables), tables.keys(ROWS)))
        numbers = [int.from_bytes(key, "big") for key in blocks]
        number_of_ids = self._number_of_ids()
        named = self._session.read(
            lambda tables: [layout.block_of(k) for k in tables.keys(FIELDS) if layout.number_of(k) == number_of_ids]
        )
        count = meta.get("rows", 0)
        there = max([*numbers, *(named if "rows" not in meta else [])], default=-1) + 1
        fields, vectors = self._session.read(lambda tables: (tables.keys(FIELDS), tables.keys(VECTORS)))
        at_most = (
            max([there - 1, *map(layout.block_of, fields), *(int.from_bytes(key[-8:], "big") for key in vectors)]) + 1
        )
        count = min(max(count, there * BLOCK if there > -(-count // BLOCK) else 0), at_most * BLOCK)
        if (
            count % BLOCK
            and self._session.read(lambda tables: tables.row_block(count // BLOCK))["key"][count % BLOCK :].any()
        ):
            count = -(-count // BLOCK) * BLOCK  # there are rows behind the last one
        sure = FIELDS not in self._left.damaged and FIELDS not in self._left.torn
        for block in sorted(set(range(-(-count // BLOCK))) - set(numbers)):
            self.lost_rows[block] = self._ids_of(block)
            self.changed.append((min(self._versions(number_of_ids, block), default=1) if sure else 1, NEVER))

        def put(tables: Tables) -> None:
            rows = layout.empty_rows()
            rows["born"] = rows["died"] = 0
            for block in self.lost_rows:
                tables.put_row_block(block, rows)
            tables.put_row_count(count)

        self._session.write(put)
        if self.lost_rows:
            blocks_lost = ", ".join(map(str, sorted(self.lost_rows)[:20]))
            yield {"said": f"Rows were lost, {BLOCK} in each of these blocks: {blocks_lost}."}
        if unknown := [str(block) for block, ids in self.lost_rows.items() if not ids]:
            yield {
                "said": f"Of these blocks the ids are lost too, so nobody can tell which samples left: {', '.join(unknown)}."
            }

    def _take_back(self) -> None:
        """Take back what was begun and not published, or belongs to a version that nobody made."""
        newest = np.uint64(self.head.version)
        rows = self._session.read(lambda tables: tables.rows())
        fields = self._session.read(
            lambda tables: [k for k in tables.keys(FIELDS) if layout.version_of(k) > self.head.version]
        )
        forever = np.uint64(NEVER)
        late = ((rows["born"] > newest) & (rows["born"] != forever)) | (
            (rows["died"] > newest) & (rows["died"] != forever)
        )
        if late.any() or fields:
            self._session.write(lambda tables: tables.put_publishing(self.head.version + 1))
        self._session.undo()
        rows = self._session.read(lambda tables: tables.rows())
        strange = ((rows["born"] > newest) & (rows["born"] != forever)) | (rows["born"] > rows["died"])
        self._session.change_rows(np.flatnonzero(strange), born=0, died=0)
        self._session.change_rows(
            np.flatnonzero((rows["died"] > newest) & (rows["died"] != forever) & ~strange), died=NEVER
        )

        def drop(tables: Tables) -> None:
            for key in fields:
                tables.drop_entry(FIELDS, key)

        self._session.write(drop)

    def _count_anew(self) -> Iterator[Event]:
        """Have each version say how many samples it has now; where it said another number, it is not what it was."""
        rows, log, compacted = self._session.read(lambda tables: (tables.rows(), tables.log(), tables.compacted()))
        log = [entry for entry in log if compacted.left(entry["version"])]
        seen = Seen.of(rows, np.array([entry["version"] for entry in log], np.uint64))
        counts = dict(zip(seen.versions.tolist(), seen.counts(seen.mask).tolist(), strict=True))
        self.head = replace(self.head, samples=counts[self.head.version])
        for version, said in ((entry["version"], entry.get("samples")) for entry in log):
            expected = said in (None, counts[version]) or any(start <= version < end for start, end in self.changed)
            if not expected:
                self.changed.append((version, version + 1))
                yield {"said": f"Version {version} said that it had {said} samples; {counts[version]} are there."}

        def put(tables: Tables) -> None:
            tables.put_head(self.head)
            for entry in log:
                tables.put_log_entry(entry["version"], {**entry, "samples": counts[entry["version"]]})

        self._session.write(put)

    def _mend_fields(self) -> Iterator[Event]:
        """Restore ids from the same block of another version; of other fields note what was lost."""
        names, count = self._session.read(lambda tables: (tables.names(), tables.row_count()))
        number_of_ids = self._number_of_ids()
        mended: dict[int, set[int]] = {}
        for number, block, version in lost_blocks(self._left, len(names), -(-count // BLOCK)):
            later = [known for known in self._versions(number, block) if known > version]
            if number == number_of_ids:
                mended.setdefault(block, set()).add(version)
                continue
            if version > self.head.version:
                continue
            self.changed.append((max(1, version), NEVER if FIELDS in self._left.torn else min(later, default=NEVER)))
            if FIELDS in self._left.torn or not later:
                self.emptied.add((number, block))
        for block, versions in mended.items():
            self._restore_ids(block, versions)
        if FIELDS in self._left.fewer:
            self.unsure = True
            self.changed.append((1, NEVER))
            yield {
                "said": "Parts of the fields are missing and nothing says which, so labels and other fields may be older than "
                "they were; look at them, or take the store from a copy."
            }

    def restore_ids(self, session: Writer, blocks: list[int]) -> None:
        """Write the ids of some blocks anew, where they were found wrong or missing."""
        self._session = session
        for block in blocks:
            self._restore_ids(block, set())

    def _restore_ids(self, block: int, versions: set[int]) -> None:
        """Write the ids of a block as of some versions anew: a row never changes its id, and its key says whether it is right."""
        number = self._number_of_ids()
        assert number is not None  # noqa: S101  else no block of ids could have been lost
        known = set(self._versions(number, block))

        def collect(tables: Tables) -> list[str | None]:
            texts: list[str | None] = [None] * BLOCK
            keys = tables.row_block(block)["key"]
            for version in sorted(known):
                payload = there(tables.entry(FIELDS, layout.field_key(number, block, version)))
                (listed, codes), (has, own) = layout.unpack_field(payload), own_keys(payload, {})
                for row in np.flatnonzero(has & (own == keys).all(axis=1)).tolist():
                    texts[row] = listed[codes[row]]
            if any(text is None for text in texts):
                seen = _ids_in_summaries(tables)
                texts = [text or seen.get(key.tobytes()) for text, key in zip(texts, keys, strict=True)]
            return texts

        texts = self._session.read(collect)
        if not any(texts):
            return

        def put(tables: Tables) -> None:
            for version in known | (versions - {0}):
                tables.put_entry(FIELDS, layout.field_key(number, block, version), layout.pack_field(texts))

        self._session.write(put)

    def _ids_of(self, block: int) -> list[str]:
        def read(tables: Tables) -> list[str]:
            texts, codes = tables.field_block(ID, block, self.head.version)
            return [texts[code] for code in codes[codes >= 0].tolist()]

        return self._session.read(read)

    def _number_of_ids(self) -> int | None:
        names = self._session.read(lambda tables: tables.names())
        return names.index(ID) if ID in names else None

    def _versions(self, number: int | None, block: int) -> list[int]:
        """Return the versions of which a block of a field is there."""
        if number is None:
            return []
        prefix = layout.field_key(number, block, 0)[:10]
        keys = self._session.read(lambda tables: tables.keys(FIELDS, prefix))
        return [layout.version_of(key) for key in keys]

    def hopeless(self, why: str) -> StoreError:
        """Return the error that says why there is no repair."""
        return StoreError(
            f"'{self._store}' can't be repaired, for {why}; restore it from a copy, or build it again. Nothing was changed."
        )


def _between(heads: dict[int, Head]) -> dict[int, Head]:
    """Return the heads of versions that are missing between two that agree on the teacher and the complete columns."""
    found: dict[int, Head] = {}
    for version in sorted({one - 1 for one in heads if one} - set(heads)):
        after = heads[version + 1]
        before = heads.get(version - 1, after)
        if after.space == before.space:
            if version == 0:
                found[0] = Head(0, after.space, (), 0)  # the empty store
            elif before.columns in ((), after.columns):
                found[version] = replace(after, version=version, samples=None)
    return found


def _ids_in_summaries(tables: Tables) -> dict[bytes, str]:
    """Return the ids that saved summaries were made of, by their keys."""
    from embedstore.summaries import Summary

    made = (tables.summary(name) for name in tables.summary_names())
    return {layout.id_key(name): name for data in made if data is not None for name in Summary.from_bytes(data).seen}


def settings_of(tables: Tables) -> dict[str, Any]:
    """Return all entries of the database `meta` that are there."""
    return {key.decode(): layout.unpack(there(tables.entry(META, key))) for key in tables.keys(META)}


def there(payload: memoryview | None) -> memoryview:
    """Return a payload that is there."""
    assert payload is not None  # noqa: S101  its key was read in the same transaction
    return payload
