"""Are wrong labels found? Plants some in a store's labels and counts them among the first 50 suggestions, ours and cleanlab's.

    python tools/bench/suggestions.py STORE [--fields label mode] [--seeds 10] [--first-seed 200] [--json FILE]

Labels are changed in memory only. Three ways of planting, 5 % of the labelled pictures each time:

    random       any picture gets any other label
    look-alike   a picture of the quarter that is nearest to a picture of another label and part gets that label
    part         all pictures of a part get one other label, part by part

Ours weighs two things: what the other parts say, by the vectors, and what the sample's own part says, by its group alone. Each is
shown by itself, too.

cleanlab is given out-of-sample probabilities: of our own ridge (cut at 0.001, of sum 1), of logistic regression (5 folds), or of
the 10 nearest neighbours (weighted by 1 / distance); once by part, so that no picture of a part speaks for another, and once by
picture, so that the others of its part do. It ranks in two ways: `issues` is `find_label_issues` by self-confidence, which lists
as many as it takes for wrong; `quality` is the label quality score by normalised margin. Of a list shorter than 50, all is
counted. It knows no groups; so one row weighs the logistic regression by part, which it is given, with the sample's own part as
ours does.

Labels that were wrong before count as right, so no figure can be perfect. Seconds are of one core where OMP_NUM_THREADS is 1.
Our way was chosen on the seeds 0 to 4 alone.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1])]

import embedstore  # noqa: E402
from embedstore.analysis.suggestions.held_out_ridge import leave_part_out_scores  # noqa: E402
from embedstore.analysis.suggestions.wrong_labels import judge  # noqa: E402
from embedstore.vectors import unit_length  # noqa: E402

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TOP, SHARE, FOLDS, NEIGHBOURS = 50, 0.05, 5, 10
WAYS = ("random", "look-alike", "part")
OURS = "embedstore suggest"


def main() -> None:
    """Plant, ask everybody, print a table for each field and way."""
    options = parsed()
    results = []
    with embedstore.open(options.store) as store:
        for field in options.fields:
            names = store.field(field)
            known = np.flatnonzero([name is not None for name in names])
            labels = np.unique([str(names[at]) for at in known], return_inverse=True)[1]
            samples = store.samples
            parts = np.unique([samples[at].part for at in known], return_inverse=True)[1]
            vectors = unit_length(store.read(known)).astype(np.float64)
            for way in WAYS:
                found: dict[str, list[tuple[float, float, float]]] = {}
                for seed in range(options.first_seed, options.first_seed + options.seeds):
                    planted = plant(vectors, labels, parts, way, seed)
                    wrong = planted != labels
                    for name, (first, seconds) in rankings(vectors, planted, parts, seed).items():
                        right = int(wrong[first[:TOP]].sum())
                        figures = (right / max(1, len(first[:TOP])), right / int(wrong.sum()), seconds)
                        found.setdefault(name, []).append(figures)
                    print(f"{field} {way} seed {seed}", file=sys.stderr)
                table(f"{field}, {way}: {int(wrong.sum())} of {len(labels)} labels wrong", found)
                results.append({"field": field, "way": way, "found": found})
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), "utf-8")


def parsed() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--fields", nargs="+", default=["label", "mode"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def plant(vectors: Floats, labels: Ints, parts: Ints, way: str, seed: int) -> Ints:
    """Return the labels (n,) with `SHARE` of them wrong, in one of `WAYS`."""
    rng, planted, classes = np.random.default_rng(seed), labels.copy(), int(labels.max()) + 1
    wanted = round(SHARE * len(labels))
    if way == "part":
        for part in rng.permutation(parts.max() + 1):
            members = np.flatnonzero(parts == part)
            if (planted != labels).sum() + len(members) <= wanted:
                usual = np.bincount(labels[members]).argmax()
                planted[members] = (usual + rng.integers(1, classes)) % classes
        return planted
    if way == "random":
        chosen = rng.choice(len(labels), wanted, replace=False)
        planted[chosen] = (labels[chosen] + rng.integers(1, classes, wanted)) % classes
        return planted
    alike = centred(vectors) @ centred(vectors).T
    alike[(labels[:, None] == labels) | (parts[:, None] == parts)] = -np.inf
    near = np.argsort(-alike.max(axis=1))[: len(labels) // 4]
    chosen = rng.choice(near, wanted, replace=False)
    planted[chosen] = labels[alike.argmax(axis=1)[chosen]]
    return planted


def rankings(vectors: Floats, labels: Ints, parts: Ints, seed: int) -> dict[str, tuple[Ints, float]]:
    """Return who lists which pictures, the most suspicious first, and the seconds that took."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    alone, nothing = np.arange(len(labels)), np.zeros((len(labels), int(labels.max()) + 1))

    def weighed(ask: Callable[[], Floats], units: Ints) -> Ints:
        scores = judge(ask(), labels, units).scores
        # Of equals any: the vote of the own part alone leaves many.
        order = np.lexsort((np.random.default_rng(seed).random(len(labels)), -scores))
        return order[scores[order] > 0]

    def held_out() -> Floats:
        return leave_part_out_scores(lambda at: vectors[at], labels, parts)[0].astype(np.float64)

    found = {
        OURS: timed(weighed, held_out, parts),
        "  the other parts alone": timed(weighed, held_out, alone),
        "  its own part alone, no vectors": timed(weighed, lambda: nothing, parts),
        "  logistic C=1 by part, and its own part": timed(
            weighed, lambda: logistic(vectors, labels, parts, 1.0, seed), parts
        ),
    }
    models: dict[str, Callable[[Ints], Floats]] = {
        "our ridge": lambda units: ridge(vectors, labels, units),
        "logistic C=1": lambda units: logistic(vectors, labels, units, 1.0, seed),
        "logistic C=10": lambda units: logistic(vectors, labels, units, 10.0, seed),
        f"{NEIGHBOURS} neighbours": lambda units: neighbours(vectors, labels, units),
    }
    for model, ask in models.items():
        for how, units in (("part", parts), ("picture", alone)):
            said, seconds = timed(ask, units)
            issues, more = timed(find_label_issues, labels, said, return_indices_ranked_by="self_confidence", n_jobs=1)
            found[f"cleanlab issues, {model} by {how}"] = issues, seconds + more
            quality, more = timed(get_label_quality_scores, labels, said, method="normalized_margin")
            found[f"cleanlab quality, {model} by {how}"] = np.argsort(quality, kind="stable"), seconds + more
    return found


def timed(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    """Return what some work gives, and the seconds it took."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = work(*arguments, **options)
    return result, time.perf_counter() - started


def centred(vectors: Floats) -> Floats:
    """Return directions from the mean of all."""
    return unit_length(vectors - vectors.mean(axis=0)).astype(np.float64)


def ridge(vectors: Floats, labels: Ints, units: Ints) -> Floats:
    """Return what our ridge says, as probabilities (n, labels)."""
    said = np.maximum(leave_part_out_scores(lambda at: vectors[at], labels, units)[0], 1e-3).astype(np.float64)
    return said / said.sum(axis=1, keepdims=True)


def logistic(vectors: Floats, labels: Ints, units: Ints, strength: float, seed: int) -> Floats:
    """Return out-of-sample probabilities (n, labels); a unit is in one fold. Vectors are centred, of mean square length 1."""
    folds = np.random.default_rng(seed).permutation(units.max() + 1)[units] % FOLDS
    result = np.zeros((len(labels), int(labels.max()) + 1))
    for fold in range(FOLDS):
        learned, asked = folds != fold, folds == fold
        middle = vectors[learned].mean(axis=0)
        length = np.sqrt(((vectors[learned] - middle) ** 2).sum(axis=1).mean())
        model = LogisticRegression(C=strength, max_iter=1_000).fit(
            (vectors[learned] - middle) / length, labels[learned]
        )
        result[np.ix_(asked, model.classes_)] = model.predict_proba((vectors[asked] - middle) / length)
    return result


def neighbours(vectors: Floats, labels: Ints, units: Ints) -> Floats:
    """Return the votes (n, labels) of the nearest pictures of other units, weighted by 1 / distance."""
    directions = centred(vectors)
    alike = directions @ directions.T
    alike[units[:, None] == units] = -np.inf
    nearest = np.argsort(-alike, axis=1)[:, :NEIGHBOURS]
    weights = 1 / np.sqrt(np.maximum(2 - 2 * np.take_along_axis(alike, nearest, 1), 1e-9))
    votes = np.stack([(weights * (labels[nearest] == one)).sum(axis=1) for one in range(labels.max() + 1)], axis=1)
    return votes / votes.sum(axis=1, keepdims=True)


def table(title: str, found: dict[str, list[tuple[float, float, float]]]) -> None:
    """Print precision and recall of the first 50 (mean over seeds, and the standard error of precision), and times."""
    ours = mean(seconds for *_, seconds in found[OURS])
    print(f"\n{title}")
    print(f"{'':46}{f'precision@{TOP}':>14}{'+-':>7}{'recall':>8}{'s':>8}{'x ours':>8}")
    for name, figures in found.items():
        precision, recall, seconds = zip(*figures, strict=True)
        error = stdev(precision) / len(precision) ** 0.5 if len(precision) > 1 else float("nan")
        print(
            f"{name:46}{mean(precision):14.3f}{error:7.3f}{mean(recall):8.3f}{mean(seconds):8.2f}{mean(seconds) / ours:8.2f}"
        )


if __name__ == "__main__":
    main()
