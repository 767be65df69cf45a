"""Batches with a known answer: drawn by whole parts from the parts that the reference never sees."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from drift_parts.changes import STRENGTHS, Numbers
from embedstore.analysis.drift import Batch
from embedstore.analysis.drift.light import stored_lights

if TYPE_CHECKING:
    from embedstore import EmbeddingStore

FOLDS = 5
SIZES = (50, 100, 200)
SHARES = (0.01, 0.02, 0.05)  # of a batch that are of the hidden kind; one picture at least
HALF = "blur", 4.0  # what half of the parts of a changed line look like


@dataclass(frozen=True)
class Case:
    """One batch to draw.

    Attributes:
        condition: `unchanged`, `no groups`, `another mix`, `half of the parts`, a change, or `hidden`.
        strength: of a change, or share of the hidden kind; else 0.
        kind: that is hidden.
        size: pictures.
        fold: of the parts that it is drawn from.
        draw: number among those alike.
        truth: the verdict that would be right.
    """

    condition: str
    strength: float
    kind: str | None
    size: int
    fold: int
    draw: int
    truth: str

    @property
    def key(self) -> str:
        """What its result is kept under."""
        return f"{self.condition}|{self.strength}|{self.kind}|{self.size}|{self.fold}|{self.draw}"


def cases(kinds: list[str], many: int) -> list[Case]:
    """Return all cases: `many` unchanged batches of each size and fold, a tenth as many of each change.

    Of what must stay quiet, too, three tenths.
    """
    few = max(1, many // 10)
    found = []
    for fold in range(FOLDS):
        for size in SIZES:

            def add(condition: str, strength: float, kind: str | None, truth: str, count: int) -> None:
                found.extend(Case(condition, strength, kind, size, fold, draw, truth) for draw in range(count))  # noqa: B023

            add("unchanged", 0.0, None, "quiet", many)
            add("no groups", 0.0, None, "quiet", 3 * few)
            add("another mix", 0.0, None, "quiet", 3 * few)
            add("half of the parts", 0.0, None, "line", few)
            for change, strengths in STRENGTHS.items():
                for strength in strengths:
                    add(change, strength, None, "camera", few)
            for kind in kinds:
                for share in SHARES:
                    add("hidden", share, kind, "new-defect", few if size == SIZES[-1] else max(1, few // 2))
    return found


class Stream:
    """The store's pictures as a stream: parts dealt into folds, batches drawn from one of them.

    Attributes:
        parts, modes, labels: (n,) of the store's samples, in the order of ids.
    """

    def __init__(self, store: EmbeddingStore, changed: Numbers, lights: Numbers, good: str):
        order = np.array(sorted(range(len(store)), key=store.ids.__getitem__), np.int64)
        self.samples = [store.sample_at(int(at)) for at in order]
        self.vectors = store.read(order)
        self.changed = {key: vectors[order] for key, vectors in changed.items()}
        self.lights = stored_lights(store, order)[0]
        self.changed_lights = {key: some[order] for key, some in lights.items()}
        self.parts = np.array([sample.part for sample in self.samples])
        self.modes = np.array([sample.mode or "" for sample in self.samples])
        self.good = np.array([sample.label == good for sample in self.samples])
        names = np.unique(self.parts)
        dealt = np.random.default_rng(0).permutation(len(names)) % FOLDS
        self.fold = dict(zip(names.tolist(), dealt.tolist(), strict=True))

    def hidden_from(self, case: Case) -> set[str]:
        """Return the parts that the reference of a case must not have."""
        held = {part for part, fold in self.fold.items() if fold == case.fold}
        return held | set(self.parts[self.modes == case.kind].tolist() if case.kind else [])

    def batch(self, case: Case) -> Batch:
        """Draw the batch of a case."""
        rng = np.random.default_rng(zlib.crc32(case.key.encode()))
        held = np.array([self.fold[part] == case.fold for part in self.parts.tolist()])
        if case.condition == "hidden":
            count = max(1, ceil(case.strength * case.size - 1e-9))
            of_kind = set(self.parts[self.modes == case.kind].tolist())
            other = held & ~np.isin(self.parts, sorted(of_kind))
            chosen = [*self._by_parts(other, case.size - count, rng), *self._one_a_part(case.kind or "", count, rng)]
        elif case.condition == "another mix":
            half = case.size // 2
            chosen = [*self._by_parts(held & self.good, half, rng), *self._by_parts(held & ~self.good, half, rng)]
        else:
            chosen = self._by_parts(held, case.size, rng)
        at = np.array(chosen, np.int64)
        vectors, lights = self.vectors[at], None if self.lights is None else self.lights[at]
        if case.condition in STRENGTHS or case.condition == "half of the parts":
            key = (case.condition, case.strength) if case.condition in STRENGTHS else HALF
            names = np.unique(self.parts[at])
            touched = names if case.condition in STRENGTHS else rng.permutation(names)[: len(names) // 2]
            moved = np.isin(self.parts[at], touched)[:, None]
            vectors = np.where(moved, self.changed[key][at], vectors)
            lights = None if lights is None else np.where(moved, self.changed_lights[key][at], lights)
        samples = [self.samples[one] for one in at]
        if case.condition == "no groups":
            samples = [replace(sample, group=None) for sample in samples]
        return Batch(case.key, samples, vectors, lights=lights)

    def _by_parts(self, usable: npt.NDArray[np.bool_], count: int, rng: np.random.Generator) -> list[int]:
        chosen: list[int] = []
        for part in rng.permutation(np.unique(self.parts[usable])):
            chosen += np.flatnonzero(usable & (self.parts == part)).tolist()
            if len(chosen) >= count:
                break
        return chosen[:count]

    def _one_a_part(self, kind: str, count: int, rng: np.random.Generator) -> list[int]:
        """Return pictures of a kind from as many parts as there are: a new defect is not one part that came ten times."""
        met: Counter[str] = Counter()
        ranked = []
        for place, at in enumerate(rng.permutation(np.flatnonzero(self.modes == kind)).tolist()):
            met[self.parts[at]] += 1
            ranked.append((met[self.parts[at]], place, at))
        return [at for _, _, at in sorted(ranked)[:count]]


def pictures_of(store: EmbeddingStore, given: Path | None) -> Path:
    """Return the folder of the pictures."""
    return given or store.image_root
