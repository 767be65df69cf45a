"""Which prototype speaks for each sample, over shards, and how far it is: a few numbers a sample, each shard gives its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.summaries.over_shards.clusters import nearest_cosines
from embedstore.summaries.over_shards.shards import Numbers, Read, Shard, Shards
from embedstore.vectors import Vectors, exact_directions, unit_length


@dataclass(frozen=True)
class Speakers:
    """The prototypes of all labels.

    Attributes:
        directions: (k, d) float32 of unit length, those of a label side by side.
        exact: (k, d) the same, exact.
        first: (labels + 1,) those of label c are `first[c]` up to `first[c + 1]`.
    """

    directions: Vectors
    exact: npt.NDArray[np.float64]
    first: Numbers


@dataclass(frozen=True)
class Served:
    """Of the samples (m,) of a shard.

    Attributes:
        numbers: whose these are.
        prototype: the nearest of its label; of equals the first.
        distance: to it, both at unit length.
    """

    numbers: Numbers
    prototype: npt.NDArray[np.int32]
    distance: npt.NDArray[np.float64]


def serve(shard: Shard, read: Read, speakers: Speakers, view: int) -> Served:
    """Step: find the nearest prototype of its own label for each sample in one view."""
    prototype, distance = np.empty(len(shard.rows), np.int32), np.empty(len(shard.rows))
    for label, at, vectors in shard.by_label(read, np.diff(speakers.first) > 0, view=view):
        own = slice(speakers.first[label], speakers.first[label + 1])
        best, _ = nearest_cosines(exact_directions(vectors), speakers.exact[own])
        prototype[at] = best + own.start
        away = unit_length(vectors).astype(np.float64) - speakers.directions[own][best]
        distance[at] = np.linalg.norm(away, axis=1)
    return Served(shard.numbers, prototype, distance)


def serving_over(
    shards: Shards, directions: Vectors, labels: list[str], views: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return the nearest prototype of its own label for each sample and view, (n, views + 1), and the plain view's distance.

    Args:
        shards: of the samples; every label has a prototype.
        directions: (k, d) of the prototypes.
        labels: (k,) of the prototypes, sorted.
        views: how many beside the plain one.
    """
    number = {label: at for at, label in enumerate(shards.labels)}
    first = np.searchsorted([number[label] for label in labels], np.arange(len(number) + 1))
    speakers = Speakers(directions, exact_directions(directions), first)
    serving = np.empty((len(shards.positions), views + 1), np.int32)
    distance = np.empty(len(shards.positions))
    for view in range(views + 1):
        for found in shards.map("Nearest prototypes", serve, speakers, view):
            at = shards.positions[found.numbers]
            serving[at, view] = found.prototype
            if view == 0:
                distance[at] = found.distance
    return serving, distance
