"""What a summary can be worth, without any training: are held-out defects told from good parts by prototypes alone?

    python tools/bench/summaries.py STORE --good good [--folds 5] [--overkill 0.05]

A held-out sample's score is its cosine to the nearest prototype of a defect minus that to the nearest prototype of a good
part, both centred on the training samples' mean. The threshold is read off the good samples of the same fold, which a real
table must not do: the figures rank summaries, and promise nothing. Folds are dealt by group.
"""

import argparse
from pathlib import Path

import numpy as np

import embedstore
from embedstore.splits import plan_split
from embedstore.summaries import STRATEGIES, TrainingVectors
from embedstore.summaries.strategy import directions

CONDITIONS: list[tuple[str, dict[str, object]]] = [
    ("class-mean", {}),
    ("class-mean", {"weighted": True}),
    ("sub-prototypes", {"k": 8}),
    ("sub-prototypes", {"k": 32}),
    ("sub-prototypes", {"k": 100}),
    ("sub-prototypes", {}),
    ("rare-samples", {}),
    ("rare-samples", {"share": 0.2}),
    ("rare-samples", {"share": 0.2, "k": 8}),
    ("medoids", {"k": 100}),
    ("k-centre", {"share": 0.15}),
    ("herding", {"share": 0.15}),
    ("random-samples", {"share": 0.15}),
    ("random-samples", {"share": 1.0}),
]


def main() -> None:
    """Score all conditions and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--good", required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--overkill", type=float, default=0.05)
    options = parser.parse_args()
    print(f"recall at {options.overkill:.0%} overkill, {options.folds} folds by group")
    print("strategy                             prototypes  all defects  mean over kinds  worst kind")
    with embedstore.open(options.store) as store:
        samples = store.samples
        good = np.array([sample.label == options.good for sample in samples])
        kinds = np.array([sample.mode or sample.label or "" for sample in samples])
        sides = [plan_split(samples, folds=options.folds, fold=fold).splits for fold in range(options.folds)]
        for strategy, parameters in CONDITIONS:
            caught, sizes = np.zeros(len(samples), bool), []
            for splits in sides:
                tested = np.array([splits[sample.id] == "test" for sample in samples])
                training = TrainingVectors.from_store(store, np.flatnonzero(~tested))
                found = STRATEGIES[strategy](training, 0, **parameters)
                sizes.append(len(found.labels))
                towards = directions(found.vectors, training.centre)
                of_good = np.array(found.labels) == options.good
                test = np.flatnonzero(tested)
                cosine = directions(store.read(test), training.centre) @ towards.T
                score = cosine[:, ~of_good].max(axis=1) - cosine[:, of_good].max(axis=1)
                ordered = np.sort(score[good[test]])[::-1]
                caught[test] = score > ordered[int(options.overkill * len(ordered))]
            by_kind = {str(kind): caught[~good & (kinds == kind)].mean() for kind in sorted(set(kinds[~good]))}
            worst = min(by_kind, key=lambda kind: by_kind[kind])
            name = " ".join([strategy, *(f"{key}={value}" for key, value in parameters.items())])
            print(
                f"{name:36} {np.mean(sizes):10.0f}  {caught[~good].mean():11.3f}  {np.mean(list(by_kind.values())):15.3f}  "
                f"{worst} {by_kind[worst]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
