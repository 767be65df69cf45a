"""What is wrong with a generation: entry by entry, then whether rows, fields, vectors and history fit together.

Every value is read once. What is held in memory grows with the rows, some 50 bytes each, and never with the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from embedstore.store import layout
from embedstore.store.fields import ID
from embedstore.store.health import entries
from embedstore.store.health.problems import Kind, Mask, Places, Problem, Seen, Versions, column_in_words, place, shown
from embedstore.store.health.raw import RawStore
from embedstore.store.layout import BLOCK, DATABASES, FIELDS, LOG, META, NEVER, ROWS, SUMMARIES, TAGS, VECTORS, Column
from embedstore.store.rows import Rows, staged
from embedstore.store.tables import Compacted, head_of

Progress = Callable[[int, int], None]  # entries done, entries in all

_TOLD = 1000  # missing versions, one by one: a head that somebody made up may lie any number of them ahead


class Examination:
    """One look at all of a generation.

    Attributes:
        head: the newest version, or the newest that the log tells of; None where neither can be read.
        rows: (n,) all rows; those that can't be read are empty.
        versions: those that can be read, ascending.
        space: the fingerprint of the teacher in use, "" where it can't be read.
    """

    def __init__(self, raw: RawStore, progress: Progress | None = None):
        self._raw, self._progress = raw, progress or (lambda done, total: None)
        self._done, self._total = 0, sum(map(raw.count, DATABASES))
        self.head: layout.Head | None = None
        self.rows: Rows = np.zeros(0, layout.ROW)
        self.versions: Versions = np.zeros(0, np.uint64)
        self._columns: dict[Column, Versions] = {}  # the versions that call it complete
        self._samples: dict[int, int | None] = {}  # how many each version says it has
        self._known: dict[bytes, object] = {}
        self._spaces: dict[str, object] = {}

    @property
    def space(self) -> str:
        """The fingerprint of the teacher in use."""
        return "" if self.head is None else self.head.space

    @property
    def spaces(self) -> list[str]:
        """The fingerprints of all teachers that the store has, or had, vectors of; after `run`."""
        return list(self._spaces)

    @property
    def samples(self) -> int:
        """How many samples the newest version has."""
        return int(Seen.of(self.rows, self.versions[-1:]).mask.sum())

    @property
    def done(self) -> int:
        """How many entries were read."""
        return self._done

    def run(self) -> Iterator[Problem]:
        """Yield all problems and notes."""
        for database in DATABASES:
            if database in self._raw.missing:
                yield Problem(Kind.TABLE, f"'{database.decode()}'")
                continue
            for what, key in self._raw.structure(database):
                near = f", near {shown(database, key)}" if key else ""
                yield Problem(Kind.ORDER, f"the table '{database.decode()}'", what + near)
        yield from self._settings()
        yield from self._history()
        yield from self._tags()
        yield from self._row_table()
        yield from self._fields()
        yield from self._vectors()
        for database in (layout.LOST, layout.ASIDE):
            for _, _, wrong in self._entries(database):
                if wrong is not None:
                    yield wrong
                elif database == layout.LOST:
                    yield Problem(Kind.WAITING, "the samples that were lost")
        yield from self._summaries()

    # The parts, in the order in which they need each other

    def _settings(self) -> Iterator[Problem]:
        known: dict[bytes, object] = {}
        damaged: set[bytes] = set()
        for key, payload, wrong in self._entries(META):
            if payload is not None:
                known[key] = layout.unpack(payload)
            if wrong is not None:
                damaged.add(key)
                yield wrong
        head = known.get(b"head")
        self.head = head_of(head) if isinstance(head, dict) else None
        self._spaces = {key[6:].decode(): values for key, values in known.items() if key.startswith(b"space:")}
        needed = [
            b"head",
            b"store",
            b"rows",
            b"names",
            *([] if self.head is None else [b"space:" + self.space.encode()]),
        ]
        for name in needed:
            if name not in known and name not in damaged and META not in self._raw.missing:
                yield Problem(Kind.SETTING, "the table 'meta'", f"'{name.decode()}'")
        self._known = known
        if known.get(b"publishing") is not None:
            yield Problem(Kind.PUBLICATION, f"version {known[b'publishing']}")
        self._compacted: Compacted | None = Compacted(0, ())
        compacted = known.get(b"compacted")
        if isinstance(compacted, dict):
            self._compacted = Compacted(compacted["version"], tuple(compacted["kept"]))
        elif b"compacted" in damaged:
            self._compacted = None

    def _history(self) -> Iterator[Problem]:
        log: dict[int, layout.Head] = {}
        for _, payload, wrong in self._entries(LOG):
            if wrong is not None:
                yield wrong
            if payload is not None:
                made = head_of(layout.unpack(payload))
                if self._raw.limit is None or made.version <= self._raw.limit:
                    log[made.version] = made
                else:
                    yield Problem(Kind.ABOVE, "the log", f"version {made.version}")
        now = self._raw.head  # as of the last look into the log: a writer may have moved it since the first
        if now is not None and log.get(now.version, now) != now:
            yield Problem(Kind.LOG, "the log", f"of version {now.version} it says another thing than the head")
        if self.head is None and log:
            self.head = log[max(log)]
        if self.head is not None:
            yield from self._readable(self.head, log)

    def _readable(self, newest: layout.Head, log: dict[int, layout.Head]) -> Iterator[Problem]:
        """Find which versions can be read, and which columns each calls complete."""
        compacted = Compacted(newest.version, ()) if self._compacted is None else self._compacted
        kept = {version for version in compacted.kept if version < min(compacted.version, newest.version + 1)}
        since = range(min(compacted.version, newest.version), newest.version + 1)  # how many is not to be trusted
        there = {version for version in log if version in kept or version in since}
        lacking = chain(sorted(kept - there), (version for version in since if version not in there))
        for version in islice(lacking, _TOLD):
            versions = frozenset({version} - {newest.version})
            yield Problem(Kind.LOG, "the log", f"version {version}", versions=versions)
        if (untold := len(kept) + len(since) - len(there) - _TOLD) > 0:
            yield Problem(Kind.LOG, "the log", f"and {untold} more versions", untold)
        log.setdefault(newest.version, newest)
        self.versions = np.array(sorted(there | {newest.version}), np.uint64)
        columns: dict[Column, list[int]] = {}
        for version in self.versions.tolist():
            self._samples[version] = log[version].samples
            for column in log[version].columns:
                columns.setdefault(column, []).append(version)
        self._columns = {column: np.array(versions, np.uint64) for column, versions in columns.items()}

    def _tags(self) -> Iterator[Problem]:
        newest = 0 if self.head is None else self.head.version
        for key, payload, wrong in self._entries(TAGS):
            if wrong is not None:
                yield wrong
            if payload is not None:
                version = layout.unpack(payload)
                if version not in self.versions and not newest < version <= (self._raw.limit or newest):
                    yield Problem(Kind.TAG, "the tags", f"'{key.decode()}' names version {version}")

    def _row_table(self) -> Iterator[Problem]:
        blocks: dict[int, Rows] = {}
        count = self._known.get(b"rows")
        lacking = ROWS in self._raw.missing
        for key, payload, wrong in self._entries(ROWS):
            if wrong is not None:
                lacking = True
                yield wrong
            if len(key) != 8:
                continue
            block = int.from_bytes(key, "big")
            rows = layout.empty_rows() if payload is None else np.frombuffer(payload, layout.ROW).copy()
            blocks[block] = rows
            yield from self._above(rows, block)
            impossible = int((rows["born"] > rows["died"]).sum())
            if impossible:
                lacking = True
                yield Problem(Kind.ROW, "the rows", f"block {block}", impossible)
            if self._raw.row_count is not None and block * BLOCK >= self._raw.row_count:
                yield Problem(Kind.ROW, "the rows", f"block {block} lies behind the last row", BLOCK)
        number = len(blocks) if not isinstance(count, int) else -(-count // BLOCK)
        if number > self._total:  # even where rows were lost, their ids and vectors are entries too
            yield Problem(
                Kind.ENTRY, "the table 'meta'", f"'rows' says that there are {count} rows, far more than are there"
            )
            number = len(blocks)
        if number and ROWS not in self._raw.missing:
            for block in range(number):
                if block not in blocks:
                    lacking = True
                    yield Problem(Kind.ROW_BLOCK, "the rows", f"block {block}", BLOCK)
            self.rows = np.concatenate([blocks.pop(block, layout.empty_rows()) for block in range(number)])
            if isinstance(count, int) and (behind := self._seen_behind(count)):
                lacking = True
                yield Problem(Kind.ROW, "the rows", f"{behind} samples lie behind the last row", behind)
        if waiting := int(staged(self.rows).sum()):
            yield Problem(Kind.STAGED, "the rows", count=waiting)
        if not lacking:
            yield from self._counts()
        yield from self._duplicates()

    def _seen_behind(self, count: int) -> int:
        """Return how many rows behind the last one are part of a version."""
        return int(Seen.of(self.rows[count:], self.versions).mask.sum())

    def _above(self, rows: Rows, block: int) -> Iterator[Problem]:
        if self._raw.limit is not None:
            late = [
                (rows[name] > np.uint64(self._raw.limit)) & (rows[name] != np.uint64(NEVER))
                for name in ("born", "died")
            ]
            if count := int((late[0] | late[1]).sum()):
                yield Problem(Kind.ABOVE, "the rows", f"block {block}", count)

    def _counts(self) -> Iterator[Problem]:
        """Compare how many samples each version says it has with the rows that it sees."""
        seen = Seen.of(self.rows, self.versions)
        for version, count in zip(self.versions.tolist(), seen.counts(seen.mask).tolist(), strict=True):
            if (said := self._samples.get(version)) not in (None, count):
                yield Problem(Kind.COUNT, "the versions", f"version {version} says {said}, {count} are there")

    def _duplicates(self) -> Iterator[Problem]:
        """Of the rows of one id, in the order of their births, each must have died when the next one is born."""
        used = np.flatnonzero(Seen.of(self.rows, self.versions).mask)
        keys = np.ascontiguousarray(self.rows["key"][used]).view("S16").reshape(-1)
        order = np.lexsort((used, self.rows["born"][used], keys))
        used, keys = used[order], keys[order]
        pairs = np.flatnonzero(keys[1:] == keys[:-1])
        both = self.rows[used[pairs]].copy()  # the earlier of the two, while the later lives too
        both["born"] = self.rows["born"][used[pairs + 1]]
        both["died"] = np.minimum(both["died"], self.rows["died"][used[pairs + 1]])
        seen = Seen.of(both, self.versions)
        yield from self._told(Kind.DUPLICATE, seen, seen.mask, used[pairs], "")

    def _fields(self) -> Iterator[Problem]:
        names = self._known.get(b"names")
        number_of_ids = names.index(ID) if isinstance(names, list) and ID in names else None
        states: list[tuple[int, tuple[Mask, npt.NDArray[np.uint8]] | None]] = []
        hashes: dict[str, bytes] = {}
        at, newest = 0, 0 if self.head is None else self.head.version
        for key, payload, wrong in self._entries(FIELDS):
            if wrong is not None:
                yield wrong
            if len(key) != 18:
                continue
            number, block, version = layout.number_of(key), layout.block_of(key), layout.version_of(key)
            if self._raw.limit is not None and version > self._raw.limit:
                yield Problem(Kind.ABOVE, "the fields", f"block {block}, version {version}", BLOCK)
            if isinstance(names, list) and number >= len(names) and version <= newest:
                yield Problem(Kind.STRANGE, "the fields", f"number {number}")
            if number != number_of_ids or version > newest or block < at:
                continue
            while at < min(block, -(-len(self.rows) // BLOCK)):
                yield from self._names_of(at, states)
                states, at = [], at + 1
                hashes.clear()
            states.append((version, None if payload is None else own_keys(payload, hashes)))
        if isinstance(names, list) and FIELDS not in self._raw.missing and FIELDS not in self._raw.torn:
            for block in range(at, -(-len(self.rows) // BLOCK)):
                yield from self._names_of(block, states)
                states = []

    def _names_of(
        self, block: int, states: list[tuple[int, tuple[Mask, npt.NDArray[np.uint8]] | None]]
    ) -> Iterator[Problem]:
        """Yield the rows of a block that have no id, or another than their key says, as of any version."""
        rows = self.rows[block * BLOCK : (block + 1) * BLOCK]
        nothing = np.zeros(BLOCK, bool), np.zeros((BLOCK, 16), np.uint8)
        ends = [version for version, _ in states] + [NEVER]
        for start, end, state in zip([0, *ends], ends, [nothing, *(state for _, state in states)], strict=False):
            if state is None:
                continue  # damaged, which was told
            seen = Seen.of(rows, self.versions, start, end)
            has, keys = state
            numbers = np.arange(block * BLOCK, (block + 1) * BLOCK)
            yield from self._told(Kind.NAMELESS, seen, seen.mask & ~has, numbers, f"block {block}")
            wrong = seen.mask & has & (keys != rows["key"]).any(axis=1)
            yield from self._told(Kind.MISNAMED, seen, wrong, numbers, f"block {block}")

    def _vectors(self) -> Iterator[Problem]:
        met: dict[Column, set[int]] = {column: set() for column in self._columns}
        for key, payload, wrong in self._entries(VECTORS):
            if wrong is not None:
                yield wrong
            if entries.sound_key(VECTORS, key):
                column, block = layout.column_of(key), int.from_bytes(key[-8:], "big")
                met.setdefault(column, set()).add(block)
                if payload is not None and (misfit := self._misfit(column, block, len(payload))):
                    yield misfit
                elif payload is not None and column in self._columns:
                    yield from self._vectors_of(column, block, payload)
        if VECTORS not in self._raw.missing:
            for column in self._columns:
                for block in range(len(self.rows) // BLOCK):
                    if block not in met[column]:
                        yield from self._vectors_of(column, block, None)

    def _misfit(self, column: Column, block: int, size: int) -> Problem | None:
        """Return what is wrong where a block of vectors is of no teacher that the store knows, or of another dimension."""
        space = self._spaces.get(column.space)
        if META in self._raw.missing:
            return None
        if not isinstance(space, dict) or column.output not in space["outputs"]:
            return Problem(Kind.STRANGE, "the vectors", column_in_words(column))
        if size != BLOCK // 8 + BLOCK * 2 * space["outputs"][column.output]:
            return Problem(Kind.ENTRY, column_in_words(column), f"block {block} has another dimension")
        return None

    def _vectors_of(self, column: Column, block: int, payload: memoryview | None) -> Iterator[Problem]:
        for problem in self._unsound_vectors(column, block, payload):
            yield replace(problem, column=column)

    def _unsound_vectors(self, column: Column, block: int, payload: memoryview | None) -> Iterator[Problem]:
        """Yield the rows of a block that a version sees while their vector is missing or not finite."""
        seen = Seen.of(self.rows[block * BLOCK : (block + 1) * BLOCK], self._columns[column])
        if not seen.mask.any():
            return  # also behind the last row
        numbers, where = np.arange(block * BLOCK, (block + 1) * BLOCK), f"{column_in_words(column)}, block {block}"
        if payload is None:
            yield from self._told(Kind.HOLE, seen, seen.mask, numbers, where)
            return
        present, vectors = layout.unpack_vectors(payload)
        yield from self._told(Kind.HOLE, seen, seen.mask & ~present, numbers, where)
        finite = ((vectors.view(np.uint16) & 0x7C00) != 0x7C00).all(axis=1)  # as np.isfinite says, but faster
        yield from self._told(Kind.INFINITE, seen, seen.mask & present & ~finite, numbers, where)

    def _summaries(self) -> Iterator[Problem]:
        from embedstore.summaries import Summary

        for key, payload, wrong in self._entries(SUMMARIES):
            if wrong is not None:
                yield wrong
            elif payload is not None and Summary.from_bytes(bytes(payload)).fingerprint not in self._spaces:
                yield Problem(Kind.SUMMARY, "the summaries", f"'{key.decode()}'")

    # Below

    def _entries(self, database: bytes) -> Iterator[tuple[bytes, memoryview | None, Problem | None]]:
        """Yield each entry's key with its payload, or with what is wrong with it."""
        if database in self._raw.missing:
            return
        for key, value in self._raw.walk(database):
            self._done += 1
            self._progress(min(self._done, self._total), self._total)
            wrong = entries.problem(database, key, value)
            if wrong is None:
                yield key, value[:-4], None
            else:
                yield (
                    key,
                    None,
                    Problem(Kind.ENTRY, place(database, key, self._known), f"{shown(database, key)} {wrong}"),
                )

    def _told(self, kind: Kind, seen: Seen, chosen: Mask, numbers: Places, where: str) -> Iterator[Problem]:
        """Yield what is wrong with the chosen rows, those of the newest version and others apart."""
        if not chosen.any():
            return
        newest = chosen & (seen.high == len(seen.versions)) & (seen.versions[-1:] == self.versions[-1:])
        earlier = chosen & ~newest
        for mask, name in ((newest, "the newest version"), (earlier, "earlier versions")):
            if mask.any():
                rows = numbers[mask] if name == "the newest version" else numbers[:0]
                yield Problem(kind, name, where, int(mask.sum()), rows, seen.of_rows(mask))


def own_keys(payload: memoryview, hashes: dict[str, bytes]) -> tuple[Mask, npt.NDArray[np.uint8]]:
    """Return of a block of ids which rows (256,) have one, and the keys (256, 16) that they hash to.

    Args:
        payload: of the block.
        hashes: id -> its key, of those that were hashed before; added to.
    """
    texts, codes = layout.unpack_field(payload)
    for text in texts:
        if text not in hashes:
            hashes[text] = layout.id_key(text)
    keys = np.frombuffer(b"".join([hashes[text] for text in texts] + [bytes(16)]), np.uint8).reshape(-1, 16)
    return codes >= 0, keys[codes]
