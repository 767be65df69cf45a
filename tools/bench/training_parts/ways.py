"""The ways of training that are compared: the same student, pixels, batch and steps; each runs in a process of its own.

Every way is a function of a `Job` that trains for some epochs and returns the seconds that each took for a thousand pictures,
without validation.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import distill
import embedstore
from distill.students import device, make_student
from distill.training.batches import plan_epoch
from distill.training.memory import hold_freed_memory
from distill.training.pictures import StudentPictures
from distill.training.run_directory import read_metrics
from embedstore.teachers import load_teacher
from embedstore.teachers.open_clip import write_random_checkpoint
from training_parts.names import TEACHERS

WARM = 1  # epochs that are not counted: libraries wake, files are met for the first time
ALIKE = 4  # epochs that are counted where one is like another


@dataclass(frozen=True)
class Job:
    """What a way is given.

    Attributes:
        work: where the pictures and the stores are.
        out: an empty folder.
        settings: of the runs.
        epochs: to be counted, of a training.
        short_side: of kept pictures, in pixels.
        workers: of torchvision's loader.
    """

    work: Path
    out: Path
    settings: distill.Settings
    epochs: int
    short_side: int
    workers: int = 0


def bare_steps(job: Job, *, held: bool = False) -> list[float]:
    """Take the student's steps on tensors that lie in memory: the limit. `held`: what a step frees is kept for the next."""
    if held:
        hold_freed_memory()
    with embedstore.open(job.work / "kept") as store:
        settings = job.settings
        samples = _training_side(store)
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
    return _steps(student, lambda: zip(batches, targets, strict=True), settings, min(job.epochs, ALIKE), len(samples))


def _training_side(store: embedstore.EmbeddingStore) -> list[int]:
    return [at for at, split in enumerate(store.field("split")) if split == "train"]


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
    images = job.work / "images"
    with embedstore.open(job.work / "files") as store:
        train = {store.sample_at(at).uri for at in _training_side(store)}
    data = ImageFolder(images, augmented, is_valid_file=lambda path: _uri(path, images) in train)
    loader = torch.utils.data.DataLoader(
        data, job.settings.batch, shuffle=True, num_workers=job.workers, persistent_workers=job.workers > 0
    )
    student = make_student(job.settings.student, len(data.classes), size, job.settings.seed)
    return _steps(student, lambda: iter(loader), job.settings, min(job.epochs, ALIKE), len(data))


def _uri(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix()


def _steps(
    student: nn.Module,
    batches: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    settings: distill.Settings,
    epochs: int,
    count: int,
) -> list[float]:
    student = student.to(device())
    optimiser = torch.optim.AdamW(student.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    seconds = []
    for _ in range(WARM + epochs):
        started = time.monotonic()
        for pixels, labels in batches():
            loss = nn.functional.cross_entropy(student(pixels.to(device()))[1], labels.to(device()))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss.item()
        seconds.append(1000 * (time.monotonic() - started) / count)
    return seconds[WARM:]


def _run(job: Job, store: str, policy: str, **changes: Any) -> list[float]:
    """Train by this project. All epochs count, those too in which stored views are cut for the first time."""
    hold_freed_memory()  # as the commands do
    settings = replace(job.settings, policy=policy, epochs=WARM + job.epochs, **changes)
    distill.train(job.work / store, job.out, settings)
    with embedstore.open(job.work / store) as opened:
        count = len(_training_side(opened))
    return [1000 * line["seconds_steps"] / count for line in read_metrics(job.out)[WARM:]]


def live(job: Job, teacher: str) -> list[float]:
    """Train beside the teacher, from the store of few pictures that it filled."""
    return _run(replace(job, epochs=1), f"few-{name_of(teacher)}", "live-teacher")


def embedding_pass(job: Job, teacher: str) -> list[float]:
    """Fill a store of few pictures, one view each; the teacher is loaded before."""
    loaded = load_teacher(spec(job.work, teacher))
    started = time.monotonic()
    report = embedstore.build(
        job.work / f"few-{name_of(teacher)}", job.work / "few", teacher=loaded, views=0, keep_images=job.short_side
    )
    seconds = time.monotonic() - started
    with embedstore.open(job.work / f"few-{name_of(teacher)}") as store:
        store.split()
    return [1000 * seconds / report.embedded]


def spec(work: Path, teacher: str) -> str:
    """Return a teacher's spec; of CLIP's architectures with weights drawn at random, since only their cost is measured."""
    if teacher == "lite0":
        return TEACHERS[teacher]
    checkpoint = work / f"{name_of(teacher)}.safetensors"
    if not checkpoint.exists():
        write_random_checkpoint(TEACHERS[teacher].removeprefix("open_clip:"), checkpoint)
    return f"{TEACHERS[teacher]}@{checkpoint}"


def name_of(teacher: str) -> str:
    """Return a teacher's name as part of a file's name."""
    return teacher.replace("/", "-")


def _from(store: str, policy: str, **changes: Any) -> Callable[[Job], list[float]]:
    def train(job: Job) -> list[float]:
        return _run(job, store, policy, **changes)

    return train


WAYS: dict[str, Callable[[Job], list[float]]] = {
    "bare steps": bare_steps,
    "bare steps, held": partial(bare_steps, held=True),
    "image folder": image_folder,
    "plain, kept": _from("kept", "none"),
    "plain, kept, fresh crops": _from("kept", "none", crops="fresh"),
    "plain, files": _from("files", "none"),
    "class-mean, kept": _from("kept", "class-mean"),
    "sub-prototypes, kept": _from("kept", "sub-prototypes"),
    "rare-samples, kept": _from("kept", "rare-samples"),
    "own, kept": _from("kept", "own"),
    "own, files": _from("files", "own"),
    "retrieved, kept": _from("kept", "retrieved"),
    "class-distribution, kept": _from("kept", "class-distribution"),
    "plain, grown": _from("grown", "none"),
    "own, grown": _from("grown", "own"),
    **{f"pass, {teacher}": partial(embedding_pass, teacher=teacher) for teacher in TEACHERS},
    **{f"live, {teacher}": partial(live, teacher=teacher) for teacher in TEACHERS},
}
