"""The ways of training that are compared: the same student, pixels, batch and steps; each runs in a process of its own.

Every way is a function of a `Job` that trains for some epochs and returns how long each took, without validation.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import distill
import embedstore
from distill.students import make_student
from distill.training.batches import plan_epoch
from distill.training.pictures import StudentPictures
from distill.training.run_directory import METRICS

WARM = 1  # epochs that are not counted: files and memory are met for the first time


@dataclass(frozen=True)
class Job:
    """What a way is given.

    Attributes:
        images: the folder of pictures, one folder per label.
        kept: a store of them that keeps its pictures; `files`: the same without.
        out: an empty folder.
        settings: of the runs.
        epochs: to be counted.
        workers: of torchvision's loader.
    """

    images: Path
    kept: Path
    files: Path
    out: Path
    settings: distill.Settings
    epochs: int
    workers: int = 0


def bare_steps(job: Job) -> list[float]:
    """Take the student's steps on tensors that lie in memory: the limit."""
    with embedstore.open(job.kept) as store:
        settings = job.settings
        samples = [at for at, split in enumerate(store.field("split")) if split == "train"]
        ids, labels = [store.ids[at] for at in samples], [store.labels[at] for at in samples]
        plan = plan_epoch(
            ids, store.views, store.recipe, ce_views="all", size=settings.batch, seed=settings.seed, epoch=0
        )
        pictures = StudentPictures(store, settings.size)
        positions = np.array(samples)
        batches = [pictures.cut(positions[batch.samples], batch.cuts) for batch in plan]
        pictures.close()
        known = sorted(set(filter(None, store.labels)))
        targets = [torch.tensor([known.index(labels[at] or "") for at in batch.samples]) for batch in plan]
    student = make_student(settings.student, len(known), settings.size, settings.seed)
    return _steps(student, lambda: zip(batches, targets, strict=True), settings, job.epochs)


def image_folder(job: Job) -> list[float]:
    """Train from files as most people write it: torchvision's `ImageFolder`, the same augmentations, no targets."""
    from torchvision import transforms as t
    from torchvision.datasets import ImageFolder

    size = job.settings.size
    augmented = t.Compose(
        [
            t.RandomResizedCrop(size, scale=(0.35, 1), ratio=(3 / 4, 4 / 3), antialias=True),
            t.RandomHorizontalFlip(),
            t.RandomVerticalFlip(),
            t.ColorJitter(brightness=0.2),
            t.PILToTensor(),
        ]
    )
    with embedstore.open(job.files) as store:
        train = {store.sample_at(at).uri for at, split in enumerate(store.field("split")) if split == "train"}
    data = ImageFolder(job.images, augmented, is_valid_file=lambda path: _uri(path, job.images) in train)
    loader = torch.utils.data.DataLoader(
        data, job.settings.batch, shuffle=True, num_workers=job.workers, persistent_workers=job.workers > 0
    )
    student = make_student(job.settings.student, len(data.classes), size, job.settings.seed)
    return _steps(student, lambda: iter(loader), job.settings, job.epochs)


def _uri(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix()


def _steps(
    student: nn.Module,
    batches: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    settings: distill.Settings,
    epochs: int,
) -> list[float]:
    optimiser = torch.optim.AdamW(student.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    seconds = []
    for _ in range(WARM + epochs):
        started = time.monotonic()
        for pixels, labels in batches():
            loss = nn.functional.cross_entropy(student(pixels)[1], labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss.item()
        seconds.append(time.monotonic() - started)
    return seconds[WARM:]


def _run(job: Job, store: Path, **changes: Any) -> list[float]:
    settings = replace(job.settings, epochs=WARM + job.epochs, **changes)
    distill.train(store, job.out, settings)
    lines = (job.out / METRICS).read_text("utf-8").splitlines()
    at = lines[0].split(",").index("seconds_steps")
    return [float(line.split(",")[at]) for line in lines[1 + WARM :]]


WAYS: dict[str, Callable[[Job], list[float]]] = {
    "bare steps": bare_steps,
    "image folder": image_folder,
    "plain, kept": lambda job: _run(job, job.kept, policy="none"),
    "plain, files": lambda job: _run(job, job.files, policy="none"),
    "own, kept": lambda job: _run(job, job.kept, policy="own"),
    "own, files": lambda job: _run(job, job.files, policy="own"),
    "class-mean, kept": lambda job: _run(job, job.kept, policy="class-mean"),
    "rare-samples, kept": lambda job: _run(job, job.kept, policy="rare-samples"),
}
