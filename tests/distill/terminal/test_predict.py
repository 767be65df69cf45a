"""Predictions: by the head as evaluation has them, by prototypes and retrieval as sums by hand have them."""

import csv
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distill
import embedstore
from distill.evaluation.metrics import threshold_at_overkill
from distill.terminal.export import Export
from distill.terminal.gallery import Gallery
from distill.terminal.model import Space, TerminalModel
from distill.terminal.predict import Comparing
from distill.terminal.predictions import By, Prediction, Predictions
from distill.terminal.retrieval import defect_scores
from distill.training import run_directory
from distill.training.loop import Run
from embedstore import EmbeddingStore
from embedstore.errors import ImagesError, ModelError, SummaryError
from embedstore.exports import LightForm, read_light_file
from embedstore.exports import export as export_summary
from embedstore.pictures import read_picture
from embedstore.summaries.strategy import directions


@pytest.fixture(scope="module")
def model(exported: Export) -> TerminalModel:
    return TerminalModel(exported.path)


@pytest.fixture(scope="module")
def images(store_path: Path) -> Path:
    return store_path.parent / "images"


@pytest.fixture(scope="module")
def summed(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store with a saved summary of the training side, and that summary as a file."""
    place = tmp_path_factory.mktemp("summed")
    shutil.copytree(store_path, place / "s")
    with embedstore.open(place / "s") as store:
        store.summarize("sub-prototypes", name="few", split="train", k=3)
        export_summary(store, place / "few.safetensors", summary="few")
    return place / "s", place / "few.safetensors"


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


def side(store: EmbeddingStore, split: str, label: str | None = None) -> list[int]:
    return [
        at
        for at, one in enumerate(store.samples)
        if one.split == split and one.label is not None and label in (None, one.label)
    ]


def seen(model: TerminalModel, store: EmbeddingStore, images: Path, at: list[int], space: Space) -> np.ndarray:
    pictures = [read_picture(images / store.sample_at(one).uri)[0] for one in at]
    return np.stack([model.look(model.prepared(one)).of(space) for one in pictures])


def test_by_the_head_decisions_are_those_of_the_run(model: TerminalModel, finished: Run, images: Path) -> None:
    held, classes = run_directory.read_scores(finished.path)
    found = distill.predict(model, [images / one.id for one in held])
    said = {Path(one.path).name: one for one in found.pictures}
    threshold = finished.report.threshold
    assert threshold is not None
    for one in held:
        score = 1 - one.probabilities[classes.index("good")]
        assert said[one.id].score == pytest.approx(score, abs=1e-5)
        if abs(score - threshold) > 1e-5:
            assert said[one.id].decision == ("defect" if score > threshold else "good")
        assert said[one.id].threshold == threshold
    assert (found.by, found.set_aside, found.remarks) == (By.head, {}, [])


def test_a_threshold_of_ones_own_decides(model: TerminalModel, images: Path) -> None:
    paths = [images / "good001.png", images / "spot001.png"]
    decided = [[one.decision for one in distill.predict(model, paths, threshold=t).pictures] for t in (0.0, 1.0)]
    assert decided == [["defect", "defect"], ["good", "good"]]


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -0.1, 5])
def test_a_threshold_that_no_score_can_have_is_refused(threshold: float, model: TerminalModel, images: Path) -> None:
    with pytest.raises(ModelError, match=r"The threshold is .*; scores by head are 0 to 1"):
        distill.predict(model, [images / "spot001.png"], threshold=threshold)
    with pytest.raises(ModelError, match=r"scores by retrieval are -2 to 2"):
        distill.predict(model, [images / "spot001.png"], by="retrieval", threshold=30 * threshold)


def test_without_a_good_label_a_threshold_is_refused(model: TerminalModel, images: Path) -> None:
    other = TerminalModel(model.path)
    other.facts = replace(model.facts, good=None, threshold=None, overkill=None)
    with pytest.raises(ModelError, match="knows no good label, so nothing is rejected above a threshold"):
        distill.predict(other, [images / "spot001.png"], threshold=0.5)


@pytest.mark.parametrize("space", list(Space))
@pytest.mark.parametrize("k", [1, 3])
def test_by_retrieval_as_by_hand(
    space: Space, k: int, model: TerminalModel, store: EmbeddingStore, images: Path
) -> None:
    train, val, test = side(store, "train"), side(store, "val", "good"), side(store, "test")
    labels = np.array([store.sample_at(at).label for at in train])
    parts = [store.sample_at(at).part for at in train]
    if space is Space.teacher:
        gallery = directions(store.read(np.array(train)), model.facts.centre)
        asked, goods = (seen(model, store, images, at, space) for at in (test, val))
    else:
        own = seen(model, store, images, train, space).astype(np.float64)
        centre, spread = own.mean(axis=0), own.std(axis=0)
        spread[spread < 1e-6 * np.maximum(spread.max(), np.abs(centre))] = np.inf
        gallery = (own - centre) / spread
        asked, goods = ((seen(model, store, images, at, space) - centre) / spread for at in (test, val))
    expected = defect_scores(asked, gallery, labels != "good", k=k, groups=parts)
    limit = threshold_at_overkill(defect_scores(goods, gallery, labels != "good", k=k, groups=parts), 0.1)
    asked_for = Comparing(None if space is Space.student else space, store.path, k=k, overkill=0.1)
    paths = [images / store.sample_at(at).uri for at in test]
    found = distill.predict(model, paths, by="retrieval", comparing=asked_for)
    by_name = {Path(one.path).name: one for one in found.pictures}
    for at, score in zip(test, expected, strict=True):
        one = by_name[store.sample_at(at).uri]
        assert (one.score, one.threshold) == (pytest.approx(score, abs=1e-4), pytest.approx(limit, abs=1e-4))
        assert one.decision == ("defect" if one.score > one.threshold else "good")  # type: ignore[operator]
        assert one.nearest is not None
        assert one.nearest.startswith(("spot", "stripe"))
    assert f"rejects at most 10.0% of {len(val)} good pictures" in found.remarks[1].en


@pytest.mark.parametrize(("overkill", "told"), [(0.0, False), (0.1, True), (0.5, False)])
def test_too_few_good_pictures_for_the_overkill_are_told(
    overkill: float, told: bool, model: TerminalModel, images: Path, tmp_path: Path
) -> None:
    for label, names in {"good": ["good001", "good002", "good003"], "spot": ["spot001"]}.items():
        (tmp_path / "known" / label).mkdir(parents=True)
        for name in names:
            (tmp_path / "known" / label / f"{name}.png").write_bytes((images / f"{name}.png").read_bytes())
    comparing = Comparing(labelled=tmp_path / "known", overkill=overkill)
    found = distill.predict(model, [images / "spot002.png"], by="retrieval", comparing=comparing)
    said = [one.en for one in found.remarks if "too few" in one.en]
    assert len(said) == told
    if told:
        assert said[0].startswith("3 good pictures are too few for an overkill of 10.0%: the threshold may reject none")
        assert said[0].endswith("it takes 10 or more.")


def test_by_prototypes_as_by_hand(model: TerminalModel, summed: tuple[Path, Path], images: Path) -> None:
    path, file = summed
    with embedstore.open(path) as store:
        summary, test, val = store.summary("few"), side(store, "test"), side(store, "val", "good")
        members = directions(summary.vectors, model.facts.centre)
        defect = np.array(summary.labels) != "good"
        asked, goods = (seen(model, store, images, at, Space.teacher) for at in (test, val))
        paths = [images / store.sample_at(at).uri for at in test]
    expected = defect_scores(asked, members, defect)
    limit = threshold_at_overkill(defect_scores(goods, members, defect), 0.05)
    for comparing in (Comparing(store=path, summary="few"), Comparing(store=path, summary=str(file))):
        found = distill.predict(model, paths, by=By.prototypes, comparing=comparing)
        scores = {one.path: one.score for one in found.pictures}
        assert [scores[str(one)] for one in paths] == pytest.approx(list(expected), abs=1e-5)
        assert found.pictures[0].threshold == pytest.approx(limit, abs=1e-5)
    with pytest.raises(ModelError, match="has no good pictures to set a threshold on"):
        distill.predict(model, paths, by="prototypes", comparing=Comparing(summary=str(file)))
    found = distill.predict(model, paths, by="prototypes", comparing=Comparing(summary=str(file)), threshold=-0.25)
    assert [one.score for one in found.pictures] == pytest.approx([scores[one.path] for one in found.pictures])
    assert found.remarks[1].en == "The threshold -0.2500 is the given one."
    bare = file.with_name("prototypes.safetensors")
    with embedstore.open(path) as store:
        embedstore.export(store, bare, summary="few", prototypes_only=True, overwrite=True)
    for comparing in (Comparing(summary=str(bare)), Comparing(store=path, summary=str(bare))):
        of_bare = distill.predict(model, paths, by="prototypes", comparing=comparing, threshold=-0.25)
        assert [one.score for one in of_bare.pictures] == pytest.approx([one.score for one in found.pictures], abs=2e-3)
        assert bare.stat().st_size < file.stat().st_size / 4


def test_good_pictures_that_a_summary_has_seen_set_no_threshold(
    model: TerminalModel, store_path: Path, images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    shutil.copytree(store_path, path)
    with embedstore.open(path) as store:
        val = side(store, "val", "good")
        shown = [at for at in val if store.sample_at(at).part == store.sample_at(val[0]).part]
        with store.write() as changes:  # one of the two pictures of a part is learned from
            changes.set("split", {store.sample_at(val[0]).id: "train"})
        store.summarize("medoids", name="train", split="train", k=3)
        store.summarize("medoids", name="all", k=3)
    asked = [images / "spot001.png"]
    found = distill.predict(model, asked, by="prototypes", comparing=Comparing(store=path, summary="train"))
    assert f"good pictures of the store '{path}' (version" in found.remarks[1].en
    assert len(shown) > 1
    assert f" of {len(val) - len(shown)} good pictures" in found.remarks[1].en
    assert "own part" not in found.remarks[1].en
    everything = Comparing(store=path, summary="all")
    with pytest.raises(ModelError, match=r"has no good picture of a part that the summary 'all' has not seen, so none"):
        distill.predict(model, asked, by="prototypes", comparing=everything)
    assert distill.predict(model, asked, by="prototypes", comparing=everything, threshold=0).pictures
    bare, light = tmp_path / "bare.safetensors", tmp_path / "light.safetensors"
    with embedstore.open(path) as store:
        export_summary(store, bare, summary="train", prototypes_only=True)
        export_summary(store, light, light=LightForm(int8=True))
        with store.write() as changes:
            changes.set("split", dict.fromkeys(store.ids))
    said = ("does not tell which pictures it was made of", "The store has no split, so the student may have learned")
    for by, comparing, told in (
        (By.prototypes, Comparing(store=path, summary="train"), said[1:]),
        (By.prototypes, Comparing(store=path, summary=str(bare)), said),
        (By.retrieval, Comparing(store=path, gallery=light), said[1:]),
    ):
        found = distill.predict(model, asked, by=by, comparing=comparing)
        assert [[one for one in said if one in remark.en] for remark in found.remarks[2:]] == [[one] for one in told]
        given = distill.predict(model, asked, by=by, comparing=comparing, threshold=0)
        assert [one.en for one in given.remarks[1:]] == ["The threshold 0.0000 is the given one."]


def test_prototypes_that_stand_for_codes_are_refused(
    model: TerminalModel, store_path: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(store_path, tmp_path / "s")
    with embedstore.open(tmp_path / "s") as store:
        store.summarize("compressed-own", name="codes", split="train")
    with pytest.raises(SummaryError, match="'codes' keeps a code of each picture's own vector, and as prototypes only"):
        distill.predict(
            model, [images], by="prototypes", comparing=Comparing(store=tmp_path / "s", summary="codes"), threshold=0
        )


def test_an_added_defect_is_known_at_once(model: TerminalModel, images: Path, tmp_path: Path) -> None:
    """Two parts with rims, which nobody trained, in a folder beside good parts: then a third is like them."""
    for label, names in {"good": [f"good{n:03}" for n in range(20)], "rims": ["aside0", "aside1"]}.items():
        (tmp_path / "known" / label).mkdir(parents=True)
        for name in names:
            (tmp_path / "known" / label / f"{name}.png").write_bytes((images / f"{name}.png").read_bytes())
    comparing = Comparing(labelled=tmp_path / "known", gallery=tmp_path / "g.safetensors")
    asked = [images / "aside2.png", images / "good031.png"]
    found = distill.predict(model, asked, by="retrieval", comparing=comparing)
    assert [one.decision for one in found.pictures] == ["rims", "good"]
    assert "of 20 good pictures of the folder" in found.remarks[1].en
    kept = distill.predict(model, asked, by="retrieval", comparing=replace(comparing, labelled=None))
    assert kept.pictures == found.pictures


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


def test_a_folder_takes_no_place_of_a_gallery_with_the_teachers_vectors(
    model: TerminalModel, summed: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    comparing = Comparing(Space.teacher, summed[0], gallery=tmp_path / "g.safetensors")
    distill.predict(model, [images / "good001.png"], by="retrieval", comparing=comparing)
    of_folder = Comparing(labelled=images, gallery=comparing.gallery)
    with pytest.raises(ModelError, match=r"holds no vectors of the teacher; name another file than '.*g\.safetensors'"):
        distill.predict(model, [images / "good001.png"], by="retrieval", comparing=of_folder)


def test_another_teachers_prototypes_are_refused(model: TerminalModel, summed: tuple[Path, Path], images: Path) -> None:
    other = TerminalModel(model.path)
    other.facts = replace(model.facts, fingerprint="f" * 32, teacher="somebody")
    said = "learned from the teacher 'somebody' .* so their vectors can't be compared"
    for by, comparing in {
        By.prototypes: Comparing(store=summed[0], summary="few"),
        By.retrieval: Comparing(store=summed[0], vectors=Space.teacher),
    }.items():
        with pytest.raises(ModelError, match=said):
            distill.predict(other, [images / "good001.png"], by=by, comparing=comparing)
    comparing = Comparing(summary=str(summed[1]))
    with pytest.raises(ModelError, match=said):
        distill.predict(other, [images / "good001.png"], by=By.prototypes, comparing=comparing, threshold=0)
    light = summed[1].with_name("others.safetensors")
    with embedstore.open(summed[0]) as store:
        export_summary(store, light, light=LightForm(int8=True))
    with pytest.raises(ModelError, match=said):
        distill.predict(
            other, [images / "good001.png"], by=By.retrieval, comparing=Comparing(gallery=light), threshold=0
        )
    comparing = Comparing(store=summed[0], vectors=Space.student)  # these are the model's own
    assert distill.predict(other, [images / "good001.png"], by=By.retrieval, comparing=comparing).pictures


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


def test_what_does_not_fit_is_refused(model: TerminalModel, images: Path, tmp_path: Path) -> None:
    asked = [images / "good001.png"]
    with pytest.raises(ModelError, match="By the head nothing is compared"):
        distill.predict(model, asked, comparing=Comparing(overkill=0.1))
    with pytest.raises(ModelError, match="By prototypes a summary is needed"):
        distill.predict(model, asked, by="prototypes")
    with pytest.raises(ModelError, match="By retrieval pictures are compared with others"):
        distill.predict(model, asked, by="retrieval")
    with pytest.raises(ModelError, match="holds no vectors of the teacher"):
        distill.predict(model, asked, by="retrieval", comparing=Comparing(Space.teacher, labelled=images))
    with pytest.raises(ImagesError, match="There is no picture"):
        distill.predict(model, [tmp_path / "none.png"])
    other = TerminalModel(model.path)
    other.facts = replace(model.facts, centre=None, no_vectors="nobody taught it")
    of_teacher = Comparing(Space.teacher, store=images.parent / "toy.store")
    with pytest.raises(ModelError, match="no vectors in its teacher's space, since nobody taught it"):
        distill.predict(other, asked, by="retrieval", comparing=of_teacher)
    other.facts = replace(model.facts, good=None, threshold=None, overkill=None)
    with pytest.raises(ModelError, match="knows no good label"):
        distill.predict(other, asked, by="retrieval", comparing=Comparing(store=images.parent / "toy.store"))


@pytest.mark.parametrize(
    ("by", "against", "threshold", "said"),
    [
        ("retrieval", Comparing(store=Path("s"), labelled=Path("d")), None, "leave one out, --store or --labelled"),
        ("retrieval", Comparing(store=Path("s"), manifest=Path("m.csv")), None, "The manifest 'm.csv' is of no folder"),
        ("prototypes", Comparing(summary="few", images=Path("i")), None, "The image folder 'i' is of no store"),
        ("retrieval", Comparing(labelled=Path("d"), images=Path("i")), None, "The image folder 'i' is of no store"),
        ("retrieval", Comparing(store=Path("s"), overkill=0.1), 0.1, "leave one out, --overkill or --threshold"),
        ("retrieval", Comparing(store=Path("s"), overkill=7.0), None, "The overkill is 7.0; expected 0 to 0.5"),
        ("retrieval", Comparing(store=Path("s"), summary="few"), None, "A summary was given, which retrieval does not"),
        ("prototypes", Comparing(summary="few", labelled=Path("d")), None, "leave --vectors, --gallery and --labelled"),
    ],
)
def test_what_would_be_ignored_is_refused(
    by: str, against: Comparing, threshold: float | None, said: str, model: TerminalModel, images: Path
) -> None:
    with pytest.raises(ModelError, match=said):
        distill.predict(model, [images], by=by, comparing=against, threshold=threshold)


@pytest.mark.parametrize("dims", [None, 8])
def test_by_a_light_file_as_by_hand(
    dims: int | None, model: TerminalModel, store: EmbeddingStore, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "light.safetensors"
    export_summary(store, file, light=LightForm(int8=True, dims=dims))
    light, train, test = read_light_file(file), side(store, "train"), side(store, "test")
    labels = np.array([store.sample_at(at).label for at in train])
    parts = [store.sample_at(at).part for at in train]
    axes = np.eye(store.dim) if light.axes is None else light.axes.astype(np.float64)
    centred_off = store.read(np.array(train)) - light.centre.astype(np.float64)
    asked, goods = (seen(model, store, images, at, Space.teacher) @ axes for at in (test, side(store, "val", "good")))
    expected = defect_scores(asked, centred_off @ axes, labels != "good", k=2, groups=parts)
    limit = threshold_at_overkill(defect_scores(goods, centred_off @ axes, labels != "good", k=2, groups=parts), 0.05)
    paths = [images / store.sample_at(at).uri for at in test]
    before = file.read_bytes()
    found = distill.predict(model, paths, by="retrieval", comparing=Comparing(gallery=file, store=store.path, k=2))
    scores = {one.path: one for one in found.pictures}
    assert [scores[str(one)].score for one in paths] == pytest.approx(list(expected), abs=0.02)  # of one byte a number
    assert found.pictures[0].threshold == pytest.approx(limit, abs=0.02)
    assert "by the vectors of the teacher: The light file" in found.remarks[0].en
    assert file.read_bytes() == before
    alone = Comparing(gallery=file, k=2)
    again = distill.predict(model, paths, by="retrieval", comparing=alone, threshold=found.pictures[0].threshold)
    assert again.pictures == found.pictures
    with pytest.raises(ModelError, match="has no good pictures to set a threshold on"):
        distill.predict(model, paths, by="retrieval", comparing=alone)
    with pytest.raises(ModelError, match="holds vectors of the teacher; leave --vectors and --labelled out"):
        distill.predict(model, paths, by="retrieval", comparing=replace(alone, vectors=Space.student))
    other = TerminalModel(model.path)
    assert model.facts.centre is not None
    other.facts = replace(model.facts, centre=model.facts.centre * 1.5)
    with pytest.raises(ModelError, match="were centred on other pictures"):
        distill.predict(other, paths, by="retrieval", comparing=alone, threshold=0)


@pytest.mark.parametrize("space", list(Space))
def test_a_picture_of_the_gallery_is_compared_without_its_own_part(
    space: Space, model: TerminalModel, store: EmbeddingStore, images: Path, tmp_path: Path
) -> None:
    at = side(store, "train", "defect")[0]
    part = store.sample_at(at).part
    renamed = tmp_path / "renamed.png"
    renamed.write_bytes((images / store.sample_at(at).uri).read_bytes())
    asked = [renamed, images / "unknown0.png"]
    found = distill.predict(model, asked, by="retrieval", comparing=Comparing(space, store.path))
    one = next(one for one in found.pictures if one.path == str(renamed))
    defects = [at for at in side(store, "train") if store.sample_at(at).label != "good"]
    assert one.nearest in {store.sample_at(other).id for other in defects if store.sample_at(other).part != part}
    assert (
        found.remarks[-1].en
        == "1 of the 2 pictures are in the gallery themselves; each was compared without its own part."
    )


def test_a_copy_in_the_gallery_changes_nothing_for_its_picture(
    model: TerminalModel, images: Path, tmp_path: Path
) -> None:
    for label, names in {"good": [f"good{n:03}" for n in range(20)], "rims": ["aside0", "aside1"]}.items():
        (tmp_path / "known" / label).mkdir(parents=True)
        for name in names:
            (tmp_path / "known" / label / f"{name}.png").write_bytes((images / f"{name}.png").read_bytes())
    rims = tmp_path / "known" / "rims"
    asked, comparing = [rims / "aside1.png"], Comparing(labelled=tmp_path / "known")
    alone = distill.predict(model, asked, by="retrieval", comparing=comparing, threshold=0)
    shutil.copy(rims / "aside1.png", rims / "copy.png")
    found = distill.predict(model, asked, by="retrieval", comparing=comparing, threshold=0)
    assert found.pictures[0].nearest == alone.pictures[0].nearest == "rims/aside0.png"
    assert found.pictures[0].score == pytest.approx(
        alone.pictures[0].score, abs=0.2
    )  # the scale is of one picture more


def test_a_store_without_split_says_what_that_means(
    model: TerminalModel, store_path: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(store_path, tmp_path / "s")
    with embedstore.open(tmp_path / "s") as store, store.write() as changes:
        changes.set("split", dict.fromkeys(store.ids))
    asked = [images / "unknown0.png"]
    said = "The store has no split, so the student may have learned from some of the good pictures"
    for path, count in ((store_path, 0), (tmp_path / "s", 1)):
        comparing = Comparing(store=path, gallery=tmp_path / f"{count}.safetensors")
        found = distill.predict(model, asked, by="retrieval", comparing=comparing)
        assert sum(one.en.startswith(said) for one in found.remarks) == count
        given = distill.predict(model, asked, by="retrieval", comparing=comparing, threshold=0)
        assert not any(one.en.startswith(said) for one in given.remarks)


def test_what_cannot_be_read_is_set_aside_and_the_rest_is_told(
    model: TerminalModel, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes((images / "spot001.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"nonsense")
    (tmp_path / "notes.txt").write_text("no picture")
    found = distill.predict(model, [tmp_path])
    assert [one.path for one in found.pictures] == [str(tmp_path / "a.png")]
    assert found.set_aside == {str(tmp_path / "b.png"): "is not a picture in a known format"}
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [(row["path"], row["decision"], row["nearest"]) for row in rows] == [
        (str(tmp_path / "a.png"), found.pictures[0].decision, "")
    ]
    assert float(rows[0]["score"]) == found.pictures[0].score
    found.write(tmp_path / "out.json")
    found.write(tmp_path / "out.csv")
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["pictures"][0]["score"] == found.pictures[0].score
    assert (tmp_path / "out.csv").read_text("utf-8") == found.to_csv()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_no_text_costs_no_other_decision(model: TerminalModel, images: Path, tmp_path: Path) -> None:
    picture = (images / "spot001.png").read_bytes()
    (tmp_path / "good.png").write_bytes(picture)
    odd = tmp_path / os.fsdecode(b"bad\xff.png")
    try:
        odd.write_bytes(picture)
    except OSError:
        pytest.skip("this file system takes no such names")
    found = distill.predict(model, [tmp_path / "good.png", odd])
    assert [one.path for one in found.pictures] == [str(tmp_path / "good.png")]
    assert found.set_aside == {str(tmp_path / r"bad\xff.png"): "its name is not valid UTF-8; rename it"}
    assert distill.predict(model, [tmp_path]).set_aside == found.set_aside
    found.write(tmp_path / "out.csv")
    found.write(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["set_aside"] == found.set_aside


@pytest.mark.parametrize("odd", ["\r", "\n", "\r\n", ",", '"'])
def test_whatever_is_in_a_name_a_picture_has_one_row(odd: str, tmp_path: Path) -> None:
    paths = [f"a{odd}.png", f"{odd}", "c.png"]
    Predictions(By.retrieval, [Prediction(one, f"good{odd}", None, 0.5, f"b{odd}b") for one in paths]).write(
        tmp_path / "out.csv"
    )
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [(one, f"good{odd}", "", "0.5", f"b{odd}b") for one in paths]


def test_a_line_ends_in_a_line_feed_on_every_system(tmp_path: Path) -> None:
    Predictions(By.head, [Prediction("a.png", "good", 0.25, 0.5)]).write(tmp_path / "out.csv")
    expected = b"path,decision,score,threshold,nearest\na.png,good,0.25,0.5,\n"
    assert (tmp_path / "out.csv").read_bytes() == expected


@pytest.mark.parametrize("name", ["out.csv", "out.json", "OUT.CSV"])
def test_only_earlier_decisions_are_replaced(name: str, tmp_path: Path) -> None:
    found, file = Predictions(By.head, [Prediction("a.png", "good", 0.25, 0.5)]), tmp_path / name
    file.touch()  # as mktemp does
    found.write(file)
    first = file.read_bytes()
    Predictions(By.retrieval, []).write(file)
    found.write(file)
    assert file.read_bytes() == first
    for other in (b"path,group\na.png,part 7\n", b'{"by": 1}', b"path"):
        file.write_bytes(other)
        with pytest.raises(
            ModelError, match="holds something other than decisions; choose another name, or move it away"
        ):
            found.write(file)
        assert file.read_bytes() == other


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
