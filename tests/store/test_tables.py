"""Values that carry a right checksum and are none of ours: readers and `verify` tell them, and nothing else happens."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from damaged_stores import change, examined
from helpers import unit_vectors

import embedstore
from embedstore.errors import CorruptStoreError
from embedstore.store import layout
from embedstore.store.layout import BLOCK
from embedstore.store.tables import Tables

COUNT, DIM = BLOCK + 44, 8

Change = Callable[[Tables], Any]

READS: dict[str, Callable[[embedstore.EmbeddingStore], Any]] = {
    "open": lambda store: None,
    "ids": lambda store: store.ids,
    "sample": lambda store: store.sample_at(3),
    "vectors": lambda store: store.vectors(),
    "log": lambda store: store.log(),
    "tags": lambda store: store.tags,
    "summaries": lambda store: store.summary_names,
    "lost": lambda store: store.lost,
    "aside": lambda store: store.set_aside,
}


def meta(name: bytes, values: Any) -> Change:
    return lambda tables: tables.put_entry(layout.META, name, layout.pack(values))


def put(database: bytes, key: bytes, payload: bytes) -> Change:
    return lambda tables: tables.put_entry(database, key, payload)


def vectors(payload: bytes) -> Change:
    return lambda tables: tables.put_entry(layout.VECTORS, layout.vector_key(tables.head().columns[0], 0), payload)


def ids(payload: bytes) -> Change:
    return lambda tables: tables.put_entry(layout.FIELDS, layout.field_key(tables.names().index("id"), 0, 1), payload)


def space(**values: Any) -> Change:
    return lambda tables: tables.put_space(tables.head().space, tables.space(tables.head().space) | values)


COLUMN = ["0" * 32, "embedding", 0]
TAMPERED: dict[str, tuple[Change, str]] = {
    "rows that are too short": (put(layout.ROWS, layout.row_key(0), b"x" * 10), "ids"),
    "rows under a key that is none": (put(layout.ROWS, b"\0" * 7, b"x"), "ids"),
    "a field that is too short": (ids(b"\0\0" + layout.pack(["a"])), "ids"),
    "a field that is too short, of one sample": (ids(b"\0"), "sample"),
    "a field with a list as a key": (
        ids(bytes(2 * BLOCK) + b"\x81\x90\xc0"), "ids",
    ),
    "vectors that are too short": (vectors(b"x" * 33), "vectors"),
    "vectors without even presence": (vectors(b"x"), "vectors"),
    "vectors of dimension 1": (vectors(b"\xff" * 32 + b"\0\x3c" * BLOCK), "vectors"),
    "vectors of one number too many": (vectors(b"\xff" * 32 + b"\0\x3c" * BLOCK * (DIM + 1)), "vectors"),
    "a head that is a list": (meta(b"head", [1]), "open"),
    "a head of a negative version": (meta(b"head", {"version": -1, "space": "0" * 32, "columns": [COLUMN]}), "open"),
    "a head with half a column": (meta(b"head", {"version": 1, "space": "0" * 32, "columns": [COLUMN[:2]]}), "open"),
    "a head of no space": (meta(b"head", {"version": 1, "space": "../..", "columns": []}), "open"),
    "a date for a head": (meta(b"head", msgpack.Timestamp(1)), "open"),
    "settings without a recipe": (meta(b"store", {}), "open"),
    "settings that are a number": (meta(b"store", 7), "open"),
    "names that are a number": (meta(b"names", 5), "open"),
    "a name twice": (meta(b"names", ["id", "id"]), "open"),
    "more rows than there are": (meta(b"rows", 2 * BLOCK + 1), "ids"),
    "far more rows than there are": (meta(b"rows", 1 << 40), "vectors"),
    "fewer rows than none": (meta(b"rows", -5), "ids"),
    "a teacher without outputs": (space(outputs={}), "open"),
    "a teacher of a dimension that nothing holds": (space(outputs={"embedding": 1 << 40}), "open"),
    "a teacher whose outputs are defined by no text": (space(definitions={"embedding": 5}), "open"),
    "a log that is a number": (put(layout.LOG, layout.version_key(0), layout.pack(3)), "log"),
    "a log of another version": (
        put(layout.LOG, layout.version_key(9), layout.pack({"version": 1, "space": "0" * 32, "columns": []})), "log",
    ),
    "a compaction that is a number": (meta(b"compacted", 4), "log"),
    "a tag that is no text": (put(layout.TAGS, b"\xff\xfe", layout.pack(1)), "tags"),
    "a tag of no version": (put(layout.TAGS, b"t", layout.pack("1")), "tags"),
    "a summary whose name is no text": (put(layout.SUMMARIES, b"\xff", b"x"), "summaries"),
    "a lost sample that is a number": (put(layout.LOST, bytes(16), layout.pack(3)), "lost"),
    "a picture aside without a reason": (
        put(layout.ASIDE, layout.id_key("a"), layout.pack({"path": "a"})), "aside",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "store"
    with embedstore.create(path, teacher="model", dim=DIM) as store, store.write() as changes:
        changes.add([f"sample {n}" for n in range(COUNT)], unit_vectors(0, COUNT, DIM), labels=["good"] * COUNT)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize("what", TAMPERED)
def test_what_this_program_did_not_write_is_told_and_never_another_error(path: Path, what: str) -> None:
    work, refused = TAMPERED[what]
    change(path, work)
    for name, read in READS.items():
        try:
            with embedstore.open(path) as store:
                read(store)
        except CorruptStoreError as error:
            assert str(error).endswith(("embedstore verify STORE", f"embedstore verify '{path}'"))  # noqa: PT017  what else may be refused depends on the value
        else:
            assert name != refused
    assert examined(path).findings


def test_a_sound_store_passes_all_of_this(path: Path) -> None:
    with embedstore.open(path) as store:
        for read in READS.values():
            read(store)
    assert examined(path).clean


def test_blocks_behind_the_last_row_and_of_unknown_fields_change_nothing(path: Path) -> None:
    payload = layout.pack_field(["x"] * BLOCK)

    def add(tables: Tables) -> None:
        ids = tables.names().index("id")
        for number, block in ((ids, 2), (ids, 1 << 60), (9, 0)):
            tables.put_entry(layout.FIELDS, layout.field_key(number, block, 1), payload)

    with embedstore.open(path) as store:
        before = store.ids
    change(path, add)
    with embedstore.open(path) as store:
        assert store.ids == before


def test_a_block_of_another_dimension_is_never_written_into(path: Path) -> None:
    change(path, vectors(b"\xff" * 32 + b"\0\x3c" * BLOCK))
    with pytest.raises(CorruptStoreError, match=f"not 256 vectors of {DIM} numbers"):
        change(
            path,
            lambda tables: tables.put_vectors(tables.head().columns[0], np.arange(3), np.ones((3, DIM), np.float16)),
        )


@pytest.mark.parametrize("head", [10**6, 2**62])
def test_a_head_that_somebody_made_up_is_told_in_bounded_time(path: Path, head: int) -> None:
    change(path, lambda tables: tables.put_head(replace(tables.head(), version=head)))
    log = next(finding for finding in examined(path).findings if finding.kind == "log")
    assert log.count == head + 1 - 2  # versions 0 and 1 are in the log
