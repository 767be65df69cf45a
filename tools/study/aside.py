"""Parts that are never learned, yet tested: those set aside are dealt into as many folds, and each is tested with its fold.

So a tail can be thinned without thinning its test: a rare kind has few parts to learn from and many to be judged by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from distill.evaluation.runs import RunScores
from embedstore.images import Sample


def with_aside(run: RunScores, samples: Sequence[Sample], folds: int) -> RunScores:
    """Return a run that is tested on what is set aside in the folds that it holds out, too; the rest of that leaves it.

    Args:
        run: with scores of all samples that are set aside, as every finished run has them.
        samples: of the store.
        folds: into which the others were dealt.
    """
    fold_of = folds_of_aside(samples, folds)
    side_of = {run.fold: "test"} | ({} if run.val_fold is None else {run.val_fold: "val"})
    sides = {name: side_of[fold] for name, fold in fold_of.items() if fold in side_of}
    held = [
        replace(one, side=sides[one.id]) if one.side == "aside" else one
        for one in run.held
        if one.side != "aside" or one.id in sides
    ]
    return replace(run, held=held)


def folds_of_aside(samples: Sequence[Sample], folds: int) -> dict[str, int]:
    """Return the fold of each labelled sample that is set aside: whole parts, the kinds dealt evenly, always the same deal."""
    aside = [one for one in samples if one.split == "aside" and one.label is not None]
    kinds = {one.part: one.mode or "" for one in sorted(aside, key=lambda one: one.id)}
    fold_of_part = {part: at % folds for at, part in enumerate(shuffled(kinds, kinds.__getitem__))}
    return {one.id: fold_of_part[one.part] for one in aside}


def shuffled(parts: Iterable[str], kind_of: Callable[[str], str]) -> list[str]:
    """Return parts kind by kind, each kind's in an order that hangs on their names alone."""
    return sorted(parts, key=lambda part: (kind_of(part), hashlib.blake2b(part.encode(), digest_size=8).digest()))
