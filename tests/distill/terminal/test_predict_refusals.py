"""What `predict` refuses: thresholds, prototypes and options that would say something else than was asked for."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import distill
import embedstore
from distill.terminal.model import Space, TerminalModel
from distill.terminal.predict import Comparing
from distill.terminal.predictions import By
from embedstore.errors import ImagesError, ModelError, SummaryError
from embedstore.exports import LightForm
from embedstore.exports import export as export_summary


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -0.1, 5])
def test_a_threshold_that_no_score_can_have_is_refused(threshold: float, model: TerminalModel, images: Path) -> None:
    with pytest.raises(ModelError, match=r"The threshold is .*; scores by head are 0 to 1"):
        distill.predict(model, [images / "spot001.png"], threshold=threshold)
    with pytest.raises(ModelError, match=r"scores by retrieval are -2 to 2"):
        distill.predict(model, [images / "spot001.png"], by="retrieval", threshold=30 * threshold)


def test_without_a_good_label_a_threshold_is_refused(model: TerminalModel, images: Path) -> None:
    other = TerminalModel(model.path)
    other.facts = replace(model.facts, good=None, threshold=None, overkill=None)
    with pytest.raises(ModelError, match="knows no good label, so nothing is rejected above a threshold"):
        distill.predict(other, [images / "spot001.png"], threshold=0.5)


def test_prototypes_that_stand_for_codes_are_refused(
    model: TerminalModel, store_path: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(store_path, tmp_path / "s")
    with embedstore.open(tmp_path / "s") as store:
        store.summarize("compressed-own", name="codes", split="train")
    with pytest.raises(SummaryError, match="'codes' keeps a code of each picture's own vector, and as prototypes only"):
        distill.predict(
            model, [images], by="prototypes", comparing=Comparing(store=tmp_path / "s", summary="codes"), threshold=0
        )


def test_another_teachers_prototypes_are_refused(model: TerminalModel, summed: tuple[Path, Path], images: Path) -> None:
    other = TerminalModel(model.path)
    other.facts = replace(model.facts, fingerprint="f" * 32, teacher="somebody")
    said = "learned from the teacher 'somebody' .* so their vectors can't be compared"
    for by, comparing in {
        By.prototypes: Comparing(store=summed[0], summary="few"),
        By.retrieval: Comparing(store=summed[0], vectors=Space.teacher),
    }.items():
        with pytest.raises(ModelError, match=said):
            distill.predict(other, [images / "good001.png"], by=by, comparing=comparing)
    comparing = Comparing(summary=str(summed[1]))
    with pytest.raises(ModelError, match=said):
        distill.predict(other, [images / "good001.png"], by=By.prototypes, comparing=comparing, threshold=0)
    light = summed[1].with_name("others.safetensors")
    with embedstore.open(summed[0]) as store:
        export_summary(store, light, light=LightForm(int8=True))
    with pytest.raises(ModelError, match=said):
        distill.predict(
            other, [images / "good001.png"], by=By.retrieval, comparing=Comparing(gallery=light), threshold=0
        )
    comparing = Comparing(store=summed[0], vectors=Space.student)  # these are the model's own
    assert distill.predict(other, [images / "good001.png"], by=By.retrieval, comparing=comparing).pictures


def test_what_does_not_fit_is_refused(model: TerminalModel, images: Path, tmp_path: Path) -> None:
    asked = [images / "good001.png"]
    for comparing, options in (
        (Comparing(Space.teacher, k=5), "--vectors and --k"),
        (Comparing(overkill=0.1), "--overkill"),
        (Comparing(images=Path("i")), "--store-images"),
    ):
        with pytest.raises(ModelError, match=f"By the head nothing is compared, so leave {options} out, or ask by"):
            distill.predict(model, asked, comparing=comparing)
    with pytest.raises(
        ModelError, match=r"no file 'rare20'; .* name its store, too \(--store STORE\), or .* \.safetensors"
    ):
        distill.predict(model, asked, by="prototypes", comparing=Comparing(summary="rare20"))
    with pytest.raises(ModelError, match="By prototypes a summary is needed"):
        distill.predict(model, asked, by="prototypes")
    with pytest.raises(ModelError, match="By retrieval pictures are compared with others"):
        distill.predict(model, asked, by="retrieval")
    with pytest.raises(ModelError, match="holds no vectors of the teacher"):
        distill.predict(model, asked, by="retrieval", comparing=Comparing(Space.teacher, labelled=images))
    with pytest.raises(ImagesError, match="There is no picture"):
        distill.predict(model, [tmp_path / "none.png"])
    other = TerminalModel(model.path)
    other.facts = replace(model.facts, centre=None, no_vectors="nobody taught it")
    of_teacher = Comparing(Space.teacher, store=images.parent / "toy.store")
    with pytest.raises(ModelError, match="no vectors in its teacher's space, since nobody taught it"):
        distill.predict(other, asked, by="retrieval", comparing=of_teacher)
    other.facts = replace(model.facts, good=None, threshold=None, overkill=None)
    with pytest.raises(ModelError, match="knows no good label"):
        distill.predict(other, asked, by="retrieval", comparing=Comparing(store=images.parent / "toy.store"))


@pytest.mark.parametrize(
    ("by", "against", "threshold", "said"),
    [
        ("retrieval", Comparing(store=Path("s"), labelled=Path("d")), None, "leave one out, --store or --labelled"),
        ("retrieval", Comparing(store=Path("s"), manifest=Path("m.csv")), None, "The manifest 'm.csv' is of no folder"),
        ("prototypes", Comparing(summary="few", images=Path("i")), None, "The image folder 'i' is of no store"),
        ("retrieval", Comparing(labelled=Path("d"), images=Path("i")), None, "The image folder 'i' is of no store"),
        ("retrieval", Comparing(store=Path("s"), overkill=0.1), 0.1, "leave one out, --overkill or --threshold"),
        ("retrieval", Comparing(store=Path("s"), overkill=7.0), None, "The overkill is 7.0; expected 0 to 0.5"),
        ("retrieval", Comparing(store=Path("s"), summary="few"), None, "A summary was given, which retrieval does not"),
        ("prototypes", Comparing(summary="few", labelled=Path("d")), None, "leave --vectors, --gallery and --labelled"),
    ],
)
def test_what_would_be_ignored_is_refused(
    by: str, against: Comparing, threshold: float | None, said: str, model: TerminalModel, images: Path
) -> None:
    with pytest.raises(ModelError, match=said):
        distill.predict(model, [images], by=by, comparing=against, threshold=threshold)
