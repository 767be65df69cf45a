"""Is drift found, and is nothing found where there is none? Batches with a known answer against a store of other parts.

    python tools/bench/drift.py STORE --out DIR [--images DIR] [--good good] [--many 20] [--false-alarms .01]

Parts are dealt into five folds; each is the stream once, and the reference is the store without it. Batches of 50, 100 and 200
pictures are drawn from the stream by whole parts, then:

    unchanged            nothing; `no groups`: the same, and nobody knows which pictures show one part
    another mix          half of the pictures are defects
    brightness, blur     every picture is changed by as much, and embedded by the store's teacher
    half of the parts    are blurred by 4 pixels, the others are as they were: the line changed, not the camera
    hidden               1, 2 or 5 % of the pictures are of a kind (mode) that the reference lacks as a whole, from as many parts
                         as there are; of 50 pictures, one is the least

Found: the p-value is at or below the false-alarm rate. Right: the verdict is `quiet`, `camera`, `line` or `new-defect` as it
should be. By light: the test of the pictures themselves is at or below the rate by itself. Intervals are Wilson's, of 95 %;
batches of one fold overlap, so they are narrower than they should be. What was made of changed pictures and the results of
batches are kept under --out; the same command goes on from there. The limits of `verdict` were chosen on batches of other
draws, of the same tiles.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from drift_parts.batches import Case, Stream, cases, pictures_of  # noqa: E402
from drift_parts.changes import changed_lights, changed_vectors  # noqa: E402
from drift_parts.picture import draw  # noqa: E402

import embedstore  # noqa: E402
from embedstore.analysis.drift import find_drift  # noqa: E402
from embedstore.analysis.drift.reference import Reference, reference_of  # noqa: E402

KEPT = ("drifted", "kind", "p", "p_whole", "p_few", "p_mix", "outside", "explained", "alike", "beyond", "usual_beyond")


def main() -> None:
    """Embed the changed pictures, ask of every batch, print the table, write JSON and pictures."""
    options = parsed()
    options.out.mkdir(parents=True, exist_ok=True)
    with embedstore.open(options.store) as store:
        images = pictures_of(store, options.images)
        vectors = changed_vectors(store, images, options.out, tell)
        stream = Stream(store, vectors, changed_lights(store, images, options.out, tell), options.good)
        kinds = sorted(set(stream.modes[~stream.good].tolist()) - {""})
        asked = sorted(cases(kinds, options.many), key=lambda case: (case.fold, case.kind or ""))
        results = answered(store, stream, asked, options)
        about = {
            "teacher": store.teacher,
            "samples": len(store),
            "parts": len(stream.fold),
            "false_alarms": options.false_alarms,
        }
    rows = told(asked, results, options.false_alarms)
    result = {**about, "rows": rows}
    (options.out / "drift.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for language, ending in (("en", ".svg"), ("ja", ".ja.svg")):
        (options.out / f"drift{ending}").write_text(draw(result, language), "utf-8", newline="\n")
    table(rows)


def parsed() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--good", default="good")
    parser.add_argument("--many", type=int, default=20, help="unchanged batches of each size and fold")
    parser.add_argument("--false-alarms", type=float, default=0.01)
    return parser.parse_args()


def answered(
    store: embedstore.EmbeddingStore, stream: Stream, asked: list[Case], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Ask of every batch; those whose answer is kept are not asked again."""
    path = options.out / "batches.jsonl"
    results: dict[str, dict[str, Any]] = {}
    if path.exists():
        lines = path.read_text("utf-8").splitlines()
        results = {one["key"]: one for one in map(json.loads, lines) if one["false_alarms"] == options.false_alarms}
    references: dict[tuple[int, str | None], Reference] = {}
    started = time.monotonic()
    with path.open("a", encoding="utf-8") as file:
        for at, case in enumerate(asked):
            if case.key in results:
                continue
            if (case.fold, case.kind) not in references:
                references.clear()  # cases come by fold and kind, and a reference holds its vectors
                references[case.fold, case.kind] = reference_of(store, stream.hidden_from(case))
            found = find_drift(
                store,
                stream.batch(case),
                reference=references[case.fold, case.kind],
                false_alarms=options.false_alarms,
                top=0,
            )
            one = {
                "key": case.key,
                "false_alarms": options.false_alarms,
                **{name: getattr(found, name) for name in KEPT},
                "p_light": None if found.light is None else found.light.p,
            }
            results[case.key] = one
            file.write(json.dumps(one) + "\n")
            file.flush()
            if at % 100 == 0:
                tell(f"{at} of {len(asked)} batches, {time.monotonic() - started:.0f} s")
    return results


def told(asked: list[Case], results: dict[str, dict[str, Any]], false_alarms: float) -> list[dict[str, Any]]:
    """Return a row for each condition, strength, kind and size, and one for all hidden kinds together."""
    groups: dict[tuple[str, float, str | None, int], list[Case]] = defaultdict(list)
    for case in asked:
        groups[case.condition, case.strength, case.kind, case.size].append(case)
        if case.kind is not None:
            groups[case.condition, case.strength, None, case.size].append(case)
    rows = []
    for (condition, strength, kind, size), members in groups.items():
        ours = [results[case.key] for case in members]
        found = sum(one["p"] <= false_alarms for one in ours)
        rows.append(
            {
                "condition": condition,
                "strength": strength,
                "kind": kind,
                "size": size,
                "batches": len(ours),
                "found": found,
                "interval": wilson(found, len(ours)),
                "at_5_percent": sum(one["p"] <= 0.05 for one in ours),
                "right": sum(one["kind"] == case.truth for one, case in zip(ours, members, strict=True)),
                "by_light": sum((one["p_light"] or 1) <= false_alarms for one in ours),
                "mix_told": sum(one["p_mix"] <= false_alarms for one in ours),
                "verdicts": {
                    name: sum(one["kind"] == name for one in ours) for name in sorted({one["kind"] for one in ours})
                },
                "beyond": round(mean(one["beyond"] for one in ours), 4),
                "usual_beyond": round(mean(one["usual_beyond"] for one in ours), 4),
            }
        )
    return sorted(rows, key=lambda row: (row["condition"], row["kind"] or "", row["strength"], row["size"]))


def wilson(found: int, count: int, z: float = 1.96) -> list[float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    share, more = found / count, z * z / count
    middle, half = share + more / 2, z * (share * (1 - share) / count + more / (4 * count)) ** 0.5
    return [round(max(0.0, (middle - half) / (1 + more)), 4), round(min(1.0, (middle + half) / (1 + more)), 4)]


def table(rows: list[dict[str, Any]]) -> None:
    """Print what was found, and how often the verdict was right."""
    print(
        f"{'condition':20}{'kind':10}{'strength':>9}{'size':>6}{'batches':>9}{'found':>8}{'interval':>14}"
        f"{'at .05':>8}{'right':>8}{'by light':>10}"
    )
    for row in rows:
        low, high = row["interval"]
        print(
            f"{row['condition']:20}{row['kind'] or '':10}{row['strength']:9g}{row['size']:6}{row['batches']:9}"
            f"{row['found'] / row['batches']:8.2f}{f'{low:.2f}-{high:.2f}':>14}{row['at_5_percent'] / row['batches']:8.2f}"
            f"{row['right'] / row['batches']:8.2f}{row['by_light'] / row['batches']:10.2f}"
        )


def tell(line: str) -> None:
    """Say where the run is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
