"""distill.evaluate: the report of a finished run once more, or one clear sentence."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import toy_parts
from toy_parts import quick

import distill
import embedstore
from distill.evaluation.report import make_report
from distill.training.beginning import held
from distill.training.evaluate import NewLabelWarning
from distill.training.loop import Run
from distill.training.run_directory import read_scores
from embedstore import EmbeddingStore
from embedstore.errors import TrainingError
from embedstore.teachers.pixels import PixelTeacher


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(finished.path, tmp_path / "run")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    description = json.loads((path / "run.json").read_text("utf-8"))
    change(description)
    (path / "run.json").write_text(json.dumps(description), "utf-8")


def refused(run: Path, message: str, **options: Any) -> None:
    """Assert that the run is refused in one sentence and left as it was."""
    before = {file.name: file.read_bytes() for file in run.iterdir()} if run.is_dir() else {}
    with pytest.raises(TrainingError, match=message):
        distill.evaluate(run, **options)
    assert ({file.name: file.read_bytes() for file in run.iterdir()} if run.is_dir() else {}) == before


def test_it_gives_the_report_of_the_training_again(finished: Run, run: Path) -> None:
    (run / "scores.csv").unlink()
    (run / "report.json").unlink()
    assert distill.evaluate(run) == finished.report
    for name in ("scores.csv", "report.json"):
        assert (run / name).read_bytes() == (finished.path / name).read_bytes()
    assert distill.evaluate(str(run)) == finished.report


def test_it_needs_neither_checkpoint_nor_metrics(finished: Run, run: Path) -> None:
    (run / "checkpoint.pt").unlink()
    (run / "metrics.csv").unlink()
    assert distill.evaluate(run) == finished.report


def test_without_a_good_label_and_with_a_split_of_the_runs_own(tmp_path: Path) -> None:
    rows = toy_parts.parts(20, 10, 10, split=False)
    trained = distill.train(toy_parts.make_store(tmp_path, rows), tmp_path / "run", quick(good=None, seed=5, epochs=1))
    assert distill.evaluate(tmp_path / "run") == trained.report


def test_pictures_that_a_sure_student_tells_apart_are_told_apart_in_the_file(
    run: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Next to 1 the numbers of good pictures differ from the tenth digit on."""

    def sure(_: object, __: object, positions: npt.NDArray[np.int64], *___: object) -> npt.NDArray[np.float64]:
        rng = np.random.default_rng(len(positions))
        logits = [-26 if store.sample_at(int(at)).label == "good" else -22 for at in positions]
        odd = 1 / (1 + np.exp(-(np.array(logits, np.float64) + rng.random(len(positions)))))
        return np.stack([odd, 1 - odd], axis=1)

    monkeypatch.setattr("distill.training.evaluate.class_probabilities", sure)
    report = distill.evaluate(run)
    held, classes = read_scores(run)
    assert min(h.probabilities[1] for h in held) > 1 - 1e-8
    assert report.auroc == 1
    assert make_report(held, classes, report.policy, "good", 0.05) == report


def test_a_run_that_another_process_works_on_is_left_alone(run: Path) -> None:
    with held(run):
        refused(run, "Another process is working on the run in '.*run'")
    distill.evaluate(run)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a store, its pictures and a run, for tests that change them."""
    rows = toy_parts.parts(30, 10, 10)
    distill.train(toy_parts.make_store(tmp_path, rows), tmp_path / "run", quick(epochs=1))
    return tmp_path


def test_store_and_pictures_may_have_moved(here: Path) -> None:
    before = distill.evaluate(here / "run")
    (here / "toy.store").rename(here / "moved.store")
    refused(here / "run", "The run's store is not in '.*toy.store'; tell where it is now: --store STORE")
    assert distill.evaluate(here / "run", store=here / "moved.store") == before
    (here / "images").rename(here / "moved")
    refused(here / "run", "tell where the pictures are now: --images DIR", store=here / "moved.store")
    assert distill.evaluate(here / "run", store=here / "moved.store", images=here / "moved") == before


def test_training_pictures_may_leave_the_store_and_tested_ones_may_not(here: Path) -> None:
    before = distill.evaluate(here / "run")
    rows = toy_parts.parts(30, 10, 10)

    def build(keep: Callable[[toy_parts.Part], bool]) -> None:
        manifest = toy_parts.write_manifest(here / "parts.csv", [row for row in rows if keep(row)])
        embedstore.build(here / "toy.store", here / "images", manifest=manifest, prune=True)

    build(lambda row: row.path != "good000.png")
    assert distill.evaluate(here / "run") == before
    build(lambda row: row.split != "test")
    refused(here / "run", r"10 pictures that the run in '.*run' is tested on \(such as '.*.png'\) have left the store")


def test_a_split_written_since_does_not_move_what_is_tested(here: Path) -> None:
    before = distill.evaluate(here / "run")
    toy_parts.write_manifest(here / "parts.csv", [replace(row, split="") for row in toy_parts.parts(30, 10, 10)])
    embedstore.build(here / "toy.store", here / "images", manifest=here / "parts.csv")
    with embedstore.open(here / "toy.store") as store:
        store.split(seed=9)
    assert distill.evaluate(here / "run") == before


def test_labels_are_those_that_the_store_has_now(here: Path) -> None:
    before = distill.evaluate(here / "run")
    rows = toy_parts.parts(30, 10, 10)

    def relabel(change: Callable[[toy_parts.Part], toy_parts.Part]) -> None:
        manifest = toy_parts.write_manifest(here / "parts.csv", [change(row) for row in rows])
        embedstore.build(here / "toy.store", here / "images", manifest=manifest)

    relabel(lambda row: replace(row, mode="line") if row.kind == "stripe" else row)
    assert {one.mode for one in before.by_mode} == {"spot", "stripe"}
    assert {one.mode for one in distill.evaluate(here / "run").by_mode} == {"spot", "line"}
    relabel(lambda row: replace(row, label="good") if row.split == "test" else row)
    refused(here / "run", "The test side has no defect")
    relabel(lambda row: replace(row, label="") if row.split == "val" else row)
    refused(here / "run", "The val side of the split has no labelled picture")


def relabelled(here: Path, names: dict[str, str]) -> None:
    with embedstore.open(here / "toy.store") as store, store.write("relabel") as changes:
        changes.set("label", names)


def test_a_label_that_is_new_since_is_that_of_a_defect(here: Path) -> None:
    before = distill.evaluate(here / "run")
    relabelled(here, {"spot006.png": "scratch", "spot002.png": "scratch"})  # of test and val
    with pytest.warns(
        NewLabelWarning, match=r"^2 validation and test pictures .* \(such as 'scratch'\); they count as defects"
    ):
        after = distill.evaluate(here / "run")
    assert (after.recall, after.auroc, after.threshold) == (before.recall, before.auroc, before.threshold)
    assert {one.label for one in after.by_class} == {"good", "defect"}
    assert after.accuracy <= before.accuracy
    held, _ = read_scores(here / "run")
    assert [one.label for one in held if one.id == "spot006.png"] == ["scratch"]
    relabelled(here, {"good006.png": "scratch"})  # which was a good one
    with pytest.warns(NewLabelWarning):
        assert sum(one.pictures for one in distill.evaluate(here / "run").by_mode) == 5


def test_without_a_good_label_a_picture_with_a_new_one_is_left_out(tmp_path: Path) -> None:
    rows = toy_parts.parts(30, 10, 10)
    distill.train(toy_parts.make_store(tmp_path, rows), tmp_path / "run", quick(good=None, epochs=1))
    before = distill.evaluate(tmp_path / "run")
    relabelled(tmp_path, {"spot006.png": "scratch"})
    with pytest.warns(NewLabelWarning, match="such as 'scratch'.*; they are left out of the figures"):
        after = distill.evaluate(tmp_path / "run")
    assert after.counts == before.counts | {"test": before.counts["test"] - 1}


def test_the_gate_rates_a_defect_with_a_new_label(here: Path) -> None:
    distill.train(here / "toy.store", here / "other", quick(epochs=1, seed=1))
    before = distill.gate(here / "run", here / "other")
    relabelled(here, {"spot006.png": "scratch"})
    with pytest.warns(NewLabelWarning):
        after = distill.gate(here / "run", here / "other")
    assert after.defects == before.defects


def test_a_picture_that_changed_is_refused(here: Path) -> None:
    toy_parts.draw("rims", 1).save(here / "images" / "good006.png")  # a tested one
    refused(here / "run", r"'good006.png' is another than the one that was embedded")


def test_a_store_of_another_teacher_is_refused(here: Path) -> None:
    class Other(PixelTeacher):
        name = "other"
        fingerprint = "f" * 32

    embedstore.build(here / "other.store", here / "images", manifest=here / "parts.csv", teacher=Other())
    refused(here / "run", "'.*other.store' is of another teacher than the run's", store=here / "other.store")


def test_a_missing_run_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "gone", "'.*gone' does not exist; make one with: distill train STORE --out")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "'.*empty' holds no run")


def test_an_incomplete_run_is_refused(store: EmbeddingStore, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "run", quick(), progress=stop)
    refused(
        tmp_path / "run",
        "is not complete; go on with it: distill train STORE --task '.*run.task.toml' --out '.*run' --resume",
    )


@pytest.mark.parametrize("data", [b"", b"{", b"[]"])
def test_a_damaged_description_is_refused(data: bytes, run: Path) -> None:
    (run / "run.json").write_bytes(data)
    refused(run, r"run.json' is damaged")


@pytest.mark.parametrize("part", ["settings", "store", "classes"])
def test_a_description_that_lacks_a_part_is_refused(part: str, run: Path) -> None:
    edit(run, lambda description: description.pop(part))
    refused(run, f"run.json' lacks '{part}'")


def test_settings_of_another_release_are_refused(run: Path) -> None:
    edit(run, lambda description: description["settings"].update(vitamins=3))
    refused(run, "The settings of the run in '.*' are not of this release")
    edit(run, lambda description: description["settings"].pop("vitamins"))
    edit(run, lambda description: description["settings"].update(policy="levitation"))
    refused(run, "The settings of the run in '.*' are not of this release")


def test_a_fold_without_their_number_which_meant_nothing_keeps_no_run_closed(run: Path) -> None:
    edit(run, lambda description: description["settings"].update(folds=None, fold=2, val_fold=1))
    assert distill.evaluate(run) is not None


@pytest.mark.parametrize(
    ("name", "message"), [("split.csv", "is missing or damaged"), ("student.safetensors", "is damaged")]
)
def test_a_damaged_file_is_refused(name: str, message: str, run: Path) -> None:
    (run / name).write_bytes(b"nonsense")
    refused(run, f"{name}' {message}; train again in another directory")


def test_a_store_of_another_recipe_is_refused(run: Path, tmp_path: Path) -> None:
    other = toy_parts.make_store(tmp_path / "other", toy_parts.everything(), recipe=embedstore.Recipe(fit="letterbox"))
    refused(run, "another recipe", store=other)


def test_pictures_set_aside_are_told_of_without_a_good_label(tmp_path: Path) -> None:
    store = toy_parts.make_store(tmp_path, toy_parts.everything())
    (aside,) = distill.train(store, tmp_path / "run", quick(good=None, epochs=1)).report.aside
    assert (aside.mode, aside.pictures, aside.rejected) == ("rims", 3, None)
    assert sum(aside.answers.values()) == 3
    assert set(aside.answers) <= {"defect", "good"}
