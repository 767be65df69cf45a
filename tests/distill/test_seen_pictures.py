"""A saved summary whose pictures were renamed or taken again since: refused where it saw what is tested, and else told."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_parts
from toy_parts import Part, quick

import embedstore
from distill.training.run_data import make_run_data
from distill.training.run_summary import check_summary
from embedstore.errors import SummaryError

ROWS = toy_parts.parts(30, 10, 10)
TESTED, LEARNED = "spot006.png", "good000.png"
# Summaries that tell by a picture's name what its target is.
BY_NAME: dict[str, tuple[str, dict[str, Any]]] = {
    "codes": ("compressed-own", {}),
    "sub": ("sub-prototypes", {"k": 2}),
    "rare": ("rare-samples", {"share": 0.2, "k": 1}),
    "kept": ("random-samples", {"share": 0.01}),
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with pictures and a store, in which summaries are of all pictures, or of the training side."""
    with embedstore.open(toy_parts.make_store(tmp_path, ROWS, views=1)) as store:
        store.summarize("class-mean", name="all")
        store.summarize("class-mean", name="train", split="train")
        for name, (strategy, parameters) in BY_NAME.items():
            store.summarize(strategy, name=name, split="train", **parameters)
    return tmp_path


def build(here: Path, rows: Sequence[Part] = ROWS) -> None:
    manifest = toy_parts.write_manifest(here / "parts.csv", rows)
    embedstore.build(here / "toy.store", here / "images", manifest=manifest, prune=True)


def rename(here: Path, names: dict[str, str], rows: Sequence[Part] = ROWS) -> None:
    """Rename files one after the other, and bring the store to that; what else is said of the pictures goes along."""
    for old, new in names.items():
        (here / "images" / old).rename(here / "images" / new)
    build(here, [replace(row, path=names.get(row.path, row.path)) for row in rows])


def swap(here: Path, one: str, other: str) -> None:
    """Give two files each the name of the other, and bring the store to that."""
    images = here / "images"
    (images / one).rename(images / "between")
    (images / other).rename(images / one)
    (images / "between").rename(images / other)
    build(here)


def remarks(here: Path, name: str) -> list[str]:
    """Return what is said of a summary, but for its version."""
    with embedstore.open(here / "toy.store") as store:
        data = make_run_data(store, quick(overkill=0.34))
        check_summary(store.summary(name), store, data)
        return [one for one in data.remarks if "what changed since then" not in one]


def refused(here: Path, name: str, message: str) -> None:
    with pytest.raises(SummaryError, match=message):
        remarks(here, name)


def test_a_renamed_picture_that_is_tested_was_seen(here: Path) -> None:
    names = {row.path: f"new-{row.path}" for row in ROWS if row.split != "train"}
    rename(here, names)
    first = next(iter(names))
    refused(here, "all", rf"saw {len(names)} pictures that .* tested on \(such as '{first}', now 'new-{first}'\)")
    assert remarks(here, "train") == []


def test_copies_of_what_was_seen_are_told_whether_that_was_renamed_or_not(here: Path) -> None:
    """They were there when the summary was made, of pictures that are learned: each is still the picture that it was."""
    shutil.copy(here / "images" / LEARNED, here / "images" / TESTED)
    build(here)
    with embedstore.open(here / "toy.store") as store:
        store.summarize("class-mean", name="copies", split="train")
    told = (
        f"1 pictures that this run is tested on are copies of others that the summary 'copies' saw (such as '{TESTED}', of "
        f"'{LEARNED}'), so the figures look better than they are; unite them with: embedstore twins STORE --apply, and split "
        "again."
    )
    assert remarks(here, "copies") == [told]
    rename(here, {LEARNED: "away.png"})
    assert remarks(here, "copies") == [told]
    with embedstore.open(here / "toy.store") as store, store.write() as changes:
        changes.set("split", {TESTED: "aside"})  # of which no figure tells
    assert remarks(here, "copies") == []


def test_a_new_copy_under_which_it_may_be_now_is_refused(here: Path) -> None:
    shutil.copy(here / "images" / LEARNED, here / "images" / TESTED)
    rename(here, {LEARNED: "away.png"})
    refused(here, "train", f"saw 1 pictures that .*such as '{LEARNED}', now '{TESTED}'")


def test_names_that_went_round_hide_nothing(here: Path) -> None:
    """The name that is tested has the picture that was learned now, and the other way round."""
    swap(here, LEARNED, TESTED)
    refused(here, "train", f"saw 1 pictures .*such as '{LEARNED}', now '{TESTED}'")


def test_pictures_that_were_numbered_anew_are_told_by_their_bytes(here: Path) -> None:
    """Each keeps its side, under a name that was another one's; some of these were on another side."""
    first, *others = [row for row in ROWS if row.kind == "good"]
    (here / "images" / first.path).unlink()
    names = {row.path: f"good{number:03}.png" for number, row in enumerate(others)}
    rename(here, names, [row for row in ROWS if row != first])
    assert remarks(here, "train") == []
    for name in BY_NAME:
        refused(here, name, "names .such as 'good000.png'. have other pictures now, which would get the targets")
    tested = sum(row.split != "train" for row in ROWS)
    refused(here, "all", f"saw {tested} pictures that .*such as 'good002.png', now 'good001.png'")


def test_pictures_of_one_side_that_swap_names_change_no_class_mean(here: Path) -> None:
    """A class has one target; what tells by name which picture has which is refused."""
    swap(here, LEARNED, "good001.png")
    assert remarks(here, "train") == []
    for name in BY_NAME:
        refused(here, name, f"and 2 names .such as '{LEARNED}'. have other pictures now, .*; make it from")


def test_a_picture_that_was_learned_may_be_renamed_or_leave(here: Path) -> None:
    rename(here, {LEARNED: "away.png"})
    assert remarks(here, "train") == []
    build(here, [row for row in ROWS if row.path not in {LEARNED, "good001.png"}])
    assert remarks(here, "train") == []


def test_without_the_version_of_the_summary_it_is_told_what_is_not_there(here: Path) -> None:
    rename(here, {TESTED: "away.png"})
    with embedstore.open(here / "toy.store") as store:
        saw = store.summary("train")
        for name in ("all", "train", *BY_NAME):  # for each of which a compaction keeps its version
            store.delete_summary(name)
        store.compact()
    with embedstore.open(here / "toy.store") as store:
        data = make_run_data(store, quick(overkill=0.34))
        check_summary(replace(saw, seen=[TESTED, *saw.seen[1:]]), store, data)
    assert data.remarks[1:] == [
        f"1 pictures that the summary 'train' saw (such as '{TESTED}') are not in this store; should it have them under other "
        "names, the run is tested on what the summary saw, and its figures are too good; make it again to be sure."
    ]


def test_a_picture_that_was_taken_again_is_told(here: Path) -> None:
    toy_parts.draw("good", 999).save(here / "images" / LEARNED)
    build(here)
    for name in {"train", *BY_NAME} - {"codes"}:
        assert remarks(here, name) == [
            f"1 pictures that the summary '{name}' saw (such as '{LEARNED}') were taken again since, and it tells of the earlier "
            "ones; make it again."
        ]
    refused(here, "codes", f"1 names .such as '{LEARNED}'. have other pictures now")


@pytest.mark.parametrize("name", BY_NAME)
def test_what_was_told_of_a_picture_that_was_taken_again_is_refused(name: str, here: Path) -> None:
    rows = [replace(row, mode="line") if row.kind == "stripe" else row for row in ROWS]
    build(here, rows)
    assert remarks(here, name) == []
    shutil.copy(here / "images" / "good012.png", here / "images" / LEARNED)  # of another picture that is learned
    build(here, rows)
    refused(here, name, f"1 names .such as '{LEARNED}'. have other .* targets of .*; make it from the training")
