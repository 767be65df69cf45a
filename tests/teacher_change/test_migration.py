"""A second teacher beside the first, the switch, the way back; what is missing, and what is added meanwhile."""

from pathlib import Path
from typing import Any

import pytest
from helpers import CountingTeacher, assert_same_to_a_float16_step, by_hand, snapshot, write_pictures
from two_teachers import NAMES, TurnedTeacher, built

import embedstore
from embedstore.errors import SettingsError, StoreError, TeacherMismatchError
from embedstore.store import index_file
from embedstore.teacher_change import drop_old, space_states

FIRST, SECOND = CountingTeacher().fingerprint, TurnedTeacher().fingerprint


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return built(tmp_path / "store")


def log_of(store: Path) -> list[str]:
    with embedstore.open(store) as opened:
        return [entry.action for entry in opened.log()]


def test_the_new_vectors_are_those_that_a_build_by_the_new_teacher_would_have_made(store: Path) -> None:
    report = embedstore.migrate(store, TurnedTeacher())
    assert (report.switched, report.active, report.embedded, report.complete) == (
        True,
        True,
        2 * len(NAMES),
        len(NAMES),
    )
    with embedstore.open(store) as opened:
        assert (opened.fingerprint, opened.version, opened.views) == (SECOND, 2, 1)
        for view in (0, 1):
            expected = [
                by_hand(TurnedTeacher(), opened.image_root, name, name, view, opened.recipe) for name in opened.ids
            ]
            assert_same_to_a_float16_step(opened.vectors(view=view), expected)
    assert log_of(store) == ["create", "build", "migrate to turned"]
    assert embedstore.verify(store).findings == ()


def test_until_the_switch_nobody_sees_anything_and_no_version_is_made(store: Path) -> None:
    with embedstore.open(store) as opened:
        before = snapshot(opened)
    report = embedstore.migrate(store, TurnedTeacher(), switch=False)
    assert (report.switched, report.active, report.version) == (False, False, 1)
    with embedstore.open(store) as opened:
        assert snapshot(opened) == before
        assert opened.outputs == {"embedding": 12}
        states = [(state.fingerprint, state.active, state.plain, state.complete) for state in space_states(opened)]
    assert states == [(FIRST, True, 24, 24), (SECOND, False, 24, 24)]


def test_what_was_stopped_goes_on_and_embeds_nothing_twice(store: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        embedstore.migrate(store, TurnedTeacher(stop_after=30), switch=False)
    with embedstore.open(store) as opened:
        assert opened.fingerprint == FIRST
    # A call holds up to 96 views, so one that is stopped has none of them; 24 samples of 2 views are one call.
    teacher = TurnedTeacher()
    assert embedstore.migrate(store, teacher).embedded == 48
    again = TurnedTeacher()
    report = embedstore.migrate(store, again)
    assert (report.switched, report.active, report.embedded, again.seen) == (False, True, 0, 0)


def test_batches_before_the_one_that_was_stopped_are_kept(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedstore.engines.local._CROPS_AT_ONCE", 6)
    with pytest.raises(KeyboardInterrupt):
        embedstore.migrate(store, TurnedTeacher(stop_after=30))
    with embedstore.open(store) as opened:
        assert [state.complete for state in space_states(opened)] == [24, 15]
    assert embedstore.migrate(store, TurnedTeacher()).embedded == 18


def test_the_way_back_is_one_version_too_and_earlier_versions_keep_their_teacher(store: Path) -> None:
    with embedstore.open(store) as opened:
        before = snapshot(opened)
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as opened:
        turned = snapshot(opened)
    report = embedstore.migrate(store, back=True)
    assert (report.switched, report.version, report.embedded, report.fingerprint) == (True, 3, 0, FIRST)
    assert (report.teacher_before, report.teacher) == ("turned", "counting")
    with embedstore.open(store) as opened:
        assert snapshot(opened) == before | {"version": 3}
    for version, expected, teacher in ((1, before, FIRST), (2, turned, SECOND)):
        with embedstore.open(store, version=version) as opened:
            assert snapshot(opened) == expected
            assert opened.fingerprint == teacher
    assert embedstore.migrate(store, back=True).fingerprint == SECOND  # back and forth
    assert log_of(store)[-3:] == ["migrate to turned", "migrate to counting", "migrate to turned"]


def test_samples_that_were_added_between_are_embedded_before_the_switch(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher(), switch=False)
    images = store.parent / "images"
    write_pictures(images, ["good/90.png", "crack/00.png"], seed=3)  # one new, one with another picture
    embedstore.build(store, images, teacher=CountingTeacher())
    report = embedstore.migrate(store, TurnedTeacher())
    assert (report.embedded, report.samples, report.switched) == (4, 25, True)
    with embedstore.open(store) as opened:
        expected = [by_hand(TurnedTeacher(), images, name, name, 0, opened.recipe) for name in opened.ids]
        assert_same_to_a_float16_step(opened.vectors(), expected)


def test_samples_that_were_added_after_the_switch_are_embedded_before_the_way_back(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher())
    images = store.parent / "images"
    write_pictures(images, ["good/91.png"], seed=4)
    embedstore.build(store, images, teacher=TurnedTeacher())
    report = embedstore.migrate(store, CountingTeacher())
    assert (report.embedded, report.fingerprint) == (2, FIRST)
    with embedstore.open(store) as opened:
        expected = by_hand(CountingTeacher(), images, "good/91.png", "good/91.png", 1, opened.recipe)
        assert_same_to_a_float16_step(opened.vectors(["good/91.png"], view=1), expected[None])


def test_somebody_who_adds_samples_at_the_last_moment_is_not_overlooked(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embedstore.teacher_change.migration import _Migration

    images, switch, late = store.parent / "images", _Migration.switch, []

    def add_first(migration: _Migration, **options: bool) -> None:
        if not late:
            late.append("good/95.png")
            write_pictures(images, late, seed=5)
            embedstore.add(store, images / late[0], teacher=CountingTeacher())
        switch(migration, **options)

    monkeypatch.setattr(_Migration, "switch", add_first)
    report = embedstore.migrate(store, TurnedTeacher())
    assert (report.samples, report.complete, report.active) == (25, 25, True)
    assert embedstore.verify(store).findings == ()


def test_a_picture_that_is_gone_is_told_and_keeps_the_store_where_it_is(store: Path) -> None:
    images = store.parent / "images"
    (images / "good/03.png").unlink()
    write_pictures(images, ["crack/05.png"], seed=9)  # another picture under the same name
    report = embedstore.migrate(store, TurnedTeacher())
    assert report.missing == {
        "crack/05.png": "its file is another picture now, which embedstore build takes up",
        "good/03.png": "its file is gone",
    }
    assert (report.switched, report.active, report.version, report.complete) == (False, False, 1, 22)
    report = embedstore.migrate(store, TurnedTeacher(), without_missing=True)
    assert (report.switched, report.removed, report.samples, report.embedded) == (True, 2, 22, 0)
    with embedstore.open(store) as opened, embedstore.open(store, version=1) as earlier:
        assert set(earlier.ids) - set(opened.ids) == {"crack/05.png", "good/03.png"}
        assert opened.log()[-1].details == {"switched": 22, "removed": 2}
    assert embedstore.verify(store).findings == ()


def test_a_picture_that_came_back_is_embedded(store: Path) -> None:
    picture = store.parent / "images/good/03.png"
    data = picture.read_bytes()
    picture.unlink()
    assert not embedstore.migrate(store, TurnedTeacher()).switched
    picture.write_bytes(data)
    report = embedstore.migrate(store, TurnedTeacher())
    assert (report.embedded, report.missing, report.switched) == (2, {}, True)


def test_a_store_whose_pictures_are_all_gone_is_never_emptied(store: Path) -> None:
    (store.parent / "images").rename(store.parent / "elsewhere")
    with pytest.raises(StoreError, match="nothing would be left"):
        embedstore.migrate(store, TurnedTeacher(), without_missing=True)
    with embedstore.open(store) as opened:
        assert (len(opened), opened.fingerprint, opened.version) == (24, FIRST, 1)


def test_a_sample_for_a_map_is_drawn_from_the_training_side_and_plain(store: Path) -> None:
    with embedstore.open(store) as opened:
        plan = opened.split()
    report = embedstore.migrate(store, TurnedTeacher(), sample=5)
    assert (report.embedded, report.switched, report.complete) == (5, False, 0)
    assert embedstore.migrate(store, TurnedTeacher(), sample=5).embedded == 0  # the same five
    train = sum(split == "train" for split in plan.splits.values())
    assert embedstore.migrate(store, TurnedTeacher(), sample=1000).embedded == train - 5


def test_a_compaction_meanwhile_loses_nothing_of_the_half_done_space(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher(), sample=7)
    with embedstore.open(store) as opened:
        with opened.write("delete") as writing:
            writing.delete(opened.ids[:3])
        opened.compact()
        kept = next(state.plain for state in space_states(opened) if not state.active)
    report = embedstore.migrate(store, TurnedTeacher())
    assert report.embedded == 2 * 21 - kept
    with embedstore.open(store) as opened:
        expected = [by_hand(TurnedTeacher(), opened.image_root, name, name, 0, opened.recipe) for name in opened.ids]
        assert_same_to_a_float16_step(opened.vectors(), expected)


def test_a_compaction_between_two_commits_moves_no_vector_to_another_sample(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedstore.engines.local._CROPS_AT_ONCE", 6)
    monkeypatch.setattr("embedstore.teacher_change.filling._COMMIT_ROWS", 3)

    class Compacting(TurnedTeacher):
        def embed(self, pictures: Any) -> Any:
            if self.calls == 3:  # in the middle of the pass, while no lock is held
                with embedstore.open(store) as opened:
                    with opened.write("delete") as writing:
                        writing.delete(["crack/00.png", "good/04.png"])
                    opened.compact()
            return super().embed(pictures)

    embedstore.migrate(store, Compacting())
    with embedstore.open(store) as opened:
        assert (len(opened), opened.fingerprint) == (22, SECOND)
        expected = [by_hand(TurnedTeacher(), opened.image_root, name, name, 1, opened.recipe) for name in opened.ids]
        assert_same_to_a_float16_step(opened.vectors(view=1), expected)
    assert embedstore.verify(store).findings == ()


def test_after_the_switch_a_compaction_keeps_the_old_space_until_it_is_dropped(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as opened:
        opened.compact()
        assert [state.complete for state in space_states(opened)] == [24, 24]
        opened.tag("before") if opened.log()[1].readable else None
    report = drop_old(store)
    assert report.bytes < report.bytes_before
    with embedstore.open(store) as opened:
        assert [(s.fingerprint, s.complete) for s in space_states(opened)] == [(SECOND, 24), (FIRST, 0)]
    assert embedstore.verify(store).findings == ()
    with pytest.raises(StoreError, match="nothing to drop"):
        drop_old(store)


def test_dropping_refuses_to_lose_a_version_that_has_a_tag(store: Path) -> None:
    with embedstore.open(store) as opened:
        opened.tag("first")
    embedstore.migrate(store, TurnedTeacher())
    with pytest.raises(StoreError, match="'first'"):
        drop_old(store)
    with embedstore.open(store) as opened:
        opened.delete_tag("first")
    drop_old(store)
    with pytest.raises(StoreError, match="removed by a compaction"):
        embedstore.open(store, version=1)
    # The way back is still there, by embedding all again.
    assert embedstore.migrate(store, CountingTeacher()).embedded == 48


def test_dropping_takes_the_tags_of_the_old_teachers_refreshes_along(store: Path) -> None:
    """Nobody gave them, and without the old vectors there is nothing to roll back to."""
    images = store.parent / "images"
    write_pictures(images, ["good/fresh.png"])
    first = embedstore.refresh(store, teacher=CountingTeacher()).tag
    embedstore.migrate(store, TurnedTeacher())
    write_pictures(images, ["good/fresher.png"])
    second = embedstore.refresh(store, teacher=TurnedTeacher()).tag
    with embedstore.open(store) as opened:
        assert set(opened.tags) == {first, second}
    report = drop_old(store)
    assert report.tags_removed == (first,)
    assert len(report.kept) == 2
    with embedstore.open(store) as opened:
        assert set(opened.tags) == {second}
    assert embedstore.verify(store).findings == ()


def test_dropping_leaves_the_versions_of_the_teacher_in_use_to_go_back_to(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as opened:
        with opened.write("relabel") as writing:
            writing.set("label", {"good/00.png": "pore"})
        with opened.write("delete") as writing:
            writing.delete(["good/01.png", "good/02.png"])
    report = drop_old(store)
    assert report.kept == (2, 3, 4)
    with embedstore.open(store) as opened:
        assert [one.number for one in opened.log() if one.readable] == [2, 3, 4]
    assert embedstore.rollback(store, 3).back == 2
    with embedstore.open(store) as opened:
        assert (len(opened), opened.sample("good/00.png").label) == (24, "pore")
    assert embedstore.verify(store).findings == ()


def test_an_index_of_old_vectors_goes_with_the_switch(store: Path) -> None:
    with embedstore.open(store) as opened:
        opened.build_index("Flat")
    assert embedstore.migrate(store, TurnedTeacher()).index_removed
    with embedstore.open(store) as opened, embedstore.open(store, version=1) as earlier:
        assert opened.index_info is None
        opened.build_index("Flat")
        assert opened.index_info is not None
        assert opened.index_info.space == SECOND
        assert earlier.index_info is None  # which is of the new vectors
        nearest = [hits[0].id for hits in earlier.search(earlier.vectors())]
        assert nearest == earlier.ids
    assert index_file.problems(opened.generation, SECOND, 24) == []


def test_further_outputs_come_along_where_the_new_teacher_has_them(tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_pictures(images, NAMES[:6])
    embedstore.build(tmp_path / "store", images, teacher=CountingTeacher(early=True), views=0)
    with pytest.raises(embedstore.EmbedstoreError, match="early"):
        embedstore.migrate(tmp_path / "store", TurnedTeacher())
    assert embedstore.migrate(tmp_path / "store", TurnedTeacher(), outputs=["embedding"]).active
    with embedstore.open(tmp_path / "store") as opened:
        assert opened.outputs == {"embedding": 12}
    embedstore.migrate(tmp_path / "store", back=True)
    with embedstore.open(tmp_path / "store") as opened:
        assert opened.outputs == {"embedding": 12, "early": 4}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "neither was given"),
        ({"teacher": TurnedTeacher(), "back": True}, "both were given"),
        ({"teacher": TurnedTeacher(), "map": "cubic"}, "orthogonal, linear"),
        ({"teacher": TurnedTeacher(), "sample": 0}, "1 or more"),
    ],
)
def test_what_does_not_go_together_is_refused(store: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        embedstore.migrate(store, **options)


def test_a_store_of_one_teacher_has_no_way_back(store: Path) -> None:
    with pytest.raises(StoreError, match="one teacher only"):
        embedstore.migrate(store, back=True)


def test_imported_vectors_get_no_other_teacher(tmp_path: Path) -> None:
    embedstore.create(tmp_path / "store", teacher="somebody's", dim=4).close()
    with pytest.raises(TeacherMismatchError, match="imported"):
        embedstore.migrate(tmp_path / "store", TurnedTeacher())
