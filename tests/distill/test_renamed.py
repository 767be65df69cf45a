"""A run whose pictures were renamed since: found by their content and asked as before, or refused; none is left out."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import toy_parts
from toy_parts import quick

import distill
import embedstore
from distill.evaluation.gate import LeftOut
from distill.training.evaluate import ask
from distill.training.renamed import RenamedWarning
from embedstore.errors import TrainingError

TESTED, LEARNED = "spot006.png", "good000.png"
ROWS = toy_parts.parts(30, 10, 10)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a store, its pictures and a finished run, of which `TESTED` is on the test side."""
    store = toy_parts.make_store(tmp_path, ROWS, views=1)
    distill.train(store, tmp_path / "run", quick(epochs=1))
    assert f"{TESTED},test," in (tmp_path / "run" / "split.csv").read_text("utf-8")
    return tmp_path


def rename(folder: Path, names: dict[str, str], **changes: str) -> None:
    """Rename files, and bring the store to that; give the renamed pictures what else is said, such as another mode."""
    rows = []
    for row in ROWS:
        told = vars(row) | {"path": names.get(row.path, row.path)}
        rows.append(toy_parts.Part(**told | (changes if row.path in names else {})))
    for old, new in names.items():
        (folder / "images" / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / old).rename(folder / "images" / new)
    manifest = toy_parts.write_manifest(folder / "parts.csv", rows)
    embedstore.refresh(folder / "toy.store", manifest=manifest, prune=True)


def refused(folder: Path, count: int) -> None:
    before = {file.name: file.read_bytes() for file in (folder / "run").iterdir()}
    with pytest.raises(
        TrainingError, match=f"^{count} pictures that the run in '.*run' is tested on .* have left the store"
    ):
        distill.evaluate(folder / "run")
    assert {file.name: file.read_bytes() for file in (folder / "run").iterdir()} == before


def test_a_renamed_picture_is_found_and_scored_as_before(here: Path) -> None:
    run = here / "run"
    report, scores = distill.evaluate(run), (run / "scores.csv").read_bytes()
    rename(here, {TESTED: "moved/away.png"})
    with pytest.warns(RenamedWarning) as warned:
        assert distill.evaluate(run) == report
    assert [str(one.message) for one in warned] == [
        f"The store '{here / 'toy.store'}' has 1 pictures of the run in '{run}' under other names now (such as '{TESTED}', now "
        "'moved/away.png'); they were found by their content, and the run calls them as before."
    ]
    assert (run / "scores.csv").read_bytes() == scores


def test_its_mode_is_the_one_that_the_store_has_now(here: Path) -> None:
    rename(here, {TESTED: "away.png"}, mode="pit")
    with pytest.warns(RenamedWarning):
        report = distill.evaluate(here / "run")
    assert {one.mode: one.pictures for one in report.by_mode} == {"spot": 1, "stripe": 2, "pit": 1}


def test_a_picture_that_was_learned_is_found_where_it_is_asked_for(here: Path) -> None:
    before = ask(here / "run", "neighbours")
    rename(here, {LEARNED: "away.png"})
    with pytest.warns(RenamedWarning, match=f"such as '{LEARNED}', now 'away.png'"):
        assert ask(here / "run", "neighbours") == before
    distill.evaluate(here / "run")  # without a warning: it is not asked for


def test_the_gate_finds_it_too(here: Path) -> None:
    distill.train(here / "toy.store", here / "other", quick(epochs=1, seed=1))
    before = distill.gate(here / "run", here / "other")
    rename(here, {TESTED: "away.png"})
    with pytest.warns(RenamedWarning):
        assert distill.gate(here / "run", here / "other") == before


def test_the_gate_leaves_out_what_the_other_student_learned_under_another_name(here: Path) -> None:
    tested = distill.evaluate(here / "run").counts["test"]
    rename(here, {TESTED: "away.png"}, split="train", group="")  # which no group tells either
    distill.train(here / "toy.store", here / "other", quick(epochs=1))
    with pytest.warns(RenamedWarning):
        found = distill.gate(here / "run", here / "other")
    assert found.left_out == LeftOut(learned=1, validated=0, untraced=0)
    assert found.goods.pictures + found.defects.pictures == tested - 1


def test_a_picture_that_left_is_not_left_out(here: Path) -> None:
    (here / "images" / TESTED).unlink()
    manifest = toy_parts.write_manifest(here / "parts.csv", [row for row in ROWS if row.path != TESTED])
    embedstore.refresh(here / "toy.store", manifest=manifest, prune=True)
    refused(here, 1)


def test_one_that_was_renamed_does_not_hide_one_that_left(here: Path) -> None:
    rename(here, {TESTED: "away.png"})
    with embedstore.open(here / "toy.store") as store, store.write("delete") as changes:
        changes.delete(["spot007.png"])
    refused(here, 1)


def test_another_picture_of_the_run_with_the_same_bytes_is_not_taken_for_it(tmp_path: Path) -> None:
    toy_parts.write_pictures(tmp_path / "images", ROWS)
    shutil.copy(tmp_path / "images" / "spot007.png", tmp_path / "images" / TESTED)
    manifest = toy_parts.write_manifest(tmp_path / "parts.csv", ROWS)
    embedstore.build(tmp_path / "toy.store", tmp_path / "images", manifest=manifest, teacher="pixels", views=1)
    distill.train(tmp_path / "toy.store", tmp_path / "run", quick(epochs=1))
    with embedstore.open(tmp_path / "toy.store") as store, store.write("delete") as changes:
        changes.delete([TESTED])
    refused(tmp_path, 1)


def test_it_is_found_beside_a_copy_that_kept_its_name(here: Path) -> None:
    images, copy = here / "images", "spot007.png"
    shutil.copy(images / TESTED, images / copy)
    rename(here, {})
    run = distill.train(here / "toy.store", here / "second", quick(epochs=1)).path
    report = distill.evaluate(run)
    rename(here, {TESTED: "away.png"})
    with pytest.warns(RenamedWarning, match=f"1 pictures .*such as '{TESTED}', now 'away.png'"):
        assert distill.evaluate(run) == report


def test_two_new_pictures_with_its_bytes_tell_nothing(here: Path) -> None:
    shutil.copy(here / "images" / TESTED, here / "images" / "copy.png")
    (here / "images" / TESTED).rename(here / "images" / "away.png")
    new = [toy_parts.Part(name, "defect", "spot", "spot-3", "test") for name in ("away.png", "copy.png")]
    manifest = toy_parts.write_manifest(here / "parts.csv", [*(row for row in ROWS if row.path != TESTED), *new])
    embedstore.refresh(here / "toy.store", manifest=manifest, prune=True)
    refused(here, 1)


def test_without_the_version_that_the_run_learned_from_nothing_is_found(here: Path) -> None:
    rename(here, {TESTED: "away.png"})
    with embedstore.open(here / "toy.store") as store:
        for tag in store.tags:  # so that the refresh can be rolled back
            store.delete_tag(tag)
        store.compact()
    refused(here, 1)


def test_a_store_that_was_built_anew_tells_nothing_of_the_old_ones_names(here: Path) -> None:
    """It has a version of the same number, in which the name is that of another picture."""
    shutil.rmtree(here / "toy.store")
    (here / "images" / TESTED).rename(here / "images" / "away.png")
    shutil.copy(here / "images" / "stripe000.png", here / "images" / TESTED)
    manifest = toy_parts.write_manifest(here / "parts.csv", ROWS)
    embedstore.build(here / "toy.store", here / "images", manifest=manifest, teacher="pixels", views=1)
    (here / "images" / TESTED).rename(here / "images" / "another.png")
    rows = [row for row in ROWS if row.path != TESTED]
    rows += [toy_parts.Part("another.png", "defect", "stripe", "new", "test")]
    embedstore.refresh(here / "toy.store", manifest=toy_parts.write_manifest(here / "parts.csv", rows), prune=True)
    refused(here, 1)


def test_a_name_that_is_another_picture_s_now_is_not_taken_for_it(here: Path) -> None:
    """Names that went round: of a learned picture and two that are tested; each is found, and scored as before."""
    report, scores = distill.evaluate(here / "run"), (here / "run" / "scores.csv").read_bytes()
    images = here / "images"
    round_about = (LEARNED, TESTED, "spot007.png")
    for name in round_about:
        (images / name).rename(images / f"{name}.away")
    for old, new in zip(round_about, (*round_about[1:], round_about[0]), strict=True):
        (images / f"{old}.away").rename(images / new)
    embedstore.refresh(here / "toy.store", manifest=toy_parts.write_manifest(here / "parts.csv", ROWS))
    with pytest.warns(RenamedWarning, match="has 2 pictures of the run"):
        found = distill.evaluate(here / "run")
    assert (found.recall, found.auroc) == (report.recall, report.auroc)
    before, after = (
        {line.split(",")[0]: line.split(",")[5:] for line in told.decode().splitlines()}
        for told in (scores, (here / "run" / "scores.csv").read_bytes())
    )
    assert after == before  # but for labels and groups, which are those of the names now


def give_its_name_away(folder: Path) -> None:
    """Rename a tested defect, and give its old name to a good picture that was learned; labels and groups go along."""
    names = {TESTED: "away.png", LEARNED: TESTED}
    for old, new in names.items():
        (folder / "images" / old).rename(folder / "images" / new)
    rows = [replace(row, path=names.get(row.path, row.path)) for row in ROWS]
    manifest = toy_parts.write_manifest(folder / "parts.csv", rows)
    embedstore.refresh(folder / "toy.store", manifest=manifest, prune=True)


def test_the_gate_knows_its_kind_where_its_name_is_another_picture_s_now(here: Path) -> None:
    distill.train(here / "toy.store", here / "other", quick(epochs=1, seed=1))
    before = distill.gate(here / "run", here / "other")
    give_its_name_away(here)
    with pytest.warns(RenamedWarning):
        assert distill.gate(here / "run", here / "other") == before


def test_the_gate_leaves_it_out_where_the_other_student_learned_it(here: Path) -> None:
    """Its name is another picture's now, of another part."""
    with embedstore.open(here / "toy.store") as store, store.write("split") as changes:
        changes.set("split", {TESTED: "train"})
    distill.train(here / "toy.store", here / "other", quick(epochs=1))
    give_its_name_away(here)
    with pytest.warns(RenamedWarning):
        found = distill.gate(here / "run", here / "other")
    assert found.left_out == LeftOut(learned=2, validated=0, untraced=0)


def test_a_picture_of_the_run_under_the_name_of_one_that_left_is_refused(here: Path) -> None:
    shutil.copy(here / "images" / LEARNED, here / "images" / TESTED)
    embedstore.refresh(here / "toy.store", manifest=toy_parts.write_manifest(here / "parts.csv", ROWS))
    refused(here, 1)


def test_a_picture_that_was_taken_again_is_asked_as_it_is_now(here: Path) -> None:
    toy_parts.draw("spot", 999).save(here / "images" / TESTED)
    embedstore.refresh(here / "toy.store", manifest=toy_parts.write_manifest(here / "parts.csv", ROWS))
    distill.evaluate(here / "run")  # neither a warning nor a refusal
