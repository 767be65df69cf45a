"""What a loop of one's own should see of a little store, as `distill.train` makes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import toy_parts
from torch import Tensor

import embedstore
from distill import Settings
from distill.data import Item
from distill.targets import Targets, TrainingSet
from distill.targets.making import make_policy
from distill.training.pictures import StudentPictures
from distill.training.run_data import make_run_data
from distill.training.run_summary import summary_for
from embedstore.views import draw_view

SIZE, VIEWS, TRAINING = 32, 2, 64  # 64 = 60 labelled and 4 unlabelled
Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Oracle:
    """What `distill.train` would show of the training side.

    Attributes:
        cuts: (VIEWS + 1, n, 3, s, s) uint8.
        vectors: (VIEWS + 1, n, d), with the policy `own`.
        ids, labels: (n).
    """

    cuts: Tensor
    vectors: Tensor
    ids: list[str]
    labels: list[str | None]

    def views(self, images: Tensor, samples: list[int]) -> list[int]:
        """Return which view each image is of its sample, in every pixel."""
        found = []
        for image, sample in zip(images, samples, strict=True):
            same = [view for view in range(VIEWS + 1) if torch.equal(self.cuts[view, sample], image)]
            assert len(same) == 1
            found.append(same[0])
        return found


def make_kept(folder: Path) -> Path:
    """Make a store that keeps its pictures and that nobody has open; see `toy_parts.everything`."""
    store = toy_parts.make_store(folder, toy_parts.everything(), views=VIEWS)
    embedstore.build(store, folder / "images", manifest=folder / "parts.csv", teacher="pixels", keep_images=256)
    return store


def make_oracle(path: Path) -> Oracle:
    with embedstore.open(path) as store:
        positions = make_run_data(store, Settings()).sides["train"]
        ids = [store.ids[at] for at in positions]
        pictures = StudentPictures(store, SIZE)
        cuts = [pictures.cut(positions, [draw_view(store.recipe, name, view) for name in ids]) for view in range(3)]
        pictures.close()
        vectors = [targets_of(path, "own", np.full(len(ids), view), 0).vectors for view in range(3)]
        labels = [store.labels[at] for at in positions]
        return Oracle(torch.stack(cuts), torch.from_numpy(np.stack(vectors)), ids, labels)


def asked(name: str) -> dict[str, Any]:
    """Return the arguments that choose a policy."""
    return {key: value for key, value in toy_parts.policy(name).items() if value}


def targets_of(path: Path, name: str, views: np.ndarray, step: int) -> Targets:
    """Return what a policy gives the whole training side, as `distill.train` asks it."""
    settings = Settings(**asked(name))
    with embedstore.open(path) as store:
        data = make_run_data(store, settings)
        training = TrainingSet.from_source(store, data.sides["train"])
        policy = make_policy(
            name,
            training,
            seed=settings.seed,
            options={},
            weights=settings.mixture,
            summary_of=lambda strategy, options: summary_for(store, data, settings, strategy, options),
        )
        if policy is None:
            return Targets(np.zeros((len(training), store.dim), np.float32), np.zeros(len(training), bool))
        return policy.targets(np.arange(len(training)), views, step)


def everything(items: list[Item]) -> Batch:
    """Return items as a loader would collate them."""
    images, labels, targets = zip(*items, strict=True)
    return torch.stack(images), torch.tensor(labels), torch.stack(targets)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
