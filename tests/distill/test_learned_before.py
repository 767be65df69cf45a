"""What an old student learned is not tested again, and nothing else is left out, whatever names the pictures have by now."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import toy_parts
from toy_parts import Part, quick

import distill
import embedstore
from distill.evaluation.gate import LeftOut
from distill.training import run_directory
from distill.training.origin import read_origin, run_data_after, settings_after
from distill.training.renamed import RenamedWarning
from distill.training.run_data import RunData
from distill.training.run_directory import INHERITED

ROWS = [replace(row, group="") for row in toy_parts.parts(30, 10, 10)]
GOODS = {side: [row.path for row in ROWS if row.kind == "good" and row.split == side] for side in ("train", "test")}
LEARNED, TESTED = GOODS["train"][:3], GOODS["test"][:3]
SWAPPED = dict(zip([*LEARNED, *TESTED], [*TESTED, *LEARNED], strict=True))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with pictures that are parts of their own, a store of them and a finished run."""
    distill.train(toy_parts.make_store(tmp_path, ROWS, views=1), tmp_path / "old", quick(epochs=1, overkill=0.34))
    return tmp_path


def rename(here: Path, names: Mapping[str, str], rows: list[Part] = ROWS, **changes: str) -> list[Part]:
    """Rename files, also in a round, and bring the store to that; what else is said goes along, but for some changes."""
    images = here / "images"
    for old in names:
        (images / old).rename(images / f"between-{old}")
    for old, new in names.items():
        (images / f"between-{old}").rename(images / new)
    rows = [replace(row, path=names[row.path], **changes) if row.path in names else row for row in rows]
    build(here, rows)
    return rows


def build(here: Path, rows: list[Part]) -> None:
    manifest = toy_parts.write_manifest(here / "parts.csv", rows)
    embedstore.build(here / "toy.store", here / "images", manifest=manifest, prune=True)


def after(here: Path, run: str = "old") -> RunData:
    """Return what a student that begins with a run's would learn from and be tested on."""
    origin = read_origin(here / run)
    with embedstore.open(here / "toy.store") as store:
        return run_data_after(origin, store, settings_after(origin))


def test_names_that_went_round_leave_nothing_out(here: Path) -> None:
    """Each picture is on the side that it was on, under a name that was on another."""
    rename(here, SWAPPED)
    data = after(here)
    assert (data.left_out, data.remarks) == ({"val": 0, "test": 0}, [])


def test_what_was_learned_is_left_out_under_a_name_that_was_not(here: Path) -> None:
    rows = rename(here, SWAPPED)
    to = dict.fromkeys(TESTED, "test") | dict.fromkeys(LEARNED, "train")  # the learned ones have the others' names
    build(here, [replace(row, split=to.get(row.path, row.split)) for row in rows])
    data = after(here)
    assert data.left_out == {"val": 0, "test": 3}
    assert not {data.samples[at].id for at in data.sides["test"]} & set(TESTED)


def test_two_runs_later_it_is_still_known(here: Path) -> None:
    """The second run learns from it no more, and notes it by the name that it has then, which another picture gets later."""
    kept, gone, *_ = LEARNED
    rows = rename(here, {kept: "second.png"}, split="test")
    (here / "images" / gone).unlink()
    rows = rename(here, {TESTED[0]: gone}, [row for row in rows if row.path != gone])
    distill.train(here / "toy.store", here / "second", quick(epochs=1), origin=here / "old")
    told = (here / "second" / INHERITED).read_text("utf-8").splitlines()[1:]
    assert "second.png," in told
    assert not {f"{kept},", f"{gone},"} & set(told)
    assert gone in run_directory.read_split(here / "second")  # another picture, which was not learned
    rename(here, {"second.png": "third.png", TESTED[1]: "second.png"}, rows)
    data = after(here, "second")
    assert data.left_out == {"val": 0, "test": 1}
    assert "third.png" not in {data.samples[at].id for at in data.sides["test"]}


def test_the_gate_compares_on_the_same_pictures_after_names_went_round(here: Path) -> None:
    distill.train(here / "toy.store", here / "new", quick(epochs=1, seed=1))
    before = distill.gate(here / "new", here / "old")
    assert before.left_out == LeftOut(learned=0, validated=0, untraced=0)
    rename(here, SWAPPED)
    with pytest.warns(RenamedWarning):
        assert distill.gate(here / "new", here / "old") == before


def test_one_that_left_is_not_said_to_be_perhaps_there(here: Path) -> None:
    build(here, [row for row in ROWS if row.path != LEARNED[0]])
    assert after(here).remarks == []


def test_without_the_version_that_was_learned_names_tell(here: Path) -> None:
    rename(here, {LEARNED[0]: "away.png"})
    with embedstore.open(here / "toy.store") as store:
        store.compact()
    (told,) = after(here).remarks
    assert told.startswith(f"1 pictures that the run in '{here / 'old'}' or one before it learned from (such as")


def test_the_gate_knows_it_by_the_other_run_s_name_where_its_own_version_is_gone(here: Path) -> None:
    path = here / "toy.store"
    rows = [replace(row, split="test") if row.path == LEARNED[0] else row for row in ROWS]
    shutil.copy(here / "images" / LEARNED[0], here / "images" / TESTED[0])
    build(here, rows)
    distill.train(path, here / "new", quick(epochs=1, overkill=0.34))
    with embedstore.open(path) as store:
        store.tag("learned by the new one")
    rename(here, {LEARNED[0]: "away.png"}, rows)
    with embedstore.open(path) as store:
        store.compact()
    with pytest.warns(RenamedWarning, match=f"such as '{LEARNED[0]}', now 'away.png'"):
        found = distill.gate(here / "new", here / "old")
    assert found.left_out == LeftOut(learned=2, validated=0, untraced=0)  # a copy, too


def test_a_picture_that_has_left_is_not_asked_for_one_student_later(here: Path) -> None:
    """One name is another picture's now, and one is nobody's; of neither has the second run anything to say."""
    for name in LEARNED[:2]:
        (here / "images" / name).unlink()
    (here / "images" / TESTED[0]).rename(here / "images" / LEARNED[0])
    rows = [
        replace(row, path=LEARNED[0]) if row.path == TESTED[0] else row for row in ROWS if row.path not in LEARNED[:2]
    ]
    build(here, rows)
    assert after(here).remarks == []
    second = distill.train(here / "toy.store", here / "second", quick(epochs=1, overkill=0.34), origin=here / "old")
    assert (second.path / INHERITED).read_text("utf-8").split() == ["id,group"]
    assert after(here, "second").remarks == []


@pytest.mark.parametrize("became", ["there still", "gone", "renamed", "on the validation side"])
def test_a_copy_of_what_was_learned_is_left_out(became: str, here: Path) -> None:
    learned, images = LEARNED[0], here / "images"
    shutil.copy(images / learned, images / TESTED[0])
    rows = ROWS
    if became == "gone":
        (images / learned).unlink()
        rows = [row for row in ROWS if row.path != learned]
    elif became == "renamed":
        (images / learned).rename(images / "away.png")
        rows = [replace(row, path="away.png") if row.path == learned else row for row in ROWS]
    elif became == "on the validation side":
        rows = [replace(row, split="val") if row.path == learned else row for row in ROWS]
    build(here, rows)
    data = after(here)
    assert data.left_out == {"val": int(became == "on the validation side"), "test": 1}
    assert TESTED[0] not in {data.samples[at].id for at in data.sides["test"]}
    distill.train(here / "toy.store", here / "new", quick(epochs=1, seed=1, overkill=0.34))
    assert distill.gate(here / "new", here / "old").left_out.learned == 1


def test_what_was_learned_stays_so_where_its_copy_was_validated_on(here: Path) -> None:
    learned, images = LEARNED[0], here / "images"
    validated = next(row.path for row in ROWS if row.kind == "good" and row.split == "val")
    shutil.copy(images / learned, images / validated)
    build(here, ROWS)
    distill.train(here / "toy.store", here / "second", quick(epochs=1, overkill=0.34))
    (images / learned).unlink()
    build(here, [row for row in ROWS if row.path != learned])
    assert after(here, "second").left_out == {"val": 1, "test": 0}


def test_one_of_two_copies_that_was_taken_again_is_the_same_part(here: Path) -> None:
    images = here / "images"
    shutil.copy(images / LEARNED[0], images / LEARNED[1])
    build(here, ROWS)
    distill.train(here / "toy.store", here / "second", quick(epochs=1, overkill=0.34))
    toy_parts.draw("good", 999).save(images / LEARNED[0])
    build(here, [replace(row, split="test") if row.path == LEARNED[0] else row for row in ROWS])
    assert after(here, "second").left_out == {"val": 0, "test": 1}
