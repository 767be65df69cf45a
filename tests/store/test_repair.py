"""Repair: what is left is sound, says nothing that the store did not say before, and comes back whole with the next build."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_stores import (
    COUNT,
    IDS,
    NEWEST,
    change,
    data_file,
    dishonest,
    entries_of,
    everything,
    examined,
    flip_value,
    make,
    mended,
    trials,
)
from helpers import CountingTeacher, assert_same_to_a_float16_step, snapshot, write_pictures

import embedstore
from embedstore.errors import CorruptStoreError, StoreError, StoreLockedError
from embedstore.store import layout
from embedstore.store.health import isolation
from embedstore.store.health.raw import RawStore
from embedstore.store.health.repair import RepairReport, repair
from embedstore.store.health.verification import verify
from embedstore.store.layout import BLOCK, FIELDS, LOG, META, ROWS, SUMMARIES, TAGS, VECTORS
from embedstore.store.tables import Tables
from embedstore.store.writing import writer

GONE = COUNT - 2  # samples of the newest version


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("repaired") / "store")


@pytest.fixture(scope="module")
def before(original: Path) -> dict[Any, Any]:
    return everything(original)


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "store"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the repair run in this process, which is fast, but dies where LMDB does."""
    monkeypatch.setattr(isolation, "run", mended)


def state_of(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name not in ("lock.mdb", "writer.lock")
    }


def flip(path: Path, database: bytes, key: bytes) -> None:
    flip_value(path, entries_of(path)[database, key])


def field(name: str, block: int, version: int) -> bytes:
    return layout.field_key(["id", "label", "group", "attribute:shift", "split"].index(name), block, version)


# Each entry in turn


def test_whatever_entry_is_damaged_the_rest_is_as_it_was_and_sound(
    original: Path, before: dict[Any, Any], tmp_path: Path, here: None
) -> None:
    refused = []
    for (_, key), value in entries_of(original).items():
        path = tmp_path / "store"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(original, path)
        flip_value(path, value)
        try:
            report = repair(path)
        except StoreError as error:
            refused.append((key, str(error).endswith("Nothing was changed.")))
            continue
        assert report.changed
        assert examined(path).clean
        assert dishonest(before, everything(path)) == []
    with embedstore.open(original) as store:
        assert refused == [(f"space:{store.fingerprint}".encode(), True), (b"store", True)]  # nobody else knows these


TRIALS = """
import json, sys
from pathlib import Path
from damaged_stores import dishonest, everything, examined, flip_bit, mended, seeded_flips
from embedstore.errors import StoreError
from embedstore.store.health import isolation
from embedstore.store.health.raw import RawStore
from embedstore.store.health.repair import repair

isolation.run = mended
original, place, first, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
before = everything(original)
for number, (at, bit) in enumerate(seeded_flips(original, 6, count)):
    if number >= first:
        print(json.dumps({"begin": number}), flush=True)
        path = flip_bit(original, place, at, bit)
        try:
            changed = repair(path).changed
            wrong = [*map(str, examined(path).findings), *map(str, dishonest(before, everything(path)))]
            print(json.dumps({"changed": changed, "wrong": wrong}), flush=True)
        except StoreError as error:
            print(json.dumps({"changed": None, "wrong": [] if "Nothing was changed" in str(error) else [str(error)]}), flush=True)
"""


def test_whatever_bit_is_flipped_what_is_left_is_sound_and_nothing_is_said_that_was_not_so(
    original: Path, tmp_path: Path
) -> None:
    results = [result for result in trials(TRIALS, original, tmp_path / "store", 24) if result is not None]
    assert [result for result in results if result["wrong"]] == []
    assert 5 < sum(result["changed"] is True for result in results) < 24


# What each loss means


def test_of_a_sound_store_nothing_is_done(path: Path) -> None:
    before = state_of(path)
    assert repair(path) == RepairReport(str(path), changed=False)
    assert state_of(path) == before


def test_samples_whose_vectors_are_lost_leave_and_are_listed(path: Path) -> None:
    with embedstore.open(path) as store:
        key = layout.vector_key(store.head.columns[0], 1)
    flip(path, VECTORS, key)
    told: list[tuple[int, int]] = []
    report = repair(path, progress=lambda done, total: told.append((done, total)))
    mine = [name for name in IDS[BLOCK : 2 * BLOCK] if name != IDS[300]]
    assert report.embed_again == tuple(mine)
    assert (report.version, report.samples, report.closed) == (NEWEST + 1, GONE - len(mine), (1, 2, 3, 4))
    assert (report.tags, report.nameless, report.emptied) == (("first",), 0, {})
    assert report.kept_aside == str(path / "generations" / "0001.damaged")
    assert told[-1][0] == told[-1][1] > 0
    with embedstore.open(path) as store:
        assert set(store.ids) == set(IDS) - set(mine) - {IDS[5], IDS[300]}
        last = store.log()[-1]
        assert (last.action, last.details) == ("repair", {"removed": len(mine)})
        assert store.summary_names == ["means"]
        lost = store._read(lambda tables: tables.lost())
        assert {entry["id"]: entry["label"] for entry in lost} == {
            "gone": "bad",
            **{name: "odd" if name == IDS[400] else ("good", "bad")[int(name[-5:]) % 2] for name in mine},
        }
    assert verify(path).clean


def test_a_lost_field_is_empty_never_stale(path: Path, here: None) -> None:
    flip(path, FIELDS, field("label", 0, 3))  # an older block still stands in the store
    report = repair(path)
    kept = [name for name in IDS[:BLOCK] if name != IDS[5]]
    assert report.emptied == {"label": tuple(kept)}
    assert report.closed == (3, 4)
    with embedstore.open(path) as store:
        assert store.labels[: len(kept)] == [None] * len(kept)
        assert None not in store.labels[len(kept) :]
        assert store.log()[-1].details == {"updated": len(kept)}
    with embedstore.open(path, version="first") as store:
        assert store.labels == ["good", "bad"] * (COUNT // 2)  # that version never had what was lost


def test_a_lost_block_of_an_earlier_version_closes_that_version_only(path: Path, here: None) -> None:
    flip(path, FIELDS, field("label", 0, 1))
    report = repair(path)
    assert (report.version, report.closed, report.emptied) == (NEWEST, (1, 2), {})
    with embedstore.open(path) as store:
        assert [entry.readable for entry in store.log()] == [True, False, False, True, True]
        assert store.sample(IDS[3]).label == "odd"


def test_samples_whose_ids_nobody_can_tell_leave_and_are_counted(path: Path, here: None) -> None:
    flip(path, FIELDS, field("id", 2, 1))
    change(path, lambda tables: tables.drop_summary("means"))  # which knows them too
    report = repair(path)
    assert (report.nameless, report.embed_again, report.samples) == (COUNT - 512, (), 512 - 2)


def test_lost_ids_come_from_a_summary(path: Path, before: dict[Any, Any], here: None) -> None:
    flip(path, FIELDS, field("id", 2, 1))
    report = repair(path)
    assert (report.nameless, report.version, report.closed) == (0, NEWEST, ())
    assert everything(path) == before


def test_lost_ids_come_from_another_version(path: Path, before: dict[Any, Any], here: None) -> None:
    ids = entries_of(path)[FIELDS, field("id", 2, 1)][:-4]
    change(path, lambda tables: tables.put_entry(FIELDS, field("id", 2, 3), ids))
    change(path, lambda tables: tables.drop_summary("means"))
    flip(path, FIELDS, field("id", 2, 1))
    assert repair(path).closed == ()
    assert {**everything(path), "summaries": 0} == {**before, "summaries": 0}


def test_lost_rows_are_told_by_the_ids_that_stood_there(path: Path, here: None) -> None:
    flip(path, ROWS, layout.row_key(2))
    report = repair(path)
    assert report.embed_again == tuple(IDS[512:])
    assert report.remarks == ("Rows were lost, 256 in each of these blocks: 2.",)
    with embedstore.open(path) as store:
        assert len(store) == 512 - 2
        assert store.row_total == COUNT


def test_of_a_sample_that_is_there_twice_the_newest_row_stays(path: Path, here: None) -> None:
    def twice(tables: Tables) -> None:
        rows = tables.row_block(0)
        rows["key"][9] = rows["key"][8]
        tables.put_row_block(0, rows)
        tables.put_fields(np.array([9]), {"id": [IDS[8]]}, 1)

    change(path, twice)
    report = repair(path)
    assert (report.samples, report.embed_again, report.nameless) == (GONE - 1, (), 0)
    with embedstore.open(path) as store:
        assert store.rows[store.positions([IDS[8]])] == [9]


def test_a_sample_that_has_the_id_of_another_gets_its_own_back(path: Path, here: None) -> None:
    change(path, lambda tables: tables.put_fields(np.array([7]), {"id": ["another"]}, NEWEST))
    report = repair(path)
    assert (report.nameless, report.samples) == (0, GONE)  # another version knows it
    with embedstore.open(path) as store:
        assert IDS[7] in store


def miscounted(version: int) -> Callable[[Tables], None]:
    def miscount(tables: Tables) -> None:
        tables.put_log_entry(version, {**tables.log_entry(version), "samples": COUNT + 5})
        if version == NEWEST:
            tables.put_head(replace(tables.head(), samples=COUNT + 5))

    return miscount


@pytest.mark.parametrize("version", [2, NEWEST])
def test_a_version_that_says_another_number_of_samples_is_told(path: Path, version: int) -> None:
    change(path, miscounted(version))
    with (
        embedstore.open(path, version) as store,
        pytest.raises(CorruptStoreError, match=f"Version {version} .* says that it has {COUNT + 5} samples, but "),
    ):
        _ = store.labels
    report = repair(path)
    (remark,) = report.remarks
    assert remark.startswith(f"Version {version} said that it had {COUNT + 5} samples; ")
    assert report.closed == (() if version == NEWEST else (2,))
    assert not verify(path).findings
    with embedstore.open(path) as store:
        assert len(store) == len(store.labels) == GONE


def test_a_head_that_counts_otherwise_than_the_log_costs_the_log_nothing(
    path: Path, before: dict[Any, Any], here: None
) -> None:
    change(path, lambda tables: tables.put_head(replace(tables.head(), samples=COUNT + 5)))
    report = repair(path)
    assert not any("The log had lost" in remark for remark in report.remarks)
    assert everything(path) == before


def test_rows_behind_the_last_one_come_back(path: Path) -> None:
    change(path, lambda tables: tables.put_row_count(COUNT - 10))
    assert verify(path).findings
    repair(path)
    with embedstore.open(path) as store:
        assert len(store) == len(store.labels) == GONE
    assert not verify(path).findings


def test_a_store_whose_versions_do_not_say_how_many_samples_they_have_is_sound(path: Path) -> None:
    def forget(tables: Tables) -> None:
        tables.put_head(replace(tables.head(), samples=None))
        for entry in tables.log():
            tables.put_log_entry(entry["version"], {name: entry[name] for name in entry if name != "samples"})

    change(path, forget)
    assert not verify(path).findings
    with embedstore.open(path) as store:
        assert store.head.samples is None
        assert len(store) == GONE
        with store.write() as w:
            w.set("label", {IDS[20]: "odd"})
        assert store.head.samples == len(store) == GONE


@pytest.mark.parametrize(
    ("key", "remark"),
    [
        ((META, b"head"), "The newest version, 4, was taken from the log."),
        ((LOG, layout.version_key(4)), "The log had lost what made these versions, which can still be read: 4."),
        ((LOG, layout.version_key(1)), "The log had lost what made these versions, which can still be read: 1."),
        ((META, b"rows"), None),
        ((META, b"publishing"), None),
    ],
)
def test_what_two_places_know_is_taken_from_the_other(
    path: Path, before: dict[Any, Any], key: tuple[bytes, bytes], remark: str | None, here: None
) -> None:
    flip(path, *key)
    report = repair(path)
    assert (report.version, report.closed, report.samples) == (NEWEST, (), GONE)
    assert report.remarks == ((remark,) if remark else ())
    after = everything(path)
    assert {version: after[version] for version in range(NEWEST + 1)} == {
        version: before[version] for version in range(NEWEST + 1)
    }
    assert after["tags"] == before["tags"]


def test_where_the_names_of_fields_are_lost_their_texts_become_attributes(path: Path, here: None) -> None:
    flip(path, META, b"names")
    report = repair(path)
    assert report.closed == (1, 2, 3, 4)
    with embedstore.open(path) as store:
        assert len(store) == GONE
        assert store.sample(IDS[3]).attributes["field 1"] == "odd"
        assert set(store.labels) == {None}


def test_where_nobody_can_tell_which_fields_are_lost_it_is_said_and_no_old_version_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch, here: None
) -> None:
    counted = RawStore.count
    monkeypatch.setattr(RawStore, "count", lambda raw, database: counted(raw, database) + (database == FIELDS))
    flip(path, TAGS, b"first")
    report = repair(path)
    assert (report.version, report.samples, report.closed) == (NEWEST + 1, GONE, (1, 2, 3, 4))
    assert "may be older than they were" in report.remarks[0]


def test_what_a_kill_left_is_taken_back_too(path: Path, before: dict[Any, Any], here: None) -> None:
    with embedstore.open(path) as store:
        environment = store.environment

        def half(tables: Tables) -> None:
            rows = tables.row_block(0)
            rows["died"][10:50] = NEWEST + 1
            tables.put_row_block(0, rows)
            tables.put_fields(np.arange(50), {"label": ["half"] * 50}, NEWEST + 1)

        environment.write(lambda transaction: half(Tables(environment, transaction)))
    assert not examined(path).clean  # and no mark says that it was begun
    repair(path)
    assert everything(path) == before


def test_tags_summaries_and_pictures_set_aside_are_dropped_and_listed(path: Path, here: None) -> None:
    for database in (TAGS, SUMMARIES, layout.ASIDE, layout.LOST):
        flip(path, database, next(key for of, key in entries_of(path) if of == database))
    report = repair(path)
    assert (report.tags, report.summaries) == (("first",), ("means",))
    assert report.dropped == {"aside": 1, "lost": 1}
    assert report.version == NEWEST
    assert examined(path).clean


def test_a_summary_of_a_teacher_that_the_store_never_had_is_dropped(path: Path, here: None) -> None:
    with embedstore.open(path) as store:
        data = replace(store.summary("means"), fingerprint="f" * 32).to_bytes()
    change(path, lambda tables: tables.put_summary("foreign", data))
    assert repair(path).summaries == ("foreign",)


# What comes back


LABELS = ("crack", "good")


def build(tmp_path: Path, teacher: CountingTeacher) -> embedstore.store.BuildReport:
    return embedstore.build(tmp_path / "store", tmp_path / "images", teacher=teacher, views=1)


def built(tmp_path: Path) -> tuple[dict[str, Any], list[str]]:
    """Build a store of two blocks, with labels of the folders and changes by hand; return what it holds, and its ids."""
    write_pictures(tmp_path / "images", [f"{LABELS[number % 2]}/{number:03d}.png" for number in range(300)])
    build(tmp_path, CountingTeacher())
    with embedstore.open(tmp_path / "store") as store:
        ids = store.ids
        with store.write("relabel") as writing:
            writing.set("label", {ids[4]: "scratch", ids[270]: "scratch"})
            writing.set("operator", dict.fromkeys(ids[::3], "Ōta"))
        store.set_groups({ids[5]: "part 5"})
        return snapshot(store), ids


@pytest.mark.parametrize("what", ["vectors", "rows"])
def test_the_next_build_brings_back_lost_samples_with_all_that_was_known(tmp_path: Path, what: str, here: None) -> None:
    before, ids = built(tmp_path)
    path = tmp_path / "store"
    with embedstore.open(path) as store:
        key = layout.row_key(1) if what == "rows" else layout.vector_key(store.head.columns[0], 1)
    flip(path, what.encode(), key)
    report = repair(path)
    assert report.embed_again == tuple(ids[BLOCK:])
    teacher = CountingTeacher()
    again = build(tmp_path, teacher)
    assert (again.embedded, again.samples, teacher.seen) == (2 * (300 - BLOCK), 300, 2 * (300 - BLOCK))
    with embedstore.open(path) as store:
        after = snapshot(store)
        assert store._read(lambda tables: tables.lost()) == []
    assert after["samples"] == before["samples"]
    for view, vectors in before["vectors"].items():
        for name in ids:
            was, now = (np.frombuffer(of[name], np.float32) for of in (vectors, after["vectors"][view]))
            assert_same_to_a_float16_step(now, was)
    assert examined(path).clean


def test_the_next_build_takes_the_sources_word_for_a_lost_field(tmp_path: Path, here: None) -> None:
    before, ids = built(tmp_path)
    path = tmp_path / "store"
    with embedstore.open(path) as store:
        number = store.field_names.index("label")
    flip(path, FIELDS, layout.field_key(number, 0, 2))
    assert repair(path).emptied == {"label": tuple(ids[:BLOCK])}
    teacher = CountingTeacher()
    again = build(tmp_path, teacher)
    assert (again.updated, teacher.seen) == (BLOCK, 0)
    with embedstore.open(path) as store:
        after = {name: sample.label for name, sample in snapshot(store)["samples"].items()}
    by_hand = {name: sample.label for name, sample in before["samples"].items()}
    assert after == by_hand | {ids[4]: ids[4].split("/")[0]}  # what was changed by hand was lost, in that block only


# Files


def test_a_damaged_current_is_written_anew_and_nothing_else(path: Path) -> None:
    before = state_of(path)
    (path / "CURRENT").write_text("{")
    report = repair(path)
    assert (report.changed, report.version, report.kept_aside) == (True, None, None)
    assert state_of(path) == before


def test_a_damaged_index_is_removed_and_nothing_else(path: Path, here: None) -> None:
    before = state_of(path)
    with embedstore.open(path) as store:
        store.build_index("Flat")
    (path / "generations" / "0001" / "index" / "index.json").write_text("{}")
    report = repair(path)
    assert (report.index_removed, report.kept_aside) == (True, None)
    assert {name: data for name, data in state_of(path).items() if not name.endswith("index.lock")} == before


def test_the_damaged_data_is_kept_aside_and_can_be_discarded(path: Path, here: None) -> None:
    flip(path, TAGS, b"first")
    damaged = data_file(path).read_bytes()
    first = repair(path)
    assert (Path(first.kept_aside or "") / "data.mdb").read_bytes() == damaged
    assert not first.index_removed
    with embedstore.open(path) as store:
        store.tag("again")
        store.compact()  # touches nothing that is kept aside
        store.build_index("Flat")
    flip(path, TAGS, b"again")
    second = repair(path, discard=True)
    assert (second.kept_aside, second.index_removed) == (None, True)
    assert sorted(found.name for found in (path / "generations").iterdir()) == ["0001.damaged", "0004"]


def test_where_reading_ends_the_process_nothing_is_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(path, TAGS, b"first")
    before = state_of(path)
    code = "import os, signal\nfrom embedstore.store.health import completion, isolation\n"
    code += "completion.Completion.run = lambda *_: os.kill(os.getpid(), signal.SIGBUS)\nisolation.main()"
    monkeypatch.setattr(isolation, "_CODE", code)
    with pytest.raises(StoreError, match=r"\(SIGBUS\).* too damaged to be repaired; restore .* Nothing was changed\.$"):
        repair(path)
    assert state_of(path) == before


@pytest.mark.parametrize("share", [0.95, 0.85, 0.7, 0.5, 0.1])
def test_what_a_cut_off_data_file_still_has_is_saved_or_nothing_is_changed(
    path: Path, before: dict[Any, Any], share: float
) -> None:
    os.truncate(data_file(path), int(data_file(path).stat().st_size * share))
    state = state_of(path)
    try:
        report = repair(path)
    except StoreError:
        assert share < 0.6
        assert state_of(path) == state
        return
    assert examined(path).clean
    after = everything(path)
    records, vectors = after[after["about"][2].version]
    assert len(records) == report.samples
    true_vectors = before[NEWEST][1]
    assert all(own[name] == true_vectors[view][name] for view, own in vectors.items() for name in records)
    assert share < 0.9 or len(records) > 0
    assert sorted(found.name for found in (path / "generations").iterdir()) == ["0001.damaged", "0002"]


def test_a_damaged_generation_outlives_a_kill_before_it_has_its_new_name(
    path: Path, monkeypatch: pytest.MonkeyPatch, here: None
) -> None:
    flip(path, TAGS, b"first")
    damaged = data_file(path).read_bytes()
    moved = layout.write_current

    def killed(*arguments: Any) -> None:
        moved(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, "write_current", killed)
    with pytest.raises(KeyboardInterrupt):
        repair(path)
    monkeypatch.undo()
    assert (path / "generations" / "0001" / layout.DAMAGED).exists()
    with embedstore.open(path) as store:
        store.tag("next")  # a writer sweeps
    assert (path / "generations" / "0001.damaged" / "data.mdb").read_bytes() == damaged


def test_a_folder_of_somebody_beside_the_generations_is_left_alone(path: Path, here: None) -> None:
    (path / "generations" / "2024-notes").mkdir()
    flip(path, TAGS, b"first")
    repair(path)
    assert sorted(found.name for found in (path / "generations").iterdir()) == ["0001.damaged", "0002", "2024-notes"]


def test_what_a_killed_repair_left_is_removed_by_the_next(path: Path, here: None) -> None:
    (path / "generations" / "0002.new").mkdir()
    (path / "generations" / "0002.new" / "data.mdb").write_bytes(b"half")
    repair(path)
    assert [found.name for found in (path / "generations").iterdir()] == ["0001"]


def test_there_is_one_writer(path: Path) -> None:
    with writer(path), pytest.raises(StoreLockedError):
        repair(path)


def test_where_nothing_is_left_the_store_is_not_emptied(path: Path, here: None) -> None:
    def lose(tables: Tables) -> None:
        tables.drop_summary("means")
        for key in tables.keys(FIELDS):
            if layout.number_of(key) == 0:
                tables.drop_entry(FIELDS, key)

    change(path, lose)
    before = state_of(path)
    with pytest.raises(StoreError, match=r"for nothing of its samples is left; restore it from a copy"):
        repair(path)
    assert state_of(path) == before
