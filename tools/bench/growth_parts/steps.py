"""What is measured at each size. A step is given its folder and returns what is to be told of it; its time is the caller's."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import embedstore
from embedstore.summaries import summarize
from embedstore.summaries.over_shards.shards import InProcess, Run, Shard
from growth_parts import rare_scores

STORE, DATA = "store", "vectors.npy"
K = 32  # prototypes of a label, where a strategy takes a number: the choice of one hangs on near, which falls with the size
SUMMARIES: dict[str, dict[str, Any]] = {
    "class-mean": {},
    "class-distribution": {},
    "sub-prototypes": {"k": K},
    "rare-samples": {"k": K},
    "random-samples": {},
    "medoids": {"k": K},
    "herding": {},
    "compressed-own": {},
}
QUERIES, BATCH = 100, 256

Facts = dict[str, Any]


def build(folder: Path) -> Facts:
    """Import the vectors into a new store."""
    shutil.rmtree(folder / STORE, ignore_errors=True)  # of the last round
    report = embedstore.import_vectors(folder / STORE, folder / DATA, teacher="growth")
    return {"rows": report.samples}


def opened(folder: Path) -> Facts:
    """Open the store and look at all ids and labels."""
    with embedstore.open(folder / STORE) as store:
        return {"rows": len(store.ids), "labels": {str(label): count for label, count in store.counts("label").items()}}


def summary(strategy: str) -> Callable[[Path], Facts]:
    """Return the step that makes a summary and saves it."""

    def make(folder: Path) -> Facts:
        with embedstore.open(folder / STORE) as store:
            if strategy in store.summary_names:  # of the last round
                store.delete_summary(strategy)
            made = store.summarize(strategy, name=strategy, **SUMMARIES[strategy])
            losses = {label: loss.mean for label, loss in made.averaging_loss.items()}
            return {"prototypes": len(made.labels), "bytes": len(made.to_bytes()), "loss": losses}

    return make


class Timed(InProcess):
    """Steps in this process, whose seconds are counted apart: on a cluster nodes take these over, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self.passes = 0.0, 0

    def over(self, shards: Sequence[Shard]) -> Run:
        """See `ShardEngine.over`."""
        mapped = super().over(shards)

        def run(step: Callable[..., Any], *said: Any) -> Iterator[Any]:
            self.passes += 1
            results = mapped(step, *said)
            began = time.monotonic()
            for found in results:
                self.seconds += time.monotonic() - began
                yield found
                began = time.monotonic()

        return run


def over_shards(strategy: str) -> Callable[[Path], Facts]:
    """Return the step that makes a summary over shards, whatever the size; it tells what of its time steps took."""

    def make(folder: Path) -> Facts:
        engine = Timed()
        with embedstore.open(folder / STORE) as store:
            summarize(store, strategy, engine=engine, **SUMMARIES[strategy])
        return {"seconds in steps": engine.seconds, "passes": engine.passes}

    return make


def exact_search(folder: Path) -> Facts:
    """Answer queries by a scan of all vectors."""
    return _search(folder, exact=True)


def index(folder: Path) -> Facts:
    """Make the index."""
    with embedstore.open(folder / STORE) as store:
        made = store.build_index()
        return {"kind": None if made is None else made.factory}


def indexed_search(folder: Path) -> Facts:
    """Answer queries by the index."""
    return _search(folder, exact=False)


def _search(folder: Path, *, exact: bool) -> Facts:
    with embedstore.open(folder / STORE) as store:
        asked = np.random.default_rng(0).choice(len(store), QUERIES, replace=False)
        found = store.search(store.read(asked), top=10, exact=exact)
        ids = store.ids
        itself = sum(hits[0].id == ids[at] for hits, at in zip(found, asked.tolist(), strict=True))
        return {"queries": QUERIES, "found themselves": itself}


def epoch(policy: str) -> Callable[[Path], Facts]:
    """Return the step that asks a policy for the target of every sample once, in random batches."""

    def ask(folder: Path) -> Facts:
        from distill.targets import POLICIES, TrainingSet

        with embedstore.open(folder / STORE) as store:
            training = TrainingSet.from_source(store, np.arange(len(store)))
            kind = POLICIES[policy]
            made = kind.fit(training, store.summary(kind.strategy) if kind.strategy else None, 0)
            assert made is not None  # noqa: S101  only `none` makes none
            order = np.random.default_rng(0).permutation(len(store))
            known = 0
            for start in range(0, len(order), BATCH):
                at = order[start : start + BATCH]
                known += int(made.targets(at, np.zeros(len(at), np.int64)).known.sum())
            return {"targets": known}

    return ask


def rare(folder: Path) -> Facts:
    """Score all samples over shards, and list the rarest 1 %."""
    with embedstore.open(folder / STORE) as store:
        top, _, _ = rare_scores.over_shards(store)
        return {"listed": sum(map(len, top.values()))}


def rare_checked(folder: Path) -> Facts:
    """Compare these with the exact ones."""
    with embedstore.open(folder / STORE) as store:
        top, training, common = rare_scores.over_shards(store)
        return rare_scores.overlaps(training, common, top, store.field("mode"))


STEPS: dict[str, Callable[[Path], Facts]] = {
    "build": build,
    "open": opened,
    **{f"summary {name}": summary(name) for name in SUMMARIES},
    **{f"{name} over shards": over_shards(name) for name in ("class-mean", "rare-samples")},
    "search, exact": exact_search,
    "index": index,
    "search, index": indexed_search,
    **{f"epoch of {name}": epoch(name) for name in ("sub-prototypes", "rare-samples", "own")},
    "rare scores": rare,
    "rare scores, checked": rare_checked,
}
CHECKS = ("rare scores, checked",)  # of which no growth is told
BEYOND = ("index",)  # of which n log n is not promised: each vector is compared with all lists, some 2 sqrt(n)
INDEXED = ("index", "search, index")  # of stores that are large enough to have one
