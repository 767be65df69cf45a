"""The gate on real runs: its figures against both students' own answers, what is left out, what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_parts
from toy_parts import quick

import distill
import embedstore
from distill.evaluation.gate import LeftOut
from distill.training.loop import Run
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError, TrainingError


@pytest.fixture(scope="module")
def dull(store: EmbeddingStore, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose student has learned nothing, so that much escapes."""
    settings = quick(policy="own", epochs=1, learning_rate=1e-50, overkill=0.2, size=48)
    return distill.train(store, tmp_path_factory.mktemp("dull") / "dull", settings)


@pytest.fixture
def new(dull: Run, tmp_path: Path) -> Path:
    """A copy of it, into which the gate may write."""
    return shutil.copytree(dull.path, tmp_path / "new")


def edit(path: Path, change: Any) -> None:
    values = json.loads(path.read_text("utf-8"))
    change(values)
    path.write_text(json.dumps(values), "utf-8")


def test_each_student_decides_by_its_own_threshold(finished: Run, dull: Run, new: Path) -> None:
    found = distill.gate(new, finished.path)
    assert finished.report.threshold != dull.report.threshold
    assert (found.old.threshold, found.new.threshold) == (finished.report.threshold, dull.report.threshold)
    assert (found.old.run, found.new.run) == ("run", "new")
    # On the same split both reports say what escapes; here it is counted anew from both students' answers.
    for report, side in ((finished.report, "old"), (dull.report, "new")):
        assert {one.kind: getattr(one, side) for one in found.kinds} == {
            one.mode: one.pictures - one.caught for one in report.by_mode
        }
        assert getattr(found.goods, side) == round((report.overkill or 0) * found.goods.pictures)
    assert (found.defects.pictures, found.defects.parts, found.goods.pictures, found.goods.parts) == (8, 4, 12, 6)
    assert found.left_out == LeftOut(0, 0)


def test_what_is_found_is_kept(finished: Run, new: Path) -> None:
    before = (new / "curves.html").read_text("utf-8")
    assert "Better and worse" not in before
    found = distill.gate(new, finished.path)
    assert json.loads((new / "gate.json").read_text("utf-8")) == found.to_dict()
    page = (new / "curves.html").read_text("utf-8")
    for text in ("Better and worse than the student before", "以前の生徒モデルとの比較", "Loss of training", "stripe"):
        assert text in page
    for name in ("metrics.csv", "pretraining.csv"):
        (new / name).unlink(missing_ok=True)
    assert distill.gate(new, finished.path) == found


def split_anew(folder: Path, **sides: str) -> Path:
    """Make the toy store with other sides for some groups."""
    named = {group.replace("_", "-"): side for group, side in sides.items()}
    return toy_parts.make_store(
        folder, [replace(row, split=named.get(row.group, row.split)) for row in toy_parts.everything()]
    )


def test_pictures_that_the_old_student_knows_are_left_out(finished: Run, tmp_path: Path) -> None:
    # Trained on by the old run: 'spot-0'; its threshold's: 'good-1' and 'spot-1'. All are tested today.
    store = split_anew(tmp_path, spot_0="test", good_1="test", spot_1="test")
    run = distill.train(store, tmp_path / "new", quick(policy="own", epochs=1))
    assert run.report.counts["test"] == 26
    found = distill.gate(run.path, finished.path)
    assert found.left_out == LeftOut(learned=2, validated=4)
    assert (found.defects.pictures, found.goods.pictures) == (8, 12)


def test_pictures_merged_since_with_what_chose_the_new_threshold_are_left_out(finished: Run, tmp_path: Path) -> None:
    store = split_anew(tmp_path, good_8="val")  # which tested the old run
    run = distill.train(store, tmp_path / "new", quick(policy="own", epochs=1))
    with embedstore.open(store) as opened:
        opened.set_groups({}, merge={"good-3": "good-8"})
    assert distill.gate(run.path, finished.path).left_out == LeftOut(learned=0, validated=2)


def test_pictures_whose_part_was_merged_with_a_known_one_are_left_out(finished: Run, tmp_path: Path) -> None:
    store = split_anew(tmp_path)
    run = distill.train(store, tmp_path / "new", quick(policy="own", epochs=1))
    assert distill.gate(run.path, finished.path).left_out == LeftOut(0, 0)
    with embedstore.open(store) as opened:  # both runs tested 'good-3' and trained on 'good-0', which is the same part
        opened.set_groups({}, merge={"good-3": "good-0"})
    found = distill.gate(run.path, finished.path)
    assert found.left_out == LeftOut(learned=2, validated=0)
    assert found.goods.pictures == 10


def test_what_training_left_out_is_told_by_the_gate(finished: Run, tmp_path: Path) -> None:
    store = split_anew(tmp_path, spot_0="test", good_0="test")
    run = distill.train(store, tmp_path / "new", quick(policy="own", epochs=1), origin=finished.path)
    found = distill.gate(run.path)  # against the run that it began with
    assert found.left_out == LeftOut(learned=4, validated=0)
    assert (found.old.run, found.defects.pictures, found.goods.pictures) == ("run", 8, 12)


def test_a_kind_without_a_test_part_is_not_passed(finished: Run, tmp_path: Path) -> None:
    rows = toy_parts.parts()
    tested = {row.group for row in rows if row.kind == "stripe" and row.split == "test"}
    store = split_anew(tmp_path, **{group.replace("-", "_"): "train" for group in tested})
    run = distill.train(store, tmp_path / "new", quick(policy="own", epochs=1))
    found = distill.gate(run.path, finished.path)
    assert [(one.kind, one.pictures, one.verdict) for one in found.kinds if one.kind == "stripe"] == [
        ("stripe", 0, "unknown")
    ]


def without_mode(folder: Path, *groups: str) -> Path:
    """Make the toy store with parts whose kind of defect nobody told."""
    rows = [replace(row, mode="" if row.group in groups else row.mode) for row in toy_parts.everything()]
    return toy_parts.make_store(folder, rows)


def test_defects_without_a_mode_count_among_all_defects_only(finished: Run, tmp_path: Path) -> None:
    store = without_mode(tmp_path, "spot-0", "stripe-3")  # the first trains, the second is tested
    found = distill.gate(distill.train(store, tmp_path / "new", quick(policy="own", epochs=1)).path, finished.path)
    assert sorted((str(one.kind), one.pictures) for one in found.kinds) == [("spot", 4), ("stripe", 2)]
    assert (found.defects.pictures, found.pictures_without_kind) == (8, 2)


def test_a_label_of_which_no_sample_has_a_mode_is_a_kind(finished: Run, tmp_path: Path) -> None:
    store = without_mode(tmp_path, *(row.group for row in toy_parts.parts()))
    found = distill.gate(distill.train(store, tmp_path / "new", quick(policy="own", epochs=1)).path, finished.path)
    assert [(one.kind, one.pictures) for one in found.kinds] == [("defect", 8)]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda old, new: (old / "student.safetensors").unlink(), "is not finished"),
        (lambda old, new: (new / "student.safetensors").unlink(), "is not finished"),
        (
            lambda old, new: (old / "report.json").unlink(),
            "report.json' is missing or damaged; write it anew with: distill eval",
        ),
        (lambda old, new: (old / "split.csv").write_text("id\n"), "split.csv' is missing or damaged"),
        (
            lambda old, new: edit(old / "run.json", lambda run: run["recipe"].update(fit="letterbox")),
            "saw its pictures by another recipe",
        ),
        (
            lambda old, new: edit(old / "run.json", lambda run: run["settings"].update(good="defect")),
            "the good label is 'defect', not 'good', so its student can't be followed by one that",
        ),
        (
            lambda old, new: shutil.copy(new / "student.safetensors", old),
            "have the very same student, so there is nothing to compare",
        ),
        (
            lambda old, new: edit(old / "run.json", lambda run: run["settings"].update(good=None)),
            "does not know which label is good, so it has no threshold",
        ),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    harm: Any, message: str, finished: Run, new: Path, tmp_path: Path
) -> None:
    old = shutil.copytree(finished.path, tmp_path / "old")
    harm(old, new)
    with pytest.raises(TrainingError, match=message):
        distill.gate(new, old)
    assert not (new / "gate.json").exists()


def test_without_an_origin_the_old_run_must_be_named(finished: Run, new: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match="did not begin with another, so tell which one it is to replace: distill gate"
    ):
        distill.gate(new)
    old = shutil.copytree(finished.path, tmp_path / "old")
    edit(new / "run.json", lambda run: run.update({"from": {"path": str(old), "student": "another"}}))
    with pytest.raises(TrainingError, match="has another student now than the one that"):
        distill.gate(new)
    old.rename(tmp_path / "moved")
    with pytest.raises(
        TrainingError, match=r"old', which '.*new' began with, is not there; tell where it is now: distill"
    ):
        distill.gate(new)


def test_a_student_of_ones_own_is_never_imported_unasked(finished: Run, new: Path, tmp_path: Path) -> None:
    old = shutil.copytree(finished.path, tmp_path / "old")
    edit(old / "run.json", lambda run: run["settings"].update(student="no_such_module:trunk"))
    with pytest.raises(SettingsError, match="if you trust it, say so: --student no_such_module:trunk"):
        distill.gate(new, old)
    with pytest.raises(SettingsError, match="Neither run has the student 'another:trunk'; leave --student out"):
        distill.gate(new, old, student="another:trunk")
