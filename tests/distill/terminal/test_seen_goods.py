"""Good pictures that a summary has seen set no threshold of its prototypes, also where they were renamed since."""

from dataclasses import replace
from pathlib import Path

import pytest
import toy_parts

import distill
import embedstore
from distill.terminal.export import Export
from distill.terminal.predict import Comparing
from distill.terminal.predictions import By, Predictions
from embedstore.errors import ModelError
from embedstore.exports import export as export_summary

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
    overkill = 0.2 if threshold is None else None
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


def test_without_the_version_of_the_summary_it_is_told_what_is_not_there(exported: Export, here: Path) -> None:
    file = here / "train.safetensors"
    with embedstore.open(here / "toy.store") as store:
        export_summary(store, file, summary="train")
    rename(here, {LEARNED[0]: "away.png"})
    assert len(ask(exported, here, str(file)).remarks) == 2
    with embedstore.open(here / "toy.store") as store:
        for name in ("all", "train"):  # for each of which a compaction keeps its version
            store.delete_summary(name)
        store.compact()
    doubt = ask(exported, here, str(file)).remarks[2]
    assert doubt.en == (
        f"1 pictures that the summary 'train' saw (such as '{LEARNED[0]}') are not in the store; should it have them under other "
        "names, the good pictures that set the threshold may be among them, and more of new ones are rejected; make it again to "
        "be sure."
    )
    assert f"1 枚（「{LEARNED[0]}」など）がストアにありません" in doubt.ja
    given = ask(exported, here, str(file), threshold=0)
    assert [one.en for one in given.remarks[1:]] == ["The threshold 0.0000 is the given one."]
