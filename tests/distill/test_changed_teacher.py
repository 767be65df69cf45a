"""A store that changed its teacher: students go on being asked, and nothing of the old teacher is learned from by mistake."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from toy_parts import quick

import distill
import embedstore
from distill.terminal.model import Space
from distill.terminal.predict import Comparing
from distill.training.loop import Run
from embedstore.errors import EmbedstoreError, ModelError, SummaryError, TeacherMismatchError
from embedstore.exports import SummaryFile
from embedstore.teachers.pixels import PixelTeacher
from embedstore.vectors import Vectors
from embedstore_cli.run_scores import held_out_scores


class Mirrored(PixelTeacher):
    """The pixel teacher in a space that is mirrored."""

    name = "mirrored"
    fingerprint = "e" * 32

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, Vectors]:
        return {name: vectors[:, ::-1].copy() for name, vectors in super().embed(pictures).items()}


@pytest.fixture(scope="module")
def changed(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a summary of its first teacher, `old`, and its estimate, `old.linear-64`, after the switch."""
    path = shutil.copytree(store_path, tmp_path_factory.mktemp("changed") / "store")
    with embedstore.open(path) as opened:
        opened.summarize("sub-prototypes", name="old", split="train", k=2)
    report = embedstore.migrate(path, Mirrored(), map="linear")
    assert report.active
    assert report.map is not None
    assert report.map.mapped == {"old": "old.linear-64"}
    return path


def test_a_student_of_the_old_teacher_is_evaluated_as_before(changed: Path, finished: Run, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    assert distill.evaluate(run, store=changed) == finished.report


def test_a_summary_of_the_old_teacher_is_refused_and_its_estimate_is_told(changed: Path, tmp_path: Path) -> None:
    def asked(name: str) -> distill.Settings:
        return quick(policy="sub-prototypes", options={"sub-prototypes": {"summary": name}})

    with pytest.raises(SummaryError, match="'old' is of another teacher"):
        distill.train(changed, tmp_path / "refused", asked("old"))
    run = distill.train(changed, tmp_path / "run", asked("old.linear-64"))
    assert any("is an estimate: mapped (linear) from the vectors of 'pixels'" in remark for remark in run.remarks)


def test_a_run_is_not_gone_on_with_by_another_teacher(changed: Path, store_path: Path, tmp_path: Path) -> None:
    distill.train(store_path, tmp_path / "run", quick(policy="own"))
    with pytest.raises(EmbedstoreError, match="what it was begun with"):
        distill.train(changed, tmp_path / "run", quick(policy="own"), resume=True)


def test_scores_of_a_student_of_the_old_teacher_are_refused_beside_new_vectors(changed: Path, finished: Run) -> None:
    with embedstore.open(changed) as opened, pytest.raises(TeacherMismatchError, match="another teacher"):
        held_out_scores(finished.path, opened)


def test_an_earlier_version_trains_with_its_own_teacher(changed: Path, tmp_path: Path) -> None:
    with embedstore.open(changed, version=1) as opened:
        run = distill.train(
            opened, tmp_path / "run", quick(policy="sub-prototypes", options={"sub-prototypes": {"summary": "old"}})
        )
        assert opened.teacher == "pixels"
    assert not any("estimate" in remark for remark in run.remarks)


def test_a_model_that_is_exported_after_the_switch_is_of_the_teacher_that_its_student_learned_from(
    changed: Path, finished: Run, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    run = shutil.copytree(finished.path, tmp_path / "run")
    exported = distill.export(run, tmp_path / "part.onnx", store=changed)
    assert (exported.facts.teacher, exported.facts.fingerprint) == ("pixels", PixelTeacher.fingerprint)
    assert exported.cosine is None  # the store's vectors are of another space now
    with embedstore.open(changed) as opened:
        picture = opened.image_root / opened.samples[0].uri
    with pytest.raises(ModelError, match="learned from the teacher 'pixels'"):
        distill.predict(exported.path, [picture], by="retrieval", comparing=Comparing(Space.teacher, changed))
    with pytest.raises(ModelError, match="learned from the teacher 'pixels'"):
        distill.predict(
            exported.path, [picture], by="prototypes", comparing=Comparing(store=changed, summary="old.linear-64")
        )


def test_predictions_by_an_estimate_say_so(changed: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run = distill.train(changed, tmp_path / "run", quick(policy="own"))
    exported = distill.export(run.path, tmp_path / "part.onnx")
    with embedstore.open(changed) as opened:
        picture = opened.image_root / opened.samples[0].uri
    found = distill.predict(
        exported.path, [picture], by="prototypes", comparing=Comparing(store=changed, summary="old.linear-64")
    )
    assert any("'old.linear-64' is an estimate: mapped (linear)" in remark.en for remark in found.remarks)
    assert any(
        "要約「old.linear-64」は、教師モデル「pixels」のベクトルから写像した推定です" in one.ja for one in found.remarks
    )


def test_a_student_of_the_new_teacher_is_trained_before_the_rest_is_embedded(store_path: Path, tmp_path: Path) -> None:
    path = shutil.copytree(store_path, tmp_path / "store")
    with embedstore.open(path) as opened:
        opened.summarize("sub-prototypes", name="old", split="train", k=2)
    embedstore.migrate(path, Mirrored(), sample=32, map="linear")
    with embedstore.open(path) as opened:
        assert opened.teacher == "pixels"
        images = opened.image_root
        embedstore.export(opened, tmp_path / "ahead.safetensors", summary="old.linear-32")
    file = SummaryFile(tmp_path / "ahead.safetensors")
    run = distill.train(file, tmp_path / "run", quick(policy="sub-prototypes"), images=images)
    assert any(
        "is an estimate: mapped (linear) from the vectors of 'pixels' by 32 samples" in one for one in run.remarks
    )
