"""Stores as earlier releases wrote them, put down value by value; `store.migrations.format_1` describes format 1."""

import json
import random
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import numpy as np

import embedstore
from embedstore import Recipe
from embedstore.store.fields import Record
from embedstore.store.layout import BLOCK, NEVER, Column, id_key
from embedstore.store.tables import Tables

SPACE = "00112233445566778899aabbccddeeff"
OUTPUTS = {"embedding": 3, "early": 2}
SETTINGS = {"recipe": Recipe().to_dict(), "image_root": "/pictures"}
ASIDE = {"broken/1.png": "is no picture", "欠陥.png": "is cut off"}
DATABASES = ("meta", "records", "rows", "vectors", "aside", "summaries")


class OldStore:
    """A store of format 1 with a made-up history: pictures added, changed, deleted and brought back, fields changed.

    It has two views of two outputs, of which the second view was added last; two rows of an interrupted build, one row that
    was swept, and, where asked for, a version whose publication was killed before it moved the head.

    Attributes:
        path: of the store.
        versions: of each version the records, by id.
        rows: born, died, key, content and vectors, by output and view, of each row.
        staged: which rows an interrupted build left.
        swept: which row no version will ever show.
    """

    def __init__(self, path: Path, *, seed: int = 0, newest: int = 5, killed: bool = False):
        self.path, self._draw = path, random.Random(seed)  # noqa: S311
        self.rows: list[dict[str, Any]] = []
        self._alive: dict[str, Record] = {}
        self._records: dict[tuple[str, int], Record] = {}
        self.versions: list[dict[str, Record]] = [{}]
        for version in range(1, newest + 1):
            self._change(version)
            self.versions.append(dict(self._alive))
        self.columns = [[SPACE, output, view] for view, output in product((0, 1), OUTPUTS)]
        for record in self._alive.values():
            self.rows[record.row]["vectors"] |= {(output, 1): self._vector(output) for output in OUTPUTS}
        self.swept = self._row("gone", newest, newest)
        self.staged = {self._row("next/1.png"), self._row("次/2.png")}
        if killed:
            self._change(newest + 1)
            self._row("unwanted", newest + 1, newest + 1)  # by this version, which never came: so it is as it was
            self.staged |= {number for number, row in enumerate(self.rows) if row["born"] == newest + 1}
        self._write({"version": newest, "space": SPACE, "columns": self.columns}, newest + 1 if killed else None)
        for number in self.staged:
            self.rows[number]["born"] = NEVER

    def _change(self, version: int) -> None:
        for name in self._some(0.2):
            self.rows[self._alive.pop(name).row]["died"] = version
        for name in self._some(0.25):
            self._describe(self._alive[name], version)
        missing = [name for name in (f"良品 {number}" for number in range(200)) if name not in self._alive]
        for name in self._draw.sample(missing, len(missing) * 3 // 4):
            row = self._row(name, version)
            self._describe(Record(name, name, row, self.rows[row]["content"]), version)

    def _some(self, share: float) -> list[str]:
        return self._draw.sample(list(self._alive), int(len(self._alive) * share))

    def _describe(self, record: Record, version: int) -> None:
        drawn = {field: self._draw.choice(["a", "b", "欠け", None]) for field in ("label", "mode", "group", "split")}
        self._alive[record.id] = self._records[record.id, version] = replace(
            record,
            uri=self._draw.choice([record.id, f"files/{record.id}.png"]),
            **drawn,
            attributes=self._draw.choice([None, {"line": "1"}, {"line": "2", "shift": "夜"}]),
            source=self._draw.choice([None, {"label": "a", "attribute line": "1"}]),
        )

    def _row(self, name: str, born: int = NEVER, died: int = NEVER) -> int:
        vectors = {(output, 0): self._vector(output) for output in OUTPUTS}
        own = {"born": born, "died": died, "key": id_key(name), "content": self._draw.randbytes(16), "vectors": vectors}
        self.rows.append(own)
        return len(self.rows) - 1

    def _vector(self, output: str) -> list[float]:
        return [self._draw.choice([-1.0, 0.5, 2.0]) for _ in range(OUTPUTS[output])]

    def _write(self, head: dict[str, Any], publishing: int | None) -> None:
        (self.path / "generations" / "0001").mkdir(parents=True)
        (self.path / "CURRENT").write_text(json.dumps({"format": 1, "generation": "0001"}))
        teacher = {"teacher": "by hand", "outputs": OUTPUTS, "input_size": 16}
        meta = {
            "head": head,
            "store": SETTINGS,
            f"space:{SPACE}": teacher,
            "rows": len(self.rows),
            "publishing": publishing,
        }
        self.write_rows()
        with self.values() as put:
            for name, values in meta.items():
                put("meta", name.encode(), msgpack.packb(values))
            for (name, version), record in self._records.items():
                known = {field: value for field, value in asdict(record).items() if value is not None}
                put("records", id_key(name) + version.to_bytes(8, "big"), msgpack.packb(known))
            for path, reason in ASIDE.items():
                put("aside", id_key(path), msgpack.packb({"path": path, "reason": reason}))
            put("summaries", "平均".encode(), b"what a summary is")

    def write_rows(self) -> None:
        """Write `rows` and their vectors."""
        with self.values() as put:
            for block in range(-(-len(self.rows) // BLOCK)):
                self._write_block(block.to_bytes(8, "big"), self.rows[block * BLOCK : (block + 1) * BLOCK], put)

    def _write_block(self, number: bytes, own: list[dict[str, Any]], put: Callable[..., None]) -> None:
        packed = [
            row["born"].to_bytes(8, "little") + row["died"].to_bytes(8, "little") + row["key"] + row["content"]
            for row in own
        ]
        put("rows", number, b"".join([*packed, (b"\xff" * 16 + bytes(32)) * (BLOCK - len(own))]))
        for output, view in product(OUTPUTS, (0, 1)):
            present, vectors = np.zeros(BLOCK, bool), np.zeros((BLOCK, OUTPUTS[output]), "<f2")
            for at, row in enumerate(own):
                if (output, view) in row["vectors"]:
                    present[at], vectors[at] = True, row["vectors"][output, view]
            key = bytes.fromhex(SPACE) + output.encode() + b"\0" + view.to_bytes(2, "big") + number
            put("vectors", key, np.packbits(present).tobytes() + vectors.tobytes())

    @contextmanager
    def values(self):  # type: ignore[no-untyped-def]
        """Yield a function of database, key and payload that writes a value with its checksum; without payload it deletes."""
        with lmdb.open(
            str(self.path / "generations" / "0001"), map_size=1 << 24, max_dbs=len(DATABASES)
        ) as environment:
            handles = {name: environment.open_db(name.encode()) for name in DATABASES}
            with environment.begin(write=True) as transaction:

                def put(database: str, key: bytes, payload: bytes | None, wrong: int = 0) -> None:
                    if payload is None:
                        assert transaction.delete(key, db=handles[database])
                    else:
                        checksum = zlib.crc32(key + payload) ^ wrong
                        transaction.put(key, payload + checksum.to_bytes(4, "little"), db=handles[database])

                yield put


def files(root: Path) -> dict[str, bytes]:
    """Return all files below a folder but those of locks."""
    paths = [
        path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in ("lock.mdb", "writer.lock")
    ]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def assert_all_is_there(old: OldStore) -> None:
    """Assert that every version reads as it did, and that the rest is as it was."""
    for version, expected in enumerate(old.versions):
        with embedstore.open(old.path, version=version) as store:
            read = store.records()
            assert {record.id: record for record in read} == expected
            assert [record.row for record in read] == sorted(record.row for record in expected.values())
            vectors = [old.rows[record.row]["vectors"] for record in read]
            complete = [column for column in old.columns if vectors and all((*column[1:],) in own for own in vectors)]
            assert [[column.space, column.output, column.view] for column in store.head.columns] == complete
            for _, output, view in complete:
                everything = store.read(np.arange(len(store)), view=view, output=output)
                assert everything.tolist() == [own[output, view] for own in vectors]
    with embedstore.open(old.path) as store:
        assert (store.version, store.views) == (len(old.versions) - 1, 1)
        assert (store.settings, store.space) == (SETTINGS, {"teacher": "by hand", "outputs": OUTPUTS, "input_size": 16})
        assert {entry["path"]: entry["reason"] for entry in store.set_aside} == ASIDE
        logged = [(one.number, one.action, one.readable) for one in store.log()]
        assert logged == [(version, "before the upgrade", True) for version in range(len(old.versions))]
        then, now = old.versions[1], old.versions[-1]
        changed = {
            name
            for name in now
            if name in then and (now[name].row, now[name].label) != (then[name].row, then[name].label)
        }
        assert changed
        assert store.changed_since(1) == changed

        def look(tables: Tables) -> None:
            rows = tables.rows()
            assert [(row["key"].tobytes(), row["content"].tobytes()) for row in rows] == [
                (row["key"], row["content"]) for row in old.rows
            ]
            assert set(np.flatnonzero(rows["born"] == np.uint64(NEVER))) == old.staged
            assert {int(row["died"]) for row in rows[list(old.staged)]} == {NEVER}
            assert [int(rows[bound][old.swept]) for bound in ("born", "died")] == [0, 0]
            for output in OUTPUTS:
                for view in (0, 1):
                    present = tables.presence(Column(SPACE, output, view), len(rows)).tolist()
                    assert present == [(output, view) in row["vectors"] for row in old.rows]
            assert (tables.summary_names(), tables.summary("平均")) == (["平均"], b"what a summary is")

        store._read(look)
