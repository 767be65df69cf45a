"""Which pictures are missed, and which good ones are rejected, by how many of the trainings that judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from results import Finished

from distill.evaluation.report import kind_of
from distill.evaluation.runs import policies_of, read_folds
from embedstore.pages import Text, Words
from page_parts.answer import store_ways
from page_parts.evidence import GOOD, OVERKILL, OWN, PLAIN, Compared, strongest_rival
from page_parts.markdown import Table, code, share
from page_parts.tables import kinds_of

MOST = 0.5  # of the trainings


@dataclass(frozen=True)
class Judged:
    """A held-out picture.

    Attributes:
        id: of it.
        kind: of defect; None where it is good.
        rejected: share of the trainings that reject it, each at its fold's cross-fitted threshold.
    """

    id: str
    kind: str | None
    rejected: float

    @property
    def wrong(self) -> float:
        """Share of the trainings that are wrong."""
        return self.rejected if self.kind is None else 1 - self.rejected


def judged(finished: Mapping[str, Finished]) -> dict[str, list[Judged]]:
    """Return for each condition all held-out pictures, those that most trainings judge wrongly first.

    Args:
        finished: conditions with the same runs.
    """
    runs = sorted(
        (run for one in finished.values() for run in one.runs), key=lambda run: (run.policy, run.fold, run.seed)
    )
    names = policies_of(runs, None)
    folds = read_folds(runs, names, GOOD, OVERKILL).folds
    found: dict[str, list[Judged]] = {}
    for at, name in enumerate(names):
        all_of = [
            Judged(one.id, None if one.label == GOOD else kind_of(one), float(rejected))
            for fold in folds
            for one, rejected in zip(fold.samples, np.mean([run.hits for run in fold.runs[at]], axis=0), strict=True)
        ]
        found[name] = sorted(all_of, key=lambda one: (-one.wrong, one.id))
    return found


def most_missed(compared: Compared, names: Sequence[str], count: int = 3) -> Table:
    """Return for each kind the pictures that each of some conditions misses most often."""
    found = judged({name: compared.finished[name] for name in names})
    rows: list[Sequence[Words]] = []
    for kind in kinds_of(compared):
        row: list[Words] = [kind]
        for name in names:
            missed = [one for one in found[name] if one.kind == kind and one.wrong > 0][:count]
            row.append("<br>".join(f"{code(one.id)} ({share(one.wrong, 2)})" for one in missed) or "–")
        rows.append(row)
    return Table([Text("kind", "種類"), *(code(name) for name in names)], rows, texts=1 + len(names))


def shown_of(compared: Compared) -> list[str]:
    """Return the conditions whose mistakes are shown: the best student, and what it is held against."""
    wanted = [*store_ways(compared)[:1], OWN, PLAIN, strongest_rival(compared)]
    return [name for name in dict.fromkeys(wanted) if name in compared.figures] or list(compared.figures)[:1]


def missed_by_all(compared: Compared, names: Sequence[str]) -> Text:
    """Say how many defects most trainings of every one of some conditions miss."""
    found = judged({name: compared.finished[name] for name in names})
    sets = [{one.id: one.kind for one in found[name] if one.kind is not None and one.wrong > MOST} for name in names]
    common = set(sets[0]).intersection(*sets[1:])
    defects = sum(one.kind is not None for one in found[names[0]])
    kinds = [sets[0][one] for one in common]
    told = [f"{kind} {kinds.count(kind)}" for kind in kinds_of(compared) if kinds.count(kind)]
    named, named_ja = (f": {', '.join(told)}", f"（{'、'.join(told)}）") if told else ("", "")
    return Text(
        f"{len(common)} of {defects} defects are missed by most trainings of every one of these {len(names)} conditions"
        f"{named}.",
        f"{defects} 件の不良のうち {len(common)} 件は、この {len(names)} 条件のどれでも過半数の学習が見逃しました"
        f"{named_ja}。",
    )
