"""What readers see: samples and vectors in one order, read by position, id or scan, under any filter."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import CountingTeacher, store_of, unit_vectors, write_pictures
from hypothesis import given, settings
from hypothesis import strategies as st

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import CorruptStoreError, NotAStoreError, StoreError, SummaryError, TeacherMismatchError
from embedstore.store import layout, reading
from embedstore.store.fields import Record
from embedstore.store.layout import BLOCK, Column, Head
from embedstore.store.snapshot import Snapshot
from embedstore.store.tables import Tables
from embedstore.store.writing import next_head, writer

COUNT = 700  # three blocks
LABELS = [None if number % 7 == 6 else ("good", "crack", "pore")[number % 3] for number in range(COUNT)]
MODES = [f"mode {number % 4}" if number % 5 else None for number in range(COUNT)]
GROUPS = [f"part {number // 2}" if number % 3 else None for number in range(COUNT)]
SPLITS = [("train", "val", "test", "aside", None)[number % 5] for number in range(COUNT)]
ATTRIBUTES = [{"line": str(number % 2), "欠陥": "有"} if number % 4 else None for number in range(COUNT)]
VECTORS = np.stack([unit_vectors(seed, COUNT) for seed in range(3)])  # views 0, 1, 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    path = tmp_path_factory.mktemp("reading") / "store"
    with store_of(
        path, VECTORS, labels=LABELS, modes=MODES, groups=GROUPS, splits=SPLITS, attributes=ATTRIBUTES
    ) as opened:
        yield opened


def ids_at(positions: npt.ArrayLike) -> list[str]:
    return [f"sample {number:05d}" for number in np.asarray(positions)]


# What is in it


def test_all_that_is_known_stands_in_the_order_of_the_rows(store: EmbeddingStore) -> None:
    assert len(store) == COUNT
    assert store.ids == ids_at(range(COUNT))
    assert store.labels == LABELS
    assert [(s.id, s.uri, s.label, s.mode, s.group, s.split, dict(s.attributes)) for s in store.samples] == [
        (name, name, label, mode, group, split, attributes or {})
        for name, label, mode, group, split, attributes in zip(
            ids_at(range(COUNT)), LABELS, MODES, GROUPS, SPLITS, ATTRIBUTES, strict=True
        )
    ]
    assert (store.version, store.views, store.dim, store.teacher) == (1, 2, 12, "by hand")


def test_one_sample_is_found_by_id_and_by_position(store: EmbeddingStore) -> None:
    assert store.sample("sample 00451") == store.sample_at(451) == store.samples[451]
    assert "sample 00451" in store
    assert "sample 00700" not in store
    assert "\udcff" not in store  # part of a file name that is no text, so no sample's
    assert store.content_at(451) == b"c" * 16


def test_ids_in_the_order_of_a_folder_keep_it_however_they_hash(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", [f"{number:02d}.png" for number in range(30)])
    embedstore.build(tmp_path / "store", tmp_path / "images", teacher=CountingTeacher(), views=0)
    with embedstore.open(tmp_path / "store") as built:
        assert built.ids == [f"{number:02d}.png" for number in range(30)]


def test_counts_are_those_of_each_value_most_frequent_first(store: EmbeddingStore) -> None:
    for name, values in (("label", LABELS), ("mode", MODES), ("split", SPLITS)):
        found = store.counts(name)
        assert found == dict(Counter(values))
        assert list(found.values()) == sorted(found.values(), reverse=True)
    assert store.counts("line") == dict(Counter((entry or {}).get("line") for entry in ATTRIBUTES))


# Vectors


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, COUNT - 1), max_size=60), st.integers(0, 2))
def test_vectors_are_those_of_the_ids_in_their_order_twice_where_asked_twice(
    store: EmbeddingStore, positions: list[int], view: int
) -> None:
    found = store.vectors(ids_at(positions), view=view)
    assert found.dtype == np.float32
    assert found.shape == (len(positions), 12)
    assert (found == VECTORS[view][positions]).all()
    assert (store.read(np.array(positions, np.int64), view=view) == found).all()


def test_all_vectors_are_those_of_all_ids(store: EmbeddingStore) -> None:
    for view in range(3):
        assert (store.vectors(view=view) == VECTORS[view]).all()


def test_reading_touches_only_the_blocks_that_hold_what_is_asked(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched: list[bytes] = []
    cursor_of = Tables._cursor

    def watched(tables: Tables, database: bytes) -> Any:
        cursor = cursor_of(tables, database)

        def getmulti(keys: list[bytes]) -> Any:
            touched.extend(keys)
            return cursor.getmulti(keys)

        return SimpleNamespace(getmulti=getmulti) if database == layout.VECTORS else cursor

    monkeypatch.setattr(Tables, "_cursor", watched)

    def blocks() -> list[int]:
        found = [int.from_bytes(key[-8:], "big") for key in touched]
        touched.clear()
        return found

    store.vectors(ids_at([600, 3, 610, 5, 600]))
    assert blocks() == [0, 2]
    store.vectors([])
    assert blocks() == []
    store.vectors()
    assert blocks() == [0, 1, 2]


@pytest.mark.parametrize("blocks_at_once", [1, 2, 16])
def test_a_scan_covers_every_sample_once_and_in_order(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch, blocks_at_once: int
) -> None:
    monkeypatch.setattr(reading, "_BLOCKS_AT_ONCE", blocks_at_once)
    parts = list(store.scan(view=1))
    assert len(parts) == -(-3 // blocks_at_once)
    assert np.concatenate([at for at, _ in parts]).tolist() == list(range(COUNT))
    assert all(vectors.dtype == np.float16 for _, vectors in parts)
    assert (np.concatenate([vectors for _, vectors in parts]) == VECTORS[1]).all()


def test_a_scan_keeps_its_values_after_it_has_gone_on(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCKS_AT_ONCE", 1)
    scan = store.scan()
    first = next(scan)[1]
    with writer(store.path) as session:
        session.write(lambda tables: tables.put_summary("unrelated", bytes(100_000)))
    list(scan)
    assert (first == VECTORS[0][:BLOCK]).all()


def test_dead_rows_leave_gaps_that_neither_read_nor_scan_trips_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCKS_AT_ONCE", 1)
    gone = {0, 5, 299, *range(256, 290)}
    left = [number for number in range(600) if number not in gone and number < 512]
    with store_of(tmp_path / "store", VECTORS[:1, :600]) as store:
        with writer(store.path) as session:
            session.publish(next_head(store.head), "test", died=[*gone, *range(512, 600)])
        assert store.ids == ids_at(range(600))  # still the version that it read
        store.refresh()
        assert store.ids == ids_at(left)
        assert (store.vectors() == VECTORS[0][left]).all()
        parts = list(store.scan())
        assert len(parts) == 2
        assert np.concatenate([at for at, _ in parts]).tolist() == list(range(len(left)))
        assert (np.concatenate([vectors for _, vectors in parts]) == VECTORS[0][left]).all()
        assert (store.vectors(ids_at([300, 1])) == VECTORS[0][[300, 1]]).all()
        with pytest.raises(StoreError, match="no sample 'sample 00299'"):
            store.vectors(["sample 00299"])


def test_an_unknown_id_is_named_with_one_that_may_be_meant(store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        store.vectors(["sample 00001", "sample 9"])
    assert str(caught.value) == (
        f"The store '{store.path}' has no sample 'sample 9'; an id is the path below the image folder, or the manifest's own"
    )
    with (
        store_of(tmp_path / "s", unit_vectors(0, 2), ids=["good/a.png", "bad/b.png"]) as other,
        pytest.raises(StoreError) as caught,
    ):
        other.sample("/somewhere/bad/b.png")
    assert str(caught.value) == (
        f"The store '{tmp_path / 's'}' has no sample '/somewhere/bad/b.png'; did you mean 'bad/b.png'?"
    )


def test_an_unknown_view_or_output_is_named_with_what_there_is(store: EmbeddingStore) -> None:
    with pytest.raises(StoreError) as caught:
        store.vectors(view=3)
    assert str(caught.value) == (
        f"The store '{store.path}' has no view 3 of the output 'embedding' (2 views); add it with: "
        f"embedstore build '{store.path}' IMAGES --views 3"
    )
    with pytest.raises(StoreError, match=r"keeps no output 'early' \(it has embedding\); add it with"):
        store.vectors([], output="early")
    with pytest.raises(StoreError, match="no view 7 "):
        next(store.scan(view=7))


# Filters


FIELDS = {
    "label": LABELS,
    "mode": MODES,
    "group": GROUPS,
    "split": SPLITS,
    "line": [(entry or {}).get("line") for entry in ATTRIBUTES],
    "欠陥": [(entry or {}).get("欠陥") for entry in ATTRIBUTES],
}
conditions = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([*{*values}, "no such value"]) for name, values in FIELDS.items()}
)


@settings(max_examples=80, deadline=None)
@given(conditions)
def test_where_finds_exactly_the_samples_that_meet_all_conditions(
    store: EmbeddingStore, wanted: dict[str, str | None]
) -> None:
    expected = [all(FIELDS[name][at] == value for name, value in wanted.items()) for at in range(COUNT)]
    assert store.where(wanted).tolist() == expected


def test_a_condition_on_what_no_sample_has_is_refused_naming_what_there_is(store: EmbeddingStore) -> None:
    with pytest.raises(
        StoreError, match=r"^No sample has the field 'lien'; use one of label, mode, group, split, line, 欠陥\.$"
    ):
        store.where({"lien": "1"})


def test_standard_fields_may_be_asked_even_where_no_sample_has_them(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(0, 3)) as bare:
        for name in ("label", "mode", "group", "split"):
            assert bare.where({name: "x"}).tolist() == [False] * 3
            assert bare.where({name: None}).tolist() == [True] * 3


# Versions, splits, teachers


def test_a_refresh_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    ids, vectors = [f"i{number}" for number in range(600)], unit_vectors(0, 600)
    with (
        store_of(tmp_path / "store", vectors, ids=ids) as store,
        embedstore.open(store.path, version=1) as pinned,
    ):
        with store.write() as writing:
            writing.delete(ids[:300])
        store.compact()
        for _ in range(2):
            with pytest.raises(StoreError, match="Version 1 was removed by a compaction"):
                pinned.refresh()
            assert (pinned.version, pinned.generation.name, pinned.ids) == (1, "0001", ids)
            assert (pinned.vectors(["i7", "i500"]) == vectors[[7, 500]]).all()
        pinned.close()
        with pytest.raises(StoreError, match="was closed"):
            pinned.refresh()


def test_a_call_that_is_under_way_while_another_thread_refreshes_is_answered_from_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, vectors = [f"i{number}" for number in range(600)], unit_vectors(0, 600)
    with store_of(tmp_path / "store", vectors, ids=ids) as store, embedstore.open(store.path) as reader:
        with store.write() as writing:
            writing.delete(ids[:300])
        store.compact()
        positions = Snapshot.positions

        def late(self: Snapshot, asked: list[str]) -> Any:
            found = positions(self, asked)
            reader.refresh()  # after the ids were looked up, before their vectors are read
            return found

        monkeypatch.setattr(Snapshot, "positions", late)
        assert (reader.vectors(["i400", "i599"]) == vectors[[400, 599]]).all()
        assert (reader.version, reader.generation.name) == (2, "0002")
        assert (reader.vectors(["i400", "i599"]) == vectors[[400, 599]]).all()


def test_a_store_stays_at_its_version_until_it_is_refreshed(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["good/a.png", "good/b.png"])
    embedstore.build(tmp_path / "store", tmp_path / "images", teacher=CountingTeacher())
    with embedstore.open(tmp_path / "store") as untouched, embedstore.open(tmp_path / "store") as read:
        vectors = read.vectors()
        write_pictures(tmp_path / "images", ["good/a.png", "bad/c.png"], seed=1)
        embedstore.build(tmp_path / "store", tmp_path / "images", teacher=CountingTeacher())
        for old in (untouched, read):  # the first reads its records only now
            assert (old.version, old.ids, old.labels) == (1, ["good/a.png", "good/b.png"], ["good", "good"])
            assert (old.vectors() == vectors).all()
            old.refresh()
            assert (old.version, sorted(old.ids)) == (2, ["bad/c.png", "good/a.png", "good/b.png"])
            assert (old.vectors(["good/b.png"])[0] == vectors[1]).all()
            assert (old.vectors(["good/a.png"])[0] != vectors[0]).any()


def test_a_split_is_written_once_and_raises_the_version_once(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(0, 40), labels=["a", "b"] * 20) as store:
        plan = store.split(seed=1)
        assert store.version == 2
        assert {sample.id: sample.split for sample in store.samples} == plan.splits
        assert store.split(seed=1).splits == plan.splits
        assert store.version == 2  # nothing changed
        other = store.split(seed=2)
        assert store.version == 3
        assert other.splits != plan.splits
        assert store.split(seed=3, keep=True).splits == other.splits
        with embedstore.open(store.path, version=1) as first, embedstore.open(store.path, version=2) as second:
            assert first.field("split") == [None] * 40
            assert dict(zip(second.ids, second.field("split"), strict=True)) == plan.splits


def test_a_split_by_a_reader_that_is_behind_changes_the_newest_version(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(0, 40), labels=["a", "b"] * 20) as store:
        with embedstore.open(tmp_path / "store") as other, writer(other.path) as session:
            relabelled = Record("sample 00003", "moved", 3, b"c" * 16, label="c")
            session.publish(next_head(other.head), "test", records=[relabelled], died=[7])
        assert (store.version, len(store)) == (1, 40)
        plan = store.split()
        assert (store.version, len(store)) == (3, 39)
        assert (store.sample("sample 00003").label, store.sample("sample 00003").uri) == ("c", "moved")
        assert {sample.id: sample.split for sample in store.samples} == {name: plan.splits[name] for name in store.ids}


def test_another_teacher_is_refused_at_a_query_naming_both(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.png"])
    embedstore.build(tmp_path / "store", tmp_path / "images", teacher=CountingTeacher(name="first"))
    with embedstore.open(tmp_path / "store") as store:
        store.check_teacher(CountingTeacher(name="renamed"))
        with pytest.raises(TeacherMismatchError, match=r"filled by the teacher 'first' .* but 'second' "):
            store.check_teacher(CountingTeacher(name="second", kind="another"))


# Summaries in the store


def test_a_summary_is_saved_under_its_name_for_good_and_raises_no_version(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(0, 20), labels=["a", "b"] * 10) as store:
        assert store.summary_names == []
        with pytest.raises(
            SummaryError, match=r"no summary 'x' \(it has: none yet; make one with: embedstore summarize\)"
        ):
            store.summary("x")
        made = store.summarize("class-mean", name="平均.1")
        store.summarize("class-mean", name="other", per_class=3, seed=5)
        assert store.summarize("class-mean").name == "class-mean"  # and is not saved
        assert store.summary_names == ["other", "平均.1"]
        found = store.summary("平均.1")
        assert found.to_bytes() == made.to_bytes()
        assert (found.vectors == made.vectors).all()
        for unknown in ("x", ""):
            for asked in (store.summary, store.delete_summary):
                with pytest.raises(SummaryError, match=rf"no summary '{unknown}' \(it has: other, 平均\.1\)"):
                    asked(unknown)
        with pytest.raises(SummaryError, match=r"already has a summary '平均\.1', and summaries never"):
            store.summarize("class-mean", name="平均.1", per_class=2)
        assert store.summary("平均.1").to_bytes() == made.to_bytes()
        store.refresh()
        assert store.version == 1


def test_a_taken_name_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store_of(tmp_path / "store", unit_vectors(0, 20), labels=["a", "b"] * 10) as store:
        store.summarize("class-mean", name="means")
        monkeypatch.setattr(EmbeddingStore, "scan", lambda self, **options: pytest.fail("it scanned"))
        with pytest.raises(SummaryError, match="already has"):
            store.summarize("class-mean", name="means")


def test_a_summary_damaged_in_the_store_is_found(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(0, 20), labels=["a", "b"] * 10) as store:
        data = bytearray(store.summarize("class-mean", name="means").to_bytes())
        data[-3] ^= 1
        with writer(store.path) as session:
            session.write(
                lambda tables: tables._transaction.put(
                    b"means", bytes(data) + bytes(4), db=store.environment.database(b"summaries")
                )
            )
        with pytest.raises(
            CorruptStoreError,
            match=r"^A value of the store's table 'summaries' fails its checksum; see .* with: embedstore verify STORE$",
        ):
            store.summary("means")


# Damage that checksums can't see


def test_samples_that_lost_their_ids_are_named(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(0, 5), labels=list("abcde")) as store:
        with writer(store.path) as session:
            session.publish(Head(2, store.fingerprint, store.head.columns, None), "test", died=[1])
            session.write(lambda tables: tables.put_fields(np.array([3]), {"id": [None]}, 2))
        store.refresh()
        assert store.labels == ["a", "c", "d", "e"]
        for look in (lambda: store.ids, lambda: store.sample_at(2), lambda: store.samples):
            with pytest.raises(CorruptStoreError, match=r"^1 samples of the store .* at version 2 have lost their ids"):
                look()
        assert store.sample_at(0).id == "sample 00000"


def test_a_missing_block_is_named(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(0, 300)) as store:
        key = Column(store.fingerprint, "embedding", 0)

        def drop(tables: Tables) -> None:
            from embedstore.store.layout import vector_key

            tables._transaction.delete(vector_key(key, 1), db=store.environment.database(b"vectors"))

        with writer(store.path) as session:
            session.write(drop)
        assert (store.vectors(ids_at([0])) == unit_vectors(0, 300)[:1]).all()
        with pytest.raises(
            CorruptStoreError,
            match="lacks block 1 of view 0; see what is damaged, and what mends it, with: embedstore verify '",
        ):
            store.vectors()


def test_what_is_no_store_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError, match=r"does not exist; make one with: embedstore build "):
        embedstore.open(tmp_path / "nowhere")
    with pytest.raises(NotAStoreError, match=r"is not a store; make one with: embedstore build "):
        embedstore.open(tmp_path)
