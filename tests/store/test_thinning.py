"""A thinned store: what is in it; whole or not there at all; its source untouched."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_same_to_a_float16_step, run_python, write_pictures
from toy_thinning import COUNT, DIM, LABELS, VECTORS, VIEWS, stored

import embedstore
from embedstore import EmbeddingStore
from embedstore.analysis.drift import embedded
from embedstore.errors import SettingsError, StoreError, TeacherError
from embedstore.store import thinning
from embedstore.teachers.reduction import KIND, Reduction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return stored(tmp_path / "store")


def files_of(store: Path) -> dict[str, bytes]:
    return {file.relative_to(store).as_posix(): file.read_bytes() for file in store.rglob("*") if file.is_file()}


def test_fewer_views_and_samples_are_the_same_vectors_and_records(path: Path, tmp_path: Path) -> None:
    before = files_of(path)
    report = embedstore.thin(path, tmp_path / "small", views=1, where={"label": "good"})
    chosen = [at for at, label in enumerate(LABELS) if label == "good"]
    with embedstore.open(tmp_path / "small") as small, embedstore.open(path) as store:
        assert (small.version, small.views, len(small)) == (1, 1, len(chosen))
        assert [entry.action for entry in small.log()] == ["create", "thin"]
        assert small.samples == [store.samples[at] for at in chosen]
        assert small.fingerprint == store.fingerprint
        assert [small.content_at(at) for at in range(len(small))] == [b"c" * 16] * len(chosen)
        for view in (0, 1):
            np.testing.assert_array_equal(small.vectors(view=view), VECTORS[view][chosen].astype(np.float32))
    after = files_of(path)
    assert {name: data for name, data in after.items() if name in before and "lock" not in name} == {
        name: data for name, data in before.items() if "lock" not in name
    }
    assert (report.samples, report.samples_before, report.views, report.views_before) == (len(chosen), COUNT, 1, VIEWS)
    assert report.bytes == sum(map(len, files_of(tmp_path / "small").values()))
    assert embedstore.verify(tmp_path / "small").findings == ()


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    """A store of tiny pictures by the NumPy teacher, with kept pictures, and its images."""
    images = tmp_path / "images"
    write_pictures(images, [f"{label}/{at}.png" for label in ("good", "defect") for at in range(20)])
    embedstore.build(tmp_path / "store", images, teacher="pixels", views=2, keep_images=16)
    with embedstore.open(tmp_path / "store") as store:
        store.split(folds=4)
        store.summarize("class-mean", name="means", split="train")
    return tmp_path / "store", images


def test_a_reduced_store_is_summarised_searched_by_picture_and_added_to(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    path, images = built
    report = embedstore.thin(path, tmp_path / "small", dims=6, views=1)
    assert report.summaries_left_out == ("means",)
    with embedstore.open(tmp_path / "small") as small, embedstore.open(path) as store:
        reduction = Reduction.from_dict(small.space[KIND])
        assert_same_to_a_float16_step(small.vectors(view=1), reduction(store.vectors(view=1)))
        assert small.summarize("class-mean", split="train").fingerprint == small.fingerprint
        assert small.query(image=images / "good/3.png", top=1)[0].id == "good/3.png"
        assert small.load_teacher().outputs == {"embedding": 6}
    write_pictures(images, ["good/new.png"], seed=7)
    assert embedstore.add(tmp_path / "small", [images / "good/new.png"]).embedded == 2
    assert embedstore.add(path, [images / "good/new.png"]).new == 1
    with embedstore.open(tmp_path / "small") as small, embedstore.open(path) as store:
        for view in (0, 1):
            own = store.vectors(["good/new.png"], view=view)
            np.testing.assert_allclose(small.vectors(["good/new.png"], view=view), reduction(own), atol=2e-3)
        with pytest.raises(
            TeacherError, match="are on fewer axes, where texts have no place; ask the store that it was"
        ):
            small.query(text="burr")
    assert embedstore.build(tmp_path / "small", images, teacher="reduced:6:pixels").embedded == 0
    assert embedstore.verify(tmp_path / "small").findings == ()
    assert not embedstore.repair(tmp_path / "small").changed


def test_a_reduced_store_is_refreshed_and_watched_for_drift(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Both load the store's own teacher, which has no name that is enough."""
    path, images = built
    embedstore.thin(path, tmp_path / "small", dims=6, views=1)
    write_pictures(images, ["good/new.png"], seed=7)
    report = embedstore.refresh(tmp_path / "small")
    assert report.pictures is not None
    assert (report.pictures.new, report.pictures.embedded) == (1, 2)
    embedstore.add(path, [images / "good/new.png"])
    write_pictures(tmp_path / "today", ["a.png"], seed=8)
    with embedstore.open(tmp_path / "small") as small, embedstore.open(path) as store:
        reduction = Reduction.from_dict(small.space[KIND])
        found = embedded(small, tmp_path / "today").vectors
        np.testing.assert_allclose(found, reduction(embedded(store, tmp_path / "today").vectors), atol=1e-6)
        own = reduction(store.vectors(["good/new.png"]))
        np.testing.assert_allclose(small.vectors(["good/new.png"]), own, atol=2e-3)


def test_a_label_that_a_person_put_right_stays_so(built: tuple[Path, Path], tmp_path: Path) -> None:
    """The next build must know what the folder said when the label was changed, or it would change it back."""
    path, images = built
    with embedstore.open(path) as store, store.write() as session:
        session.set("label", {"good/3.png": "defect"})
    embedstore.thin(path, tmp_path / "small", views=1)
    assert embedstore.build(tmp_path / "small", images).embedded == 0
    with embedstore.open(tmp_path / "small") as small:
        assert small.sample("good/3.png").label == "defect"


def test_axes_survive_a_compaction(built: tuple[Path, Path], tmp_path: Path) -> None:
    embedstore.thin(built[0], tmp_path / "small", dims=6)
    with embedstore.open(tmp_path / "small") as small:
        teacher = small.load_teacher().fingerprint
        small.compact()
        assert small.load_teacher().fingerprint == teacher == small.fingerprint


@pytest.mark.parametrize("drop", [False, True])
def test_kept_pictures_come_along_or_stay(built: tuple[Path, Path], tmp_path: Path, drop: bool) -> None:
    from embedstore.store.kept_pictures import open_kept

    embedstore.thin(built[0], tmp_path / "small", where={"label": "good"}, drop_pictures=drop)
    found = open_kept(tmp_path / "small", 16)
    if drop:
        assert found is None
        return
    source = open_kept(built[0], 16)
    assert found is not None
    assert source is not None
    with embedstore.open(tmp_path / "small") as small:
        contents = [content.tobytes() for content in small.alive["content"]]
    assert len(contents) == 20
    assert found.contents() == set(contents)
    for own, theirs in zip(found.get(contents), source.get(contents), strict=True):
        np.testing.assert_array_equal(own, theirs)
    found.close(), source.close()


# Whole or not at all


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("at", ["_put_samples", "_put_vectors", "_copy_pictures"])
def test_a_kill_leaves_no_store(at: str, path: Path, tmp_path: Path) -> None:
    code = """
import os, signal, sys
import embedstore
from embedstore.store import thinning
setattr(thinning, sys.argv[3], lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL))
embedstore.thin(sys.argv[1], sys.argv[2], views=1)
"""
    assert run_python(code, path, tmp_path / "small", at).returncode == -signal.SIGKILL
    assert not (tmp_path / "small").exists()
    assert embedstore.verify(path).findings == ()
    assert embedstore.thin(path, tmp_path / "small", views=1).samples == COUNT


def test_what_fails_leaves_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(thinning, "_copy_pictures", full)
    with pytest.raises(StoreError, match=r"^The store '.*small' can't be made: No space left on device; choose a path"):
        embedstore.thin(path, tmp_path / "small")
    assert [one.name for one in tmp_path.iterdir()] == ["store"]


# What is refused


def test_what_can_not_be_is_refused(path: Path, tmp_path: Path) -> None:
    for asked, sentence in (
        (
            {"views": VIEWS + 1},
            f"^The number of views is {VIEWS + 1}; expected 0 to {VIEWS}, which is what the store has",
        ),
        ({"dims": DIM}, rf"^The number of dimensions is {DIM}; expected 1 to {DIM - 1}, "),
        ({"dims": 0}, "^The number of dimensions is 0"),
        ({"where": {"label": "scratch"}}, "^No sample of the store meets the conditions, so nothing would be left"),
        ({"good": "fine"}, r"^No sample has the label 'fine' \(there are defect, good\)"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            embedstore.thin(path, tmp_path / "small", **asked)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="lies inside of the store"):
        embedstore.thin(path, path / "small")
    with pytest.raises(StoreError, match="is a store already; choose a new path, or delete that store first"):
        embedstore.thin(path, path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(StoreError, match="holds other files and is no store"):
        embedstore.thin(path, tmp_path / "other", dims=DIM)  # before axes are fitted
    (tmp_path / "other" / "file").unlink()
    (tmp_path / "other").rmdir()
    assert [one.name for one in tmp_path.iterdir()] == ["store"]


def test_an_empty_directory_becomes_the_store(path: Path, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    embedstore.thin(path, tmp_path / "small", views=0)
    with EmbeddingStore(tmp_path / "small") as small:
        assert (small.views, len(small)) == (0, COUNT)
