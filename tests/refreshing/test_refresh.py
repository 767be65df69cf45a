"""Refresh: at the price of what changed the store is what a build anew would be; killed, it goes on or is as it was."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers import CountingTeacher, Killed, noise_picture, write_picture, write_pictures
from killing import killed_at
from toy_refresh import (
    CRACK,
    GOOD,
    SUMMARIES,
    change_pictures,
    copied,
    refresh_at,
    refreshed,
    seen,
    state,
    summaries,
    toy_store,
)

import embedstore
from embedstore.engines import local
from embedstore.errors import ImagesError, SettingsError, StoreLockedError, TeacherMismatchError
from embedstore.refreshing import work
from embedstore.store import embedding_pass
from embedstore.store.kept_pictures import open_kept
from embedstore.store.writing import writer
from embedstore.triage import undo


def test_the_store_is_what_a_build_anew_gives(root: Path) -> None:
    change_pictures(root / "images")
    refresh_at(root)
    embedstore.build(root / "anew", root / "images", teacher=CountingTeacher(), views=1, recipe=recipe_of(root))
    with embedstore.open(root / "store") as store, embedstore.open(root / "anew") as anew:
        assert sorted(store.ids) == sorted(anew.ids)
        for view in (0, 1):
            assert store.vectors(anew.ids, view=view).tobytes() == anew.vectors(view=view).tobytes()
        labels = {one.id: one.label for one in anew.samples}
        assert {one.id: one.label for one in store.samples} == labels
        assert store.counts("split") == {"train": 20, "val": 1, "test": 1}


def recipe_of(root: Path) -> embedstore.Recipe:
    with embedstore.open(root / "store") as store:
        return store.recipe


def test_only_what_changed_is_embedded(root: Path) -> None:
    change_pictures(root / "images")
    teacher = CountingTeacher()
    report = refresh_at(root, teacher=teacher)
    assert report.pictures is not None
    assert (report.pictures.new, report.pictures.changed, report.pictures.removed) == (3, 2, 1)
    assert report.pictures.embedded == 5 * 2
    measured = 4 * 2  # one picture to warm up and three to time, in two views each
    assert teacher.seen == 5 * 2 + measured


def test_a_file_that_lacks_nothing_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_pictures(root / "images")
    read: Counter[str] = Counter()
    original = Path.read_bytes

    def watched(path: Path) -> bytes:
        read[path.relative_to(root / "images").as_posix()] += 1
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", watched)
    report = refresh_at(root)
    assert report.pictures is not None
    assert {name for name, times in read.items() if times > 1} == {*report.plan.new, *report.plan.changed}
    assert len(read) == 20 + 3 - 1


def test_a_picture_that_is_not_kept_yet_is_read_again_and_kept(root: Path) -> None:
    with embedstore.open(root / "store") as store:
        content = store.alive["content"][store.positions([GOOD[4]])[0]].tobytes()
    kept = open_kept(root / "store", 16)
    assert kept is not None
    kept.drop({content})
    assert content not in kept.contents()
    kept.close()
    change_pictures(root / "images")
    refresh_at(root)
    kept = open_kept(root / "store", 16)
    assert kept is not None
    assert content in kept.contents()
    kept.close()


def test_every_step_is_a_version_and_in_the_log(root: Path) -> None:
    change_pictures(root / "images")
    report = refresh_at(root)
    assert (report.before, report.version, report.tag) == (2, 4, "before-refresh-2")
    with embedstore.open(root / "store") as store:
        log = [(entry.action, dict(entry.details)) for entry in store.log()[3:]]
        assert store.tags == {"before-refresh-2": 2}
    steps = {"of steps": 2, "refresh since": 2}
    assert log == [
        ("refresh pictures", {"new": 3, "changed": 2, "removed": 1, "given a side": 3, "step": 1, **steps}),
        ("refresh summaries", {"summaries": 4, "step": 2, **steps}),
    ]
    assert report.sides == 3


def test_sides_alone_are_a_step_that_can_be_undone(root: Path) -> None:
    change_pictures(root / "images")
    refresh_at(root, side=None)
    assert refresh_at(root, side=None).plan.nothing
    report = refresh_at(root)
    assert (report.before, report.version, report.sides, report.pictures) == (4, 6, 3, None)
    with embedstore.open(root / "store") as store:
        assert [entry.action for entry in store.log()[5:]] == ["refresh sides", "refresh summaries"]
        assert undo(store, 5).samples == 3


def test_a_second_refresh_finds_nothing_to_do_and_writes_nothing(root: Path) -> None:
    change_pictures(root / "images")
    refresh_at(root)
    before, names = state(root), summaries(root / "store")
    report = refresh_at(root, teacher=CountingTeacher(stop_after=0))
    assert report.plan.nothing
    assert (report.version, report.tag, report.summaries) == (4, None, {})
    assert (state(root), summaries(root / "store")) == (before, names)


def test_summaries_see_what_they_would_made_anew_and_the_ones_before_stay(root: Path) -> None:
    names = summaries(root / "store")
    change_pictures(root / "images")
    report = refresh_at(root)
    assert report.summaries.keys() == SUMMARIES.keys()
    with embedstore.open(root / "store") as store:
        for strategy, parameters in SUMMARIES.items():
            summary, anew = store.summary(strategy), store.summarize(strategy, split="train", **parameters)
            assert summary.store_version == store.version
            assert summary.seen == anew.seen
            assert sorted(set(summary.labels)) == ["crack", "good", "pore"]
            assert summary.averaging_loss["pore"] == anew.averaging_loss["pore"]
            near = {label: loss.near for label, loss in anew.averaging_loss.items()}
            assert {label: loss.near for label, loss in summary.averaging_loss.items()} == pytest.approx(near, abs=1e-9)
            assert store.summary(f"{strategy}@2").to_bytes() == names[strategy]
        mean, anew = store.summary("class-mean"), store.summarize("class-mean", split="train")
        np.testing.assert_allclose(mean.vectors, anew.vectors, rtol=0, atol=1e-7)
        coded = store.summarize("compressed-own", name=None, split="train", **SUMMARIES["compressed-own"])
        assert store.summary("compressed-own").vectors.tobytes() == coded.vectors.tobytes()


def test_a_summary_that_nothing_touched_stays_to_the_last_byte(root: Path) -> None:
    write_pictures(root / "images", ["good/new.png"], seed=9)
    before = summaries(root / "store")
    report = refresh_at(root, side="val")
    assert report.version == 3
    assert report.summaries == {}
    assert summaries(root / "store") == before


def test_rolled_back_it_is_as_it_was(root: Path) -> None:
    before, names = state(root), summaries(root / "store")
    change_pictures(root / "images")
    report = refresh_at(root)
    assert report.tag is not None
    embedstore.rollback(root / "store", report.tag)
    assert state(root) == before
    assert {name: summaries(root / "store")[name] for name in names} == names
    again = refresh_at(root)  # the folder still holds the changes
    assert (again.before, len(again.plan.new), len(again.plan.changed)) == (5, 3, 2)


def test_a_new_picture_of_a_group_goes_to_the_groups_side(root: Path) -> None:
    groups = {GOOD[0]: "part 1", "good/new.png": "part 1"}
    names = [*GOOD, *CRACK, "good/new.png", "good/newer.png"]
    rows = [{"path": name, "label": name.split("/")[0], "group": groups.get(name)} for name in names]
    write_pictures(root / "images", names[-2:], seed=4)
    with (root / "new.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["path", "label", "group"])
        table.writeheader()
        table.writerows(rows)
    refresh_at(root, manifest=root / "new.csv")
    with embedstore.open(root / "store") as store:
        assert [store.sample(name).split for name in names[-2:]] == ["val", "train"]


def test_label_and_part_stay_where_a_picture_is_taken_again_and_a_verdict_goes(root: Path) -> None:
    with embedstore.open(root / "store") as store, store.write("triage") as writing:
        writing.set("label", {GOOD[1]: "crack"})
        writing.set("verdict", {GOOD[1]: "rare", GOOD[2]: "dirt"})
        writing.set("group", {GOOD[1]: "part 7"})
        writing.set("split", {GOOD[2]: "aside"})
    for number, name in enumerate(GOOD[1:3]):
        write_picture(root / "images" / name, noise_picture(400 + number, (5, 4)))
    report = refresh_at(root)
    assert set(report.plan.changed) == set(GOOD[1:3])
    with embedstore.open(root / "store") as store:
        first, second = store.sample(GOOD[1]), store.sample(GOOD[2])
        assert (first.label, first.group, first.split) == ("crack", "part 7", "train")
        assert (first.attributes, second.attributes, second.split) == ({}, {}, "train")
        assert {GOOD[1], GOOD[2]} <= set(store.summary("rare-samples").seen)


def test_what_can_not_be_is_refused(root: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "elsewhere", ["x/1.png"])
    with pytest.raises(ImagesError, match="Only 0 of the store's 20 pictures"):
        refreshed(root / "store", images=tmp_path / "elsewhere")
    with pytest.raises(TeacherMismatchError):
        refresh_at(root, teacher=CountingTeacher(kind="another"))
    with pytest.raises(SettingsError, match="side 'training' is unknown"):
        refresh_at(root, side="training")
    toy_store(tmp_path / "no split", splits=False)
    with pytest.raises(SettingsError, match="No sample has a side"):
        refreshed(tmp_path / "no split" / "store")


def test_a_second_refresh_at_once_says_so(root: Path) -> None:
    with writer(root / "store"), pytest.raises(StoreLockedError, match="already changing the store"):
        refresh_at(root)


def test_only_the_refreshes_that_are_kept_can_be_rolled_back(root: Path) -> None:
    before = []
    for seed in (1, 2, 3):
        write_picture(root / "images" / GOOD[5], noise_picture(seed + 500, (5, 4)))
        before.append(refresh_at(root, keep=2).before)
    with embedstore.open(root / "store") as store:
        assert store.tags == {f"before-refresh-{version}": version for version in before[1:]}
        assert [name for name in store.all_summary_names if name.startswith("class-mean")] == [
            "class-mean",
            f"class-mean@{before[1]}",
            f"class-mean@{before[2]}",
        ]
    names = summaries(root / "store")
    embedstore.rollback(root / "store", f"before-refresh-{before[1]}")
    assert summaries(root / "store")["class-mean"] == names[f"class-mean@{before[1]}"]


def test_summaries_kept_aside_are_listed_only_where_asked_and_thinning_tells_each_once(root: Path) -> None:
    write_picture(root / "images" / GOOD[5], noise_picture(600, (5, 4)))
    made_of = refresh_at(root).before
    names = sorted(SUMMARIES)
    with embedstore.open(root / "store") as store:
        assert store.summary_names == names
        assert store.all_summary_names == sorted([*names, *(f"{name}@{made_of}" for name in names)])
    thinned = embedstore.thin(root / "store", root / "small", views=0)
    assert thinned.summaries_left_out == tuple(names)


class NoNumberForBlack(CountingTeacher):
    """Gives no number for a black picture."""

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        found = super().embed(pictures)
        found["embedding"][pictures.reshape(len(pictures), -1).max(1) == 0] = np.nan
        return found


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_refresh_whose_last_step_had_nothing_to_do_is_not_gone_on_with(
    root: Path, interrupted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(root / "images" / "unlabelled.png", noise_picture(700, (5, 4)))
    black = root / "images" / "good" / "black.png"
    write_picture(black, noise_picture(0, (5, 4), "L").point(lambda level: 0))
    if interrupted:
        with monkeypatch.context() as patch:
            patch.setattr(work, "update", interrupt)
            with pytest.raises(KeyboardInterrupt):
                refresh_at(root, teacher=NoNumberForBlack())
    first = refresh_at(root, teacher=NoNumberForBlack())
    assert (first.before, first.version, first.summaries) == (2, 3, {})
    black.unlink()
    write_picture(root / "images" / GOOD[5], noise_picture(600, (5, 4)))
    second = refresh_at(root)
    assert (second.before, second.version, second.tag) == (3, 5, "before-refresh-3")
    with embedstore.open(root / "store") as store:
        assert store.tags == {"before-refresh-2": 2, "before-refresh-3": 3}
        assert store.log()[3].details["step"] == store.log()[3].details["of steps"] == 1


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_embedding_goes_on_where_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 2)
    before = state(root)
    change_pictures(root / "images")
    with pytest.raises(KeyboardInterrupt):
        refresh_at(root, teacher=CountingTeacher(stop_after=8 + 6))  # four pictures are measured first
    assert state(root) == before
    report = refresh_at(root)
    assert report.plan.resumed == 3
    assert report.plan.to_embed == 2
    assert report.pictures is not None
    assert report.pictures.embedded == 4


def test_a_kill_at_any_step_leaves_whole_steps_and_the_next_refresh_ends_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_pass, "_COMMIT_ROWS", 2)
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 4)
    change_pictures(root / "images")
    kept = copied(root / "store", tmp_path / "kept")
    start = state(root)
    refresh_at(root)
    steps, wanted = [start, *(seen(root / "store", version) for version in (3, 4))], summaries(root / "store")
    endings = set()
    for step in range(200):
        copied(kept, root / "store")
        try:
            with killed_at(step):
                refresh_at(root)
            break
        except Killed:
            pass
        with embedstore.open(root / "store") as store:
            at, tags = store.version, store.tags
        assert state(root) == steps[at - 2]
        assert tags == ({} if at == 2 else {"before-refresh-2": 2})
        endings.add(at)
        report = refresh_at(root)
        assert (report.before, report.version) == (2, 4)
        assert (state(root), summaries(root / "store")) == (steps[-1], wanted)
        with embedstore.open(root / "store") as store:
            assert store.tags == {"before-refresh-2": 2}
    assert endings >= {2, 3}
    assert step >= 12
    embedstore.rollback(root / "store", "before-refresh-2")
    assert state(root) == start
