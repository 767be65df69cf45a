"""Where a batch comes from: pictures by the store's teacher, files, stores; and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import planted_batches as planted
import pytest
from helpers import CountingTeacher, by_hand, store_of, write_pictures

import embedstore
from embedstore.analysis.drift import batch_of, embedded, find_drift, from_store
from embedstore.analysis.drift.light import light_of
from embedstore.errors import ImagesError, SettingsError, SourceError, StoreError, TeacherMismatchError
from embedstore.pictures import read_picture
from embedstore.store.kept_pictures import to_keep

NAMES = [f"{'good' if at % 3 else 'crack'}/tile {at:02d}.png" for at in range(40)]


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A built store `s`, its pictures, and a folder `today` with two new ones, one of the old, and one that is no picture."""
    write_pictures(tmp_path / "photos", NAMES)
    embedstore.build(tmp_path / "s", tmp_path / "photos", teacher=CountingTeacher(), views=0)
    with embedstore.open(tmp_path / "s") as store:
        store.set_groups({name: f"part {at // 2}" for at, name in enumerate(NAMES)})
    write_pictures(tmp_path / "today", ["b.png", "a.png"], seed=1)
    (tmp_path / "today" / "known.png").write_bytes((tmp_path / "photos" / NAMES[4]).read_bytes())
    (tmp_path / "today" / "broken.png").write_bytes(b"no picture")
    return tmp_path


def test_pictures_are_embedded_whole_as_the_store_does(line: Path) -> None:
    teacher = CountingTeacher()
    with embedstore.open(line / "s") as store:
        found = embedded(store, line / "today", teacher=teacher)
        assert [sample.id for sample in found.samples] == ["a.png", "b.png", "known.png"]
        assert set(found.set_aside) == {"broken.png"}
        assert teacher.seen == 3
        for at, name in enumerate(["a.png", "b.png", "known.png"]):
            expected = by_hand(CountingTeacher(), line / "today", name, name, 0, store.recipe)
            np.testing.assert_allclose(found.vectors[at], expected, atol=1e-6)
        np.testing.assert_allclose(found.vectors[2], store.vectors([NAMES[4]])[0], atol=1e-3)
        assert found.picture(0) == line / "today" / "a.png"


def test_a_picture_that_the_store_has_is_of_its_part(line: Path) -> None:
    with embedstore.open(line / "s") as store:
        found = find_drift(store, embedded(store, line / "today", teacher=CountingTeacher()))
    assert found.left_out == 2  # part 2: the same file, and the other picture of that part
    assert any("1 pictures can't be read" in one.en for one in found.remarks)


@pytest.mark.parametrize("group", [None, "today's"])
def test_all_copies_of_a_picture_in_the_store_are_left_out(line: Path, group: str | None) -> None:
    names = [f"tile {at:02d}.png" for at in range(16)]
    write_pictures(line / "day", names, seed=5)
    write_pictures(line / "many", [f"{at:02d}.png" for at in range(24)], seed=6)
    for name in ("one.png", "copy.png"):
        (line / "many" / name).write_bytes((line / "day" / names[3]).read_bytes())
    embedstore.build(line / "copies", line / "many", teacher=CountingTeacher(), views=0)
    with embedstore.open(line / "copies") as store:
        batch = embedded(store, line / "day", teacher=CountingTeacher())
        batch = replace(batch, samples=[replace(one, group=group) for one in batch.samples])
        assert find_drift(store, batch).left_out == 2


def test_the_same_name_is_not_the_same_part(line: Path) -> None:
    """Names of files begin anew each day: a day's `crack/tile 00.png` is another part than the store's."""
    write_pictures(line / "day", NAMES, seed=5)
    embedstore.build(line / "alone", line / "photos", teacher=CountingTeacher(), views=0)  # nobody told its groups
    with embedstore.open(line / "alone") as store:
        found = find_drift(store, embedded(store, line / "day", teacher=CountingTeacher()))
        assert (found.left_out, found.reference) == (0, len(NAMES))


def test_too_many_are_refused_before_they_are_embedded(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedstore.analysis.drift.batch.MOST", 3)
    teacher = CountingTeacher()
    with embedstore.open(line / "s") as store, pytest.raises(SettingsError, match="has 4 pictures; give 1 to 3"):
        embedded(store, line / "today", teacher=teacher)
    assert teacher.seen == 0


def test_pictures_are_measured_themselves(line: Path) -> None:
    with embedstore.open(line / "s") as store:
        found = embedded(store, line / "today", teacher=CountingTeacher())
        expected = [light_of(to_keep(read_picture(found.picture(at))[0], store.recipe)) for at in range(3)]
        np.testing.assert_allclose(found.lights, expected)
        np.testing.assert_allclose(from_store(store, store, [NAMES[4]]).lights, expected[2:])


def test_a_manifest_names_the_parts(line: Path) -> None:
    (line / "today.csv").write_text("path,group\nb.png,part 7\na.png,new\nknown.png,part 2\n", "utf-8")
    with embedstore.open(line / "s") as store:
        batch = batch_of(store, line / "today", manifest=line / "today.csv", teacher=CountingTeacher())
        assert [sample.group for sample in batch.samples] == ["new", "part 7", "part 2"]
        assert find_drift(store, batch).left_out == 4


def test_a_file_and_a_store_give_the_same_as_the_vectors(tmp_path: Path) -> None:
    batch = planted.fresh()
    np.save(tmp_path / "day.npy", batch.vectors)
    rows = ["id,group", *(f"{sample.id},{sample.group}" for sample in batch.samples)]
    (tmp_path / "day.csv").write_text("\n".join(rows), "utf-8")
    ids, groups = [sample.id for sample in batch.samples], [sample.group for sample in batch.samples]
    with (
        planted.make(tmp_path / "s") as store,
        store_of(tmp_path / "other", batch.vectors, ids=ids, groups=groups),
    ):
        from_file, from_other = batch_of(store, tmp_path / "day.npy"), batch_of(store, tmp_path / "other")
        assert [sample.group for sample in from_file.samples] == groups
        np.testing.assert_array_equal(from_file.vectors, from_other.vectors)
        first, second = find_drift(store, from_file), find_drift(store, from_other)
        assert replace(first, remarks=[]) == replace(second, remarks=[])
        assert "(only its vectors were given)" in first.remarks[0].en
        assert "('new 000.png': its file is gone)" in second.remarks[0].en


def test_vectors_of_others_are_refused(line: Path, tmp_path: Path) -> None:
    np.save(line / "long.npy", np.ones((3, 13), np.float32))
    np.save(line / "zero.npy", np.zeros((3, 12), np.float32))
    store_of(line / "theirs", np.eye(12)[:5]).close()
    with embedstore.open(line / "s") as store:
        with pytest.raises(TeacherMismatchError, match=r"vectors of 13 numbers, but the store .* has 12"):
            batch_of(store, line / "long.npy")
        with pytest.raises(SourceError, match="zero or not finite"):
            batch_of(store, line / "zero.npy")
        with pytest.raises(TeacherMismatchError, match="was filled by the teacher 'by hand'"):
            batch_of(store, line / "theirs")
        with pytest.raises(TeacherMismatchError, match="filled by the teacher 'counting'"):
            embedded(store, line / "today", teacher=CountingTeacher(kind="another"))


def test_what_is_no_batch_is_refused(line: Path) -> None:
    (line / "empty").mkdir()
    (line / "bad").mkdir()
    (line / "bad" / "x.png").write_bytes(b"x")
    (line / "pickle.npy").write_bytes(b"\x93NUMPY\x01\x00garbage")
    with embedstore.open(line / "s") as store:
        for source, error, said in (
            ("nowhere", ImagesError, "does not exist"),
            ("empty", ImagesError, "No images under"),
            ("pickle.npy", SourceError, "is no whole .npy file"),
        ):
            with pytest.raises(error, match=said):
                batch_of(store, line / source)
        with pytest.raises(ImagesError, match="None of the 1 pictures"):
            batch_of(store, line / "bad", teacher=CountingTeacher())
        with pytest.raises(SettingsError, match="is no folder of pictures"):
            batch_of(store, line / "s", manifest=line / "m.csv")
        with pytest.raises(StoreError, match="nobody"):
            from_store(store, store, ["nobody"])
        with pytest.raises(SettingsError, match="each once"):
            from_store(store, store, [NAMES[0], NAMES[0]])
