"""The one training loop: cross-entropy on the labels, alignment with the targets."""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import embedstore
from distill.evaluation.metrics import average_precision, roc_area
from distill.evaluation.report import Report
from distill.losses import BatchTargets, make_loss
from distill.source import Source, opened_source
from distill.students import device, make_projection, make_student
from distill.targets import Policy, TrainingSet
from distill.targets.making import make_policy
from distill.training import run_directory
from distill.training.batches import Batch, plan_epoch
from distill.training.evaluate import write_report
from distill.training.memory import peak_bytes
from distill.training.pictures import StudentPictures
from distill.training.run_data import RunData, check_summary, make_run_data, saved_summary
from distill.training.scoring import class_probabilities
from distill.training.settings import Settings
from distill.training.task_file import keep_task
from embedstore import EmbeddingStore, Summary
from embedstore.errors import TrainingError
from embedstore.exports import SummaryFile
from embedstore.summaries import summarize

Progress = Callable[[int, int, dict[str, float]], None]  # epochs done, epochs in all, the last epoch's figures


@dataclass(frozen=True)
class Run:
    """A finished run: where it is and what its student reached."""

    path: Path
    report: Report
    remarks: list[str]


def train(
    store: str | os.PathLike[str] | Source,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    images: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train a student from a store or an exported summary, without the teacher, and evaluate it.

    Deterministic for the settings on one machine, on the CPU: each epoch's draws depend on (seed, epoch) alone, so a run that was
    killed and resumed ends with the same weights.

    Args:
        store: a store, a `SummaryFile`, or the path of one.
        out: the run's directory.
        settings: what to do; see `Settings`.
        images: the image folder, where it is not where the store remembers it.
        resume: go on with the run in `out`; begin it where there is none.
        progress: called after every epoch.

    Raises:
        TrainingError: the store can't be learned from, `out` holds something else, or another process works on it.
        SummaryError: the summary is unknown, or saw what is tested.
        SettingsError: a setting is not allowed.
    """
    settings = settings or Settings()
    if isinstance(store, str | os.PathLike):
        with opened_source(store) as opened:
            return train(opened, out, settings, images=images, resume=resume, progress=progress)
    path = Path(out)
    data = make_run_data(store, settings)
    pictures = StudentPictures(store, settings.size, None if images is None else Path(images))
    try:
        training = _Training(path, store, settings, data, pictures)  # refuses what does not fit; then `out` is made
        with run_directory.begun(path, describe(store, settings, data, training.summaries), resume=resume):
            keep_task(path, settings, store)
            if not run_directory.is_complete(path):
                training.run(progress or (lambda *_: None))
            run_directory.load_student(path, training.student)
            report = write_report(path, training.student, data, settings, pictures, flips=store.recipe.flips)
    finally:
        pictures.close()
    return Run(path, report, data.remarks)


class _Training:
    """One run's loop and its state.

    Attributes:
        summaries: what `describe` says of the summaries that the targets come from.
    """

    def __init__(self, path: Path, store: Source, settings: Settings, data: RunData, pictures: StudentPictures):
        self._path, self._settings, self._data, self._pictures = path, settings, data, pictures
        self._device = device()
        self._training = TrainingSet.from_source(store, data.sides["train"], _views(store, settings))
        number = {label: index for index, label in enumerate(data.classes)}
        self._labels = np.array([-1 if label is None else number[label] for label in self._training.labels], np.int64)
        self.summaries: list[dict[str, Any]] = []

        def summary_of(strategy: str, options: Mapping[str, Any]) -> Summary:
            summary = _summary(store, data, settings, strategy, options)
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
        student = make_student(settings.student, len(data.classes), settings.size, settings.seed)
        self.student = student.to(self._device)
        self._projection: nn.Module | None = None
        if self._policy is not None:
            self._projection = make_projection(student.features, self._policy.dim, settings.seed).to(self._device)
        self._align = make_loss(settings.loss, settings.temperature)
        parts = [self.student] if self._projection is None else [self.student, self._projection]
        self._optimiser = torch.optim.AdamW(
            [parameter for part in parts for parameter in part.parameters()],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self._history: list[dict[str, float]] = []
        self._peak_before: int | None = None  # of the process that was interrupted

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
        for epoch in range(len(self._history), self._settings.epochs):
            started = time.monotonic()
            figures = self._epoch(epoch) | {"seconds_steps": time.monotonic() - started}
            figures |= self._validate() | {"seconds": time.monotonic() - started}
            self._history.append({"epoch": epoch + 1, **figures})
            self._save()
            progress(epoch + 1, self._settings.epochs, figures)
        peaks = [peak for peak in (self._peak_before, peak_bytes()) if peak is not None]
        run_directory.write_json(
            self._path / run_directory.COST,
            {
                "seconds": sum(figures["seconds"] for figures in self._history),
                "seconds_targets": self._seconds_targets,
                "peak_memory": max(peaks, default=None),
            },
        )
        run_directory.save_student(self._path, {k: v.cpu() for k, v in self.student.state_dict().items()})

    def _epoch(self, epoch: int) -> dict[str, float]:
        settings, training = self._settings, self._training
        batches = plan_epoch(
            training.ids,
            training.views,
            training.source.recipe,
            ce_views=settings.ce_views,
            size=settings.batch,
            seed=settings.seed,
            epoch=epoch,
        )
        # What layers draw, such as dropout, depends on the epoch alone.
        torch.manual_seed(settings.seed * 1_000_003 + epoch)
        self.student.train()
        ce_sum = align_sum = 0.0
        ce_count = align_count = 0
        for step, (batch, pixels) in enumerate(self._prefetch(batches)):
            share = (epoch * len(batches) + step) / (settings.epochs * len(batches))
            for group in self._optimiser.param_groups:
                group["lr"] = settings.learning_rate * _schedule(share, settings.epochs)
            ce, ce_of, align, align_of = self._losses(batch, pixels, epoch * len(batches) + step)
            self._optimiser.zero_grad(set_to_none=True)
            loss = ce + settings.weight * align
            if loss.requires_grad:  # a batch may have neither labels nor targets
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimiser.step()
            ce_sum, ce_count = ce_sum + ce.item() * ce_of, ce_count + ce_of
            align_sum, align_count = align_sum + align.item() * align_of, align_count + align_of
        return {"cross_entropy": ce_sum / max(1, ce_count), "alignment": align_sum / max(1, align_count)}

    def _losses(self, batch: Batch, pixels: Tensor, step: int) -> tuple[Tensor, int, Tensor, int]:
        """Return cross-entropy and alignment with how many samples each is the mean of."""
        features, logits = self.student(pixels)
        labels = torch.from_numpy(self._labels[batch.samples]).to(self._device)
        spoken = torch.from_numpy(batch.labelled).to(self._device) & (labels >= 0)
        nothing = torch.zeros((), device=self._device)
        ce = nn.functional.cross_entropy(logits[spoken], labels[spoken]) if spoken.any() else nothing
        if self._policy is None or self._projection is None:
            return ce, int(spoken.sum()), nothing, 0
        found = self._policy.targets(batch.samples, batch.views, step)
        known = found.known & batch.aligned
        if not known.any():
            return ce, int(spoken.sum()), nothing, 0
        chosen = torch.from_numpy(known).to(self._device)
        prototypes = self._policy.prototypes
        targets = BatchTargets(
            vectors=torch.from_numpy(found.vectors[known]).to(self._device),
            labels=labels[chosen],
            prototypes=None if prototypes is None else torch.from_numpy(prototypes).to(self._device),
            chosen=None if found.chosen is None else torch.from_numpy(found.chosen[known]).to(self._device),
        )
        align: Tensor = self._align(self._projection(features[chosen]), targets)
        return ce, int(spoken.sum()), align, int(known.sum())

    def _prefetch(self, batches: list[Batch]) -> Iterator[tuple[Batch, Tensor]]:
        """Yield each batch with its pixels; the pictures of the next one are read meanwhile, and cut when it is its turn.

        Cutting has torch's threads to itself: two sets of them beside each other would wait for each other's cores.
        """
        positions = self._training.positions
        with ThreadPoolExecutor(1, thread_name_prefix="distill-ahead") as ahead:
            coming = ahead.submit(self._pictures.pixels, positions[batches[0].samples])
            for number, batch in enumerate(batches):
                pixels = coming.result()
                if number + 1 < len(batches):
                    coming = ahead.submit(self._pictures.pixels, positions[batches[number + 1].samples])
                yield batch, self._pictures.cut_from(pixels, batch.cuts).to(self._device)

    def _validate(self) -> dict[str, float]:
        """Return the validation figures of an epoch, from whole pictures, unflipped; the report averages flips."""
        positions = np.array(
            [at for at in self._data.sides["val"] if self._data.samples[at].label is not None], np.int64
        )
        probabilities = class_probabilities(self.student, self._pictures, positions, flips=False)
        labels = [self._data.samples[at].label for at in positions]
        good = self._settings.good
        if good is None:
            said = [self._data.classes[at] for at in probabilities.argmax(axis=1)]
            return {"val_accuracy": float(np.mean([a == b for a, b in zip(said, labels, strict=True)]))}
        defect = np.array([label != good for label in labels])
        scores = 1 - probabilities[:, self._data.classes.index(good)]
        return {"val_auroc": roc_area(defect, scores), "val_aupr": average_precision(defect, scores)}

    def _save(self) -> None:
        # The checkpoint last: a run that is killed in between draws the epoch again and writes its line again.
        names = list(self._history[-1])  # epochs of an earlier release may lack some
        run_directory.write_table(
            self._path / run_directory.METRICS,
            names,
            [[round(figures.get(name, math.nan), 6) for name in names] for figures in self._history],
        )
        run_directory.save_checkpoint(
            self._path,
            {
                "student": self.student.state_dict(),
                "projection": None if self._projection is None else self._projection.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "history": self._history,
                "seconds_targets": self._seconds_targets,
                "peak_memory": peak_bytes(),
            },
        )

    def _restore(self) -> None:
        checkpoint = run_directory.load_checkpoint(self._path)
        if checkpoint is None:
            return
        try:
            self.student.load_state_dict(checkpoint["student"])
            if self._projection is not None:
                self._projection.load_state_dict(checkpoint["projection"])
            self._optimiser.load_state_dict(checkpoint["optimiser"])
            self._history = [dict(figures) for figures in checkpoint["history"]]
            self._peak_before = checkpoint.get("peak_memory")
            # Making them again so as to go on is no cost of the run.
            self._seconds_targets = checkpoint.get("seconds_targets", self._seconds_targets)
        except Exception as error:  # whatever the parts raise where it is of something else
            raise run_directory.damaged_checkpoint(self._path) from error


def _schedule(share: float, epochs: int) -> float:
    """Return the learning rate's factor at a share of the run: up over the first epoch, then down along a cosine."""
    warm = min(0.5, 1 / epochs)
    if share < warm:
        return max(0.05, share / warm)
    return 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm)))


def _views(store: Source, settings: Settings) -> int:
    if settings.views is None:
        return store.views
    if settings.views > store.views:
        more = (
            "ask for fewer, or make and export the summary again from the store that it was exported from, with more views."
            if isinstance(store, SummaryFile)
            else f"add some with: embedstore build '{store.path}' IMAGES --views {settings.views}"
        )
        raise TrainingError(f"The run asks for {settings.views} views, but '{store.path}' has {store.views}; {more}")
    return settings.views


def _summary(store: Source, data: RunData, settings: Settings, strategy: str, options: Mapping[str, Any]) -> Summary:
    """Return the summary that a policy needs: the one asked for, or one of the run's own training samples."""
    summary = saved_summary(store, options)
    if summary is None:
        assert isinstance(store, EmbeddingStore)  # noqa: S101  a file is a saved summary
        summary = summarize(store, strategy, positions=data.sides["train"], seed=settings.seed, **options)
    check_summary(summary, store, data)
    return summary


def describe_summary(summary: Summary) -> dict[str, Any]:
    """Return what made a summary, and a checksum of all that it holds: another may get its name."""
    made_by = ("name", "strategy", "parameters", "seed", "store_version")
    return {**{name: getattr(summary, name) for name in made_by}, "checksum": f"{zlib.crc32(summary.to_bytes()):08x}"}


def describe(
    store: Source, settings: Settings, data: RunData, summaries: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return what a run's directory says of what was asked, and on what; of the summaries where they are at hand."""
    described_store = {
        "path": str(store.path.resolve()),
        "version": store.version,
        "fingerprint": store.fingerprint,
        "views": store.views,
    }
    if isinstance(store, SummaryFile):  # another file may get its name
        described_store["checksum_of_file"] = f"{zlib.crc32(store.path.read_bytes()):08x}"
    return {
        "settings": settings.to_dict(),
        "store": described_store,
        **({} if summaries is None else {"summaries": summaries}),
        "teacher": store.teacher,
        "recipe": store.recipe.to_dict(),
        "classes": data.classes,
        "remarks": data.remarks,
        "versions": {
            "embedstore": embedstore.__version__,
            **{name: version(name) for name in ("torch", "timm", "numpy", "pillow")},
        },
        "threads": torch.get_num_threads(),
    }
