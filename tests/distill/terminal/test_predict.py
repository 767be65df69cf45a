"""Predictions: by the head as evaluation has them, by prototypes and retrieval as sums by hand have them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import distill
import embedstore
from distill.evaluation.metrics import threshold_at_overkill
from distill.terminal.model import Space, TerminalModel
from distill.terminal.predict import Comparing
from distill.terminal.predictions import By
from distill.terminal.retrieval import defect_scores
from distill.training import run_directory
from distill.training.loop import Run
from embedstore import EmbeddingStore
from embedstore.errors import ModelError
from embedstore.exports import LightForm, read_light_file
from embedstore.exports import export as export_summary
from embedstore.pictures import read_picture
from embedstore.summaries.strategy import directions


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


@pytest.mark.parametrize(("overkill", "rejected"), [(0.0, None), (0.1, 0.25), (0.5, 0.5)])
def test_too_few_good_pictures_for_the_overkill_are_told(
    overkill: float, rejected: float | None, model: TerminalModel, images: Path, tmp_path: Path
) -> None:
    for label, names in {"good": ["good001", "good002", "good003"], "spot": ["spot001"]}.items():
        (tmp_path / "known" / label).mkdir(parents=True)
        for name in names:
            (tmp_path / "known" / label / f"{name}.png").write_bytes((images / f"{name}.png").read_bytes())
    comparing = Comparing(labelled=tmp_path / "known", overkill=overkill)
    found = distill.predict(model, [images / "spot002.png"], by="retrieval", comparing=comparing)
    said = [one.en for one in found.remarks if "too few" in one.en]
    assert len(said) == (rejected is not None)
    if rejected is not None:
        assert said[0].startswith(f"3 good pictures are too few for an overkill of {overkill:.1%}")
        assert f"rejects {rejected:.1%} of new good parts" in said[0]
        assert said[0].endswith(f"from {round(2 / overkill)} on it is at most half more than asked on average.")


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
        (By.prototypes, Comparing(store=path, summary="train", overkill=0), said[1:]),
        (By.prototypes, Comparing(store=path, summary=str(bare), overkill=0), said),
        (By.retrieval, Comparing(store=path, gallery=light, overkill=0), said[1:]),
    ):
        found = distill.predict(model, asked, by=by, comparing=comparing)
        assert [[one for one in said if one in remark.en] for remark in found.remarks[2:]] == [[one] for one in told]
        given = distill.predict(model, asked, by=by, comparing=replace(comparing, overkill=None), threshold=0)
        assert [one.en for one in given.remarks[1:]] == ["The threshold 0.0000 is the given one."]


def test_an_added_defect_is_known_at_once(model: TerminalModel, images: Path, tmp_path: Path) -> None:
    """Two parts with rims, which nobody trained, in a folder beside good parts: then a third is like them."""
    for label, names in {"good": [f"good{n:03}" for n in range(20)], "rims": ["aside0", "aside1"]}.items():
        (tmp_path / "known" / label).mkdir(parents=True)
        for name in names:
            (tmp_path / "known" / label / f"{name}.png").write_bytes((images / f"{name}.png").read_bytes())
    comparing = Comparing(labelled=tmp_path / "known", gallery=tmp_path / "g.safetensors", overkill=0.1)
    asked = [images / "aside2.png", images / "good031.png"]
    found = distill.predict(model, asked, by="retrieval", comparing=comparing)
    assert [one.decision for one in found.pictures] == ["rims", "good"]
    assert "of 20 good pictures of the folder" in found.remarks[1].en
    assert len(found.remarks) == 2
    kept = distill.predict(model, asked, by="retrieval", comparing=replace(comparing, labelled=None))
    assert kept.pictures == found.pictures
    shutil.copy(images / "aside0.png", tmp_path / "known" / "aside.png")  # in the folder of no label
    again = distill.predict(model, asked, by="retrieval", comparing=comparing)
    assert (again.pictures, again.remarks[:2]) == (found.pictures, found.remarks)
    assert "1 of the pictures under" in again.remarks[2].en
    assert "(such as 'aside.png') have no label and are not compared with" in again.remarks[2].en


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
