"""From a run to one ONNX file for the line, checked against PyTorch on the run's own pictures, and timed."""

from __future__ import annotations

import copy
import os
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import embedstore
from distill.evaluation.metrics import threshold_at_overkill
from distill.targets import TrainingSet
from distill.terminal.answering import answer_module, by_patches
from distill.terminal.checking import Agreement, Figures, Progress, Reference, pictures_at
from distill.terminal.facts import KEY, Facts
from distill.terminal.graph import Cutting, Terminal
from distill.terminal.model import PICTURE, Picture, Seen, TerminalModel, promised
from distill.terminal.quantisation import quantise
from distill.training import projection
from distill.training.answers import defects_among, loaded_memory
from distill.training.evaluate import FinishedRun, finished_run, run_threshold
from embedstore import EmbeddingStore
from embedstore.errors import MissingPackageError, ModelError
from embedstore.files import folder_beside, try_to_write
from embedstore.summaries.strategy import directions
from embedstore.vectors import Vectors, unit_length

_OPSET = 20
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_CALIBRATED = 300  # pictures, at most
_MOST_DIFFERENCE = (
    0.01  # of scores from PyTorch's, in float32; a pixel that is rounded the other way gives a tenth of it
)
_MOST_ELSEWHERE = 0.1  # of a place of the map of where a defect is; see `Agreement.largest_where`; in int8, too
_TOLD_CHANGED, _MOST_CHANGED = 0.01, 0.1  # of the decisions of a file in int8: beyond that it is told, or refused


@dataclass(frozen=True)
class Export:
    """An exported model.

    Attributes:
        path: of the file.
        facts: what it says of itself.
        pictures: of the test side, on which it was checked.
        pytorch: what the run's student does there.
        checks: of float32, and of int8 where that was asked for; the last one is the file.
        cosine: of the file's projected vectors and the teacher's own, centred, the mean over the test side; None where there
            are none.
        remarks: sentences that whoever puts it to work should know.
    """

    path: Path
    facts: Facts
    pictures: int
    pytorch: Figures
    checks: tuple[Agreement, ...]
    cosine: float | None
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: the checks, and of the facts what decides; `map` is that of where a defect is, or None."""
        checked = {name: value for name, value in asdict(self).items() if name != "facts"}
        told = (
            "classes",
            "good",
            "threshold",
            "overkill",
            "answer",
            "precision",
            "teacher",
            "fingerprint",
            "no_vectors",
        )
        where = None if self.facts.where is None else asdict(self.facts.where)
        return {**checked, "path": str(self.path), **{name: getattr(self.facts, name) for name in told}, "map": where}


def export(
    run: str | os.PathLike[str],
    file: str | os.PathLike[str],
    *,
    int8: bool = False,
    vectors: bool = True,
    store: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    student: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Export:
    """Write a finished run's student as ONNX, with cutting, normalisation, flips, answer, labels and threshold inside.

    Args:
        run: the run's directory.
        file: to write; it ends in `.onnx`.
        int8: write the convolutions in 8-bit whole numbers, their ranges taken from training pictures; the threshold is then set
            again, as in the run.
        vectors: with the map to the teacher's space, where the run has learned one.
        store: see `distill.evaluate`.
        images: see `distill.evaluate`.
        student: see `distill.evaluate`.
        overwrite: replace a file that is there.
        progress: called with the step, and how far it is.

    Raises:
        TrainingError: see `distill.evaluate`; or its report is missing.
        SettingsError: see `distill.evaluate`.
        ModelError: the student can't be written as ONNX, the file is there already or would decide otherwise than PyTorch.
        MissingPackageError: a package that writes ONNX is not installed.
        OSError: the system does not let the file be written.
    """
    path, told = Path(file), progress or (lambda *_: None)
    if path.suffix != ".onnx":
        raise ModelError(f"The name '{path}' does not end in .onnx; give the file one that does.")
    if not path.resolve().parent.is_dir():
        raise ModelError(f"There is no directory '{path.parent}' to write '{path.name}' to; make it first.")
    if path.exists() and not overwrite:
        raise ModelError(f"'{path}' exists; choose another name, or replace it with --overwrite.")
    if path.is_dir():
        raise ModelError(f"'{path}' is a directory; give the name of a file.")
    try_to_write(path)
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise MissingPackageError(f"Writing ONNX needs {missing[0]}: pip install 'embedstore[export]'")
    knows_centre = (Path(run) / projection.FILE).is_file()
    with finished_run(run, store=store, images=images, student=student, training=int8 or not knows_centre) as opened:
        model, facts = _made(opened, vectors=vectors)
        told("Asking PyTorch", 0, 1)
        reference = Reference.of(opened, facts, model)
        with folder_beside(path.resolve()) as folder:
            written = folder / "float32.onnx"
            told("Writing", 0, 1)
            _write(model, written, facts, reference.timed[0], opened.settings.student)
            checks, seen = _checked(reference, written, told)
            if checks.largest_difference > _MOST_DIFFERENCE:
                raise ModelError(
                    f"As ONNX the student '{facts.student}' answers otherwise than in PyTorch (a score differs by "
                    f"{checks.largest_difference:.4f}), so nothing was written; use another student, and please report this."
                )
            _refuse_elsewhere(facts, checks)
            all_checks = [checks]
            if int8:
                told("Calibrating", 0, 1)
                facts, plain = replace(facts, precision="int8"), written
                written = folder / "int8.onnx"
                quantise(plain, written, list(pictures_at(opened, _calibrating(opened))))
                _put(facts, written)
                facts = _judging_anew(opened, TerminalModel(written), told)
                _put(facts, written)
                checks, seen = _checked(reference, written, told)
                all_checks.append(checks)
                _refuse_elsewhere(facts, checks)
                _refuse_hurt(facts, checks, len(reference))
            cosine = _cosine(opened, reference, seen, facts)
            written.replace(path)
    remarks = _remarks(facts, all_checks, reference)
    return Export(path, facts, len(reference), reference.figures, tuple(all_checks), cosine, remarks)


def _made(run: FinishedRun, *, vectors: bool) -> tuple[Terminal, Facts]:
    """Return a run's student with all that stands before and behind it, on the CPU, and what is to be said of it."""
    settings, recipe = run.settings, run.source.recipe
    memory = loaded_memory(run.path, settings, run.student)
    why = projection.why_none(settings) if vectors else "it was exported without vectors"
    learned, centre = None, None
    if why is None and (kept := projection.load(run.path, settings, run.student.features)) is not None:
        learned = kept[0]
        centre = _centre(run) if kept[1] is None else kept[1].numpy()
    patches = by_patches(memory, defects_among(run.data.classes, settings.good), recipe.fit)
    model = Terminal(
        copy.deepcopy(run.student),
        Cutting(settings.size, recipe.fit),
        run.flips,
        answer_module(settings.answer, memory),
        learned,
        patches,
    )
    facts = Facts(
        classes=tuple(run.data.classes),
        good=settings.good,
        threshold=run_threshold(run.path, settings),
        overkill=None if settings.good is None else settings.overkill,
        student=settings.student,
        policy=settings.policy,
        answer=settings.answer,
        size=settings.size,
        student_side=recipe.student_side,
        flips=len(run.flips),
        features=run.student.features,
        precision="float32",
        teacher=run.teacher,
        fingerprint=run.fingerprint,
        centre=centre,
        no_vectors=why,
        release=embedstore.__version__,
        where=None if patches is None else patches.map,
    )
    return model.cpu().eval(), facts


def _centre(run: FinishedRun) -> Vectors:
    """Return what was taken off the targets of a run that has not kept it.

    Raises:
        ModelError: the store can't tell any more, for it has another teacher by now.
    """
    if run.source.fingerprint != run.fingerprint:
        raise ModelError(
            f"The run in '{run.path}' is of an earlier release, which left the centre of its teacher's vectors to the store, and "
            f"the store has changed over to '{run.source.teacher}'; go back first (embedstore migrate STORE --back), or export "
            "without vectors (--no-vectors)."
        )
    if isinstance(run.source, EmbeddingStore):
        return TrainingSet.from_source(run.source, run.data.sides["train"]).centre
    centre: Vectors = run.source.kept.centre  # type: ignore[attr-defined]  # a summary file
    return centre


def _write(model: Terminal, path: Path, facts: Facts, picture: Picture, student: str) -> None:
    from torch.export import Dim

    try:
        with torch.no_grad():
            program = torch.onnx.export(
                model,
                (torch.from_numpy(picture),),
                dynamo=True,
                input_names=[PICTURE],
                output_names=list(promised(facts)),
                dynamic_shapes={"picture": {0: Dim("height"), 1: Dim("width")}},
                opset_version=_OPSET,
                verbose=False,
            )
        assert program is not None  # noqa: S101  as it is where dynamo writes
        program.model.metadata_props[KEY] = facts.to_json()
        program.save(path)
    except Exception as error:  # whatever a user's own module, or one of timm's, does that ONNX has no word for
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"The student '{student}' can't be written as ONNX ({reason}); use another, such as small or medium."
        ) from error


def _put(facts: Facts, path: Path) -> None:
    """Write facts into a file that has none, or others."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: facts.to_json()})
    onnx.save(model, path)


def _checked(reference: Reference, path: Path, progress: Progress) -> tuple[Agreement, list[Seen]]:
    model = TerminalModel(path)
    seen = reference.seen(model, progress)
    return reference.agreement(model, seen), seen


def _cosine(run: FinishedRun, reference: Reference, seen: list[Seen], facts: Facts) -> float | None:
    """Return how near the student's vectors come to the teacher's own."""
    if facts.centre is None or not isinstance(run.source, EmbeddingStore) or run.source.fingerprint != run.fingerprint:
        return None
    own = unit_length(np.stack([one.projected for one in seen if one.projected is not None]))
    teachers = directions(run.source.read(reference.positions), facts.centre)
    return float((own * teachers).sum(axis=1).mean())


def _calibrating(run: FinishedRun) -> npt.NDArray[np.int64]:
    """Return the positions of training pictures, of each label as many: what is rare has ranges of its own."""
    shuffled = np.random.default_rng(0).permutation(run.data.sides["train"])
    count: dict[str | None, int] = {}
    rank = []
    for at in shuffled:
        label = run.data.samples[at].label
        rank.append(count.setdefault(label, 0))
        count[label] += 1
    found: npt.NDArray[np.int64] = shuffled[np.argsort(rank, kind="stable")][:_CALIBRATED]
    return found


def _judging_anew(run: FinishedRun, model: TerminalModel, progress: Progress) -> Facts:
    """Return a model's facts with the threshold that its own scores of good validation pictures ask for."""
    facts = model.facts
    if facts.good is None or facts.overkill is None:
        return facts
    goods = [at for at in run.data.sides["val"] if run.data.samples[at].label == facts.good]
    said = []
    for picture in pictures_at(run, np.array(goods, np.int64)):
        said.append(model.look(picture).probabilities)
        progress("Setting the threshold", len(said), len(goods))
    return facts.at(threshold_at_overkill(facts.scores(np.stack(said)), facts.overkill))


def _refuse_elsewhere(facts: Facts, check: Agreement) -> None:
    if check.largest_where is not None and check.largest_where > _MOST_ELSEWHERE:
        raise ModelError(
            f"As ONNX the student '{facts.student}' says otherwise than in PyTorch where a defect is (a place differs by "
            f"{check.largest_where:.0%}), so nothing was written; please report this."
        )


def _refuse_hurt(facts: Facts, check: Agreement, pictures: int) -> None:
    if check.changed > _MOST_CHANGED * pictures:
        raise ModelError(
            f"In int8 the student '{facts.student}' decides otherwise on {check.changed} of {pictures} test pictures, so "
            "nothing was written; export it without --int8."
        )


def _remarks(facts: Facts, checks: list[Agreement], reference: Reference) -> tuple[str, ...]:
    said = []
    if facts.no_vectors is not None:
        said.append(
            f"The model has no vectors in the teacher's space, since {facts.no_vectors}; it can be asked by its answer, and by "
            "retrieval among its own features."
        )
    plain, last = checks[0], checks[-1]
    if last is plain:
        return tuple(said)
    if reference.facts.threshold is not None:
        said.append(
            f"Scores in int8 are a little different, so the threshold was set again on the good validation pictures: "
            f"{facts.threshold:.4f} instead of {reference.facts.threshold:.4f}."
        )
    if last.changed > _TOLD_CHANGED * len(reference):
        said.append(
            f"In int8 {last.changed} of {len(reference)} decisions are others than in float32; compare recall and "
            "overkill above, and take float32 where they are worse."
        )
    if last.figures.milliseconds > plain.figures.milliseconds:
        said.append(
            f"On this machine int8 is slower than float32 ({last.figures.milliseconds:.1f} and "
            f"{plain.figures.milliseconds:.1f} ms a picture), so it saves bytes only."
        )
    return tuple(said)
