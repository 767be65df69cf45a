"""Rollback: a new version that looks like an older one to the last byte, or a clear refusal; killed, nothing changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CountingTeacher, Killed, noise_picture, store_of, unit_vectors, write_picture
from killing import killed_at
from toy_refresh import CRACK, GOOD, change_pictures, copied, refreshed, seen, summaries, toy_store

import embedstore
from embedstore.errors import StoreError, StoreLockedError
from embedstore.store import rolling_back as rolling
from embedstore.store.health.verification import verify
from embedstore.store.kept_pictures import open_kept
from embedstore.store.writing import writer


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy store, then pictures changed, added and deleted, labels set, a field added, a sample deleted."""
    root = tmp_path_factory.mktemp("history")
    path = toy_store(root)
    change_pictures(root / "images")
    refreshed(path)
    with embedstore.open(path) as store:
        with store.write("relabel") as writing:
            writing.set("label", {GOOD[3]: "crack", CRACK[3]: None})
            writing.set("line", {GOOD[4]: "三"})
        with store.write("delete") as writing:
            writing.delete([CRACK[4], "pore/new.png"])
    return root


@pytest.fixture
def path(history: Path, tmp_path: Path) -> Path:
    return copied(history / "store", tmp_path / "store")


def newest(path: Path) -> int:
    with embedstore.open(path) as store:
        return store.version


def test_every_version_comes_back_to_the_last_byte(path: Path) -> None:
    last = newest(path)
    states = {version: seen(path, version) for version in range(1, last + 1)}
    assert len({str(state) for state in states.values()}) >= last - 1  # the summaries' step changes none
    order = [1, last, 3, 2, last - 1, 1, 2]
    for target in order:
        made = embedstore.rollback(path, target)
        assert seen(path) == states[target]
        assert made.version == newest(path)
        assert {version: seen(path, version) for version in states} == states
    assert newest(path) == last + len(order)
    assert verify(path).clean


def test_vectors_are_the_bits_of_the_dead_rows_in_every_view(path: Path) -> None:
    embedstore.rollback(path, 2)
    with embedstore.open(path, 2) as then, embedstore.open(path) as now:
        assert set(then.ids) == set(now.ids)
        assert {now.rows[now.positions([one])[0]] for one in (GOOD[1], CRACK[1], GOOD[2])}.isdisjoint(
            then.rows.tolist()
        )
        for view in (0, 1):
            old, new = (store.vectors([GOOD[1], GOOD[2], CRACK[4]], view=view) for store in (then, now))
            assert old.tobytes() == new.tobytes()
        assert now.changed_since(2) == set()


def test_an_exported_summary_fits_again(path: Path, tmp_path: Path) -> None:
    embedstore.rollback(path, 2)
    with embedstore.open(path) as store:
        embedstore.export(store, tmp_path / "mean.safetensors", summary="class-mean")


def test_summaries_take_their_names_back_and_no_byte_is_lost(path: Path) -> None:
    before = summaries(path)
    assert {f"{name}@2" for name in ("class-mean", "sub-prototypes")} < before.keys()
    report = embedstore.rollback(path, "before-refresh-2")
    after = summaries(path)
    assert report.summaries == dict.fromkeys(["class-mean", "compressed-own", "rare-samples", "sub-prototypes"], 2)
    for name in report.summaries:
        assert after[name] == before[f"{name}@2"]
        assert after[f"{name}@4"] == before[name]
        assert f"{name}@2" not in after
    with embedstore.open(path) as store:  # who was trained from one still finds it, whatever has the name
        assert store.summary("class-mean@2").to_bytes() == before["class-mean@2"]
        assert store.summary("class-mean@4").to_bytes() == before["class-mean"]
        with pytest.raises(embedstore.EmbedstoreError, match="no summary 'class-mean@3'"):
            store.summary("class-mean@3")


def test_a_rollback_of_a_rollback_brings_the_summaries_back_too(path: Path) -> None:
    last, before = newest(path), summaries(path)
    embedstore.rollback(path, 2)
    between = summaries(path)
    assert set(embedstore.rollback(path, last).summaries.values()) == {4}
    assert summaries(path) == before
    report = embedstore.rollback(path, last + 1)  # the version that the first rollback made, which had seen version 2
    assert set(report.summaries.values()) == {2}
    assert summaries(path) == between


def test_a_rollback_keeps_the_summaries_of_a_version_that_a_rollback_made(path: Path, history: Path) -> None:
    last = newest(path)
    embedstore.rollback(path, 2)
    between = summaries(path)
    with embedstore.open(path) as store, store.write("relabel") as writing:
        writing.set("label", {GOOD[3]: "crack"})
    assert embedstore.rollback(path, last + 1).summaries == {}
    refreshed(path, images=copied(history / "images", path.parent / "images"), keep=1)
    assert set(embedstore.rollback(path, last + 1).summaries.values()) == {2}
    names = {name for name in between if "@" not in name}
    after = summaries(path)
    assert {name: after[name] for name in names} == {name: between[name] for name in names}


def test_a_tag_of_a_persons_keeps_the_summaries_of_its_version_from_refreshes(tmp_path: Path) -> None:
    path = toy_store(tmp_path)
    then = summaries(path)
    with embedstore.open(path) as store:
        store.tag("start")
    for night in range(3):
        write_picture(tmp_path / "images" / f"good/night {night}.png", noise_picture(700 + night, (5, 4)))
        refreshed(path, keep=1)
    with embedstore.open(path, version="start") as store:
        assert store.summary("class-mean").to_bytes() == then["class-mean"]
    report = embedstore.rollback(path, "start")
    assert report.summaries.keys() == then.keys()
    assert report.later_summaries == {}
    after = summaries(path)
    assert {name: after[name] for name in then} == then


def test_a_summary_with_nothing_to_go_back_to_is_told(path: Path) -> None:
    last = newest(path)
    with embedstore.open(path) as store:
        store.summarize("medoids", name="late", k=1)
    assert embedstore.rollback(path, last, dry_run=True).later_summaries == {}
    report = embedstore.rollback(path, 2)
    assert report.later_summaries == {"late": last}
    assert "late" not in report.summaries
    with embedstore.open(path) as store:
        store.summarize("medoids", name="last", k=1)  # of what version 2 looks like
    assert embedstore.rollback(path, report.version, dry_run=True).later_summaries.keys() == {"late"}
    assert embedstore.rollback(path, 2, dry_run=True).later_summaries.keys() == {"late", "last"}


def test_kept_pictures_of_older_versions_are_still_there(path: Path) -> None:
    embedstore.rollback(path, 2)
    kept = open_kept(path, 16)
    assert kept is not None
    with embedstore.open(path) as store:
        assert {content.tobytes() for content in store.alive["content"]} <= kept.contents()
    kept.close()


def test_what_it_says_and_what_the_log_says(path: Path) -> None:
    report = embedstore.rollback(path, 4)
    # The relabelled and the deleted; two that stayed have their labels, and one has lost a field.
    assert (report.back, report.gone, report.updated, report.target) == (2, 0, 3, 4)
    with embedstore.open(path) as store:
        last = store.log()[-1]
    assert (last.action, dict(last.details)) == ("rollback", {"rolled back to": 4, "back": 2, "updated": 3})


def test_a_dry_run_and_a_rollback_to_what_is_change_nothing(path: Path) -> None:
    last = newest(path)
    report = embedstore.rollback(path, 2, dry_run=True)
    assert report.dry_run
    assert report.back == 4  # two changed, one pruned, one deleted
    assert newest(path) == last
    assert embedstore.rollback(path, last).nothing
    assert newest(path) == last


def test_what_has_come_back_is_not_copied_again(path: Path) -> None:
    embedstore.rollback(path, 2)
    assert embedstore.rollback(path, 2).nothing
    with embedstore.open(path) as store:
        rows = store.row_total
        with store.write("relabel") as writing:
            writing.set("label", {GOOD[1]: "pore"})
    assert (report := embedstore.rollback(path, 2)).updated == 1
    assert (report.back, report.gone) == (0, 0)
    with embedstore.open(path) as store:
        assert store.row_total == rows


def test_views_that_came_later_are_out_of_sight_again(tmp_path: Path) -> None:
    path = toy_store(tmp_path)
    before = seen(path)
    change_pictures(tmp_path / "images")
    embedstore.build(path, tmp_path / "images", teacher=CountingTeacher(), views=3)
    embedstore.rollback(path, 2)
    with embedstore.open(path) as store:
        assert store.views == 1
    assert seen(path) == before


def test_a_teacher_that_was_changed_comes_back_with_its_vectors_and_goes_again(tmp_path: Path) -> None:
    path = toy_store(tmp_path)
    first = seen(path)
    embedstore.migrate(path, teacher=CountingTeacher(kind="another"))
    alone = embedstore.rollback(path, 2)
    assert (alone.back, alone.gone, alone.updated, alone.other_vectors, alone.nothing) == (0, 0, 0, True, False)
    assert seen(path) == first
    embedstore.migrate(path, back=True, teacher=None)
    write_picture(tmp_path / "images" / GOOD[3], noise_picture(61, (5, 4)))
    embedstore.refresh(path, teacher=CountingTeacher(kind="another"))
    second = seen(path)
    assert second["vectors"] != first["vectors"]
    for target, wanted in ((2, first), (newest(path), second), (2, first)):
        report = embedstore.rollback(path, target)
        assert (report.back, report.gone, report.other_vectors) == (1, 1, True)
        assert seen(path) == wanted
    assert verify(path).clean


def test_it_leaves_the_version_before_it_to_go_back_to(tmp_path: Path) -> None:
    """Most rows are of no use to the newest version, which any other change takes for a reason to compact."""
    path = tmp_path / "s"
    with store_of(path, np.stack([unit_vectors(seed, 1100) for seed in (1, 2)])) as store, store.write() as writing:
        writing.add(store.ids, np.stack([unit_vectors(seed, 1100) for seed in (3, 4)]), replace=True)
    states = [seen(path, 1), seen(path, 2)]
    for _ in range(2):
        embedstore.rollback(path, 1)
        embedstore.rollback(path, newest(path) - 1)
    assert [seen(path, 1), seen(path)] == states


def test_given_vectors_come_back_too(tmp_path: Path) -> None:
    with embedstore.create(tmp_path / "s", teacher="somebody's", dim=12) as store:
        with store.write() as writing:
            writing.add(["a", "b", "c"], unit_vectors(1, 3), labels=["x", "y", None])
        with store.write() as writing:
            writing.add(["a"], unit_vectors(2, 1), replace=True)
            writing.delete(["b"])
    before = seen(tmp_path / "s", 1)
    embedstore.rollback(tmp_path / "s", 1)
    assert seen(tmp_path / "s") == before
    assert verify(tmp_path / "s").clean


def test_many_rows_take_several_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "_AT_ONCE", 70)
    monkeypatch.setattr(rolling, "_MOST_BYTES", 1)
    vectors = np.stack([unit_vectors(seed, 600) for seed in (1, 2)])
    path = tmp_path / "s"
    with store_of(path, vectors, labels=["good", "bad"] * 300) as store, store.write("delete") as writing:
        writing.delete([f"sample {number:05d}" for number in range(0, 600, 2)])
    before = seen(path, 1)
    assert embedstore.rollback(path, 1).back == 300
    assert seen(path) == before


def test_what_a_compaction_dropped_is_refused_with_what_is_left(path: Path) -> None:
    with embedstore.open(path) as store:
        store.compact()
    with pytest.raises(
        StoreError, match=r"Version 3 was removed by a compaction; of the versions before .* are left: 2, "
    ):
        embedstore.rollback(path, 3)
    before = seen(path, "before-refresh-2")
    embedstore.rollback(path, "before-refresh-2")  # which the refresh has tagged
    assert seen(path) == before


def test_vectors_that_are_gone_are_told(path: Path) -> None:
    with embedstore.open(path, 2) as store:
        column, rows = store.head.columns[1], store.rows[:3]
    with writer(path) as session:
        session.write(lambda tables: tables.drop_vectors(column, rows))
    with pytest.raises(StoreError, match="Version 2 can't come back, for 3 of its samples have no vectors of view 1"):
        embedstore.rollback(path, 2)


@pytest.mark.parametrize(("asked", "why"), [(99, "no version 99"), ("never", "no tag 'never'"), (-1, "no version -1")])
def test_what_is_not_there_is_refused(path: Path, asked: Any, why: str) -> None:
    with pytest.raises(StoreError, match=why):
        embedstore.rollback(path, asked)


def test_another_writer_is_told(path: Path) -> None:
    with writer(path), pytest.raises(StoreLockedError):
        embedstore.rollback(path, 2)


def test_a_kill_at_any_step_leaves_the_store_as_it_was_and_the_next_try_ends_well(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "_AT_ONCE", 2)
    kept = copied(path, tmp_path / "kept")
    before, wanted, names = seen(path), seen(path, 2), summaries(path)
    for step in range(200):
        copied(kept, path)
        try:
            with killed_at(step):
                embedstore.rollback(path, 2)
            break
        except Killed:
            pass
        assert seen(path) in (before, wanted)
        assert seen(path) == before or summaries(path) != names  # summaries go with the samples
        with writer(path):
            pass
        embedstore.rollback(path, 2)
        assert seen(path) == wanted
        assert step % 8 or verify(path).clean
    assert step >= 10
    assert seen(path) == wanted
