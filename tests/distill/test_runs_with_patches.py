"""A run whose student is asked beside patches: what it keeps, needs and refuses."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_parts
from safetensors.torch import load_file, save_file
from toy_parts import quick

import distill
from distill.answers.patches import SIZES, Patches, PatchMaps
from distill.students.teacher_stages import teacher_stages
from distill.training import learned_patches, run_directory
from distill.training.checks import finished_runs
from distill.training.evaluate import ask, run_threshold
from distill.training.loop import Run
from distill.training.pictures import StudentPictures
from distill.training.run_data import make_run_data
from distill.training.task_file import read_task
from distill.training.trainer import Planned
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError, TrainingError


@pytest.fixture(scope="module")
def run(store: EmbeddingStore, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    asked = quick(answer="patches", patches=f"timm:test_resnet@{checkpoint}:3")
    return distill.train(store, tmp_path_factory.mktemp("patches") / "run", asked)


def test_patches_are_two_layers_side_by_side_at_the_places_of_the_last(checkpoint: Path) -> None:
    stages = teacher_stages(f"trunk:timm:test_resnet@{checkpoint}:3", 224, pretrained=True)
    maps = PatchMaps(stages)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 96, 96), np.uint8))
    with torch.inference_mode():
        found = maps(pixels)
        layers = list(stages.stages((pixels.float() - 127.5) / 63.75))
    assert not stages.training
    earlier, last = (layers[at] for at in maps.looked_at)
    side = last.shape[-1]
    assert earlier.shape[-1] == 2 * side
    assert maps.looked_at[1] == len(layers) - 1
    assert found.shape == (2, side * side, earlier.shape[1] + last.shape[1]) == (2, side * side, maps.channels)
    for picture, y, x in ((0, 0, 0), (1, 2, 3)):
        around = last[picture, :, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].sum(dim=(1, 2)) / 9
        expected = around / last.shape[1] ** 0.5
        np.testing.assert_allclose(found[picture, y * side + x, earlier.shape[1] :], expected, atol=1e-5)


def test_a_run_says_the_same_however_many_pictures_are_looked_at_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.students.student._AT_ONCE", 3 * 32 * 32)  # the student three, the trunk one
    asked = {answer: ask(run.path, answer) for answer in ("head", "patches")}
    monkeypatch.undo()
    for answer, said in asked.items():
        at_once = ask(run.path, answer)
        assert [one.id for one in said] == [one.id for one in at_once]
        np.testing.assert_allclose(
            [one.probabilities for one in said], [one.probabilities for one in at_once], rtol=1e-3
        )


def test_a_run_adds_them_to_its_head(run: Run, store: EmbeddingStore) -> None:
    heads = {one.id: one.probabilities for one in ask(run.path, "head")}
    held, _ = run_directory.read_scores(run.path)
    maps = PatchMaps(
        teacher_stages(read_task(run.path / "task.toml").patches.join(("trunk:", "")), 224, pretrained=False)
    )
    patches = Patches.fitting(load_file(run.path / "memory.safetensors"), maps)
    assert patches is not None
    pictures = StudentPictures(store, 32)
    with torch.inference_mode():
        log_odds = patches(pictures.whole(store.positions([one.id for one in held]), SIZES)).tolist()
    pictures.close()
    assert max(map(abs, log_odds)) > 0.5
    for one, odds in zip(held, log_odds, strict=True):
        defect, good = heads[one.id]  # classes are sorted
        expected = np.log(defect) - np.log(good) + odds
        found = np.log(one.probabilities[0]) - np.log(one.probabilities[1])
        assert (
            found == pytest.approx(expected, abs=1e-3) if abs(expected) <= 15 else 15 < found / np.sign(expected) < 22
        )
    assert run.report.auroc is not None
    assert run.report.auroc > 0.9


def test_evaluating_needs_neither_the_training_pictures_nor_the_teacher(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = toy_parts.everything()
    own = toy_parts.make_store(tmp_path, rows)
    copy = shutil.copytree(run.path, tmp_path / "run")
    before = (copy / "scores.csv").read_bytes()
    for row in rows:
        if row.split == "train":
            (tmp_path / "images" / row.path).unlink()
    monkeypatch.setattr("embedstore.teachers.load_teacher", lambda *_, **__: pytest.fail("the teacher was loaded"))
    assert distill.evaluate(copy, store=own) == run.report
    assert (copy / "scores.csv").read_bytes() == before


def test_a_finished_run_can_be_asked_so_later(
    run: Run, store: EmbeddingStore, checkpoint: Path, tmp_path: Path
) -> None:
    plain = distill.train(store, tmp_path / "run", quick(patches=f"timm:test_resnet@{checkpoint}:3"))
    assert not (plain.path / "memory.safetensors").exists()
    held, _ = run_directory.read_scores(run.path)
    assert [one.probabilities for one in ask(plain.path, "patches")] == [
        pytest.approx(one.probabilities, abs=1e-9) for one in held
    ]


def lost(file: Path) -> None:
    file.unlink()


def of_another_type(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"kept_1": kept["kept_1"].float()}, file)


def of_another_width(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"kept_0": kept["kept_0"][:, :5].contiguous()}, file)


def of_nothing(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"kept_0": kept["kept_0"][:0].contiguous()}, file)


def lacking_what_scales(file: Path) -> None:
    kept = load_file(file)
    del kept["scale_2"]
    save_file(kept, file)


def of_no_numbers(file: Path) -> None:
    kept = load_file(file)
    kept["kept_2"][3, 4] = torch.nan
    save_file(kept, file)


def lacking_a_size(file: Path) -> None:
    kept = load_file(file)
    del kept["kept_2"]
    save_file(kept, file)


def lacking_a_layer(file: Path) -> None:
    kept = load_file(file)
    del kept[next(name for name in kept if name.startswith("maps."))]
    save_file(kept, file)


def of_a_single_number(file: Path) -> None:
    save_file(load_file(file) | {"kept_0": torch.tensor(1.0).half()}, file)


@pytest.mark.parametrize(
    "harm",
    [
        lost,
        of_another_type,
        of_another_width,
        of_nothing,
        lacking_what_scales,
        of_no_numbers,
        lacking_a_size,
        lacking_a_layer,
        of_a_single_number,
    ],
)
def test_damaged_patches_are_refused(harm: Callable[[Path], None], run: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    harm(copy / "memory.safetensors")
    with pytest.raises(
        TrainingError, match=r"memory.safetensors' is missing or damaged; write it anew with: distill train"
    ):
        distill.evaluate(copy)


def test_without_a_good_label_they_are_refused(run: Run, store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match="'patches' compares with good parts, and no good label is known; say which"
    ):
        quick(answer="patches", good=None)
    labels = distill.train(store, tmp_path / "run", quick(good=None))
    with pytest.raises(SettingsError, match="no good label is known"):
        ask(labels.path, "patches")


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ("efficientnet-lite0", "which 'efficientnet-lite0' does not give"),
        ("efficientnet-lite0:40", "'efficientnet-lite0:40' does not give: .* asks for 40 stages"),
        (
            "nobody:3",
            "such as efficientnet-lite0:5, at 96, 160, 224 pixels, which 'nobody:3' does not give: .* unknown",
        ),
    ],
)
def test_stages_that_are_none_are_refused(stages: str, told: str, store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=told):
        distill.train(store, tmp_path / "run", quick(answer="patches", patches=stages))
    assert not (tmp_path / "run").exists()  # before anything was trained


def test_a_complete_run_goes_on_without_the_teacher(
    run: Run, store: EmbeddingStore, checkpoint: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    (copy / "report.json").unlink()  # killed before that was written
    away = checkpoint.rename(tmp_path / "away.pt")
    try:
        again = distill.train(store, copy, read_task(copy / "task.toml"), resume=True)
    finally:
        away.rename(checkpoint)
    assert again.report == run.report
    assert (copy / "memory.safetensors").read_bytes() == (run.path / "memory.safetensors").read_bytes()


def test_one_picture_of_each_part_is_looked_at_before_a_second_one(
    store: EmbeddingStore, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = quick(answer="patches", patches=f"timm:test_resnet@{checkpoint}:3")
    data = make_run_data(store, asked)
    maps = learned_patches.patch_maps(asked, pretrained=False)
    every = learned_patches._looked_at(maps, data, asked)
    assert set(every) == {at for at in data.sides["train"] if data.samples[at].label is not None}
    monkeypatch.setattr(learned_patches, "_MOST_BYTES", 0)
    monkeypatch.setattr(learned_patches, "_FEWEST", 10)
    few = learned_patches._looked_at(maps, data, asked)
    good = [data.samples[at].part for at in few if data.samples[at].label == "good"]
    assert len(few) == 20
    one_lot = [at for at in data.sides["train"] if data.samples[at].label == "good"]
    mixed = next(at for at in data.sides["train"] if data.samples[at].label == "defect")
    samples = list(data.samples)
    for at in (*one_lot, mixed):
        samples[at] = replace(samples[at], group="one lot")
    assert mixed in learned_patches._looked_at(maps, replace(data, samples=samples), asked)  # whatever else its lot has
    assert len(good) == len(set(good)) == 10


def test_a_run_of_an_earlier_release_has_the_stages_that_are_usual(finished: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(finished.path, tmp_path / "run")
    description = json.loads((copy / "run.json").read_text("utf-8"))
    assert description["settings"].pop("patches") == "efficientnet-lite0:5"
    (copy / "run.json").write_text(json.dumps(description), "utf-8")
    assert distill.evaluate(copy) == finished.report


@pytest.fixture
def unbounded(run: Run, tmp_path: Path) -> Path:
    """A copy of the run, as an earlier release left it: nothing tells that scores have a bound, and the threshold lies above."""
    copy = shutil.copytree(run.path, tmp_path / "unbounded")
    report = json.loads((copy / "report.json").read_text("utf-8"))
    assert report.pop("scores") == "bounded"
    run_directory.write_json(copy / "report.json", report | {"threshold": 1 - 1e-13})
    return copy


def test_a_threshold_from_before_scores_had_a_bound_decides_nowhere(
    unbounded: Path, run: Run, finished: Run, tmp_path: Path
) -> None:
    message = (
        f"'{unbounded}' has the threshold of an earlier release.*; set it anew with: distill evaluate '{unbounded}'"
    )
    for new, old in ((unbounded, finished.path), (finished.path, unbounded)):
        with pytest.raises(TrainingError, match=message):
            distill.gate(new, old)
    with pytest.raises(TrainingError, match=message):
        distill.export(unbounded, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
    assert distill.evaluate(unbounded) == run.report
    assert run_threshold(unbounded, read_task(unbounded / "task.toml")) == run.report.threshold


def test_a_comparison_asks_a_student_anew_whose_scores_had_no_bound(
    unbounded: Path, run: Run, store: EmbeddingStore
) -> None:
    """They are never pooled with those of other runs; the student stays as it is."""
    settings = read_task(unbounded / "task.toml")

    def is_finished() -> bool:
        planned = Planned("none", settings.fold, None, settings.seed, unbounded, settings)
        return finished_runs(store, [planned], None) == {unbounded}

    assert not is_finished()
    trained = (unbounded / "student.safetensors").stat().st_mtime_ns
    assert distill.train(store, unbounded, settings, resume=True).report == run.report
    assert is_finished()
    assert (unbounded / "student.safetensors").stat().st_mtime_ns == trained
