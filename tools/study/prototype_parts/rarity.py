"""Ways to choose samples to keep beside common prototypes, each a function of one label's samples.

A score (n,) says how much each sample deserves to be kept. Today's strategy `rare-samples` weighs rarity against
coverage instead, and is asked for as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from embedstore.summaries import STRATEGIES, TrainingVectors
from embedstore.summaries.kmeans import spherical_clusters
from embedstore.summaries.rare_samples import distances_beyond_own_part
from embedstore.summaries.strategy import Positions, directions
from embedstore.summaries.sub_prototypes import cluster_means
from embedstore.vectors import Vectors, squared_distances
from prototype_parts.pictures import Side
from prototype_parts.scorers import Made, Scores
from prototype_parts.sizes import divided

NEIGHBOURS = 5  # of a kNN distance
LOF_NEIGHBOURS = 20  # scikit-learn's default
TWINS_COUNTED = "kNN, twins counted"  # as if each picture showed a part of its own
SCORES = ("kNN", TWINS_COUNTED, "LOF", "prototype distance", "unsure", "doubted", "disagreement")


def knn_distance(points: Vectors, parts: Positions) -> Scores:
    """Return the mean distance of each point (n, d) to its nearest five of other parts."""
    _, distances = _nearest(points, parts, NEIGHBOURS)
    return np.asarray(distances.mean(axis=1), np.float64)


def local_outlier_factor(points: Vectors, parts: Positions) -> Scores:
    """Return how much sparser it is around each point (n, d) than around its neighbours of other parts (Breunig et al. 2000)."""
    nearest, distance = _nearest(points, parts, LOF_NEIGHBOURS)
    reach = np.maximum(distance, distance[nearest, -1])
    density = 1 / np.maximum(reach.mean(axis=1), 1e-10)
    factor: Scores = density[nearest].mean(axis=1) / density
    return factor


def _nearest(points: Vectors, parts: Positions, wanted: int) -> tuple[Positions, Scores]:
    """Return the nearest points of other parts and how far they are, both (n, k), rising; k fewer where there are fewer."""
    squares = squared_distances(points, points)
    squares[parts[:, None] == parts] = np.inf
    there = int(np.isfinite(squares).sum(axis=1).min())
    order = np.argsort(squares, axis=1, kind="stable")[:, : max(1, min(wanted, there))]
    return order, np.sqrt(np.minimum(np.take_along_axis(squares, order, axis=1), 4))


def prototype_distance(side: Side, label: str, k: int, seed: int) -> Scores:
    """Return how far each sample lies from the nearest of k common prototypes that another part has made too."""
    alone = side.alone[label]
    samples = _read(alone)
    clusters = spherical_clusters(directions(samples, alone.centre), k, seed)
    return distances_beyond_own_part(samples, alone.groups, clusters)


def disagreement(side: Side, students: Mapping[str, float]) -> Scores:
    """Return how far apart student and probe rank each sample (n,) among all, 0 to 1; 0 where the student was not asked."""
    probe = np.where(side.defect, 1 - side.doubts, side.doubts)
    known = np.array([one.id in students for one in side.samples], bool)
    student = np.array([students.get(one.id, 0.0) for one in side.samples])
    found = np.zeros(len(known))
    if known.any():
        found[known] = np.abs(_ranks(probe[known]) - _ranks(student[known])) / known.sum()
    return found


def _ranks(values: Scores) -> Scores:
    from scipy.stats import rankdata

    ranks: Scores = rankdata(values)
    return ranks


def scores_of(side: Side, label: str, score: str, *, k: int, seed: int, students: Mapping[str, float]) -> Scores:
    """Return one label's scores (n,) by their name; see `SCORES`."""
    members = side.training.members[label]
    if score == "prototype distance":
        return prototype_distance(side, label, k, seed)
    if score in {"unsure", "doubted", "disagreement"}:
        found = disagreement(side, students)[members] if score == "disagreement" else side.doubts[members]
        return 0.5 - np.abs(found - 0.5) if score == "unsure" else found
    measure: Callable[[Vectors, Positions], Scores] = local_outlier_factor if score == "LOF" else knn_distance
    parts = np.arange(len(members)) if score == TWINS_COUNTED else part_numbers(side.alone[label])
    return measure(side.points[members], parts)


def highest(scores: Scores, parts: Positions, count: int) -> Positions:
    """Return so many samples by falling score; a part's second one only when each part has given its first, and so on."""
    order = np.argsort(-scores, kind="stable")
    turn = np.empty(len(scores), np.int64)
    seen: dict[int, int] = {}
    for at in order:
        turn[at] = seen.get(int(parts[at]), 0)
        seen[int(parts[at])] = turn[at] + 1
    return order[np.argsort(turn[order], kind="stable")][:count]


def mixture(
    side: Side, seed: int, *, count: int, share: float, score: str, students: Mapping[str, float] | None = None
) -> Made:
    """Keep a share of the prototypes as single samples of the highest score, and cluster the other samples by k-means."""
    vectors, labels = [], []
    for label, number in divided(count, side.sizes, "equal", side.good).items():
        alone = side.alone[label]
        samples, kept = _read(alone), math.floor(share * number)
        found = scores_of(side, label, score, k=number - kept, seed=seed, students=students or {})
        parts = np.arange(len(found)) if score == TWINS_COUNTED else part_numbers(alone)
        rare = highest(found, parts, kept)
        rest = np.setdiff1d(np.arange(len(samples)), rare)
        means = samples[:0]
        if len(rest):
            means = cluster_means(
                samples[rest], spherical_clusters(directions(samples[rest], alone.centre), number - kept, seed)
            )
        vectors += [means, samples[rare]]
        labels += [label] * (len(means) + len(rare))
    return np.concatenate(vectors), labels


def todays_mixture(side: Side, seed: int, *, count: int, share: float, rule: str = "equal") -> Made:
    """Do the same by the strategy `rare-samples`: it chooses what takes most distance off samples without a prototype near.

    It keeps one common prototype of each label or more, so a share of 1 means all but one.
    """
    vectors, labels = [], []
    for label, number in divided(count, side.sizes, rule, side.good).items():
        rare = min(math.floor(share * number), number - 1)
        strategy, parameters = ("rare-samples", {"share": rare / side.sizes[label], "k": number - rare})
        if not rare:
            strategy, parameters = "sub-prototypes", {"k": number}
        found = STRATEGIES[strategy](side.alone[label], seed, **parameters)
        vectors.append(found.vectors)
        labels += found.labels
    return np.concatenate(vectors), labels


def part_numbers(training: TrainingVectors) -> Positions:
    """Return a number for the part of each sample, (n,)."""
    return np.unique(np.array(training.groups, object), return_inverse=True)[1].astype(np.int64)


def _read(training: TrainingVectors) -> npt.NDArray[np.float32]:
    return training.read(np.arange(len(training.ids)))
