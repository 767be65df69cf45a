"""The ways of training that are compared: the same student, pixels, batch and steps; each runs in a process of its own.

Every way is a function of a `Job` that trains for some epochs and returns the seconds that each took for a thousand pictures,
without validation.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import distill
import embedstore
from distill.students import device, make_student
from distill.training.batches import plan_epoch
from distill.training.memory import hold_freed_memory
from distill.training.pictures import StudentPictures
from distill.training.run_directory import read_metrics
from embedstore.teachers import load_teacher
from training_parts.names import POLICIES, TEACHERS, few

ALIKE = 4  # epochs that are counted where one is like another


@dataclass(frozen=True)
class Job:
    """What a way is given.

    Attributes:
        work: where the pictures and the stores are.
        out: an empty folder.
        settings: of the runs.
        epochs: of a training.
        short_side: of kept pictures, in pixels.
        workers: of torchvision's loader.
    """

    work: Path
    out: Path
    settings: distill.Settings
    epochs: int
    short_side: int
    workers: int = 0


def bare_steps(job: Job) -> list[float]:
    """Take the student's steps on tensors that lie in memory: the limit, with all that this project does for a step."""
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
    return _steps(student, lambda: zip(batches, targets, strict=True), job, len(samples), fused=True)


def _training_side(store: embedstore.EmbeddingStore) -> list[int]:
    return [at for at, split in enumerate(store.field("split")) if split == "train"]


def image_folder(job: Job, *, tuned: bool = False) -> list[float]:
    """Train from files as most people write it: torchvision's `ImageFolder`, the same kinds of augmentation, no targets.

    `tuned`: with what this project does for a step, too: held memory, a fused optimiser.
    """
    if tuned:
        hold_freed_memory()
    from torchvision import transforms as t
    from torchvision.datasets import ImageFolder

    size = job.settings.size
    augmented = t.Compose(
        [
            t.RandomResizedCrop(
                size, scale=(0.35, 1), ratio=(3 / 4, 4 / 3), interpolation=t.InterpolationMode.BICUBIC, antialias=True
            ),
            t.RandomHorizontalFlip(),
            t.RandomVerticalFlip(),
            t.RandomChoice([_same, _quarter_turn]),
            _lit,
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
    return _steps(student, lambda: iter(loader), job, len(data), fused=tuned)


def _same(picture: Image.Image) -> Image.Image:
    return picture


def _quarter_turn(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_90)


def _lit(picture: Image.Image) -> Image.Image:
    """Draw another exposure, as the store's views do."""
    gain, gamma = 2 ** torch.empty(2).uniform_(-0.3, 0.3).numpy()
    table = np.rint(255 * gain * (np.arange(256) / 255) ** gamma).clip(0, 255).astype(int).tolist()
    return picture.point(table * len(picture.getbands()))


def _uri(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix()


def _steps(
    student: nn.Module,
    batches: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    job: Job,
    count: int,
    *,
    fused: bool = False,
) -> list[float]:
    settings = job.settings
    student = student.to(device())
    optimiser = torch.optim.AdamW(
        student.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=fused
    )
    seconds = []
    for _ in range(1 + min(job.epochs, ALIKE)):
        started = time.monotonic()
        for pixels, labels in batches():
            loss = nn.functional.cross_entropy(student(pixels.to(device()))[1], labels.to(device()))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss.item()
        seconds.append(1000 * (time.monotonic() - started) / count)
    return seconds[1:]  # in the first one libraries and workers wake, and files are met for the first time


def _run(job: Job, store: str, policy: str, **changes: Any) -> list[float]:
    """Train by this project, as the commands do. All epochs count: those in which files are read and stored views cut, too."""
    hold_freed_memory()
    _wake(job)
    settings = replace(job.settings, policy=policy, epochs=job.epochs, **changes)
    distill.train(job.work / store, job.out, settings)
    with embedstore.open(job.work / store) as opened:
        count = len(_training_side(opened))
    return [1000 * line["seconds_steps"] / count for line in read_metrics(job.out)]


def _wake(job: Job) -> None:
    """Take one step that does not count: in the first one of a process libraries choose their kernels."""
    student = make_student(job.settings.student, 2, job.settings.size, 1).to(device())
    pixels = torch.zeros(job.settings.batch, 3, job.settings.size, job.settings.size, dtype=torch.uint8).to(device())
    student(pixels)[1].sum().backward()


def live(job: Job, teacher: str) -> list[float]:
    """Train an epoch beside the teacher, from the store of few pictures that it filled; its files are read at each step."""
    return _run(replace(job, epochs=1), f"few-{name_of(teacher)}", "live-teacher")


def embedding_pass(job: Job, teacher: str) -> list[float]:
    """Fill a store of few pictures, one view each, for a thousand of those that train; the teacher is loaded before."""
    loaded = load_teacher(spec(job.work, teacher))
    path = job.work / f"few-{name_of(teacher)}"
    shutil.rmtree(path, ignore_errors=True)
    started = time.monotonic()
    embedstore.build(path, job.work / few(teacher), teacher=loaded, views=0, keep_images=job.short_side)
    seconds = time.monotonic() - started
    with embedstore.open(path) as store:
        store.split()
        return [1000 * seconds / len(_training_side(store))]


def spec(work: Path, teacher: str) -> str:
    """Return a teacher's spec; of CLIP's architectures with weights drawn at random, since only their cost is measured."""
    if teacher == "lite0":
        return TEACHERS[teacher]
    checkpoint = work / f"{name_of(teacher)}.safetensors"
    if not checkpoint.exists():
        import open_clip
        from safetensors.torch import save_file

        torch.manual_seed(0)
        model = open_clip.create_model(TEACHERS[teacher].removeprefix("open_clip:"), load_weights=False)
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, checkpoint)
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
    "image folder": image_folder,
    "image folder, tuned": partial(image_folder, tuned=True),
    "plain, kept, fresh crops": _from("kept", "none", crops="fresh"),
    **{f"{name}, {where}": _from(where, policy) for where in ("kept", "files") for name, policy in POLICIES.items()},
    **{f"{name}, grown": _from("grown", policy) for name, policy in POLICIES.items()},
    **{f"pass, {teacher}": partial(embedding_pass, teacher=teacher) for teacher in TEACHERS},
    **{f"live, {teacher}": partial(live, teacher=teacher) for teacher in TEACHERS},
}
