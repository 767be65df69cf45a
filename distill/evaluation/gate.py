"""A new student against an old one on the same held-out pictures: which kinds of defect escape more often now.

Both students are taken as they are, each with its own threshold, for these two are what runs at the line, today and tomorrow.
So the only chance is that of the parts: would other parts say the same?

Parts are drawn again, paired: a random half of them, each part in or out like the toss of a coin, again and again; the change in
escape within each draw gives the interval (Hartigan, Using subsample values as typical values, 1969). Unlike draws with
replacement it is exact with few parts: its end excludes zero just where swapping the two students at random, part by part,
would so seldom give as high a rise. Of d parts that get worse, and none better, a share 2^-d of the draws holds none. So a
kind that three parts show can never be said to have risen, and the interval says so by having no end.

Several kinds are looked at, each of which might rise by chance. The chance of a false alarm is shared among those that have
parts enough to raise one (Bonferroni; Tarone, A modified Bonferroni method for discrete data, 1990), so that all rows together
raise one in at most a share `FALSE_ALARMS` of comparisons of students that are equally good in each part.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from distill.evaluation.resampling import Floats, Positions
from embedstore.errors import TrainingError

FALSE_ALARMS = 0.05  # of all rows together, where the students are equally good
POWER = 0.8  # a rise is called detectable that would be found so often
UNKNOWN_KIND = ""  # of a defect that nobody gave a kind, though others of its label have one
_ALL_DRAWS = 13  # parts up to which every draw is taken: 2^13 of them
_SHORT = 1e-12  # of a level, for rounding

Verdict = Literal["more", "less", "noise", "unknown"]
Outcome = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True)
class Judged:
    """A test picture that neither student learned from, and what each of them decides.

    Attributes:
        part: the key of the part that it shows.
        kind: of defect, or `UNKNOWN_KIND`, which counts among all defects only; None of a good part.
        old, new: whether that student rejects it.
    """

    part: str
    kind: str | None
    old: bool
    new: bool


@dataclass(frozen=True)
class Change:
    """How a kind of defect (or the good parts) fares now, and how it did.

    Attributes:
        kind: its name; None of all defects together, and of the good parts.
        pictures, parts: on the test side, held out for both students.
        old, new: pictures judged wrongly by each: defects that escape, good ones that are rejected.
        rise: (new - old) / pictures; None of no picture.
        low, high: interval of the rise over parts; None: so few parts have no such end.
        parts_worse, parts_better: with more pictures, or fewer, judged wrongly than before.
        needed: so many test parts it needs; once each row that decides has them, a rise of each can be shown.
        detectable: the rise, as a share of parts that get worse with none better, that is found in `POWER` of cases; None: no
            rise can be found.
        verdict: `more` or `less` is wrong where the interval excludes zero, `noise` where it does not, `unknown` where there
            are too few parts to have one.
    """

    kind: str | None
    pictures: int
    parts: int
    old: int
    new: int
    rise: float | None
    low: float | None
    high: float | None
    parts_worse: int
    parts_better: int
    needed: int
    detectable: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Rated:
    """A student that is compared.

    Attributes:
        run: the name of its run's directory.
        student: SHA-256 of its weights.
        threshold: its own.
    """

    run: str
    student: str
    threshold: float


@dataclass(frozen=True)
class LeftOut:
    """Pictures of today's test side that are not held out for both students, since they show parts that one of them knows.

    Attributes:
        learned: shown to one of them, or to a student that it began with, in training.
        validated: not learned, but one of the thresholds was chosen by them.
        untraced: learned, and not in the store by content, id or group: whether it has them under other names, nobody can tell.
    """

    learned: int
    validated: int
    untraced: int = 0


@dataclass(frozen=True)
class Gate:
    """What a comparison of a new student with an old one found.

    Attributes:
        outcome: `failed` where a gated row is `more`; else `unknown` where one of them is; else `passed`.
        old, new: the students.
        kinds: of defect, the highest rise first.
        defects: all of them together.
        goods: the good parts.
        overkill_gated: whether the good parts decide, too; kinds and defects always do.
        level: chance of a false alarm that each row has, so that the gated ones together have `FALSE_ALARMS`.
        left_out: of the test side.
        draws: for each interval, where not all draws are taken.
        seed: of the draws.
    """

    outcome: Outcome
    old: Rated
    new: Rated
    kinds: list[Change]
    defects: Change
    goods: Change
    overkill_gated: bool
    level: float
    left_out: LeftOut
    draws: int
    seed: int

    @property
    def gated(self) -> list[Change]:
        """The rows that decide; where all defects are of a single kind, all together would say the same again."""
        of_one_kind = len(self.kinds) == 1 and not self.pictures_without_kind
        together = [] if of_one_kind else [self.defects]
        return [*together, *self.kinds, *([self.goods] if self.overkill_gated else [])]

    @property
    def pictures_without_kind(self) -> int:
        """How many pictures of defects count among all defects only, since nobody gave them a kind."""
        return self.defects.pictures - sum(one.pictures for one in self.kinds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def make_gate(
    tested: Sequence[Judged],
    old: Rated,
    new: Rated,
    *,
    kinds: Collection[str] = (),
    left_out: LeftOut | None = None,
    overkill: bool = False,
    draws: int = 9999,
    seed: int = 0,
) -> Gate:
    """Compare two students on the same pictures; their order changes nothing.

    How far it can be trusted, by 1,000 simulations each of five kinds in 30, 20, 12, 8 and 3 parts, five pictures of each, which
    mostly fare alike: of two equally good students it failed 1.4 to 3.1 %. Where 40 % of the 30 parts got worse it failed 69 %.
    Equally good on the whole only, it fails a student that is a little worse on nine parts of ten and much better on the tenth,
    so that the mean is the same: at a level of 1 %, 29 % of the time with 12 parts, 7 % with 40.

    Args:
        tested: the pictures; at least one of a defect.
        old: the student that is in use.
        new: the one that is to follow it.
        kinds: of defect that are known, whether or not a test picture shows them: of one that none shows nothing can be told.
        left_out: pictures that are not among them.
        overkill: let the good parts decide, too.
        draws: for each interval.
        seed: of the draws.

    Raises:
        TrainingError: there is no defect to compare on.
    """
    defects = [one for one in tested if one.kind is not None]
    if not defects:
        raise TrainingError(
            "No defect on the test side is held out for both students, so escapes can't be compared; add defects of other parts, "
            "or keep the split as it was when you add pictures: embedstore split STORE --keep"
        )
    names = sorted({*kinds, *(one.kind for one in defects if one.kind is not None)} - {UNKNOWN_KIND})
    rows = [[one for one in defects if one.kind == name] for name in names]
    goods = [one for one in tested if one.kind is None]
    # Decided by how many parts there are, before anyone looks at what the students say.
    together = [] if len(rows) == 1 and len(rows[0]) == len(defects) else [defects]  # as in `Gate.gated`
    counts = [_part_count(row) for row in [*together, *rows, *([goods] if overkill else [])]]
    level = row_level(counts)
    # Today's level is shared among fewer rows where some have too few parts, and falls as these get more. All rows can show a
    # rise just where each has its parts at the level that is shared among all, whatever the parts of the others.
    needed = parts_needed(FALSE_ALARMS / len(counts))
    compare = partial(_change, level=level, needed=needed, draws=draws, seed=seed)
    changes = [compare(name, row) for name, row in zip(names, rows, strict=True)]
    changes.sort(key=lambda one: (one.rise is None, -(one.rise or 0), one.kind))
    gate = Gate(
        outcome="passed",
        old=old,
        new=new,
        kinds=changes,
        defects=compare(None, defects),
        goods=compare(None, goods),
        overkill_gated=overkill,
        level=level,
        left_out=left_out or LeftOut(0, 0),
        draws=draws,
        seed=seed,
    )
    verdicts = {one.verdict for one in gate.gated}
    outcome: Outcome = "failed" if "more" in verdicts else "unknown" if "unknown" in verdicts else "passed"
    return replace(gate, outcome=outcome)


def row_level(parts: Sequence[int]) -> float:
    """Return the chance of a false alarm of each row, so that all together have at most `FALSE_ALARMS`.

    Args:
        parts: how many each row has; one of p parts can raise a false alarm only at a level of 2^-p or more.
    """
    lowest = np.exp2(-np.asarray(parts, np.float64))
    for rows in range(1, len(parts) + 1):
        if int((lowest <= FALSE_ALARMS / rows).sum()) <= rows:
            return FALSE_ALARMS / rows
    return FALSE_ALARMS  # of no row


def parts_needed(level: float) -> int:
    """Return how many parts must get worse, and none better, before a rise is beyond chance at a level."""
    return int(np.ceil(-np.log2(level) - _SHORT))


def detectable_rise(parts: int, needed: int) -> float | None:
    """Return the chance of each part to get worse at which `needed` of them do in `POWER` of cases; None of fewer parts."""
    from scipy.stats import beta

    return float(beta.ppf(POWER, needed, parts - needed + 1)) if parts >= needed else None


def rise_interval(
    rises: Positions, sizes: Positions, level: float, *, draws: int, seed: int
) -> tuple[float | None, float | None]:
    """Return the interval of a rise over parts, each end of which is passed by chance at a level; see this module.

    Args:
        rises: (p,) how many more pictures of each part are judged wrongly than before.
        sizes: (p,) how many pictures each part has.
        level: of each end.
        draws: how many, where not all are taken.
        seed: of the draws.

    Returns:
        low and high, as shares of pictures; None where so few parts, or draws, have no such end.
    """
    means = _means_of_draws(rises, sizes, draws, seed)
    outside = int(level * (1 + len(means)) + _SHORT)  # the draw that holds no part is beyond both ends
    if outside < 1:
        return None, None
    means.sort()
    return float(means[outside - 1]), float(means[-outside])


def _means_of_draws(rises: Positions, sizes: Positions, draws: int, seed: int) -> Floats:
    """Return the rise within each draw that holds a part."""
    if len(rises) <= _ALL_DRAWS:
        held = np.arange(1, 1 << len(rises))[:, None] >> np.arange(len(rises)) & 1
        pairs = np.stack([rises, sizes], axis=1)
    else:  # parts that are alike are drawn together: of n of them a binomial number is in
        pairs, alike = np.unique(np.stack([rises, sizes], axis=1), axis=0, return_counts=True)
        held = np.random.default_rng(seed).binomial(alike, 0.5, (draws, len(pairs)))
    sums = held @ pairs
    sums = sums[sums[:, 1] > 0]
    means: Floats = sums[:, 0] / sums[:, 1]
    return means


def _part_count(row: Sequence[Judged]) -> int:
    return len({one.part for one in row})


def _change(kind: str | None, row: Sequence[Judged], *, level: float, needed: int, draws: int, seed: int) -> Change:
    """Compare on pictures that are all of defects, or all of good parts."""
    wrong = [(one.old == (one.kind is None), one.new == (one.kind is None)) for one in row]
    names = sorted({one.part for one in row})
    number = {name: at for at, name in enumerate(names)}
    rises, sizes = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for one, (old, new) in zip(row, wrong, strict=True):
        rises[number[one.part]] += int(new) - int(old)
        sizes[number[one.part]] += 1
    worse = parts_needed(level)
    low, high = rise_interval(rises, sizes, level, draws=draws, seed=seed) if len(names) >= worse else (None, None)
    verdict: Verdict = "noise"
    if low is None or high is None:
        verdict = "unknown"
    elif low > 0 or high < 0:
        verdict = "more" if low > 0 else "less"
    return Change(
        kind=kind,
        pictures=len(row),
        parts=len(names),
        old=sum(old for old, _ in wrong),
        new=sum(new for _, new in wrong),
        rise=int(rises.sum()) / len(row) if row else None,
        low=low,
        high=high,
        parts_worse=int((rises > 0).sum()),
        parts_better=int((rises < 0).sum()),
        needed=needed,
        detectable=detectable_rise(len(names), worse),
        verdict=verdict,
    )
