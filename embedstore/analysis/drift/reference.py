"""What the store describes: prototypes, and how far pictures of parts that these never saw lie from them.

A prototype lies near the pictures that it was made from, so their distances would call every new picture far. Distances are
therefore of held-out parts: parts are dealt into folds, and pictures of one fold are measured against prototypes made, in the
same way, from the others. A batch is measured against each fold's prototypes, and its distance is the mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.analysis.drift.draws import Codes, Numbers
from embedstore.analysis.drift.light import stored_lights
from embedstore.analysis.odd_reasons import prototype_name
from embedstore.analysis.odd_samples import check_no_codes
from embedstore.errors import SettingsError, SummaryError
from embedstore.pages.words import Text
from embedstore.summaries import STRATEGIES, Summary, TrainingVectors
from embedstore.vectors import Vectors, squared_distances, unit_length
from embedstore.verdicts import VERDICT

if TYPE_CHECKING:
    from embedstore.images import Sample
    from embedstore.store.embedding_store import EmbeddingStore

FOLDS = 5
_NOT_ASKED = Text("it was not asked for", "指定されていないため")
STRATEGY, K = "sub-prototypes", 16  # where no summary is given, as `embedstore inspect` makes them
RADIUS = 0.95  # share of held-out pictures within it
MOST = 20_000  # pictures that prototypes and radii are made from; whole parts, by a hash
MOST_TESTED = 2_000  # of these, pictures that are tested with
_FEWEST = 20  # parts around a prototype that make a radius of its own
_AT_ONCE = 4_096


@dataclass(frozen=True)
class Measured:
    """Where pictures lie: (n,) each.

    Attributes:
        label: number of the label of the nearest held-out prototype; for a batch, the most frequent over the folds.
        distance: to it, Euclidean between directions, 0 to 2; for a batch, the mean over the folds.
        region: the one of the prototypes that are told of which the nearest held-out one is nearest to; likewise.
    """

    label: Codes
    distance: Numbers
    region: Codes


@dataclass(frozen=True)
class Fold:
    """Prototypes made without the parts of one fold: directions (j, d), and the number of each one's label and region."""

    directions: Vectors
    labels: Codes
    regions: Codes


@dataclass(frozen=True)
class Reference:
    """What a batch is compared with, in the order of ids.

    Attributes:
        samples: (n,) the store's pictures, without those of parts that the batch shows too.
        vectors: (n, d) at unit length.
        labels: the labels, sorted; '' stands for samples without one.
        directions: (k, d) prototypes at unit length.
        names: (k,) what they are called.
        prototype_label: (k,) the number of each one's label.
        typical: (k,) the picture of its label, as its place in `samples`, that is nearest to each prototype.
        own: where each of the n lies, seen by prototypes that did not see its part.
        radius: (k,) within which 95 % of held-out pictures around a prototype lie; its label's where they are few.
        drawn: (t,) places of those that the tests use: of whole parts.
        lights: (t, 3) what `light` measures of their pictures; None where these are not at hand, and `no_lights` says why.
        left_out: pictures of the store that show parts of the batch.
        summary: what the prototypes are; None: made for this.
    """

    samples: list[Sample]
    vectors: Vectors
    labels: list[str]
    directions: Vectors
    names: list[str]
    prototype_label: Codes
    typical: Codes
    own: Measured
    radius: Numbers
    drawn: Codes
    lights: Numbers | None
    no_lights: Text
    left_out: int
    summary: str | None
    folds: tuple[Fold, ...]

    def measure(self, vectors: Vectors) -> Measured:
        """Return where pictures (m, d) at unit length lie that no prototype has seen."""
        each, total = np.arange(len(vectors)), np.zeros(len(vectors))
        labels, regions = (np.zeros((len(vectors), len(some))) for some in (self.labels, self.names))
        for fold in self.folds:
            nearest, distance = nearest_of(vectors, fold.directions)
            labels[each, fold.labels[nearest]] += 1
            regions[each, fold.regions[nearest]] += 1
            total += distance
        whole = nearest_of(vectors, self.directions)[0]  # decides between equals
        labels[each, self.prototype_label[whole]] += 0.5
        regions[each, whole] += 0.5
        return Measured(labels.argmax(axis=1), total / len(self.folds), regions.argmax(axis=1))


def reference_of(
    store: EmbeddingStore,
    parts: Collection[str],
    *,
    against: Summary | str | None = None,
    light: bool = True,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Reference:
    """Make what a batch is compared with, from all samples but those set aside and dirt.

    Args:
        store: that describes the usual.
        parts: that the batch shows, as `Sample.part`; pictures of these are left out.
        against: the summary whose prototypes are told of, or its name; where not given, 16 sub-prototypes a label.
        light: whether to measure the pictures themselves, too; those that the store does not keep are read from their files.
        seed: of the folds and of the clustering.
        progress: called with (fold, folds) as their prototypes are made.

    Raises:
        SettingsError: too few parts are left to hold some out.
        SummaryError: there is no such summary, or it is of another teacher, an estimate, or keeps own codes.
    """
    usable = [
        sample for sample in store.samples if sample.split != "aside" and sample.attributes.get(VERDICT) != "dirt"
    ]
    left = [sample for sample in usable if sample.part not in parts]
    samples = sorted(drawn_parts(left, MOST, seed), key=lambda one: one.id)
    groups = sorted({sample.part for sample in samples})
    if len(groups) < 2 * FOLDS:
        shown = (
            f", for the batch shows the same parts as {len(usable) - len(left)} of them"
            if len(left) < len(usable)
            else ""
        )
        raise SettingsError(
            f"The store '{store.path}' has {len(groups)} parts to compare with{shown}; drift needs {2 * FOLDS} or more, of which "
            "some can be held out."
        )
    summary = store.summary(against) if isinstance(against, str) else against
    if summary is not None and summary.fingerprint != store.fingerprint:
        raise SummaryError(
            f"The summary '{summary.name}' is of another teacher than the store '{store.path}'; make it again."
        )
    if summary is not None and summary.estimate is not None:
        raise SummaryError(
            f"The summary '{summary.name}' is an estimate, mapped from the vectors of '{summary.estimate.teacher}', and how far "
            "the map is off would look like drift; make one from this store: embedstore summarize"
        )
    if summary is not None:
        check_no_codes(summary)
    positions = store.positions([sample.id for sample in samples])
    vectors = unit_length(store.read(positions))
    strategy, parameters = (STRATEGY, {"k": K}) if summary is None else (summary.strategy, summary.parameters)
    if strategy not in STRATEGIES:
        raise SummaryError(
            f"The summary was made by the strategy '{strategy}', which this program can't repeat on held-out parts; leave it out."
        )

    def made(chosen: npt.NDArray[np.bool_]) -> tuple[Vectors, list[str]]:
        found = STRATEGIES[strategy](TrainingVectors.from_store(store, positions[chosen]), seed, **parameters)
        return unit_length(found.vectors), found.labels

    told = progress or (lambda done, total: None)
    told(0, FOLDS + 1)
    directions, names = (
        made(np.ones(len(samples), bool)) if summary is None else (unit_length(summary.vectors), summary.labels)
    )
    labels = sorted({*names, *(sample.label or "" for sample in samples)})
    number = {label: at for at, label in enumerate(labels)}
    fold_of = {part: at % FOLDS for at, part in enumerate(sorted(groups, key=lambda part: _order(seed, part)))}
    fold = np.array([fold_of[sample.part] for sample in samples])
    label, region, distance, folds = *np.zeros((2, len(samples)), np.int64), np.zeros(len(samples)), list[Fold]()
    for at in range(FOLDS):
        told(at + 1, FOLDS + 1)
        seen, said = made(fold != at)
        codes = np.array([number[one] for one in said], np.int64)
        folds.append(Fold(seen, codes, nearest_of(seen, directions)[0]))
        nearest, distance[fold == at] = nearest_of(vectors[fold == at], seen)
        label[fold == at], region[fold == at] = codes[nearest], folds[-1].regions[nearest]
    own = Measured(label, distance, region)
    prototype_label = np.array([number[one] for one in names], np.int64)
    place = {sample.id: at for at, sample in enumerate(samples)}
    drawn = np.array(sorted(place[sample.id] for sample in drawn_parts(samples, MOST_TESTED, seed)), np.int64)
    lights, no_lights = stored_lights(store, positions[drawn]) if light else (None, _NOT_ASKED)
    told(FOLDS + 1, FOLDS + 1)
    return Reference(
        samples=samples,
        vectors=vectors,
        labels=labels,
        directions=directions,
        names=_names(names),
        prototype_label=prototype_label,
        typical=_typical(vectors, directions, [sample.label or "" for sample in samples], names),
        own=own,
        radius=_radii(own, prototype_label, [sample.part for sample in samples]),
        drawn=drawn,
        lights=lights,
        no_lights=no_lights,
        left_out=len(usable) - len(left),
        summary=None if summary is None else summary.name,
        folds=tuple(folds),
    )


def drawn_parts(samples: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """Return the samples of as many whole parts as have no more than `most` pictures together, by a hash of their names."""
    if len(samples) <= most:
        return list(samples)
    members: dict[str, list[Sample]] = {}
    for sample in samples:
        members.setdefault(sample.part, []).append(sample)
    drawn: list[Sample] = []
    for part in sorted(members, key=lambda one: _order(seed, one)):
        if len(drawn) + len(members[part]) <= most:
            drawn += members[part]
    return drawn


def nearest_of(vectors: Vectors, directions: Vectors) -> tuple[Codes, Numbers]:
    """Return the nearest of some directions (k, d) to each vector (n, d), and how far that is."""
    which, how_far = np.zeros(len(vectors), np.int64), np.zeros(len(vectors))
    for start in range(0, len(vectors), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        squares = squared_distances(vectors[part], directions)
        which[part] = squares.argmin(axis=1)
        how_far[part] = np.sqrt(squares.min(axis=1))
    return which, how_far


def _typical(vectors: Vectors, directions: Vectors, labels: Sequence[str], prototype_labels: Sequence[str]) -> Codes:
    """Return the picture nearest to each prototype, of its label where there is one."""
    own = np.array(labels, object)[:, None] == np.array(prototype_labels, object)[None, :]
    squares = squared_distances(vectors, directions)
    squares[~own & own.any(axis=0)] = np.inf
    nearest: Codes = squares.argmin(axis=0).astype(np.int64)
    return nearest


def _radii(own: Measured, prototype_label: Codes, parts: Sequence[str]) -> Numbers:
    codes = np.unique(parts, return_inverse=True)[1].reshape(-1)

    def radius_of(some: npt.NDArray[np.bool_]) -> float:
        """Return the radius that a new part keeps to in 95 of 100 cases: of few parts, a little more than the quantile."""
        count = len(np.unique(codes[some]))
        return float(np.quantile(own.distance[some], min(1.0, RADIUS * (count + 1) / count), method="higher"))

    radius = np.full(len(prototype_label), radius_of(np.ones(len(codes), bool)))
    for label in np.unique(own.label):
        radius[prototype_label == label] = radius_of(own.label == label)
    for region in np.unique(own.region):
        around = own.region == region
        if len(np.unique(codes[around])) >= _FEWEST:
            radius[region] = radius_of(around)
    return radius


def _names(labels: Sequence[str]) -> list[str]:
    met: dict[str, int] = {}
    names = []
    for label in labels:
        met[label] = met.get(label, 0) + 1
        names.append(prototype_name(label, met[label] if labels.count(label) > 1 else 0))
    return names


def _order(seed: int, part: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{part}".encode(), digest_size=8, person=b"embedstore.drift").digest()
