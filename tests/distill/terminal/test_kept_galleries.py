"""Galleries in files: made anew when what they are of has changed, and refused where they are another's."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import distill
import embedstore
from distill.terminal.gallery import Gallery
from distill.terminal.model import Space, TerminalModel
from distill.terminal.predict import Comparing
from distill.terminal.predictions import By, Predictions
from distill.terminal.predictions_page import predictions_page
from embedstore.errors import ImagesError, ModelError
from embedstore.exports import LightForm
from embedstore.exports import export as export_summary


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "vectors"),
        ({"light": LightForm()}, "a light file"),
        ({"summary": "few"}, "a summary"),
        ({"summary": "few", "prototypes_only": True}, "the prototypes of a summary"),
        (None, ""),
    ],
)
def test_another_file_in_place_of_a_gallery_is_named_and_not_told_to_be_deleted(
    summed: tuple[Path, Path], tmp_path: Path, options: dict[str, Any] | None, what: str
) -> None:
    file = tmp_path / "f.safetensors"
    if options is None:
        file.write_bytes(b"mine")
    else:
        with embedstore.open(summed[0]) as store:
            export_summary(store, file, **options)
    told = f"no gallery but {what} of embedstore export" if what else "no gallery that distill predict wrote"
    with pytest.raises(ModelError, match=rf"f\.safetensors' is {told}; name another file\.$"):
        Gallery.load(file)


def test_a_gallery_is_made_again_when_the_store_has_moved_on_or_is_another(
    model: TerminalModel, summed: tuple[Path, Path], store_path: Path, images: Path, tmp_path: Path
) -> None:
    comparing = Comparing(store=summed[0], gallery=tmp_path / "g.safetensors")
    distill.predict(model, [images / "good001.png"], by="retrieval", comparing=comparing)
    first = (tmp_path / "g.safetensors").stat().st_mtime_ns
    distill.predict(model, [images / "good001.png"], by="retrieval", comparing=comparing)
    assert (tmp_path / "g.safetensors").stat().st_mtime_ns == first
    with embedstore.open(summed[0]) as store:
        store.set_groups({"unknown0.png": "another"})
        version = store.version
    found = distill.predict(model, [images / "good001.png"], by="retrieval", comparing=comparing)
    assert f"(version {version})" in found.remarks[0].en
    assert (tmp_path / "g.safetensors").stat().st_mtime_ns > first
    other = tmp_path / "other"  # as far, and yet another one
    shutil.copytree(store_path, other)
    with embedstore.open(other) as store:
        while store.version < version:
            store.set_groups({"unknown0.png": f"group {store.version}"})
        assert store.version == version
    found = distill.predict(model, [images / "good001.png"], by="retrieval", comparing=replace(comparing, store=other))
    assert f"'{other}'" in found.remarks[0].en


def test_a_gallery_is_made_again_when_the_folder_has_changed(
    model: TerminalModel, images: Path, tmp_path: Path
) -> None:
    known, file = tmp_path / "known", tmp_path / "g.safetensors"

    def put(label: str, names: list[str]) -> None:
        (known / label).mkdir(parents=True, exist_ok=True)
        for name in names:
            (known / label / f"{name}.png").write_bytes((images / f"{name}.png").read_bytes())

    put("good", [f"good{n:03}" for n in range(20)])
    put("spot", ["spot001", "spot002"])
    asked, comparing = [images / "aside2.png", images / "good031.png"], Comparing(labelled=known, gallery=file)

    def as_without_a_file() -> Predictions:
        found = distill.predict(model, asked, by="retrieval", comparing=comparing)
        plain = distill.predict(model, asked, by="retrieval", comparing=replace(comparing, gallery=None))
        assert found.pictures == plain.pictures
        return found

    as_without_a_file()
    first = file.stat().st_mtime_ns
    as_without_a_file()
    assert file.stat().st_mtime_ns == first
    put("rims", ["aside0", "aside1"])  # a new defect
    found = as_without_a_file()
    assert found.remarks[0].en.startswith("24 pictures are compared with")
    assert found.pictures[0].decision == "rims"
    (known / "rims" / "aside1.png").write_bytes((images / "stripe001.png").read_bytes())  # another picture
    as_without_a_file()
    manifest = tmp_path / "m.csv"  # another label
    rows = [
        f"{one.relative_to(known).as_posix()},{'good' if one.parent.name == 'good' else 'edge'}"
        for one in sorted(known.glob("*/*.png"))
    ]
    manifest.write_text("\n".join(["path,label", *rows]), "utf-8")
    comparing = replace(comparing, manifest=manifest)
    assert as_without_a_file().pictures[0].decision == "edge"
    with pytest.raises(ImagesError, match="does not exist"):
        distill.predict(model, asked, by="retrieval", comparing=Comparing(labelled=tmp_path / "none", gallery=file))


def test_broken_pictures_of_a_folder_are_set_aside_and_the_rest_is_compared_with(
    model: TerminalModel, images: Path, tmp_path: Path
) -> None:
    known, file = tmp_path / "known", tmp_path / "g.safetensors"
    for label, names in {"good": ["good001", "good002", "good003"], "spot": ["spot001", "spot002"]}.items():
        (known / label).mkdir(parents=True)
        for name in names:
            (known / label / f"{name}.png").write_bytes((images / f"{name}.png").read_bytes())
    asked, comparing = [images / "spot003.png"], Comparing(labelled=known, gallery=file, overkill=0.5)
    whole = distill.predict(model, asked, by="retrieval", comparing=replace(comparing, gallery=None))
    assert whole.labelled_set_aside == {}
    (known / "good" / "empty.png").write_bytes(b"")
    (known / "spot" / "torn.png").write_bytes(b"torn")
    broken = {
        str(known / "good" / "empty.png"): "the file is empty",
        str(known / "spot" / "torn.png"): "is not a picture in a known format",
    }
    for _ in range(2):  # the second time the gallery is taken from its file
        found = distill.predict(model, asked, by="retrieval", comparing=comparing)
        assert (found.pictures, found.set_aside, found.labelled_set_aside) == (whole.pictures, {}, broken)
        page = predictions_page(found)
        assert "Labelled pictures that could not be read" in page
        assert "Inspect these parts by hand" not in page
        (said,) = [one.en for one in found.remarks if one not in whole.remarks]
        assert said.startswith(f"2 of the labelled pictures under '{known}' (such as '")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label\nspot/torn.png,spot\ngood/empty.png,good\n", "utf-8")
    comparing = Comparing(labelled=known, manifest=manifest)
    with pytest.raises(ModelError, match=rf"None of the 2 labelled pictures under '{known}' can be used \(the first"):
        distill.predict(model, asked, by="retrieval", comparing=comparing)


def test_a_folder_takes_no_place_of_a_gallery_with_the_teachers_vectors(
    model: TerminalModel, summed: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    comparing = Comparing(Space.teacher, summed[0], gallery=tmp_path / "g.safetensors")
    distill.predict(model, [images / "good001.png"], by="retrieval", comparing=comparing)
    of_folder = Comparing(labelled=images, gallery=comparing.gallery)
    with pytest.raises(ModelError, match=r"holds no vectors of the teacher; name another file than '.*g\.safetensors'"):
        distill.predict(model, [images / "good001.png"], by="retrieval", comparing=of_folder)


def test_galleries_of_others_are_refused(
    model: TerminalModel, summed: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    file, asked = tmp_path / "g.safetensors", [images / "good001.png"]
    student = Comparing(gallery=file)
    distill.predict(model, asked, by="retrieval", comparing=replace(student, store=summed[0]))
    with pytest.raises(ModelError, match="holds vectors of the student; ask with --vectors student"):
        distill.predict(model, asked, by="retrieval", comparing=replace(student, vectors=Space.teacher))
    other = TerminalModel(model.path)
    other.digest = "0"
    with pytest.raises(ModelError, match="was made with another model"):
        distill.predict(other, asked, by="retrieval", comparing=student)
    of_teacher = Comparing(Space.teacher, gallery=tmp_path / "t.safetensors")
    distill.predict(model, asked, by="retrieval", comparing=replace(of_teacher, store=summed[0]))
    assert distill.predict(model, asked, by="retrieval", comparing=replace(of_teacher, vectors=None)).pictures
    with pytest.raises(
        ModelError, match="was made with another model"
    ):  # its good pictures are as that model sees them
        distill.predict(other, asked, by="retrieval", comparing=of_teacher)
    other.facts = replace(model.facts, good="defect")
    with pytest.raises(ModelError, match="good parts are 'good', and the model's are not"):
        distill.predict(other, asked, by="retrieval", comparing=student)


def test_a_gallery_that_can_not_be_written_is_told_before_any_picture_is_looked_at(
    model: TerminalModel, store_path: Path, images: Path, tmp_path: Path
) -> None:
    def looked(step: str, done: int, total: int) -> None:
        pytest.fail("a picture was looked at")

    gallery = tmp_path / ("x" * 240 + ".safetensors")
    against = Comparing(store=store_path, gallery=gallery.with_name(gallery.name[-250:]))
    with pytest.raises(OSError, match="name too long"):
        distill.predict(model, [images], by=By.retrieval, comparing=against, progress=looked)
    missing = Comparing(gallery=tmp_path / "g.safetensor")
    with pytest.raises(
        ModelError, match=r"There is no gallery '.*g.safetensor'; check its name, or give what it is to be"
    ):
        distill.predict(model, [images], by=By.retrieval, comparing=missing, progress=looked)
