"""What a map between two teachers' spaces loses, by how many samples both have embedded: cosines and nearest prototypes.

    python tools/bench/teacher_map.py STORE [--teacher efficientnet-lite2] [--samples 50 100 200] [--vectors FILE.npy]

Plain views only. Groups are dealt into five folds. On four of them the old teacher's summary is made (`sub-prototypes`), and the
map is fitted to so many of their samples, drawn anew three times (all of them: once). On the fifth it is measured: cosines
of mapped old vectors with the new teacher's, and how well "similarity to the best defect prototype minus the best good one" ranks
defects (area under the ROC curve): by the old teacher and its summary, by the new teacher and a summary of its own, and by
the new teacher and the mapped summary. Means over folds and draws. FILE.npy keeps the new teacher's vectors for the next time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import embedstore
from distill.evaluation.metrics import roc_area
from embedstore.splits import plan_split
from embedstore.store.stored_pictures import stored_pictures
from embedstore.summaries import STRATEGIES, TrainingVectors
from embedstore.summaries.strategy import directions
from embedstore.teacher_change.space_maps import MAPS, fit_map
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors, unit_length
from embedstore.views import WHOLE, render

FOLDS, DRAWS, K = 5, 3, 32
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """Vectors of both teachers, (n, d) and (n, e), and what is known of the samples."""

    old: Vectors
    new: Vectors
    labels: npt.NDArray[np.str_]
    parts: list[str]
    good: str
    folds: list[tuple[Places, Places]]  # training samples, and those that are measured


@dataclass(frozen=True)
class Known:
    """A summary of some samples of one teacher."""

    prototypes: Vectors
    centre: Vectors
    labels: npt.NDArray[np.str_]

    def likeness(self, vectors: Vectors) -> Vectors:
        """Return the cosines (n, k) of centred vectors with the prototypes."""
        found: Vectors = directions(vectors, self.centre) @ directions(self.prototypes, self.centre).T
        return found

    def area(self, vectors: Vectors, defect: npt.NDArray[np.bool_], good: str) -> float:
        """Return the area under the curve of "best defect minus best good"."""
        likeness, is_good = self.likeness(vectors), self.labels == good
        return roc_area(defect, likeness[:, ~is_good].max(axis=1) - likeness[:, is_good].max(axis=1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--teacher", default="efficientnet-lite2")
    parser.add_argument("--good", default="good")
    parser.add_argument("--samples", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--vectors", type=Path)
    options = parser.parse_args()
    with embedstore.open(options.store) as store:
        samples, old = store.samples, store.vectors()
        new = new_vectors(store, options.teacher, options.vectors)
        print(f"{len(samples)} samples; from {store.teacher} to {options.teacher}; sub-prototypes, k = {K}")
    folds = []
    for fold in range(FOLDS):
        dealt = plan_split(samples, folds=FOLDS, fold=fold).splits
        test = np.array([dealt[sample.id] == "test" for sample in samples])
        folds.append((np.flatnonzero(~test), np.flatnonzero(test)))
    labels = np.array([sample.label or "" for sample in samples])
    data = Data(old, new, labels, [sample.part for sample in samples], options.good, folds)
    print(
        f"{'map':<12}{'samples':>8}{'cosine':>8}{'5th pc':>8}{'of mean':>8}{'same prototype':>16}{'label':>7}{'AUROC':>8}"
    )
    for name, vectors in (("old teacher", old), ("new teacher", new)):
        print(f"{name:<12}{'':>55}{own_area(data, vectors):>8.3f}")
    for kind in MAPS:
        for count in [*options.samples, None]:
            print(measured(data, kind, count), flush=True)


def new_vectors(store: embedstore.EmbeddingStore, spec: str, kept: Path | None) -> Vectors:
    """Return the new teacher's plain vectors (n, d), from a file where they are kept."""
    if kept is not None and kept.exists():
        return np.asarray(np.load(kept, allow_pickle=False), np.float32)
    teacher, found = embedstore.load_teacher(spec), []
    with stored_pictures(store) as pictures:
        for record in store.records():
            picture, _ = pictures.get(record.content, record.uri)
            seen = render(picture, WHOLE, teacher.input_size, store.recipe.fit)
            found.append(teacher.embed(seen[None])[EMBEDDING][0])
    vectors = np.stack(found)
    if kept is not None:
        np.save(kept, vectors)
    return vectors


def summary_of(data: Data, vectors: Vectors, at: Places) -> Known:
    """Return the summary of some samples."""
    own = vectors[at]
    training = TrainingVectors(
        ids=[str(one) for one in at.tolist()],
        labels=data.labels[at].tolist(),
        groups=[data.parts[one] for one in at.tolist()],
        blocks=lambda view: iter([(np.arange(len(at)), own.astype(np.float16))]),
        read=lambda some: own[some],
        embed_text=lambda texts: np.zeros((len(texts), 0), np.float32),
        dim=vectors.shape[1],
    )
    found = STRATEGIES["sub-prototypes"](training, 0, k=K)
    return Known(found.vectors, training.centre, np.array(found.labels))


def own_area(data: Data, vectors: Vectors) -> float:
    """Return the area of a teacher with a summary of its own, the mean over folds."""
    areas = [
        summary_of(data, vectors, train).area(vectors[test], data.labels[test] != data.good, data.good)
        for train, test in data.folds
    ]
    return float(np.mean(areas))


def measured(data: Data, kind: str, count: int | None) -> str:
    """Return the row of a map that is fitted to so many samples of each fold's training side, or to all."""
    figures, sizes = [], []
    for number, (train, test) in enumerate(data.folds):
        known, old, new = summary_of(data, data.old, train), data.old[test], data.new[test]
        before = known.likeness(old).argmax(axis=1)
        for draw in range(1 if count is None else DRAWS):
            rng = np.random.default_rng([number, draw])
            both = train if count is None else rng.choice(train, min(count, len(train)), replace=False)
            lead = fit_map(kind, data.old[both], data.new[both], [data.parts[at] for at in both.tolist()]).map
            mapped = Known(lead(known.prototypes), lead(known.centre), known.labels)
            after = mapped.likeness(new).argmax(axis=1)
            cosines = (unit_length(lead(old)) * unit_length(new)).sum(axis=1)
            mean = unit_length(new) @ unit_length(lead.after)
            area = mapped.area(new, data.labels[test] != data.good, data.good)
            same, same_label = before == after, known.labels[before] == known.labels[after]
            sizes.append(len(both))
            figures.append(
                (cosines.mean(), np.percentile(cosines, 5), mean.mean(), same.mean(), same_label.mean(), area)
            )
    cosine, low, mean_, same_, label, found = np.mean(figures, axis=0)
    return f"{kind:<12}{np.mean(sizes):>8.0f}{cosine:>8.3f}{low:>8.3f}{mean_:>8.3f}{same_:>16.2f}{label:>7.2f}{found:>8.3f}"


if __name__ == "__main__":
    main()
