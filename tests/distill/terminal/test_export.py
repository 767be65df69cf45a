"""An exported student says what PyTorch says, whoever answers and whatever student it is."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_parts import quick

import distill
from distill.answers.patches import SIZES, Patches
from distill.evaluation.metrics import threshold_at_overkill
from distill.students import make_student
from distill.terminal import checking, export
from distill.terminal.answering import ByHead
from distill.terminal.export import Export, _write
from distill.terminal.facts import Map
from distill.terminal.graph import Cutting, Terminal
from distill.terminal.model import TerminalModel
from distill.training import learned_patches, projection, run_directory
from distill.training.answers import loaded_memory
from distill.training.evaluate import ask
from distill.training.gate import _rated
from distill.training.loop import Run
from distill.training.origin import read_origin
from distill.training.pictures import StudentPictures
from distill.training.task_file import read_task
from distill_cli.export import _show
from embedstore import EmbeddingStore
from embedstore.errors import ModelError, SettingsError, TrainingError
from embedstore.pictures import read_picture
from embedstore.summaries.strategy import directions
from embedstore.vectors import unit_length

onnx = pytest.importorskip("onnx")
from test_facts import FACTS  # noqa: E402


def answers(model: TerminalModel, images: Path, ids: list[str]) -> np.ndarray:
    return np.stack([model.look(model.prepared(read_picture(images / one)[0])).probabilities for one in ids])


def test_the_file_says_what_evaluation_says(exported: Export, finished: Run, store_path: Path) -> None:
    held, classes = run_directory.read_scores(finished.path)
    model = TerminalModel(exported.path)
    found = answers(model, store_path.parent / "images", [one.id for one in held])
    np.testing.assert_allclose(found, [one.probabilities for one in held], atol=1e-5)
    report = finished.report
    assert model.facts.classes == tuple(classes)
    assert (model.facts.threshold, model.facts.overkill) == (report.threshold, report.overkill_wanted)
    assert (model.facts.teacher, model.facts.student, model.facts.flips) == ("pixels", "small", 4)
    check = exported.checks[0]
    assert exported.pictures == report.counts["test"]
    assert (check.changed, check.precision, len(exported.checks)) == (0, "float32", 1)
    assert check.largest_difference < 1e-5
    assert (check.figures.recall, check.figures.overkill) == (report.recall, report.overkill)
    assert (exported.pytorch.recall, exported.pytorch.overkill) == (report.recall, report.overkill)
    assert check.bytes == exported.path.stat().st_size
    assert [one.name for one in exported.path.parent.iterdir()] == ["part.onnx"]


def test_its_vector_is_the_learned_map_of_its_features(exported: Export, finished: Run, store_path: Path) -> None:
    model = TerminalModel(exported.path)
    kept = load_file(finished.path / projection.FILE)
    seen = model.look(model.prepared(read_picture(store_path.parent / "images" / "good001.png")[0]))
    expected = kept["weight"].numpy() @ seen.features + kept["bias"].numpy()
    np.testing.assert_allclose(seen.projected, expected, atol=1e-5)
    np.testing.assert_array_equal(model.facts.centre, kept["centre"].numpy())
    assert exported.cosine is not None
    assert -1 <= exported.cosine <= 1


@pytest.mark.parametrize("answer", ["neighbours", "both", "distribution"])
def test_each_answer_is_exported_as_it_is(answer: str, store_path: Path, tmp_path: Path) -> None:
    run = distill.train(store_path, tmp_path / "run", quick(answer=answer))
    exported = distill.export(run.path, tmp_path / "part.onnx")
    held = ask(run.path, answer)
    found = answers(TerminalModel(exported.path), store_path.parent / "images", [one.id for one in held])
    np.testing.assert_allclose(found, [one.probabilities for one in held], atol=1e-5)
    assert "the policy 'none' teaches it no vector" in exported.remarks[0]


def test_patches_are_exported_and_stay_exact_in_int8(
    patched: Run,
    patched_model: Export,
    store: EmbeddingStore,
    store_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, plain = patched, patched_model
    settings = read_task(run.path / "task.toml")
    small = distill.export(run.path, tmp_path / "small.onnx", int8=True)
    held, _ = run_directory.read_scores(run.path)
    found = [
        answers(TerminalModel(one.path), store_path.parent / "images", [each.id for each in held])
        for one in (plain, small)
    ]
    expected = np.array([one.probabilities for one in held])
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    assert np.abs(found[1] - expected).max() < 0.2
    assert plain.checks[0].changed == 0
    kept = load_file(run.path / "memory.safetensors")
    halves = sum(tensor.nbytes for name, tensor in kept.items() if name.startswith("kept"))
    assert halves < small.path.stat().st_size < plain.path.stat().st_size  # what is kept in 16 bits stays so
    nodes = onnx.load(small.path).graph.node
    widened = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    exact = sum(node.op_type == "Conv" and node.input[1] not in widened for node in nodes)
    maps = learned_patches.patch_maps(settings, pretrained=False)
    assert exact == 3 * sum(isinstance(one, torch.nn.Conv2d) for one in maps.modules())  # at three sizes
    assert len(widened) > 5
    patches = loaded_memory(run.path, settings, make_student("small", 2, 32, 0))
    assert isinstance(patches, Patches)
    tested = [one.id for one in held if one.side == "test"]
    pictures = StudentPictures(store, 32)
    with torch.inference_mode():
        where = patches.where(pictures.whole(store.positions(tested), SIZES)).numpy()
    pictures.close()
    for one in (plain, small):
        model = TerminalModel(one.path)
        assert model.facts.where == Map(where.shape[1], "squash")
        seen = [model.look(model.prepared(read_picture(store_path.parent / "images" / name)[0])) for name in tested]
        maps = np.stack([each.where for each in seen])  # type: ignore[misc]
        np.testing.assert_allclose(maps, where, atol=0.02, rtol=0.02)
        differences = np.abs(maps - where) / np.maximum(1, np.abs(where))
        assert one.checks[-1].largest_where == pytest.approx(differences.max(), abs=1e-4)
    assert np.ptp(where) > 2
    side = where.shape[1]
    assert plain.to_dict()["map"] == {"side": side, "fit": "squash"}
    _show(plain)
    assert f"It has a map of where a defect is, of {side} x {side} places; distill predict" in capsys.readouterr().out


def test_a_file_that_finds_the_defect_elsewhere_is_refused(
    patched: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checking._where
    monkeypatch.setattr(checking, "_where", lambda *given: real(*given)[:, ::-1])
    with pytest.raises(ModelError, match=r"otherwise than in PyTorch where a defect is \(a place differs by \d+%"):
        distill.export(patched.path, tmp_path / "part.onnx")
    assert not list(tmp_path.iterdir())


def own_trunk() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, stride=2), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())


@pytest.mark.parametrize(
    "name", ["medium", "mobilenetv3_small_050", "resnet10t", "scratch:efficientnet-lite0:3", f"{__name__}:own_trunk"]
)
def test_each_kind_of_student_can_be_written(name: str, tmp_path: Path) -> None:
    student = make_student(name, 3, 64, 0).eval()
    model = Terminal(student, Cutting(64, "squash"), ((), (3,)), ByHead(), None).eval()
    facts = replace(FACTS, centre=None, no_vectors="none is there", features=student.features)
    picture = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    _write(model, tmp_path / "a.onnx", facts, picture, name)
    other = picture[:61, :77].copy()  # of another size than the one it was written with
    with torch.no_grad():
        probabilities, features = model(torch.from_numpy(other))
    seen = TerminalModel(tmp_path / "a.onnx").look(other)
    np.testing.assert_allclose(seen.probabilities, probabilities.numpy(), atol=1e-5)
    np.testing.assert_allclose(seen.features, features.numpy(), atol=1e-3, rtol=1e-4)


def test_a_student_of_ones_own_is_exported_where_it_is_trusted(store_path: Path, tmp_path: Path) -> None:
    name = f"{__name__}:own_trunk"
    run = distill.train(store_path, tmp_path / "run", quick(policy="own", student=name))
    with pytest.raises(SettingsError, match=f"if you trust it, say so: --student {name}"):
        distill.export(run.path, tmp_path / "part.onnx")
    assert not (tmp_path / "part.onnx").exists()
    exported = distill.export(run.path, tmp_path / "part.onnx", student=name)
    held, _ = run_directory.read_scores(run.path)
    found = answers(TerminalModel(exported.path), store_path.parent / "images", [one.id for one in held])
    np.testing.assert_allclose(found, [one.probabilities for one in held], atol=1e-5)
    assert (exported.checks[0].figures.recall, exported.checks[0].changed) == (run.report.recall, 0)


class Dependent(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean(dim=(2, 3)) if pixels.sum().item() > 0 else pixels.amax(dim=(2, 3))


def test_a_student_that_onnx_has_no_word_for_is_refused(tmp_path: Path) -> None:
    student = make_student("small", 2, 32, 0)
    student.trunk, student.head = Dependent(), torch.nn.Linear(3, 2)
    model = Terminal(student, Cutting(32, "squash"), ((),), ByHead(), None).eval()
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ModelError, match=r"The student 'mine:trunk' can't be written as ONNX \(.*\); use another"):
        _write(model, tmp_path / "a.onnx", FACTS, picture, "mine:trunk")
    assert not list(tmp_path.iterdir())


def test_int8_is_checked_beside_float32(
    exported: Export, finished: Run, store: EmbeddingStore, store_path: Path, tmp_path: Path
) -> None:
    in_int8 = distill.export(finished.path, tmp_path / "part.onnx", int8=True)
    plain, small = in_int8.checks
    assert (plain.precision, small.precision) == ("float32", "int8")
    assert 1e-6 < small.largest_difference < 0.2
    assert small.bytes < plain.bytes == exported.checks[0].bytes
    model = TerminalModel(tmp_path / "part.onnx")
    assert model.facts.precision == "int8"
    assert small.bytes == model.path.stat().st_size
    held, classes = run_directory.read_scores(finished.path)
    tested = [one.id for one in held if one.side == "test"]
    pictures = [model.prepared(read_picture(store_path.parent / "images" / one)[0]) for one in tested]
    own = unit_length(np.stack([model.look(one).projected for one in pictures]))  # type: ignore[arg-type]
    cosines = (own * directions(store.vectors(tested), model.facts.centre)).sum(axis=1)  # type: ignore[arg-type]
    assert in_int8.cosine == pytest.approx(cosines.mean(), abs=1e-6)  # of the file that is written, not of float32
    assert in_int8.cosine != pytest.approx(exported.cosine, abs=1e-6)
    goods = [one.id for one in held if (one.side, one.label) == ("val", "good")]
    scores = 1 - answers(model, store_path.parent / "images", goods)[:, classes.index("good")]
    assert model.facts.threshold == threshold_at_overkill(scores, finished.report.overkill_wanted or 0)
    assert model.facts.threshold != exported.facts.threshold


def test_int8_is_refused_where_it_hurts(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_MOST_CHANGED", -1)  # no change is few enough
    with pytest.raises(ModelError, match=r"In int8 the student 'small' decides otherwise on \d+ of \d+ test pictures"):
        distill.export(finished.path, tmp_path / "part.onnx", int8=True)
    assert not list(tmp_path.iterdir())


def test_a_run_of_an_earlier_release_gives_its_map_from_the_checkpoint(finished: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    (run / projection.FILE).unlink()
    exported = distill.export(run, tmp_path / "old.onnx")
    kept = load_file(finished.path / projection.FILE)
    np.testing.assert_allclose(exported.facts.centre, kept["centre"].numpy(), atol=1e-6)
    assert exported.facts.no_vectors is None
    (run / run_directory.CHECKPOINT).unlink()
    with pytest.raises(TrainingError, match="has not kept the map"):
        distill.export(run, tmp_path / "older.onnx")
    exported = distill.export(run, tmp_path / "older.onnx", vectors=False)
    assert exported.facts.no_vectors == "it was exported without vectors"
    assert exported.cosine is None


def test_the_file_and_the_gate_decide_by_the_threshold_of_the_report(finished: Run, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    report = json.loads((run / run_directory.REPORT).read_text("utf-8"))
    run_directory.write_json(run / run_directory.REPORT, report | {"threshold": 0.4321})
    file = distill.export(run, tmp_path / "part.onnx", vectors=False)
    assert file.facts.threshold == TerminalModel(file.path).facts.threshold == 0.4321
    assert _rated(read_origin(run)).threshold == 0.4321
    run_directory.write_json(run / run_directory.REPORT, report | {"threshold": None})
    with pytest.raises(TrainingError, match=r"report.json' is missing or damaged; write it anew with: distill eval"):
        distill.export(run, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_without_a_good_label_there_is_no_threshold(store_path: Path, tmp_path: Path) -> None:
    run = distill.train(store_path, tmp_path / "run", quick(good=None))
    exported = distill.export(run.path, tmp_path / "part.onnx")
    assert (exported.facts.threshold, exported.facts.overkill) == (None, None)
    assert (exported.checks[0].figures.recall, exported.checks[0].changed) == (None, 0)
    assert exported.checks[0].largest_difference < 1e-5


def test_what_a_killed_export_left_is_removed_by_the_next(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = export._write

    def killed(model: Terminal, path: Path, *rest: Any) -> None:
        write(model, path, *rest)
        shutil.copytree(path.parent, tmp_path / ".export-killed")  # what a kill would leave there
        raise KeyboardInterrupt

    (tmp_path / ".export-of-somebody").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(export, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            distill.export(finished.path, tmp_path / "part.onnx")
    assert (tmp_path / ".export-killed" / "float32.onnx").is_file()
    distill.export(finished.path, tmp_path / "part.onnx")
    assert sorted(one.name for one in tmp_path.iterdir()) == [".export-of-somebody", "part.onnx"]


def test_another_ending_is_refused(finished: Run, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"does not end in \.onnx"):
        distill.export(finished.path, tmp_path / "part.pt")
    with pytest.raises(ModelError, match=r"There is no directory '.*none' to write 'part.onnx' to"):
        distill.export(finished.path, tmp_path / "none" / "part.onnx")


def test_a_file_that_is_there_is_replaced_only_when_told_so(finished: Run, tmp_path: Path) -> None:
    file = tmp_path / "part.onnx"
    file.write_bytes(b"the file to go back to")
    with pytest.raises(ModelError, match=r"part.onnx' exists; choose another name, or replace it with --overwrite"):
        distill.export(finished.path, file)
    assert file.read_bytes() == b"the file to go back to"
    distill.export(finished.path, file, overwrite=True)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ModelError, match=r"folder.onnx' is a directory; give the name of a file"):
        distill.export(tmp_path / "nowhere", tmp_path / "folder.onnx", overwrite=True)
    with pytest.raises(OSError, match="name too long"):  # before the run is looked for
        distill.export(tmp_path / "nowhere", tmp_path / ("x" * 245 + ".onnx"))
    assert TerminalModel(file).facts.good is not None
