"""A new student from an old one: whose weights it begins with, what it is not tested on, and how such a run goes on."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_parts
from safetensors.torch import load_file
from toy_parts import quick
from toy_stops import CHILD, NEVER, Stop

import distill
import embedstore
from distill import Settings
from distill.reports.gate import notes
from distill.students import make_student
from distill.training import run_directory
from distill.training.loop import Run
from distill.training.origin import (
    fewer,
    parts_of,
    read_origin,
    rows_by_label,
    run_data_after,
    settings_after,
)
from distill.training.run_data import make_run_data
from embedstore import EmbeddingStore, Sample
from embedstore.errors import SettingsError, TrainingError

# An epoch in which no weight moves, since none has room for so small a step.
STILL = {"policy": "own", "learning_rate": 1e-50, "epochs": 1}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "student.safetensors")


def projection(run: Path) -> torch.Tensor:
    return load_file(run / "projection.safetensors")["weight"]


@pytest.fixture(scope="module")
def relabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy store, but stripes have a label of their own and spots are called so: 'defect' is gone."""
    rows = [row if row.kind == "good" else replace(row, label=row.kind) for row in toy_parts.parts()]
    return toy_parts.make_store(tmp_path_factory.mktemp("relabelled"), rows)


def test_rows_go_with_their_labels() -> None:
    old, fresh = torch.arange(6.0).view(3, 2), -torch.ones(4, 2)
    rows = rows_by_label(old, fresh, ["bent", "crack", "good"], ["crack", "dent", "fray", "good"])
    assert rows.tolist() == [[2, 3], [-1, -1], [-1, -1], [4, 5]]
    assert fresh.tolist() == [[-1, -1]] * 4


def test_the_student_begins_with_the_old_weights_and_projection(
    finished: Run, store: EmbeddingStore, tmp_path: Path
) -> None:
    run = distill.train(store, tmp_path / "new", quick(**STILL), origin=finished.path)
    old, new = weights(finished.path), weights(tmp_path / "new")
    for name in old:
        if "running" not in name and "num_batches" not in name:  # an epoch's pictures move them
            assert torch.equal(old[name], new[name]), name
    assert torch.equal(projection(finished.path), projection(tmp_path / "new"))
    digest = hashlib.sha256((finished.path / "student.safetensors").read_bytes()).hexdigest()
    told = json.loads((tmp_path / "new" / "run.json").read_text("utf-8"))["from"]
    assert told == {"path": str(finished.path.resolve()), "student": digest, "left_out": {"val": 0, "test": 0}}
    assert (
        run.remarks[-1]
        == f"The student begins with the weights of the run in '{finished.path}' (student {digest[:12]})."
    )


def test_a_new_label_has_a_fresh_row_and_one_that_is_gone_loses_its_own(
    finished: Run, relabelled: Path, tmp_path: Path
) -> None:
    run = distill.train(relabelled, tmp_path / "new", quick(**STILL), origin=finished.path)
    assert run.report.classes == ["good", "spot", "stripe"]
    fresh = make_student("small", 3, 32, 0).head
    for name, drawn in (("head.weight", fresh.weight), ("head.bias", fresh.bias)):
        old, new = weights(finished.path)[name], weights(run.path)[name]
        assert torch.equal(new[0], old[1]), "good"
        assert torch.equal(new[1:], drawn[1:]), "spot and stripe"
    assert (
        "Labels: 'spot', 'stripe' are new, with a fresh row of the head; 'defect' is gone and lost the row."
        in run.remarks
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"policy": "none"}, None),
        (
            {"policy": "rotated-means"},
            "the targets of the policy 'rotated-means' are no centred vectors of the teacher",
        ),
        ({"projection": "teacher"}, "its projection is on the teacher's side"),
    ],
)
def test_a_projection_for_other_targets_begins_afresh(
    changes: dict[str, Any], why: str | None, finished: Run, store: EmbeddingStore, tmp_path: Path
) -> None:
    run = distill.train(store, tmp_path / "new", quick(**{**STILL, **changes}), origin=finished.path)
    told = [one for one in run.remarks if "projection" in one]
    assert told == ([] if why is None else [f"The projection to the teacher's space begins afresh, since {why}."])


def test_another_teachers_space_has_a_projection_of_its_own(finished: Run, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "old")
    description = json.loads((run / "run.json").read_text("utf-8"))
    description["store"]["fingerprint"] = "f" * 32
    (run / "run.json").write_text(json.dumps(description), "utf-8")
    new = distill.train(description["store"]["path"], tmp_path / "new", quick(**STILL), origin=run)
    assert any("begins afresh, since the store is of another teacher" in one for one in new.remarks)
    assert not torch.equal(projection(finished.path), projection(new.path))


def test_a_projection_that_is_gone_begins_afresh(finished: Run, store: EmbeddingStore, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "old")
    for name in ("projection.safetensors", "checkpoint.pt"):
        (run / name).unlink()
    new = distill.train(store, tmp_path / "new", quick(**STILL), origin=run)
    assert any("since what the old run kept of it is missing or damaged" in one for one in new.remarks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"size": 48},
            "has the size 32, not 48, so its weights do not fit; leave --size out to begin with them, or --from",
        ),
        ({"student": "medium"}, "has the student small, not medium, so its weights do not fit; leave --student out"),
    ],
)
def test_another_student_is_refused(
    changes: dict[str, Any], message: str, finished: Run, store: EmbeddingStore, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=message):
        distill.train(store, tmp_path / "new", quick(**changes), origin=finished.path)
    assert not (tmp_path / "new").exists()


def test_an_unfinished_run_is_refused(finished: Run, store: EmbeddingStore, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "old")
    (run / "student.safetensors").unlink()
    with pytest.raises(
        TrainingError, match="is not finished, so no other can begin with its student; finish it with --resume"
    ):
        distill.train(store, tmp_path / "new", quick(), origin=run)
    with pytest.raises(TrainingError, match="gone' does not exist"):
        distill.train(store, tmp_path / "new", quick(), origin=tmp_path / "gone")


def test_weights_of_another_architecture_are_refused(finished: Run, store: EmbeddingStore, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "old")
    found = weights(run)
    del found["trunk.layers.0.0.weight"]
    run_directory.save_student(run, found, epoch=1)
    with pytest.raises(TrainingError, match="do not fit the student 'small'; name a run of this very student"):
        distill.train(store, tmp_path / "new", quick(), origin=run)


def test_the_old_settings_are_the_defaults(finished: Run, tmp_path: Path) -> None:
    old = read_origin(finished.path)
    assert settings_after(old) == replace(old.settings, epochs=2)
    old = replace(old, settings=replace(old.settings, epochs=40, pretrain_epochs=7, balance=0.5))
    assert settings_after(old) == replace(old.settings, epochs=8, pretrain_epochs=0)
    assert settings_after(old, {"epochs": 9, "balance": 0.0}) == replace(
        old.settings, epochs=9, pretrain_epochs=0, balance=0
    )
    assert settings_after(replace(old, began_with=True)).epochs == 40
    mixed = replace(old, settings=Settings("mixture", mixture={"good": {"own": 1.0}, "defect": {"none": 1.0}}))
    assert settings_after(mixed).mixture == mixed.settings.mixture
    assert settings_after(mixed, {"policy": "own"}).mixture == {}
    code = replace(old, settings=replace(old.settings, student="mine:trunk"))
    with pytest.raises(SettingsError, match="if you trust it, say so: --student mine:trunk"):
        settings_after(code)
    assert settings_after(code, {"student": "mine:trunk"}).student == "mine:trunk"


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (3, 3), (10, 3), (30, 6), (100, 20)])
def test_fewer_epochs_suffice(epochs: int, expected: int) -> None:
    assert fewer(epochs) == expected


def test_parts_are_those_of_today() -> None:
    samples = [Sample(id="a", uri="a", group="merged"), Sample(id="b", uri="b"), Sample(id="c", uri="c", group="old")]
    assert parts_of([("a", "before")], samples) == {samples[0].part}  # not the group that it had
    assert parts_of([("b", "")], samples) == {samples[1].part}
    assert parts_of([("deleted", "old")], samples) == {samples[2].part}  # only the group tells
    assert parts_of([("a", "old")], samples) == {samples[0].part}


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """The toy store after a change of the split: 'good-0' and 'spot-0', trained on before, are tested, 'good-1' trains."""
    to = {"good-0": "test", "spot-0": "test", "good-1": "train"}
    return toy_parts.make_store(
        tmp_path, [replace(row, split=to.get(row.group, row.split)) for row in toy_parts.parts()]
    )


def test_what_the_old_student_learned_does_not_test_the_new_one(finished: Run, moved: Path, tmp_path: Path) -> None:
    run = distill.train(moved, tmp_path / "new", quick(**STILL), origin=finished.path)
    sides = run_directory.read_split(run.path)
    assert not {"good000.png", "good001.png", "spot000.png", "spot001.png"} & sides.keys()
    assert sides["good002.png"] == "train"
    assert run.report.counts["test"] == finished.report.counts["test"]
    assert any(one.startswith("4 test and 0 validation pictures show parts that the run in") for one in run.remarks)
    assert json.loads((run.path / "run.json").read_text("utf-8"))["from"]["left_out"] == {"val": 0, "test": 4}
    inherited = (run.path / run_directory.INHERITED).read_text("utf-8").split()
    assert inherited[0] == "id,group"
    assert {line.split(",")[0] for line in inherited[1:]} >= {"good000.png", "spot001.png"}
    # Two runs later it is still known.
    later = distill.train(moved, tmp_path / "later", quick(**STILL), origin=run.path)
    assert not {"good000.png", "spot000.png"} & run_directory.read_split(later.path).keys()


def test_what_is_said_of_the_sides_is_true_of_what_is_left(finished: Run, tmp_path: Path) -> None:
    """The new run validates by what the old one learned, but for six good pictures."""
    goods, sides = 0, dict[str, str]()
    for row in toy_parts.everything():
        new_side = {"train": "val", "val": "train"}.get(row.split, row.split)
        if row.split == "test" and row.label == "good" and goods < 6:
            new_side, goods = "val", goods + 1
        sides[row.path] = new_side
    rows = [replace(row, split=sides[row.path]) for row in toy_parts.everything()]
    settings = quick(policy="own", epochs=1, keep="best")
    with embedstore.open(toy_parts.make_store(tmp_path, rows)) as store:
        before = make_run_data(store, settings)
        data = run_data_after(read_origin(finished.path), store, settings)
    assert (before.labels("val")["good"], before.labels("val")["defect"], before.remarks) == (42, 24, [])
    assert data.labels("val") == {"good": 6}
    assert [one.split(",")[0] for one in data.remarks[1:]] == [
        "The validation side has 6 'good' pictures",
        "The validation side has no defect to tell from good parts",
    ]


def test_pictures_that_may_have_another_name_are_told(finished: Run, store: EmbeddingStore, tmp_path: Path) -> None:
    moved = {
        "good000.png": {"path": "new0.png", "group": "new"},
        "good001.png": {"path": "new1.png", "group": "new"},
        "good004.png": {"path": "new4.png"},  # its group is there to tell its part
    }
    rows = [replace(row, **moved.get(row.path, {})) for row in toy_parts.everything()]
    run = distill.train(toy_parts.make_store(tmp_path, rows), tmp_path / "new", quick(**STILL), origin=finished.path)
    told = [one for one in run.remarks if "under other names" in one]
    assert [one.split(" are not in")[0] for one in told] == [
        f"2 pictures that the run in '{finished.path}' or one before it learned from (such as 'good000.png')"
    ]
    found = distill.gate(run.path)
    assert found.left_out.untraced == 2
    assert any(one.en.startswith("2 pictures that one of the students learned from are not in") for one in notes(found))
    again = distill.train(store, tmp_path / "again", quick(**STILL), origin=finished.path)
    assert not any("under other names" in one for one in again.remarks)
    assert distill.gate(again.path).left_out.untraced == 0


def test_another_good_label_is_refused(finished: Run, relabelled: Path, store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the good label is 'good', not 'defect', so its student can't be followed"):
        distill.train(store, tmp_path / "new", quick(**STILL, good="defect"), origin=finished.path)
    with pytest.raises(TrainingError, match="the good label is 'good', not 'spot'"):
        distill.train(relabelled, tmp_path / "new", quick(**STILL, good="spot"), origin=finished.path)
    assert not (tmp_path / "new").exists()
    rows = [replace(row, label={"good": "ok"}.get(row.label, row.label)) for row in toy_parts.parts()]
    renamed = toy_parts.make_store(tmp_path / "renamed", rows)
    run = distill.train(renamed, tmp_path / "ok", quick(**STILL, good="ok"), origin=finished.path)
    assert run.report.classes == ["defect", "ok"]


@pytest.mark.skipif(os.name == "nt", reason="this system has no such names")
def test_no_name_of_the_old_run_breaks_the_task(finished: Run, store: EmbeddingStore, tmp_path: Path) -> None:
    old = shutil.copytree(finished.path, tmp_path / "old\nviews = 0\n#")
    run = distill.train(store, tmp_path / "new", quick(**STILL), origin=old)
    lines = (run.path / "task.toml").read_text("utf-8").splitlines()
    assert "old\\nviews = 0\\n#' --task FILE --out NEW" in lines[1]
    assert "views = 0" not in lines
    other = shutil.copytree(finished.path, tmp_path / "caf\udce9")
    with pytest.raises(TrainingError, match=r"caf\?' is not UTF-8, so nothing can be trained there"):
        distill.train(store, tmp_path / "none", quick(**STILL), origin=other)
    assert not (tmp_path / "none").exists()


def test_where_nothing_is_left_to_test_it_is_told(finished: Run, tmp_path: Path) -> None:
    turned = {"train": "test", "test": "train", "val": "val"}
    store = toy_parts.make_store(tmp_path, [replace(row, split=turned[row.split]) for row in toy_parts.parts()])
    with pytest.raises(TrainingError, match="so they are left out of its figures, and what is left is too little"):
        distill.train(store, tmp_path / "new", quick(**STILL), origin=finished.path)


EPOCHS = 4


@pytest.fixture(scope="module")
def uninterrupted(finished: Run, store: EmbeddingStore, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("from") / "run"
    return distill.train(store, path, quick(policy="own", epochs=EPOCHS), origin=finished.path)


def same(path: Path, other: Path) -> None:
    found, expected = weights(path), weights(other)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (path / "scores.csv").read_bytes() == (other / "scores.csv").read_bytes()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
@pytest.mark.parametrize(("step", "done"), [(2, 0), (6, 1)], ids=["before the first checkpoint", "in the second epoch"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    step: int, done: int, finished: Run, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    settings = quick(policy="own", epochs=EPOCHS)
    child = CHILD.replace("**json.loads(sys.argv[5])))", "**json.loads(sys.argv[5])), origin=sys.argv[6])")
    arguments = [str(store.path), str(tmp_path / "run"), str(step), str(NEVER), json.dumps(settings.to_dict())]
    killed = subprocess.run(
        [sys.executable, "-c", child, *arguments, str(finished.path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    progress = Stop()
    distill.train(store, tmp_path / "run", settings, origin=finished.path, resume=True, progress=progress)
    assert progress.seen == list(range(done + 1, EPOCHS + 1))
    same(tmp_path / "run", uninterrupted.path)


def test_a_run_goes_on_with_its_own_origin_only(
    finished: Run, store: EmbeddingStore, uninterrupted: Run, tmp_path: Path
) -> None:
    settings = quick(policy="own", epochs=EPOCHS)
    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "own", settings, progress=Stop(2))
    with pytest.raises(TrainingError, match="began with no other run's student; resume it without --from"):
        distill.train(store, tmp_path / "own", settings, origin=finished.path, resume=True)
    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "run", settings, origin=finished.path, progress=Stop(2))
    for origin in (None, uninterrupted.path):
        with pytest.raises(TrainingError, match="resume it with the --from that it was begun with"):
            distill.train(store, tmp_path / "run", settings, origin=origin, resume=True)
    elsewhere = shutil.copytree(finished.path, tmp_path / "elsewhere")  # the same student, moved
    distill.train(store, tmp_path / "run", settings, origin=elsewhere, resume=True)
    same(tmp_path / "run", uninterrupted.path)


def test_the_task_says_where_the_student_comes_from(uninterrupted: Run, finished: Run) -> None:
    heading = (uninterrupted.path / "task.toml").read_text("utf-8").splitlines()[1]
    assert f"distill train STORE --from {finished.path} --task FILE --out NEW" in heading


def test_an_added_label_is_learned(finished: Run, relabelled: Path, tmp_path: Path) -> None:
    run = distill.train(relabelled, tmp_path / "new", quick(policy="own", epochs=3), origin=finished.path)
    assert run.report.macro_recall > 0.9
    with embedstore.open(relabelled) as opened:
        assert set(run.report.classes) == {sample.label for sample in opened.samples}
