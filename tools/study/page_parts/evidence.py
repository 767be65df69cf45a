"""What is known so far: the finished conditions, read once, and compared when that is asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from advice import FILE as ADVICE
from conditions import CONDITIONS, EPOCHS, Condition
from data import DATA
from results import CLASSES, SAMPLES, Finished, read
from screen import FILE as SCREEN
from search import FILE

from distill.evaluation.comparison import Comparison, PolicyFigures, compare_runs
from distill.evaluation.intervals import Difference
from distill.training.settings import Settings
from page_parts.names import LONG, parents_of

MAIN, GIVEN = "magnetic-tile", "magnetic-tile-given"
PLAIN, OWN, TRUNK, PROBE = "none", "own", "trunk", "teacher-probe"
PATCHES = "patches"
UNTRAINED = ("teacher", PATCHES)  # parts of the study that train no student
GOOD = CLASSES[1]
OVERKILL, RESAMPLES = 0.05, 2000
_USUAL_SIDE = Settings().size  # of students' pictures; where they are larger, the condition's name says so
_RIVALS = (PLAIN, OWN, TRUNK, f"{TRUNK}-30", PROBE)  # that stand beside what was trained on fewer folds or seeds


class Compared:
    """Conditions of the same data, trained on the same folds and seeds, side by side.

    Args:
        finished: by name.
        resamples: of the intervals.
        borrowed: which of them are there only for the others to be held against, since they have more runs elsewhere.
        best: which of these find most there.

    Attributes:
        finished: those with the most runs. Unless these are whole seeds they are tested on one fold each: of the two that each
            holds out, without the others, folds would be tested unevenly.
        borrowed: as given.
        best: as given.
        whole: whether these runs are whole seeds, each with all folds.
    """

    def __init__(
        self,
        finished: Mapping[str, Finished],
        resamples: int,
        borrowed: frozenset[str] = frozenset(),
        best: Sequence[str] = (),
    ):
        places = Counter(_places(one) for one in finished.values())
        most = max(places, key=lambda of: (len(of), places[of], sorted(of)))
        folds = {fold for one in finished.values() for run in one.runs for fold in (run.fold, run.val_fold)} - {None}
        self.whole = most == {(fold, seed) for fold in folds for _, seed in most}
        same = {name: one for name, one in finished.items() if _places(one) == most}
        self.finished = same if self.whole else {name: _tested_once(one) for name, one in same.items()}
        self.borrowed, self.best = borrowed, best
        self._others = {name: one for name, one in finished.items() if _places(one) != most}
        self._resamples = resamples

    @cached_property
    def comparison(self) -> Comparison:
        """All of them, each held against each."""
        return compare_runs(
            [run for one in self.finished.values() for run in one.runs],
            good=GOOD,
            overkill=OVERKILL,
            against=sorted(self.finished),
            resamples=self._resamples,
        )

    @cached_property
    def figures(self) -> dict[str, PolicyFigures]:
        """Each one's figures, the highest macro-mode recall first."""
        ranked = sorted(self.comparison.policies, key=lambda one: (-(one.macro_mode_recall or 0), one.policy))
        return {one.policy: one for one in ranked}

    @cached_property
    def fewer(self) -> list[Compared]:
        """What was trained on fewer folds or with fewer seeds, each beside what it is to be held against, on the same ones."""
        found = []
        for place in sorted({_places(one) for one in self._others.values()}, key=sorted):
            same = {name: one for name, one in self._others.items() if _places(one) == place}
            patched = any(one.about["part"] == PATCHES for one in same.values())
            best = self._best(patched=patched) if {fold for fold, _ in place} == self._folds else []
            named = {*_RIVALS, *best, *(before for one in same.values() for before in _before(one))}
            borrowed = {name: one for name, one in self.finished.items() if name in named and place <= _places(one)}
            runs = {name: _only(one, place) for name, one in {**borrowed, **same}.items()}
            found.append(Compared(runs, self._resamples, frozenset(borrowed), best))
        return found

    @property
    def fewer_seeds(self) -> list[Compared]:
        """Of these, what was trained on all folds."""
        return [one for one in self.fewer if one.whole]

    @property
    def _folds(self) -> set[int]:
        return {run.fold for one in self.finished.values() for run in one.runs}

    def _best(self, *, patched: bool) -> list[str]:
        """Return the student that finds most; and if wanted, of what asks patches too, the best and the best student."""
        students = [name for name in self.figures if is_student(self.finished[name])]
        heads = {name: self.finished[name].about.get("of") for name in self.of_part(PATCHES)} if patched else {}
        asked = [name for name, head in heads.items() if head]
        best = [*students[:1], *asked[:1], *[name for name in asked if heads[name] in students][:1]]
        return [*dict.fromkeys(best), *([PATCHES] if patched else [])]

    def before(self, name: str) -> list[str]:
        """Return what a condition changes: the one whose students it asks, or its parents, or own embeddings."""
        return _before(self.finished[name])

    def rivals_of(self, name: str) -> list[str]:
        """Return what a condition of fewer runs is held against, as far as that is here.

        That is what it changes, plain training as long on pictures as large, the best student, the teacher's stages fine-tuned
        without the store on pictures as large, and the teacher's probe; of one that asks patches, these beside patches.
        """
        one = self.finished[name]
        patched = one.about["part"] == PATCHES
        rivals = [*_before(one), *([] if patched else [self.as_trained(PLAIN, name)])]
        rivals += [best for best in self.best if (self.finished[best].about["part"] == PATCHES) == patched]
        head = str(one.about.get("of")) if patched else name
        begun = head in trunks(self) or (head in self.finished and is_student(self.finished[head]))
        if begun and (trunk := strongest_rival(self, head)) is not None:
            rivals.append(f"{trunk}-{PATCHES}" if patched else trunk)
        rivals += [] if patched else [PROBE]
        return [rival for rival in dict.fromkeys(rivals) if rival != name and rival in self.figures]

    def difference(self, name: str, baseline: str, figure: str) -> Difference | None:
        """Return a figure of one minus that of another; None where one of them is not there, or both are the same."""
        return self._differences.get((name, baseline, figure))

    @cached_property
    def _differences(self) -> dict[tuple[str, str, str], Difference]:
        return {(one.policy, one.baseline, one.figure): one for one in self.comparison.differences}

    def nbytes(self, name: str) -> int | None:
        """Return the bytes of what a condition keeps of the teacher, where that is known."""
        return self.finished[name].about.get("bytes") if name in self.finished else None

    def side(self, name: str) -> int | None:
        """Return the side of the pictures that a condition's students see, in pixels; None where that is not known."""
        side: int | None = self.finished[name].about["settings"].get("size") if name in self.finished else None
        return side

    def as_trained(self, baseline: str, name: str) -> str:
        """Return a baseline as it was trained on pictures as large and as long as a condition, such as `own-160px`.

        Of the condition itself it is the baseline as it stands. It may not be finished: then there is no difference to tell,
        since that to smaller pictures, or to a shorter training, would be theirs.
        """
        alike = baseline + self.variant(name)
        return baseline if alike == name else alike

    def variant(self, name: str) -> str:
        """Return how the name of a condition would end for its length and its pictures: `-160px`; empty for the usual ones."""
        return _variant(self.finished[name]) if name in self.finished else ""

    def of_known_bytes(self) -> list[str]:
        """Return the baselines and summaries whose bytes are known, of the student that begins at random, no controls of own.

        Where summaries were trained on larger pictures, own embeddings on as large ones stand among them.
        """
        shown = self.of_part("baselines", "summaries")
        shown += {self.as_trained(OWN, name) for name in self.of_part("summaries")} - set(shown)
        return [
            name
            for name in self.figures
            if name in shown
            and self.nbytes(name) is not None
            and self.finished[name].about["settings"]["student"] == "small"
            and self.finished[name].about["method"] != "shuffled-own"
        ]

    def of_part(self, *parts: str) -> list[str]:
        """Return the names of some parts of the study, the highest macro-mode recall first."""
        return [name for name in self.figures if self.finished[name].about["part"] in parts]


class Evidence:
    """All that is finished.

    Args:
        docs: the folder of the results.
        planned: the conditions of the study.
        resamples: of the intervals.

    Attributes:
        planned: as given.
        finished: by DATA/CONDITION.
        data: the same, compared, by the name of the data in the order of `data.DATA`.
        search: which recipes were tried and what each reached; None before that.
        screen: what the recipes past own embeddings reached; None before that.
        prototypes: the training-free record; None before that.
        advice: what following the advice costs, by outer fold; None before that.
    """

    def __init__(self, docs: Path, planned: Mapping[str, Condition] = CONDITIONS, resamples: int = RESAMPLES):
        self.planned = planned
        finished = {name: read(docs / name) for name in DATA if (docs / name / SAMPLES).exists()}
        self.finished = {f"{name}/{one}": found[one] for name, found in finished.items() for one in found}
        self.data = {name: Compared(found, resamples) for name, found in finished.items() if found}
        self.search: dict[str, Any] | None = _json(docs / MAIN / FILE)
        self.screen: dict[str, Any] | None = _json(docs / MAIN / SCREEN)
        self.advice: dict[str, Any] | None = _json(docs / ADVICE)
        self.prototypes: dict[str, Any] | None = _json(docs / f"prototypes-{MAIN}.json")

    @property
    def main(self) -> Compared | None:
        """The magnetic tiles, good or defect, twins merged."""
        return self.data.get(MAIN)

    @property
    def all_data(self) -> list[str]:
        """The names of all data, planned or finished."""
        return list(dict.fromkeys([*(one.data for one in self.planned.values()), *self.data]))

    def precision(self, name: str) -> str | None:
        """Return what the layers of the students of a condition of the magnetic tiles were trained in; None where it has none."""
        asked = self.finished[f"{MAIN}/{name}"]
        one = self.finished.get(f"{MAIN}/{asked.about.get('of') or name}")
        return None if one is None or one.about["part"] in UNTRAINED else precision_of(one)

    def missing(self, data: str, *parts: str) -> list[str]:
        """Return what is still to be trained of some data, and of some parts where these are named."""
        return [
            key
            for key, one in self.planned.items()
            if key not in self.finished and one.data == data and (not parts or one.part in parts)
        ]


def _places(one: Finished) -> frozenset[tuple[int, int]]:
    return frozenset((run.fold, run.seed) for run in one.runs)


def _variant(one: Finished) -> str:
    settings = one.about["settings"]
    side, epochs = settings.get("size"), settings.get("epochs", 0) + settings.get("pretrain_epochs", 0)
    long = LONG if epochs > EPOCHS else ""
    return long if side in (None, _USUAL_SIDE) else f"{long}-{side}px"


def is_student(one: Finished) -> bool:
    """Return whether a condition trains a student that begins at random, and no teacher works beside it."""
    about = one.about
    return (
        about["part"] not in UNTRAINED
        and not student_of(one).startswith("trunk:")
        and not about["method"].startswith("live-teacher")
    )


def student_of(one: Finished) -> str:
    """Return which student a condition trains, as its settings call it; empty where it trains none."""
    return str(one.about["settings"].get("student", ""))


def precision_of(one: Finished) -> str:
    """Return what the layers were trained in; early results do not say it, and a processor's were in float32 then."""
    return str(one.about.get("precision", "bfloat16" if one.about["machine"].startswith("NVIDIA") else "float32"))


def is_plain(one: Finished) -> bool:
    """Return whether a condition is trained without the store's embeddings."""
    return bool(one.about["method"] == PLAIN)


def trunks(main: Compared) -> list[str]:
    """Return the conditions that begin with the teacher's own first stages, best first."""
    return [name for name in main.figures if student_of(main.finished[name]).startswith("trunk:")]


def strongest_rival(main: Compared, beside: str | None = None) -> str | None:
    """Return the best of those that fine-tune these stages without the store, on pictures as large as `beside` saw, if given."""
    return next(
        (
            name
            for name in trunks(main)
            if is_plain(main.finished[name]) and (beside is None or main.side(name) == main.side(beside))
        ),
        None,
    )


def _before(one: Finished) -> list[str]:
    return [str(one.about["of"])] if one.about.get("of") else parents_of(one.name) or [OWN]


def _only(one: Finished, places: frozenset[tuple[int, int]]) -> Finished:
    return Finished(one.name, one.about, [run for run in one.runs if (run.fold, run.seed) in places])


def _tested_once(one: Finished) -> Finished:
    return Finished(one.name, one.about, [replace(run, val_fold=None) for run in one.runs])


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text("utf-8")) if path.exists() else None
