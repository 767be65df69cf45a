"""Good pictures that set a threshold: none that a summary has seen, also where it was renamed; each without its copies."""

import shutil
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
import toy_parts
from test_galleries import rewritten

import distill
import embedstore
from distill.terminal import gathering
from distill.terminal.export import Export
from distill.terminal.gallery import Gallery
from distill.terminal.model import Space, TerminalModel
from distill.terminal.predict import Comparing
from distill.terminal.predictions import By, Predictions
from embedstore.errors import ModelError
from embedstore.exports import export as export_summary
from embedstore.images import list_images

ROWS = [replace(row, group="") for row in toy_parts.parts(30, 10, 10)]
LEARNED, TESTED = ([row.path for row in ROWS if row.kind == "good" and row.split == side] for side in ("train", "val"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with pictures and a store, in which summaries are of all pictures, or of the training side."""
    with embedstore.open(toy_parts.make_store(tmp_path, ROWS, views=1)) as store:
        store.summarize("medoids", name="all", k=3)
        store.summarize("medoids", name="train", split="train", k=3)
    return tmp_path


def rename(here: Path, names: dict[str, str]) -> None:
    """Rename files, also in a round, and bring the store to that; what else is said of the pictures goes along."""
    images = here / "images"
    for old in names:
        (images / old).rename(images / f"between-{old}")
    for old, new in names.items():
        (images / f"between-{old}").rename(images / new)
    rows = [replace(row, path=names.get(row.path, row.path)) for row in ROWS]
    embedstore.build(
        here / "toy.store", images, manifest=toy_parts.write_manifest(here / "parts.csv", rows), prune=True
    )


def ask(model: Export, here: Path, summary: str, threshold: float | None = None) -> Predictions:
    overkill = 0.4 if threshold is None else None
    comparing = Comparing(store=here / "toy.store", summary=summary, overkill=overkill)
    asked = [here / "images" / "spot001.png"]
    return distill.predict(model.path, asked, by=By.prototypes, comparing=comparing, threshold=threshold)


def test_good_pictures_that_were_renamed_were_seen(exported: Export, here: Path) -> None:
    rename(here, {old: f"new-{old}" for old in TESTED})
    with pytest.raises(ModelError, match="has no good picture of a part that the summary 'all' has not seen, so none"):
        ask(exported, here, "all")


def test_names_that_went_round_change_no_threshold(exported: Export, here: Path) -> None:
    before = ask(exported, here, "train").pictures[0].threshold
    names = list(zip(LEARNED, TESTED, strict=False))
    rename(here, dict(names) | {new: old for old, new in names})
    found = ask(exported, here, "train")
    assert found.pictures[0].threshold == before
    assert f" of {len(TESTED)} good pictures" in found.remarks[1].en


@pytest.mark.parametrize("name", ["train", "file"])
def test_good_pictures_that_are_copies_of_seen_ones_were_seen(name: str, exported: Export, here: Path) -> None:
    for old, new in zip(LEARNED, TESTED, strict=False):
        shutil.copy(here / "images" / old, here / "images" / new)
    rename(here, {})
    summary = name if name == "train" else str(whole_file(here, "train"))
    with pytest.raises(ModelError, match=r"has no good picture of a part that the summary '.*' has not seen"):
        ask(exported, here, summary)


def whole_file(here: Path, summary: str) -> Path:
    file = here / f"{summary}.safetensors"
    with embedstore.open(here / "toy.store") as store:
        export_summary(store, file, summary=summary)
    return file


def built_anew(here: Path, names: dict[str, str]) -> None:
    """Rename files, and make the store from nothing; its version is 1 again, and it keeps no summary."""
    shutil.rmtree(here / "toy.store")
    for old, new in names.items():
        (here / "images" / old).rename(here / "images" / new)
    rows = [replace(row, path=names.get(row.path, row.path)) for row in ROWS]
    manifest = toy_parts.write_manifest(here / "parts.csv", rows)
    embedstore.build(here / "toy.store", here / "images", manifest=manifest, teacher="pixels", views=1)


def test_a_whole_file_tells_what_was_seen_in_a_store_that_was_built_anew(exported: Export, here: Path) -> None:
    everything, training = whole_file(here, "all"), whole_file(here, "train")
    before = ask(exported, here, "train").pictures[0].threshold
    built_anew(here, {old: f"new-{old}" for old in [*LEARNED, *TESTED]})
    with pytest.raises(
        ModelError, match=r"has no good picture of a part that the summary '.*all\.safetensors' has not seen"
    ):
        ask(exported, here, str(everything))
    found = ask(exported, here, str(training))
    assert (found.pictures[0].threshold, len(found.remarks)) == (before, 2)


def test_a_whole_file_needs_no_version_of_the_summary(exported: Export, here: Path) -> None:
    file = whole_file(here, "all")
    rename(here, {old: f"new-{old}" for old in TESTED})
    with embedstore.open(here / "toy.store") as store:
        for name in ("all", "train"):  # for each of which a compaction keeps its version
            store.delete_summary(name)
        store.compact()
    with pytest.raises(
        ModelError, match=r"has no good picture of a part that the summary '.*all\.safetensors' has not seen"
    ):
        ask(exported, here, str(file))


def test_what_a_file_saw_without_a_picture_is_told_where_the_store_lacks_it(exported: Export, here: Path) -> None:
    file = whole_file(here, "train")
    kept, extra = embedstore.Summary.with_extra(file.read_bytes())
    told = msgpack.unpackb(extra["training"].tobytes())
    for fields in told["samples"]:
        fields[6] = bytes(len(fields[6])) if fields[0] == LEARNED[0] else fields[6]  # vectors that were given
    file.write_bytes(kept.to_bytes(extra | {"training": np.frombuffer(msgpack.packb(told), np.uint8)}))
    rename(here, {LEARNED[0]: "away.png"})
    doubt = ask(exported, here, str(file)).remarks[2]
    assert doubt.en == (
        f"1 pictures that the summary 'train' saw (such as '{LEARNED[0]}') are not in the store; should it have them under other "
        "names, the good pictures that set the threshold may be among them, and more of new ones are rejected; make it again to "
        "be sure."
    )
    assert f"1 枚（「{LEARNED[0]}」など）がストアにありません" in doubt.ja
    given = ask(exported, here, str(file), threshold=0)
    assert [one.en for one in given.remarks[1:]] == ["The threshold 0.0000 is the given one."]


@pytest.mark.parametrize("way", ["store", "folder", "file"])
def test_goods_are_compared_without_their_copies(way: str, exported: Export, here: Path) -> None:
    """Each has a copy among the members, under the name of another part."""
    images, path, manifest = here / "images", here / "copies.store", here / "parts.csv"
    for old, new in zip(TESTED, LEARNED, strict=False):
        shutil.copy(images / old, images / new)
    embedstore.build(path, images, manifest=manifest, teacher="pixels", views=1)
    model = TerminalModel(exported.path)
    with embedstore.open(path) as store:
        contents = [store.content_at(at).hex() for at in store.positions(TESTED)]
        part = {sample.id: sample.part for sample in store.samples}
        if way == "folder":
            found, _ = gathering.of_images(model, list_images(images, manifest), None, lambda *_: None)
        else:
            found = gathering.of_store(model, store, Space.student, None, None, lambda *_: None)
    if way == "file":
        found.save(here / "g.safetensors")
        found = Gallery.load(here / "g.safetensors")
    own = [{part[good], part[copy]} for good, copy in zip(TESTED, LEARNED, strict=False)]
    assert found.contents_of_good == contents
    np.testing.assert_array_equal(found.scores_of_goods(1), found.scores(found.goods, 1, own))
    assert (found.scores_of_goods(1) > found.scores(found.goods, 1, [set()] * len(own))).all()


def test_a_gallery_of_an_earlier_release_is_made_again_where_its_store_is_named(exported: Export, here: Path) -> None:
    file, asked = here / "g.safetensors", [here / "images" / "spot001.png"]
    comparing = Comparing(store=here / "toy.store", gallery=file)
    distill.predict(exported.path, asked, by="retrieval", comparing=comparing)
    made = Gallery.load(file)
    old = rewritten(made, file, {"format": 1}, {}, {"contents_of_good": None}).read_bytes()
    distill.predict(exported.path, asked, by="retrieval", comparing=Comparing(gallery=file))
    assert file.read_bytes() == old
    distill.predict(exported.path, asked, by="retrieval", comparing=comparing)
    assert Gallery.load(file).contents_of_good == made.contents_of_good != []
