"""Upgrades of stores that are damaged: each is refused in one sentence, and stays as it was."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgpack
import pytest
from old_stores import SPACE, OldStore, assert_all_is_there, files

from embedstore.errors import CorruptStoreError
from embedstore.store.layout import NEVER, id_key
from embedstore.store.migrations import format_1, upgrade


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the process that sees whether LMDB lives through a walk over the file; a test of damaged files has it back."""
    monkeypatch.setattr(format_1, "can_be_walked", lambda directory: True)


def first(old: OldStore) -> tuple[bytes, dict[str, Any]]:
    """Return key and values of a record of version 1 whose sample is still there as it was."""
    name = next(name for name, record in old.versions[-1].items() if old.rows[record.row]["born"] == 1)
    known = {field: value for field, value in asdict(old.versions[1][name]).items() if value is not None}
    return id_key(name) + (1).to_bytes(8, "big"), known


def record_as(**changes: Any) -> Callable[[OldStore], tuple[str, bytes, bytes | None]]:
    def change(old: OldStore) -> tuple[str, bytes, bytes | None]:
        key, values = first(old)
        return "records", key, msgpack.packb(values | changes)

    return change


def meta_as(name: str, values: Any) -> Callable[[OldStore], tuple[str, bytes, bytes | None]]:
    return lambda old: ("meta", name.encode(), None if values is None else msgpack.packb(values))


EARLY = bytes.fromhex(SPACE) + b"early\0\0\0" + bytes(8)
HEAD = {"version": 1, "space": SPACE, "columns": [[SPACE, "embedding", 0]]}
DAMAGE: dict[str, tuple[Callable[[OldStore], tuple[str, bytes, bytes | None]], str]] = {
    "a record that is missing": (lambda old: ("records", first(old)[0], None), "1 rows of it are of samples that nothing"),
    "a record of another sample": (record_as(id="x"), "says of the sample 'x' at version 1 does not fit its row"),
    "a record of another row": (record_as(row=3), "does not fit its row"),
    "a record of no row": (record_as(row=10**6), "does not fit its row"),
    "a record of another picture": (record_as(content=b"?" * 16), "does not fit its row"),
    "a record with a number for a label": (record_as(label=5), "a record of it is none of a sample"),
    "a record with a list": (record_as(attributes=["a"]), "a record of it is none of a sample"),
    "a record with an unknown field": (record_as(colour="red"), "a record of it is none of a sample"),
    "a record that is none": (lambda old: ("records", first(old)[0], b"\xc1"), "is no msgpack"),
    "vectors that are missing": (lambda old: ("vectors", EARLY, None), "lack their vector in view 0 of 'early'"),
    "vectors that are too short": (lambda old: ("vectors", EARLY, bytes(34)), "block 0 of view 0 of 'early' has a wrong"),
    "rows that are missing": (lambda old: ("rows", bytes(8), None), "it has 0 blocks of rows, and says"),
    "rows that are too short": (lambda old: ("rows", bytes(8), b"x"), "blocks of its rows have a wrong length"),
    "rows of the future": (lambda old: ("rows", bytes(8), (b"\x20" * 8 + b"\x21" * 40) * 256), "versions that can't be"),
    "more rows than there are": (meta_as("rows", 10**9), "says that 1000000000 rows are in use"),
    "no head": (meta_as("head", None), "it has no entry 'head'"),
    "a head that is none": (meta_as("head", [1]), "what it says of its newest version can't be"),
    "a head of the future": (meta_as("head", HEAD | {"version": 10**15}), "newest version is 1000000000000000, and holds less"),
    "another publication": (meta_as("publishing", 9), "what it says of its newest version can't be"),
    "an unknown output": (meta_as("head", HEAD | {"columns": [[SPACE, "x", 0]]}), "what it says of its teacher can't be"),
    "no teacher": (meta_as(f"space:{SPACE}", None), "it has no entry 'space:"),
    "no settings": (meta_as("store", None), "The store has no 'store' entry"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_store_whose_parts_do_not_fit_is_refused_and_stays_as_it_was(tmp_path: Path, name: str) -> None:
    old = OldStore(tmp_path / "old", newest=1)
    damage, sentence = DAMAGE[name]
    with old.values() as put:
        put(*damage(old))
    before = files(old.path)
    with pytest.raises(CorruptStoreError, match=sentence):
        upgrade(old.path)
    assert files(old.path) == before


def test_rows_that_do_not_fit_each_other_are_found(tmp_path: Path) -> None:
    def another_key(old: OldStore) -> None:
        old.rows[3]["key"] = id_key("x")

    def two_pictures_at_once(old: OldStore) -> None:
        name = next(
            name for name, record in old.versions[1].items() if old.versions[2].get(name, record).row != record.row
        )
        old.rows[old.versions[1][name].row]["died"] = NEVER

    def too_early(old: OldStore) -> None:
        old.rows[old.versions[1][next(iter(old.versions[1]))].row]["born"] = 2

    for change, sentence in (
        (another_key, "does not fit its row"), (two_pictures_at_once, "are there twice"), (too_early, "does not fit its row"),
    ):  # fmt: skip
        old = OldStore(tmp_path / change.__name__, newest=2)
        change(old)
        old.write_rows()
        with pytest.raises(CorruptStoreError, match=sentence):
            upgrade(old.path)


def test_a_table_that_lost_values_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, count = OldStore(tmp_path / "old", newest=1), format_1.OldGeneration.count
    monkeypatch.setattr(format_1.OldGeneration, "count", lambda self, name: count(self, name) + (name == b"aside"))
    with pytest.raises(CorruptStoreError, match="of its table 'aside' only 2 of 3 values are there"):
        upgrade(old.path)


@pytest.mark.parametrize("database", ["meta", "records", "rows", "vectors", "aside", "summaries"])
def test_a_wrong_checksum_anywhere_is_found(tmp_path: Path, database: str) -> None:
    old = OldStore(tmp_path / "old", newest=1)
    with old.values() as put:
        key = {
            "meta": b"store",
            "records": first(old)[0],
            "rows": bytes(8),
            "vectors": EARLY,
            "summaries": "平均".encode(),
        }
        put(database, key.get(database, id_key("欠陥.png")), b"anything", 1)
    before = files(old.path)
    with pytest.raises(CorruptStoreError, match=f"'{database}' fails its checksum; it stays as it was. Restore"):
        upgrade(old.path)
    assert files(old.path) == before


def test_a_data_file_that_is_cut_off_or_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    old = OldStore(tmp_path / "old", newest=2)
    data = old.path / "generations" / "0001" / "data.mdb"
    whole = data.read_bytes()
    for content in (whole[: len(whole) // 2], b"noise" * 5000, None):
        data.unlink() if content is None else data.write_bytes(content)
        before = files(old.path)
        with pytest.raises(
            CorruptStoreError, match=r"data\.mdb is missing, cut off, or no data file .* it stays as it was\."
        ):
            upgrade(old.path)
        assert files(old.path) == before
    data.write_bytes(whole)
    upgrade(old.path)
    assert_all_is_there(old)
