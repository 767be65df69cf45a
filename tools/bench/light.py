"""Size against quality: from a class-mean file to the full store, what each light form takes on the disk and what it loses.

    python tools/bench/light.py STORE --good good [--out docs/light.json]

Each form is written by the product itself, from a copy of the store whose groups are split in five (fold 0 of seed 0 tested): its
bytes, and which of the 10 nearest neighbours of held-out pictures stay. What it is worth is measured without training, as in
`tools/study/prototypes.py`: a held-out picture's score is its cosine to the nearest kept defect minus that to the nearest kept
good part; five folds of whole parts, everything fitted on training parts only, thresholds from four inner folds. Each form is
compared with all views as they are, by intervals over tested parts. Students that were trained in a form are cited from the
study and the parity benchmark. The store is only read.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "study"), str(HERE.parent), str(ROOT)]

from light_parts.forms import Form, forms  # noqa: E402
from light_parts.sights import Views  # noqa: E402
from light_parts.students import PLAIN, parity, trained  # noqa: E402
from prototype_parts.figures import Fit, Resamples, hold_out  # noqa: E402
from prototype_parts.pictures import INNER, OUTER, Pictures, make_folds  # noqa: E402
from prototype_parts.scorers import Scores  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import embedstore  # noqa: E402
from distill.evaluation.intervals import percentile_interval  # noqa: E402
from embedstore.errors import EmbedstoreError  # noqa: E402
from embedstore.store.kept_pictures import FOLDER  # noqa: E402
from embedstore.thinning import bytes_of  # noqa: E402

SEED = 0
DRAWS = 1000
FULL = "the store as it is"
FIGURES = ("mean_recall", "auroc")


def main() -> None:
    """Measure all forms, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--good", default="good", help="label of good parts")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "light.json")
    parser.add_argument(
        "--study", type=Path, default=ROOT / "docs" / "study" / "magnetic-tile", help="of trained students"
    )
    parser.add_argument("--parity", type=Path, default=ROOT / "docs" / "parity.json")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="light-") as work:
            record = measured(options, Path(work))
    except EmbedstoreError as error:
        raise SystemExit(f"Error: {error}") from error
    options.out.write_text(json.dumps(record, indent=1) + "\n", "utf-8", newline="\n")
    show(record)


def measured(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Return the record of all forms of a store, the smallest first."""
    started, console = time.monotonic(), Console(stderr=True, highlight=False)
    embedstore.thin(options.store, work / "base")
    pictures_bytes = bytes_of(work / "base" / FOLDER) if (work / "base" / FOLDER).is_dir() else 0
    with embedstore.open(work / "base") as base:
        split = base.split(folds=OUTER, fold=0, seed=SEED)
        pictures = Pictures.from_store(base, options.good)
        rows = list(forms(Views.of(base, pictures)))
        folds = make_folds(pictures)
        resamples = Resamples(pictures, folds, draws=DRAWS)
        record: dict[str, Any] = {
            "data": {
                "teacher": base.teacher,
                "fingerprint": base.fingerprint,
                "checksum": pictures.checksum,
                "pictures": len(base),
                "parts": len(set(pictures.parts.tolist())),
                "dim": base.dim,
                "views": base.views,
                "split": split.counts(),
            },
            "protocol": {
                "folds": OUTER,
                "inner_folds": INNER,
                "seed": SEED,
                "overkill": "2 to 10 %",
                "neighbours": 10,
                "intervals": f"95 %, over parts drawn again {DRAWS} times within each fold; decisions as they are",
                "against": rows[-1].name,
            },
            "machine": machine(),
            "pictures_bytes": pictures_bytes,
            "full": {"name": FULL, "bytes": bytes_of(options.store)},
            "forms": [],
        }
        cited, views = trained(options.study, rows, base.samples), parity(options.parity, rows)
        record["plain_student"] = cited.get(PLAIN)
        known: dict[Fit, dict[str, Scores]] = {}  # a file and its prototypes alone are fitted alike
        for row in rows:
            told = _told(row, base, work, pictures_bytes)
            if row.fit not in known:
                known[row.fit] = resamples.figures(hold_out(pictures, folds, row.fit, (SEED,)))
            told |= {name: round(float(known[row.fit][name][0]), 4) for name in FIGURES}
            told |= {"student": cited.get(row.name), "parity_auroc": views.get(row.name)}
            record["forms"].append(told)
            console.print(f"{len(record['forms'])} of {len(rows)}: {row.name}, {time.monotonic() - started:.0f} s")
        for told, row in zip(record["forms"], rows, strict=True):
            told["against"] = {name: _gap(known[row.fit][name], known[rows[-1].fit][name]) for name in FIGURES}
    record["forms"].sort(key=lambda one: one["bytes"])
    record["seconds"] = round(time.monotonic() - started)
    return record


def _gap(ours: Scores, theirs: Scores) -> list[float | None]:
    """Return a difference with its interval, from figures of the pictures and of their resamples (1 + draws,)."""
    gaps = ours - theirs
    return [None if one is None else round(one, 4) for one in (float(gaps[0]), *percentile_interval(gaps[1:]))]


def _told(row: Form, base: embedstore.EmbeddingStore, work: Path, pictures_bytes: int) -> dict[str, Any]:
    written = row.write(base, work)
    return {
        "name": row.name,
        "bytes": written.bytes,
        "with_pictures": written.bytes + pictures_bytes if written.pictures else None,
        "numbers": written.numbers,
        "lacks": written.lacks,
        "overlap": None if written.overlap is None else round(written.overlap, 4),
    }


def machine() -> dict[str, Any]:
    """Return what the run ran on."""
    return {
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def show(record: dict[str, Any]) -> None:
    """Print the record as a table."""
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    table = Table(title="Size against quality", title_justify="left")
    names = ("KB on disk", "with pictures", "KB of numbers", "neighbours kept", "recall 2-10 %", "against all", "AUROC")
    table.add_column("form", no_wrap=True)
    for name in (*names, "student: recall", "AUROC", "AUROC, 30 epochs"):
        table.add_column(name, justify="right", no_wrap=name == "against all")
    for one in record["forms"]:
        student = one["student"] or {"mean_recall": None, "auroc": None}
        sizes = [_kilobytes(one[name]) for name in ("bytes", "with_pictures", "numbers")]
        figures = [one["auroc"], student["mean_recall"], student["auroc"], one["parity_auroc"]]
        gap, low, high = (_figure(value, "+") for value in one["against"]["mean_recall"])
        table.add_row(
            one["name"],
            *sizes,
            _figure(one["overlap"]),
            _figure(one["mean_recall"]),
            f"{gap} [{low}, {high}]",
            *map(_figure, figures),
        )
    table.add_row(FULL, _kilobytes(record["full"]["bytes"]), *[""] * 9)
    console.print(table)
    console.print(
        f"Against all: the difference to '{record['protocol']['against']}', {record['protocol']['intervals']}."
    )
    if lacking := [one["lacks"] for one in record["forms"] if one["lacks"]]:
        console.print(
            f"A file of compressed-own is for training: to be asked, it would need its axes too ({_kilobytes(min(lacking))} to "
            f"{_kilobytes(max(lacking))} KB), and what it is worth here is that of codes fitted to plain views."
        )
    if record["plain_student"] is not None:
        plain = record["plain_student"]
        console.print(f"A student trained plainly: recall {plain['mean_recall']:.3f}, AUROC {plain['auroc']:.3f}.")
    console.print(f"Measured in {record['seconds']} s.")


def _kilobytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1000:,.0f}"


def _figure(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.3f}"


if __name__ == "__main__":
    main()
