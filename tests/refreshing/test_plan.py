"""The plan of a refresh: what it names is what is done, what it warns of, and what it refuses."""

from pathlib import Path

import pytest
from helpers import CountingTeacher, noise_picture, write_picture, write_pictures
from toy_refresh import CRACK, GOOD, SUMMARIES, change_pictures, refresh_at, refreshed, state, toy_store

import embedstore
from embedstore.errors import ImagesError, SettingsError
from embedstore.refreshing import Plan
from embedstore.store.writing import writer


def test_a_dry_run_plans_the_same_and_writes_nothing(root: Path) -> None:
    change_pictures(root / "images")
    (root / "images" / "good" / "broken.png").write_bytes(b"no picture")
    before, files = state(root), sorted(path.stat().st_size for path in (root / "store").rglob("*.mdb"))
    planned = refresh_at(root, dry_run=True)
    assert (state(root), sorted(path.stat().st_size for path in (root / "store").rglob("*.mdb"))) == (before, files)
    plan = planned.plan
    assert plan.new == ("crack/new.png", "good/new.png", "pore/new.png")
    assert set(plan.changed) == {GOOD[1], CRACK[1]}
    assert plan.gone == (GOOD[2],)
    assert plan.unreadable == {"good/broken.png": "is not a picture in a known format"}
    assert plan.labels == {"crack": (8, 9), "pore": (0, 1)}
    assert (plan.to_embed, plan.views, plan.without_side) == (5, 1, 0)
    assert plan.seconds_each is not None
    assert plan.seconds >= plan.seconds_each * 5
    assert [(one.name, one.how, one.came, one.left) for one in plan.summaries] == [
        ("class-mean", "update", 5, 3),
        ("compressed-own", "make again", 5, 3),
        ("rare-samples", "update", 5, 3),
        ("sub-prototypes", "update", 5, 3),
    ]
    told: list[Plan] = []
    done = refresh_at(root, tell=told.append)
    assert [told[0].new, told[0].changed, told[0].labels] == [plan.new, plan.changed, plan.labels]
    for one in plan.summaries:
        assert (done.summaries[one.name].came, done.summaries[one.name].left) == (one.came, one.left)
        assert {*done.summaries[one.name].updated, *done.summaries[one.name].again} == set(one.labels)


def test_an_update_is_timed_for_the_next_plan(root: Path) -> None:
    write_picture(root / "images" / GOOD[5], noise_picture(77, (5, 4)))
    refresh_at(root)
    write_picture(root / "images" / GOOD[6], noise_picture(78, (5, 4)))
    plan = refresh_at(root, dry_run=True).plan
    assert all(one.seconds is not None and one.seconds > 0 for one in plan.summaries)
    assert plan.seconds > sum(one.seconds or 0 for one in plan.summaries)


def test_without_prune_what_is_gone_stays_and_is_told(root: Path) -> None:
    (root / "images" / GOOD[2]).unlink()
    report = refresh_at(root, prune=False)
    assert report.plan.gone == (GOOD[2],)
    assert report.plan.nothing
    with embedstore.open(root / "store") as store:
        assert GOOD[2] in store


def test_new_samples_without_a_side_are_told(root: Path) -> None:
    write_pictures(root / "images", ["good/new.png"], seed=4)
    report = refresh_at(root, side=None)
    assert report.plan.without_side == 1
    assert report.summaries == {}


def test_without_its_manifest_no_label_is_taken_from_the_folders(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a/1.png", "a/2.png"])
    (tmp_path / "m.csv").write_text("path,label\na/1.png,good\na/2.png,bad\n", "utf-8")
    embedstore.build(tmp_path / "s", tmp_path / "images", manifest=tmp_path / "m.csv", teacher=CountingTeacher())
    with pytest.raises(
        SettingsError,
        match=r"label of 'a/1.png' is 'good', and its folder's name is 'a'; give a manifest that names all",
    ):
        embedstore.refresh(tmp_path / "s", teacher=CountingTeacher())
    assert embedstore.refresh(tmp_path / "s", manifest=tmp_path / "m.csv", teacher=CountingTeacher()).plan.nothing


def test_without_its_manifest_no_id_is_taken_from_the_paths(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a/1.png", "a/2.png"])
    (tmp_path / "m.csv").write_text("path,id,label\na/1.png,one,a\na/2.png,two,a\n", "utf-8")
    embedstore.build(tmp_path / "s", tmp_path / "images", manifest=tmp_path / "m.csv", teacher=CountingTeacher())
    with pytest.raises(SettingsError, match=r"id of 'a/1.png' is 'one', and its path is 'a/1.png'; give a manifest"):
        embedstore.refresh(tmp_path / "s", teacher=CountingTeacher(), prune=True)


@pytest.mark.parametrize(("field", "value"), [("verdict", "rare"), ("group", "part 1"), ("mode", "scratch")])
def test_what_a_person_said_is_planned_and_done_though_no_picture_changed(root: Path, field: str, value: str) -> None:
    with embedstore.open(root / "store") as store:
        rare = {store.summary("rare-samples").seen[at] for at in store.summary("rare-samples").source if at >= 0}
        chosen = next(name for name in GOOD[1:] if name not in rare)
        with store.write() as writing:
            writing.set(field, {chosen: value, GOOD[0]: value})  # the latter is on another side
    plan = refresh_at(root, dry_run=True).plan
    assert (plan.nothing, plan.pictures_change) == (False, False)
    how = {one.name: (one.how, one.came, one.left) for one in plan.summaries}
    assert how == dict.fromkeys(SUMMARIES, ("update", 0, 0)) | {"compressed-own": ("make again", 0, 0)}
    report = refresh_at(root, teacher=CountingTeacher(stop_after=0))
    assert report.summaries.keys() == SUMMARIES.keys()
    with embedstore.open(root / "store") as store:
        summary, anew = store.summary("rare-samples"), store.summarize("rare-samples", split="train", share=0.25, k=2)
        assert (chosen in {summary.seen[at] for at in summary.source if at >= 0}) == (field == "verdict")
        assert summary.averaging_loss["good"].near == pytest.approx(anew.averaging_loss["good"].near, abs=1e-9)
        assert summary.averaging_loss["good"].modes == anew.averaging_loss["good"].modes
    assert refresh_at(root).plan.nothing


def test_new_pictures_without_a_group_and_moved_ones_are_told(root: Path) -> None:
    with embedstore.open(root / "store") as store, store.write() as writing:
        writing.set("group", {name: f"part {number // 2}" for number, name in enumerate(GOOD)})
    write_pictures(root / "images", ["good/new.png"], seed=4)
    (root / "images" / GOOD[3]).rename(root / "images" / "crack" / "moved.png")
    plan = refresh_at(root, dry_run=True).plan
    assert (plan.new, plan.gone) == (("crack/moved.png", "good/new.png"), (GOOD[3],))
    assert (plan.without_group, plan.without_side, plan.moved) == (1, 0, 1)  # the part of the moved one goes along


def test_most_pictures_are_never_removed(tmp_path: Path) -> None:
    path = toy_store(tmp_path)
    for name in GOOD[:11]:
        (tmp_path / "images" / name).unlink()
    before = state(tmp_path)
    with pytest.raises(ImagesError, match=r"11 of the store's 20 pictures are not listed under .* nothing was removed"):
        refreshed(path)
    assert state(tmp_path) == before
    assert refreshed(path, prune=False).plan.nothing
    write_picture(tmp_path / "images" / GOOD[0], noise_picture(0, (5, 4)))
    report = refreshed(path)
    assert report.pictures is not None
    assert report.pictures.removed == 10


def test_a_summary_that_can_not_be_read_stays_and_stops_no_other(root: Path) -> None:
    with writer(root / "store") as session:
        session.write(lambda tables: tables.put_summary("broken", b"rubbish"))
    change_pictures(root / "images")
    report = refresh_at(root)
    assert report.summaries.keys() == SUMMARIES.keys()
    why = {one.name: one.why for one in report.plan.summaries if one.how == "stays"}
    assert why == {"broken": "it can't be read: The bytes are no summary (JSONDecodeError); make it again"}
