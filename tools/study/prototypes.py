"""What a summary is worth against its bytes, without any training: are held-out defects told from good parts by it alone?

    python tools/study/prototypes.py STORE --good good --out docs/study/prototypes-magnetic-tile.json [--quick]

A held-out picture's score is its cosine to the nearest prototype of a defect minus that to the nearest prototype of a good
part. Five folds of whole parts; centre, prototypes and thresholds come from the training side of each alone, thresholds
from scores that four inner folds give to each other. Decisions are pooled over folds, AUROC is averaged. Intervals and
differences, paired, are over parts drawn again. Every condition is written down as soon as it is done; called again,
it goes on; delete the file to begin anew.

With `--students docs/study/magnetic-tile/CONDITION.json` one more choice of rare samples is tried: where the teacher disagrees
with those students of that condition which did not learn the part of the picture. They may have learned tested parts, which
flatters it.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import results
from prototype_parts.conditions import BASELINE, Condition, all_conditions, everything, rivals
from prototype_parts.figures import AT, FIGURES, Resamples, hold_out
from prototype_parts.pictures import INNER, OUTER, Pictures, make_folds
from prototype_parts.scorers import Scores, centre_bytes, prototype_bytes
from prototype_parts.table import print_tables
from rich.console import Console

import embedstore
from distill.evaluation.intervals import percentile_interval
from distill.evaluation.metrics import OVERKILL_GRID
from embedstore.errors import EmbedstoreError, SettingsError
from embedstore.files import write_whole

Record = dict[str, Any]

GOOD = results.CLASSES.index("good")
OTHERS = ("macro_mode_recall", "mean_macro_mode_recall", "auroc")  # told of differences to what is not the baseline


def main(arguments: list[str] | None = None) -> None:
    """Try what is not yet written down, and print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--good", required=True, help="label of good parts")
    parser.add_argument("--out", type=Path, required=True, help="JSON file, written and gone on with")
    parser.add_argument("--students", type=Path, help="JSON of a finished condition of the same pictures")
    parser.add_argument("--part", help="of the conditions alone, such as 'rare score'")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer conditions and draws")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 170)  # in a file, no column is cut
    try:
        students = None if options.students is None else read_students(options.students)
        with embedstore.open(options.store) as store:
            pictures = Pictures.from_store(store, options.good)
            teacher = store.fingerprint
        study = Study(pictures, teacher, options.out, quick=options.quick)
        if students is None and not options.quick:
            console.print("No --students: the choice by disagreement of student and teacher is left out.")
        conditions = list(all_conditions(students, options.quick))
        if options.part is not None:
            parts = dict.fromkeys(one.part for one in conditions)
            conditions = [one for one in conditions if one.part == options.part]
            if not conditions:
                raise SettingsError(
                    f"There is no part '{options.part}' of the conditions; there are {', '.join(parts)}."
                )
        for number, condition in enumerate(conditions, start=1):
            if study.add(condition):
                console.print(f"{number} of {len(conditions)}: {condition.name}", highlight=False)
        if options.part is None:
            study.add_leak()
    except EmbedstoreError as error:
        raise SystemExit(f"Error: {error}") from error
    print_tables(console, study.record)


class Study:
    """A record of conditions, written after each; the same pictures, folds and draws for all.

    Args:
        pictures: of the data set.
        teacher: the fingerprint of what made their vectors.
        out: the record's file; what it holds already is gone on with.
        quick: one seed and fewer draws, for a look.

    Raises:
        SettingsError: the file holds the record of something else.
    """

    def __init__(self, pictures: Pictures, teacher: str, out: Path, quick: bool = False):
        self._pictures, self._out = pictures, out
        self._folds = make_folds(pictures)
        self._resamples = Resamples(pictures, self._folds, draws=200 if quick else 2000)
        self._seeds = (0,) if quick else (0, 1, 2)
        self._known: dict[str, tuple[float, dict[str, Scores]]] = {}
        dim = pictures.vectors.shape[1]
        self.record: Record = {
            "protocol": {
                "folds": OUTER,
                "inner_folds": INNER,
                "seeds": len(self._seeds),
                "draws": self._resamples.draws,
                "overkill": AT,
                "overkill_grid": list(OVERKILL_GRID),
                "bytes": {"prototype": prototype_bytes(dim), "centre": centre_bytes(dim)},
                "baseline": BASELINE,
                "intervals": "95 %, over parts drawn again within each fold; decisions and thresholds as they are",
                "caught": "tested pictures in the order of ids, a bit each: rejected at 5 % overkill by most seeds",
            },
            "data": {
                "checksum": pictures.checksum,
                "teacher": teacher,
                "pictures": len(pictures.samples),
                "parts": len(np.unique(pictures.parts)),
                "dim": dim,
                "good": pictures.good,
                "modes": {
                    name: {
                        "pictures": int((pictures.kinds == kind).sum()),
                        "parts": len(np.unique(pictures.parts[pictures.kinds == kind])),
                    }
                    for kind, name in enumerate([pictures.good, *pictures.modes])
                },
            },
            "leak": {},
            "conditions": {},
        }
        if out.exists():
            self._go_on(out)

    def _go_on(self, out: Path) -> None:
        try:
            written = json.loads(out.read_text("utf-8"))
            same = all(written[part] == self.record[part] for part in ("protocol", "data"))
            self.record["leak"], self.record["conditions"] = written["leak"], written["conditions"]
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"'{out}' is no record of this study ({type(error).__name__}); give another --out."
            ) from error
        if not same:
            raise SettingsError(f"'{out}' was made from other pictures or by another protocol; give another --out.")

    def add(self, condition: Condition) -> bool:
        """Try a condition and write it down; return whether it was not known yet."""
        if condition.name in self.record["conditions"]:
            return False
        held = hold_out(self._pictures, self._folds, condition.fit, self._seeds if condition.draws else (0,))
        ours = self._resamples.figures(held)
        self._known[condition.name] = (held.nbytes, ours)
        told: Record = {
            "part": condition.part,
            "summary": condition.summary,
            "parameters": dict(condition.parameters),
            "bytes": round(held.nbytes),
            "count": round(held.count, 1),
            "seeds": held.seeds,
            "figures": {name: _interval(ours[name]) for name in FIGURES},
            "modes": {name: _interval(ours[name]) for name in self._pictures.modes},
            "against": {},
        }
        if condition.part == "curve":
            told["caught"] = held.caught()
        for key, rival in rivals(condition, self._as_many(held.nbytes)).items():
            if rival.name != condition.name:
                nbytes, theirs = self._figures(rival)
                figures = FIGURES if key == BASELINE else OTHERS
                gaps = {name: _interval(ours[name] - theirs[name]) for name in figures}
                told["against"][key] = {"bytes": round(nbytes), **gaps}
        self.record["conditions"][condition.name] = told
        self._write()
        return True

    def add_leak(self) -> None:
        """Measure what the protocol keeps out: `own`, with whole parts on one side, then with each picture dealt alone."""
        if self.record["leak"]:
            return
        alone = self._pictures.each_a_part()
        for name, pictures in (("whole parts", self._pictures), ("each picture alone", alone)):
            folds = make_folds(pictures)
            figures = Resamples(pictures, folds, draws=0).figures(hold_out(pictures, folds, everything().fit, (0,)))
            self.record["leak"][name] = {key: round(float(figures[key][0]), 4) for key in FIGURES}
        self._write()

    def _as_many(self, nbytes: float) -> int:
        """Return how many plain prototypes fill so many bytes best, at least one of each label."""
        dim, labels = self._pictures.vectors.shape[1], len({one.label for one in self._pictures.samples})
        return max(labels, round((nbytes - centre_bytes(dim)) / prototype_bytes(dim)))

    def _figures(self, rival: Condition) -> tuple[float, dict[str, Scores]]:
        """Return the bytes and figures of a rival, made anew where this process has not yet."""
        if rival.name not in self._known:
            held = hold_out(self._pictures, self._folds, rival.fit, self._seeds if rival.draws else (0,))
            self._known[rival.name] = (held.nbytes, self._resamples.figures(held))
        return self._known[rival.name]

    def _write(self) -> None:
        """Write the record, a line for each condition, aside and then in place."""
        whole = {name: part for name, part in self.record.items() if name != "conditions"}
        lines = [f"{json.dumps(name)}: {json.dumps(part)}" for name, part in self.record["conditions"].items()]
        text = json.dumps(whole, indent=1)[:-2] + ',\n "conditions": {\n' + ",\n".join(lines) + "\n }\n}\n"
        self._out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._out, text.encode())


def _interval(values: Scores) -> list[float | None]:
    """Return a figure with its 95 % interval; None for what it does not have."""
    found = (float(values[0]), *percentile_interval(values[1:]))
    return [None if one is None or np.isnan(one) else round(one, 4) for one in found]


def read_students(path: Path) -> Mapping[str, float]:
    """Return the mean log-odds of a defect by id, over the students of a finished condition that held the picture out.

    Raises:
        SettingsError: the file is no finished condition.
    """
    try:
        runs = results.read(path.parent)[path.stem].runs
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise SettingsError(
            f"'{path}' can't be read as a finished condition ({type(error).__name__}: {error}); give one of the files of "
            "docs/study/magnetic-tile."
        ) from error
    said: dict[str, list[float]] = {}
    for run in runs:
        for one in run.held:
            said.setdefault(one.id, []).append(results.log_odds(one.probabilities[GOOD]))
    return {name: mean(values) for name, values in said.items()}


if __name__ == "__main__":
    main()
