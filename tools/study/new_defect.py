"""A new defect without training: what does a student catch of a kind that it never saw, once a few parts are in the store?

    python tools/study/new_defect.py --tiles DIR [--out new-defect-out] [--students trunk-own-30 own] [--seeds 1] [--quick]

For each kind of defect, all parts that show it are left out of training, threshold and gallery; students are trained with
the study's recipes, the seed saying which fold is tested. Then 0, 1, 3, 5 and 10 parts of that kind join the gallery, 30 times
drawn anew, the threshold is set again on the good validation pictures, and the other parts of that kind are tested. As many good
parts, and as many parts of kinds that training knows, are the controls; the teacher's own vectors are the upper bound. What is
trained and measured is kept in --out, and the same command goes on from there.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from conditions import FOLDS  # noqa: E402
from data import store_of  # noqa: E402
from new_defect_parts.cases import COUNTS, LEAST_TESTED, NEW, Case  # noqa: E402
from new_defect_parts.figures import RESAMPLES, summed_up  # noqa: E402
from new_defect_parts.measuring import DRAWS, MORE, NEAREST, OVERKILL, by_head, curves, scored_by_head  # noqa: E402
from new_defect_parts.picture import pictures  # noqa: E402
from new_defect_parts.spaces import SPACES, TEACHER, spaces_of  # noqa: E402
from new_defect_parts.students import TILES, Trained, planned, settings_for, train  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress, TaskID  # noqa: E402
from run import machine  # noqa: E402

import embedstore  # noqa: E402
from distill.training import run_directory  # noqa: E402
from embedstore.errors import EmbedstoreError, SettingsError  # noqa: E402
from embedstore.files import write_whole  # noqa: E402

STUDY = Path("docs/study")
NAME = "new-defect"
QUICK_EPOCHS, QUICK_DRAWS = 2, 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, measure it, and write figures and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, required=True, help="the folder of the magnetic tiles")
    parser.add_argument("--out", type=Path, default=Path("new-defect-out"), help="stores, runs and what was measured")
    parser.add_argument("--docs", type=Path, help=f"where {NAME}.json and its pictures go: docs; for --quick in --out")
    parser.add_argument(
        "--students", nargs="+", default=["trunk-own-30"], help="conditions of the study, as their recipes"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each student for each kind")
    parser.add_argument("--quick", action="store_true", help="few epochs and draws: shows that it runs, no more")
    options = parser.parse_args(arguments)
    docs = options.docs or (options.out / "quick" if options.quick else Path("docs"))
    try:
        measure_all(options, docs)
    except (EmbedstoreError, ValueError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. What was finished is kept; the same command goes on from there.")


def measure_all(options: argparse.Namespace, docs: Path) -> None:
    """Train and measure each student, one after the other, and write down all of it."""
    console = Console(highlight=False)
    whole = store_of(TILES, options.out, options.tiles, STUDY)
    with embedstore.open(whole) as store:
        modes = sorted({one.mode for one in store.samples if one.mode and one.label != TILES.good})
    out = options.out / "quick" if options.quick else options.out
    found = []
    with Progress(console=console) as shown:
        for student in planned(out, options.students, modes, options.seeds):
            name = student.run.name
            task = shown.add_task(name, total=None)
            settings = settings_for(student, STUDY, epochs=QUICK_EPOCHS if options.quick else None)
            train(student, whole, settings, options.tiles, _progress(shown, task))
            shown.update(task, description=f"{name}: measuring")
            found.append(measured(student, out / "measured" / f"{name}.json", options.tiles, quick=options.quick))
            shown.update(task, description=name, completed=1, total=1)
    record = {**about(options, whole), **told(found)}
    docs.mkdir(parents=True, exist_ok=True)
    _write(docs / f"{NAME}.json", record)
    for path, text in pictures(record).items():
        (docs / path).write_text(text, "utf-8", newline="\n")
    console.print(f"'{docs / NAME}.json' and its pictures are written.")


def _progress(shown: Progress, task: TaskID) -> Callable[[int, int], None]:
    return lambda done, total: shown.update(task, completed=done, total=total)


def protocol(*, quick: bool) -> dict[str, Any]:
    """Return what decides the figures, beside students and pictures."""
    return {
        "parts_added": list(COUNTS),
        "parts_tested_at_least": LEAST_TESTED,
        "draws": QUICK_DRAWS if quick else DRAWS,
        "overkill": OVERKILL,
        "nearest": NEAREST,
        "folds": FOLDS,
    }


def measured(student: Trained, path: Path, images: Path, *, quick: bool) -> dict[str, Any]:
    """Return what was measured of a student; it is read where it was measured before.

    Raises:
        SettingsError: that was measured by another protocol.
    """
    by = protocol(quick=quick)
    if path.exists():
        before: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if before["protocol"] != by:
            raise SettingsError(f"'{path}' was measured by another protocol; delete it, or choose another --out.")
        return before
    with embedstore.open(student.store) as store:
        samples = list(store.samples)
    case = Case.of(samples, run_directory.read_split(student.run), student.mode, TILES.good)
    held, classes = run_directory.read_scores(student.run)
    defect = next(number for number, label in enumerate(classes) if label != TILES.good)
    head = scored_by_head(case, held, [one.id for one in samples], defect)
    lines: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for name, space in spaces_of(student.run, student.store, images, case.train).items():
        lines[name] = list(curves(case, space, head, draws=by["draws"]))
        more[name] = list(curves(case, space, head, draws=by["draws"], nearest=MORE, kinds=(NEW,)))
    result = {
        "protocol": by,
        "condition": student.condition,
        "mode": student.mode,
        "seed": student.seed,
        "pictures": {
            name: len(getattr(case, name)) for name in ("train", "val_good", "test_good", "test_known", "new")
        },
        "parts": {kind: len(case.parts_of(kind)) for kind in ("new", "known", "good")},
        "seconds": run_directory.read_cost(student.run)["seconds"],
        "head": vars(by_head(case, head)),
        "lines": lines,
        "more": more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, result)
    return result


def about(options: argparse.Namespace, whole: Path) -> dict[str, Any]:
    """Return what was measured on, and how."""
    script = f"tools/study/{NAME.replace('-', '_')}.py"
    command = f"python {script} --tiles DIR --students {' '.join(options.students)} --seeds {options.seeds}"
    with embedstore.open(whole) as store:
        samples = list(store.samples)
        data = {
            "name": TILES.name,
            "says": TILES.says,
            "teacher": store.teacher,
            "pictures": len(samples),
            "parts": len({one.part for one in samples}),
        }
    rule = (
        "the cosine to the most alike defect part minus that to the most alike good part; a picture's own part left out"
    )
    return {
        "command": command + (" --quick" if options.quick else ""),
        "machine": machine(),
        "data": data,
        "protocol": protocol(quick=options.quick)
        | {
            "rule": rule,
            "gallery": "training side and what is added",
            "threshold": "from good pictures of the validation side, set again after adding",
            "controls": "parts of the validation side, which training never saw",
            "intervals": f"of one kind: 95 % of the draws; of the mean: {RESAMPLES} times kinds, trainings and draws drawn again",
            "mean": "over the kinds of `mean_of`, which have every count",
            "either": "rejected by head or retrieval, each at half the overkill",
        },
    }


def told(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all students: of a student each space, with the teacher as the upper bound, and its head."""
    students: dict[str, Any] = {}
    for condition in dict.fromkeys(one["condition"] for one in found):
        own = [one for one in found if one["condition"] == condition]
        heads = [{**one["head"], **_of(one), "added": NEW, "count": 0, "draw": 0} for one in own]
        students[condition] = {
            "seconds_of_training": [round(one["seconds"]) for one in own],
            "head": summed_up(heads)[NEW],
            "spaces": {space: summed_up(_lines(own, "lines", space)) for space in SPACES},
            f"nearest_{MORE}": {space: summed_up(_lines(own, "more", space)) for space in SPACES},
        }
    kinds = {
        one["mode"]: {"parts": one["parts"], "pictures": one["pictures"]} for one in reversed(found)
    }  # of the first student and seed
    return {"modes": dict(sorted(kinds.items())), "upper_bound": TEACHER, "students": students}


def _of(one: dict[str, Any]) -> dict[str, Any]:
    return {"mode": one["mode"], "seed": one["seed"]}


def _lines(found: Sequence[dict[str, Any]], of: str, space: str) -> list[dict[str, Any]]:
    return [{**line, **_of(one)} for one in found for line in one[of][space]]


def _write(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file, complete or not at all; a figure and its interval stand on one line."""
    text = json.dumps(values, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[^][{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
    write_whole(path, f"{text}\n".encode())


if __name__ == "__main__":
    main()
