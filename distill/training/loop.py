"""The one training loop: cross-entropy on the labels, alignment with the targets, first perhaps the alignment alone."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import Module

from distill.evaluation.report import Report
from distill.losses import DistillationLoss
from distill.reports.curves_page import curves_page
from distill.source import Source
from distill.students import Student, device, make_student
from distill.targets import LivePolicy, Policy, TrainingSet
from distill.targets.making import make_policy
from distill.training import beginning, projection, run_directory
from distill.training.answers import keep_memory, refuse_unanswerable
from distill.training.batches import WHOLE_CUTS, class_shares
from distill.training.description import describe, describe_summary
from distill.training.evaluate import write_report
from distill.training.memory import peak_bytes
from distill.training.origin import Origin, keep_inherited, read_origin, run_data_after, settings_after, take_over
from distill.training.pictures import StudentPictures
from distill.training.precision import lay_out, lay_out_averages, layers_dtype
from distill.training.rank_checks import refuse_ranks
from distill.training.ranks import Ranks, joined
from distill.training.run_data import RunData, make_run_data, views_used
from distill.training.run_summary import summary_for
from distill.training.same_run import CONTENTS, refuse_other_layers
from distill.training.scoring import flips_of, validation_figures
from distill.training.settings import Settings
from distill.training.steps import Steps
from distill.training.store_version import opened_to_train
from distill.training.task_file import keep_task
from distill.training.weights import averaged, best_epoch
from embedstore import Summary
from embedstore.vectors import Vectors

_CURVES_EVERY = 10.0  # seconds between two writings of the page, at least

Progress = Callable[[int, int, dict[str, float]], None]  # epochs done, epochs in all, the last epoch's figures


@dataclass(frozen=True)
class Run:
    """A finished run: where it is and what its student reached."""

    path: Path
    report: Report
    remarks: list[str]
    epoch: int | None  # whose student it is, from 1, pre-training included; None where an earlier release did not say


def train(
    store: str | os.PathLike[str] | Source,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    origin: str | os.PathLike[str] | Origin | None = None,
    images: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    runs: int = 1,
    version: int | None = None,
) -> Run:
    """Train a student from a store or an exported summary, without the teacher but for `live-teacher`, and evaluate it.

    Deterministic for the settings on one machine, on the CPU: each epoch's draws depend on (seed, epoch) alone, so a run that was
    killed and resumed ends with the same weights.

    Under torchrun several processes train one student, each on its part of every batch; see `ranks`. The first alone writes, and
    calls `progress`; all return the run.

    Args:
        store: a store, a `SummaryFile`, or the path of one.
        out: the run's directory.
        settings: what to do; see `Settings`. None with an origin: see `origin.settings_after`.
        origin: a finished run, or its directory, with whose student the new one begins; see `origin`.
        images: the image folder, where it is not where the store remembers it.
        resume: go on with the run in `out`, by its path with the version of the store that it was begun with; begin it where
            there is none.
        progress: called after every epoch; once, without figures, where none was left to train.
        runs: how many train on this machine at the same time, this one among them; see `StudentPictures`.
        version: of the store, given by its path; where not given, the run's own with `resume`, else the newest.

    Raises:
        TrainingError: the store can't be learned from or lacks that version now, or `out` holds something else or is in use.
        SummaryError: the summary is unknown, or saw what is tested.
        SettingsError: a setting is not allowed, or the origin's student is another.
    """
    path = Path(out)
    with joined() as ranks:
        began = read_origin(origin) if isinstance(origin, str | os.PathLike) else origin
        settings = settings or (Settings() if began is None else settings_after(began))
        with (
            opened_to_train(store, path, resume=resume, version=version, ranks=ranks)
            if isinstance(store, str | os.PathLike)
            else nullcontext(store)
        ) as source:
            data = make_run_data(source, settings) if began is None else run_data_after(began, source, settings)
            described = describe(source, settings, data)
            if ranks.size > 1:
                refuse_ranks(ranks, settings, len(data.sides["train"]), described)
            if ranks.first:  # before targets are made, which may take long
                beginning.refuse_beforehand(path, described, resume=resume)
            pictures = StudentPictures(source, settings.size, None if images is None else Path(images), runs=runs)
            training = None
            try:
                # Refuses what does not fit; then `out` is made.
                training = _Training(path, source, settings, data, pictures, ranks)
                contents = described["store"][CONTENTS]
                described = describe(
                    source, settings, data, training.summaries, contents=contents, layers=training.layers
                )
                with beginning.begun(path, described, resume=resume) if ranks.first else nullcontext():
                    if ranks.first:
                        keep_task(path, settings, source, None if began is None else began.path)
                        keep_inherited(path, data)
                    tell, trained = progress or (lambda *_: None), 0
                    if not ranks.agree(lambda: run_directory.is_complete(path)):
                        layers = training.layers
                        ranks.agree(lambda: refuse_other_layers(path, run_directory.read(path), layers))
                        trained = training.run(tell)
                    if ranks.first and not trained:  # what follows may take long, too
                        epochs = settings.pretrain_epochs + settings.epochs
                        tell(epochs, epochs, {})
                    report, epoch = ranks.agree(training.evaluated)
            finally:
                if training is not None:
                    training.close()
                pictures.close()
    return Run(path, Report.from_dict(report), data.remarks, epoch)


class _Training:
    """One run's loop and its state.

    Attributes:
        summaries: what `describe` says of the summaries that the targets come from.
        layers: in what numbers the student's layers compute; see `precision`.
        student: what is trained; the moving average of its weights is another, `shown`, where one is kept.
    """

    def __init__(  # noqa: PLR0917
        self, path: Path, store: Source, settings: Settings, data: RunData, pictures: StudentPictures, ranks: Ranks
    ):
        self._path, self._settings, self._data, self._pictures = path, settings, data, pictures
        self._ranks, self._flips = ranks, flips_of(store.recipe)
        self._device = device()
        refuse_unanswerable(path, data, settings)
        self._training = TrainingSet.from_source(
            store, data.sides["train"], views_used(store, settings), pictures.folder
        )
        number = {label: index for index, label in enumerate(data.classes)}
        labels = np.array([-1 if label is None else number[label] for label in self._training.labels], np.int64)
        self.summaries: list[dict[str, Any]] = []
        self._centres: list[Vectors] = []  # of these summaries

        def summary_of(strategy: str, options: Mapping[str, Any]) -> Summary:
            summary = ranks.same(
                lambda: summary_for(store, data, settings, strategy, options), Summary.to_bytes, Summary.from_bytes
            )
            self.summaries.append(describe_summary(summary))
            self._centres.append(summary.centre)
            return summary

        started = time.monotonic()
        self._policy: Policy | None = make_policy(
            settings.policy,
            self._training,
            seed=settings.seed,
            options=settings.options,
            weights=settings.mixture,
            summary_of=summary_of,
        )
        self._seconds_targets = time.monotonic() - started
        size, seed = settings.size, settings.seed
        self.student = student = make_student(
            settings.student, len(data.classes), size, seed, pretrained=data.origin is None
        )
        lay_out(student, self._device)
        self.layers = str(layers_dtype(settings.precision, student, self._device)).removeprefix("torch.")
        self._loss = self._make_loss(student.features, class_shares(labels, len(data.classes), settings.balance))
        take_over(data, student, self._loss, settings, store.fingerprint)
        self._average = averaged(student, settings.ema) if settings.ema else None
        # Without targets the projection has no part in the loss.
        parts: list[Module] = [self.student] if self._policy is None else [self.student, self._loss]
        self._optimiser = torch.optim.AdamW(
            [parameter for part in parts for parameter in part.parameters()],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._steps = Steps(
            settings,
            self._training,
            labels,
            self._policy,
            pictures,
            student=student,
            loss=self._loss,
            optimiser=self._optimiser,
            average=self._average,
            ranks=ranks,
        )
        self._pretraining: list[dict[str, float]] = []
        self._history: list[dict[str, float]] = []
        self._curves_at = -_CURVES_EVERY
        self._peak_before: int | None = None  # of the process that was interrupted

    @property
    def shown(self) -> Student:
        """The student that is validated and kept: the moving average, where there is one."""
        return self.student if self._average is None else cast(Student, self._average.module)

    def close(self) -> None:
        """Let go of what the targets need."""
        if isinstance(self._policy, LivePolicy):
            self._policy.close()

    def run(self, progress: Progress) -> int:
        """Train to the last epoch, from the last checkpoint where there is one; return how many epochs that took."""
        if self._ranks.first:
            self._write_split()
        self._restore()
        # Another rank may be where the run's directory is not.
        folder = self._path if self._path.is_dir() else Path(tempfile.gettempdir())
        whole = WHOLE_CUTS if self._settings.ce_views == "whole" else 0
        self._pictures.keep_cuts(folder, self._training.views + 1 + whole, self._ranks.size)
        before, epochs = self._settings.pretrain_epochs, self._settings.epochs
        missing = range(len(self._pretraining) + len(self._history), before + epochs)
        for epoch in missing:
            started = time.monotonic()
            figures = self._steps.epoch(epoch) | {"seconds_steps": time.monotonic() - started}
            if epoch < before:
                figures |= {"seconds": time.monotonic() - started}
                self._pretraining.append({"epoch": epoch + 1, **figures})
            else:
                figures |= validation_figures(self.shown, self._pictures, self._data, self._settings.good, self._ranks)
                figures |= {"seconds": time.monotonic() - started}
                self._history.append({"epoch": epoch + 1, **figures})
            if self._ranks.first:
                self._save()
                progress(epoch + 1, before + epochs, figures)
        if self._ranks.first:
            self._finish()
        return len(missing)

    def evaluated(self) -> tuple[dict[str, Any], int | None]:
        """Ask the trained student, write down what it says, and return the report, and which epoch's student it is."""
        path, settings = self._path, self._settings
        run_directory.load_student(path, self.student)
        keep_memory(path, self.student, self._data, settings, self._pictures, self._flips)
        report = write_report(path, self.student, self._data, settings, self._pictures, self._flips)
        return report.to_dict(), run_directory.kept_epoch(path)

    def _write_split(self) -> None:
        run_directory.write_table(
            self._path / run_directory.SPLIT,
            ("id", "split", "label", "mode", "group"),
            (
                (s.id, side, s.label or "", s.mode or "", s.group or "")
                for side, positions in self._data.sides.items()
                for s in (self._data.samples[at] for at in positions)
            ),
        )

    def _finish(self) -> None:
        peaks = [peak for peak in (self._peak_before, peak_bytes()) if peak is not None]
        run_directory.write_json(
            self._path / run_directory.COST,
            {
                "seconds": sum(figures["seconds"] for figures in [*self._pretraining, *self._history]),
                "seconds_targets": self._seconds_targets,
                "peak_memory": max(peaks, default=None),
            },
        )
        try:
            self._write_curves()
        except OSError as error:
            self._data.remarks.append(
                f"'{self._path / run_directory.CURVES}' could not be written ({error.strerror}), so it lacks the last epochs; "
                f"'{run_directory.METRICS}' beside it has them all."
            )
        if self._settings.keep == "best" and best_epoch(self._history):
            run_directory.keep_best(self._path)
        else:
            self._keep_map()
            run_directory.save_student(self._path, self.shown.state_dict(), epoch=int(self._history[-1]["epoch"]))

    def _keep_map(self) -> None:
        """Keep the map to the teacher's space with the centre that the targets lack: that of their summary, if they have one.

        One that was saved may know other samples than the run learns from. Of a mixture it is the first one's.
        """
        if projection.why_none(self._settings) is None:
            centre = self._centres[0] if self._centres else self._training.centre
            projection.keep(self._path, self._loss, centre, self._history)

    def _make_loss(self, features: int, shares: npt.NDArray[np.float64]) -> DistillationLoss:
        settings, policy = self._settings, self._policy
        prototypes = None if policy is None else policy.prototypes
        return DistillationLoss(
            features,
            self._training.dim if policy is None else policy.dim,
            alignment=settings.loss,
            weight=settings.weight,
            temperature=settings.temperature,
            projection=settings.projection,
            prototypes=None if prototypes is None else torch.from_numpy(prototypes),
            class_shares=torch.from_numpy(shares),
            adjustment=settings.logit_adjustment,
            seed=settings.seed,
        ).to(self._device)

    def _save(self) -> None:
        for name, history in ((run_directory.PRETRAINING, self._pretraining), (run_directory.METRICS, self._history)):
            if history:
                names = list(history[-1])  # epochs of an earlier release may lack some
                rows = [[round(figures.get(name, math.nan), 6) for name in names] for figures in history]
                run_directory.write_table(self._path / name, names, rows)
        if time.monotonic() - self._curves_at > _CURVES_EVERY:
            with suppress(
                OSError
            ):  # no run ends for a page that a browser holds open; a full disk stops the checkpoint
                self._write_curves()
        run_directory.save_checkpoint(
            self._path,
            {
                "student": self.student.state_dict(),
                "loss": self._loss.state_dict(),
                "average": None if self._average is None else self._average.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "pretraining": self._pretraining,
                "history": self._history,
                "seconds_targets": self._seconds_targets,
                "peak_memory": peak_bytes(),
            },
        )
        self._keep_best()

    def _keep_best(self) -> None:
        """Keep the last epoch's student where it is the best, after the checkpoint: an epoch drawn again may round otherwise."""
        if self._history and best_epoch(self._history) == len(self._history):
            run_directory.save_best(self._path, self.shown.state_dict(), epoch=int(self._history[-1]["epoch"]))
            self._keep_map()

    def _write_curves(self) -> None:
        page = curves_page(self._path.name, self._settings.policy, self._pretraining, self._history)
        self._curves_at = time.monotonic()
        run_directory.write_text(self._path / run_directory.CURVES, page)

    def _restore(self) -> None:
        file = self._path / run_directory.CHECKPOINT
        if not self._ranks.agree(file.exists):
            return
        checkpoint = run_directory.load_checkpoint(self._path, self._ranks.share(file.read_bytes))
        assert checkpoint is not None  # noqa: S101  there is a file
        try:
            self.student.load_state_dict(checkpoint["student"])
            self._loss.load_state_dict(checkpoint["loss"])
            if self._average is not None:
                self._average.load_state_dict(checkpoint["average"])
            self._optimiser.load_state_dict(checkpoint["optimiser"])
            lay_out_averages(self._optimiser)
            self._pretraining = [dict(figures) for figures in checkpoint["pretraining"]]
            self._history = [dict(figures) for figures in checkpoint["history"]]
            self._peak_before = checkpoint.get("peak_memory")
            # Making them again so as to go on is no cost of the run.
            self._seconds_targets = checkpoint.get("seconds_targets", self._seconds_targets)
        except Exception as error:  # whatever the parts raise where it is of something else
            raise run_directory.damaged_checkpoint(self._path) from error
        if self._ranks.first:
            self._keep_best()
