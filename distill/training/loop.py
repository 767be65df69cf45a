"""The one training loop: cross-entropy on the labels, alignment with the targets, first perhaps the alignment alone."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from distill.evaluation.report import Report
from distill.losses import DistillationLoss, Losses
from distill.reports.curves_page import curves_page
from distill.source import Source, opened_source
from distill.students import Student, device, make_student
from distill.targets import LivePolicy, Policy, Targets, TrainingSet
from distill.targets.making import make_policy
from distill.training import projection, run_directory
from distill.training.answers import keep_memory
from distill.training.batches import WHOLE_CUTS, Batch, balanced_order, class_shares, plan_epoch
from distill.training.description import describe, describe_summary
from distill.training.evaluate import write_report
from distill.training.memory import peak_bytes
from distill.training.origin import Origin, keep_inherited, read_origin, run_data_after, settings_after, take_over
from distill.training.pictures import ReadPictures, StudentPictures
from distill.training.run_data import RunData, make_run_data, summary_for, views_used
from distill.training.scoring import flips_of, validation_figures
from distill.training.settings import Settings
from distill.training.task_file import keep_task
from distill.training.weights import averaged, best_epoch, learning_rate_factor
from embedstore import Summary

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
) -> Run:
    """Train a student from a store or an exported summary, without the teacher but for `live-teacher`, and evaluate it.

    Deterministic for the settings on one machine, on the CPU: each epoch's draws depend on (seed, epoch) alone, so a run that was
    killed and resumed ends with the same weights.

    Args:
        store: a store, a `SummaryFile`, or the path of one.
        out: the run's directory.
        settings: what to do; see `Settings`. None with an origin: see `origin.settings_after`.
        origin: a finished run, or its directory, with whose student the new one begins; see `origin`.
        images: the image folder, where it is not where the store remembers it.
        resume: go on with the run in `out`; begin it where there is none.
        progress: called after every epoch.

    Raises:
        TrainingError: the store can't be learned from, `out` holds something else, or another process works on it.
        SummaryError: the summary is unknown, or saw what is tested.
        SettingsError: a setting is not allowed, or the origin's student is another.
    """
    began = read_origin(origin) if isinstance(origin, str | os.PathLike) else origin
    settings = settings or (Settings() if began is None else settings_after(began))
    if isinstance(store, str | os.PathLike):
        with opened_source(store) as opened:
            return train(opened, out, settings, origin=began, images=images, resume=resume, progress=progress)
    path = Path(out)
    data = make_run_data(store, settings) if began is None else run_data_after(began, store, settings)
    pictures = StudentPictures(store, settings.size, None if images is None else Path(images))
    training = None
    try:
        training = _Training(path, store, settings, data, pictures)  # refuses what does not fit; then `out` is made
        with run_directory.begun(path, describe(store, settings, data, training.summaries), resume=resume):
            keep_task(path, settings, store, None if began is None else began.path)
            keep_inherited(path, data)
            if not run_directory.is_complete(path):
                training.run(progress or (lambda *_: None))
            run_directory.load_student(path, training.student)
            keep_memory(path, training.student, data, settings, pictures, flips_of(store.recipe))
            report = write_report(path, training.student, data, settings, pictures, flips_of(store.recipe))
    finally:
        if training is not None:
            training.close()
        pictures.close()
    return Run(path, report, data.remarks, run_directory.kept_epoch(path))


class _Training:
    """One run's loop and its state.

    Attributes:
        summaries: what `describe` says of the summaries that the targets come from.
        student: what is trained; the moving average of its weights is another, `shown`, where one is kept.
    """

    def __init__(self, path: Path, store: Source, settings: Settings, data: RunData, pictures: StudentPictures):
        self._path, self._settings, self._data, self._pictures = path, settings, data, pictures
        self._device = device()
        self._training = TrainingSet.from_source(
            store, data.sides["train"], views_used(store, settings), pictures.folder
        )
        number = {label: index for index, label in enumerate(data.classes)}
        self._labels = np.array([-1 if label is None else number[label] for label in self._training.labels], np.int64)
        self.summaries: list[dict[str, Any]] = []

        def summary_of(strategy: str, options: Mapping[str, Any]) -> Summary:
            summary = summary_for(store, data, settings, strategy, options)
            self.summaries.append(describe_summary(summary))
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
        student = make_student(settings.student, len(data.classes), size, seed, pretrained=data.origin is None)
        self.student = student.to(self._device)
        self._loss = self._make_loss(student.features)
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

    def run(self, progress: Progress) -> None:
        """Train to the last epoch, from the last checkpoint where there is one."""
        run_directory.write_table(
            self._path / run_directory.SPLIT,
            ("id", "split", "label", "mode", "group"),
            (
                (s.id, side, s.label or "", s.mode or "", s.group or "")
                for side, positions in self._data.sides.items()
                for s in (self._data.samples[at] for at in positions)
            ),
        )
        self._restore()
        self._pictures.keep_cuts(
            self._path, self._training.views + 1 + (WHOLE_CUTS if self._settings.ce_views == "whole" else 0)
        )
        before, epochs = self._settings.pretrain_epochs, self._settings.epochs
        for epoch in range(len(self._pretraining) + len(self._history), before + epochs):
            started = time.monotonic()
            figures = self._epoch(epoch) | {"seconds_steps": time.monotonic() - started}
            if epoch < before:
                figures |= {"seconds": time.monotonic() - started}
                self._pretraining.append({"epoch": epoch + 1, **figures})
            else:
                figures |= validation_figures(self.shown, self._pictures, self._data, self._settings.good)
                figures |= {"seconds": time.monotonic() - started}
                self._history.append({"epoch": epoch + 1, **figures})
            self._save()
            progress(epoch + 1, before + epochs, figures)
        self._finish()

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
        self._write_curves()
        if self._settings.keep == "best" and best_epoch(self._history):
            run_directory.keep_best(self._path)
        else:
            projection.keep(self._path, self._settings, self._loss, self._training, self._history)
            run_directory.save_student(self._path, self.shown.state_dict(), epoch=int(self._history[-1]["epoch"]))

    def _make_loss(self, features: int) -> DistillationLoss:
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
            class_shares=torch.from_numpy(class_shares(self._labels, len(self._data.classes), settings.balance)),
            adjustment=settings.logit_adjustment,
            seed=settings.seed,
        ).to(self._device)

    def _epoch(self, epoch: int) -> dict[str, float]:
        settings, training = self._settings, self._training
        pretrains = epoch < settings.pretrain_epochs
        number, epochs = (
            (epoch, settings.pretrain_epochs) if pretrains else (epoch - settings.pretrain_epochs, settings.epochs)
        )
        batches = plan_epoch(
            training.ids,
            training.views,
            training.source.recipe,
            fresh=settings.crops == "fresh",
            ce_views="all" if pretrains else settings.ce_views,  # whole pictures have nothing to learn from yet
            size=settings.batch,
            seed=settings.seed,
            epoch=epoch,
            order=balanced_order(self._labels, settings.balance, seed=settings.seed, epoch=epoch),
        )
        # What layers draw, such as dropout, depends on the epoch alone.
        torch.manual_seed(settings.seed * 1_000_003 + epoch)
        self.student.train()
        # Read once an epoch: a GPU would wait for each step.
        sums = torch.zeros(2, dtype=torch.float64, device=self._device)
        rate, ce_count, align_count = 0.0, 0, 0
        for step, (batch, pixels, targets) in enumerate(self._prefetch(batches, epoch * len(batches))):
            share = (number * len(batches) + step) / (epochs * len(batches))
            rate = settings.learning_rate * learning_rate_factor(settings.schedule, share, epochs)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            lost = self._losses(batch, pixels, targets, pretrains=pretrains)
            self._optimiser.zero_grad(set_to_none=True)
            if lost.total.requires_grad:  # a batch may have neither labels nor targets
                lost.total.backward()  # type: ignore[no-untyped-call]
                self._optimiser.step()
                if self._average is not None:
                    self._average.update_parameters(self.student)
            parts = torch.stack([lost.cross_entropy.detach(), lost.alignment.detach()]).double()
            sums += parts * torch.tensor([lost.labelled, lost.aligned], dtype=torch.float64).to(self._device)
            ce_count, align_count = ce_count + lost.labelled, align_count + lost.aligned
        ce_sum, align_sum = sums.tolist()
        figures = {"alignment": align_sum / max(1, align_count), "learning_rate": rate}
        return figures if pretrains else {"cross_entropy": ce_sum / max(1, ce_count), **figures}

    def _losses(self, batch: Batch, pixels: Tensor, targets: Targets | None, *, pretrains: bool) -> Losses:
        """Return what a batch lost; `targets` are those of its aligned samples."""
        features, logits = self.student(pixels)
        labels = torch.from_numpy(self._labels[batch.samples]).to(self._device)
        labelled = torch.from_numpy(batch.labelled & (not pretrains)).to(self._device)
        if targets is None:
            return self._loss.forward(features, logits, labels, None, labelled=labelled)
        rows, chosen = np.flatnonzero(batch.aligned), None
        vectors = np.zeros((len(batch.samples), targets.vectors.shape[1]), np.float32)
        vectors[rows[targets.known]] = targets.vectors[targets.known]
        if targets.chosen is not None:
            chosen = np.zeros(len(batch.samples), np.int64)
            chosen[rows] = targets.chosen
        return self._loss.forward(
            features,
            logits,
            labels,
            torch.from_numpy(vectors).to(self._device),
            labelled=labelled,
            chosen=None if chosen is None else torch.from_numpy(chosen).to(self._device),
        )

    def _targets(self, batch: Batch, step: int) -> Targets | None:
        """Return the targets of a batch's aligned samples."""
        if self._policy is None:
            return None
        samples, views = batch.samples[batch.aligned], batch.views[batch.aligned]
        if self._settings.crops == "fresh" and not isinstance(self._policy, LivePolicy):
            views = np.zeros_like(
                views
            )  # fresh views have numbers of their own; what any view may have, the plain one has
        return self._policy.targets(samples, views, step)

    def _prefetch(self, batches: list[Batch], first_step: int) -> Iterator[tuple[Batch, Tensor, Targets | None]]:
        """Yield each batch with its pixels and targets; those of the next one are read meanwhile, and cut when it is its turn.

        Cutting has torch's threads to itself: two sets of them beside each other would wait for each other's cores. A GPU has
        its own, so there the next batch is cut ahead, too. A live teacher reads ahead, and is asked when it is its turn.
        """
        positions, gpu = self._training.positions, self._device.type != "cpu"
        replays = self._settings.crops == "stored"
        live = self._policy if isinstance(self._policy, LivePolicy) else None

        def read(number: int) -> tuple[ReadPictures, Tensor | None, Targets | None]:
            batch = batches[number]
            pictures = self._pictures.read(positions[batch.samples], batch.numbers if replays else None)
            cut = self._pictures.cut_from(pictures, batch.cuts, self._device) if gpu else None
            return pictures, cut, None if live is not None else self._targets(batch, first_step + number)

        def begin(number: int) -> Future[tuple[ReadPictures, Tensor | None, Targets | None]]:
            if live is not None:
                batch = batches[number]
                live.begin(batch.samples[batch.aligned], batch.views[batch.aligned], first_step + number)
            return ahead.submit(read, number)

        with ThreadPoolExecutor(1, thread_name_prefix="distill-ahead") as ahead:
            coming = begin(0)
            for number, batch in enumerate(batches):
                pictures, cut, targets = coming.result()
                if number + 1 < len(batches):
                    coming = begin(number + 1)
                if cut is None:
                    cut = self._pictures.cut_from(pictures, batch.cuts)
                if live is not None:
                    targets = self._targets(batch, first_step + number)
                yield batch, cut, targets

    def _save(self) -> None:
        # The checkpoint last: a run that is killed in between draws the epoch again and writes the same again.
        if self._history and best_epoch(self._history) == len(self._history):
            run_directory.save_best(self._path, self.shown.state_dict(), epoch=int(self._history[-1]["epoch"]))
            projection.keep(self._path, self._settings, self._loss, self._training, self._history)
        for name, history in ((run_directory.PRETRAINING, self._pretraining), (run_directory.METRICS, self._history)):
            if history:
                names = list(history[-1])  # epochs of an earlier release may lack some
                rows = [[round(figures.get(name, math.nan), 6) for name in names] for figures in history]
                run_directory.write_table(self._path / name, names, rows)
        if time.monotonic() - self._curves_at > _CURVES_EVERY:
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

    def _write_curves(self) -> None:
        page = curves_page(self._path.name, self._settings.policy, self._pretraining, self._history)
        run_directory.write_text(self._path / run_directory.CURVES, page)
        self._curves_at = time.monotonic()

    def _restore(self) -> None:
        checkpoint = run_directory.load_checkpoint(self._path)
        if checkpoint is None:
            return
        try:
            self.student.load_state_dict(checkpoint["student"])
            self._loss.load_state_dict(checkpoint["loss"])
            if self._average is not None:
                self._average.load_state_dict(checkpoint["average"])
            self._optimiser.load_state_dict(checkpoint["optimiser"])
            self._pretraining = [dict(figures) for figures in checkpoint["pretraining"]]
            self._history = [dict(figures) for figures in checkpoint["history"]]
            self._peak_before = checkpoint.get("peak_memory")
            # Making them again so as to go on is no cost of the run.
            self._seconds_targets = checkpoint.get("seconds_targets", self._seconds_targets)
        except Exception as error:  # whatever the parts raise where it is of something else
            raise run_directory.damaged_checkpoint(self._path) from error
