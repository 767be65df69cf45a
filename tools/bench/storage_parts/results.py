"""What the repetitions say: one value with its spread for each measure, ratios within the run, and the aims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

OURS = "embedstore"
Results = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """One figure of the table.

    Attributes:
        key: as the steps name it.
        title: for people.
        unit: `rows/s`, `queries/s` (more is better) or `ms` (less is better).
    """

    key: str
    title: str
    unit: str

    @property
    def more_is_better(self) -> bool:
        """Whether a higher value is the better one."""
        return self.unit != "ms"

    def value(self, seconds: float, work: int) -> float:
        """Return the figure of a repetition."""
        return work / seconds if self.more_is_better else 1000 * seconds


MEASURES = [
    Measure("write", "bulk write, synced", "rows/s"),
    Measure("open first", "open, first in a process", "ms"),
    Measure("open", "open again", "ms"),
    Measure("scan first", "scan, first in a process", "rows/s"),
    Measure("scan", "scan", "rows/s"),
    Measure("random batch first", "256 random rows, first in a process", "ms"),
    Measure("random batch", "256 random rows", "ms"),
    Measure("exact 1", "exact query", "ms"),
    Measure("exact 100", "exact, 100 at once", "queries/s"),
    Measure("records 100", "the same, with ids and labels", "queries/s"),
    Measure("index", "index built", "rows/s"),
    Measure("approximate 1", "approximate query", "ms"),
    Measure("approximate 100", "approximate, 100 at once", "queries/s"),
    Measure("filtered rare 1", "query, 1 % pass the filter", "ms"),
    Measure("filtered rare 100", "the same, 100 at once", "queries/s"),
    Measure("filtered common 1", "query, 90 % pass the filter", "ms"),
    Measure("filtered common 100", "the same, 100 at once", "queries/s"),
    Measure("delete", "a fifth deleted, synced", "ms"),
    Measure("compact", "compacted, synced", "ms"),
]


def add_up(outcomes: Mapping[str, Sequence[Mapping[str, Any]]]) -> Results:
    """Return a system's results from the outcomes of its steps, one for each round.

    A measure's value is the median over rounds of each round's median; `low` and `high` are the lowest and highest
    of these (of the repetitions themselves, where there was one round).
    """
    results: Results = {"measures": {}, "memory": {}, "not run": {}}
    for step, rounds in outcomes.items():
        good = [one for one in rounds if "error" not in one]
        for one in rounds:
            reason = one.get("error") or one["facts"].get("not offered")
            if reason:
                results["not run"][step] = reason
        for measure in MEASURES:
            kept = [one for one in good if measure.key in one["seconds"]]
            if not kept:
                continue
            work = kept[0]["work"][measure.key]
            each = [[measure.value(s, work) for s in one["seconds"][measure.key]] for one in kept]
            middles = [median(values) for values in each]
            spread = middles if len(middles) > 1 else each[0]
            results["measures"][measure.key] = {
                "value": median(middles), "low": min(spread), "high": max(spread), "unit": measure.unit,
                "rounds": middles, "repetitions": sum(map(len, each)),
            }  # fmt: skip
            shares = [one["recall"][measure.key] for one in kept if measure.key in one["recall"]]
            if shares:
                results["measures"][measure.key]["recall"] = median(shares)
        for one in good:
            facts = one["facts"]
            if "settings" in facts:
                results["settings"], results["tried"] = facts["settings"], facts["tried"]
            if "disk" in facts:
                results["disk"] = facts["disk"]
            if "bytes" in facts:
                results["bytes"] = facts["bytes"]
            if facts.get("peak") is not None:
                known = results["memory"].setdefault(step, {"peak": 0, "private": 0, "grown": 0})
                private = max(facts.get("private") or 0, facts.get("private after") or 0)
                grown = max(0, private - (facts.get("private before") or 0))
                for name, seen in (("peak", facts["peak"]), ("private", private), ("grown", grown)):
                    known[name] = max(known[name], seen)
    return results


def ratios(systems: Mapping[str, Results]) -> dict[str, dict[str, float]]:
    """Return for each measure and other system how many times better this store is (below 1: worse)."""
    found: dict[str, dict[str, float]] = {}
    for measure in MEASURES:
        ours = _value(systems, OURS, measure.key)
        for key in systems:
            theirs = _value(systems, key, measure.key)
            if key != OURS and ours and theirs:
                found.setdefault(measure.key, {})[key] = ours / theirs if measure.more_is_better else theirs / ours
    return found


@dataclass(frozen=True)
class Aim:
    """What was aimed at, and what came of it.

    Attributes:
        aim: in words.
        measured: in words.
        ratio: the figure that decides, where there is one.
        reached: None where the run can't tell.
    """

    aim: str
    measured: str
    ratio: float | None
    reached: bool | None


def aims(systems: Mapping[str, Results], rows: int, dim: int, budget: int) -> list[Aim]:
    """Return the aims of this store, each against its baseline of the same run.

    Args:
        systems: by key, see `add_up`.
        rows: in the store.
        dim: of a vector.
        budget: bytes that a step may add to the process's private memory.
    """
    ours = systems.get(OURS, {"measures": {}, "memory": {}})
    write = _over(systems, "write", OURS, "lancedb")
    scan = _over(systems, "scan", OURS, "memmap")
    exact = _over(systems, "exact 100", "faiss", OURS)
    faster = _quotient(_value(systems, OURS, "approximate 100"), _value(systems, OURS, "exact 100"))
    reached = ours["measures"].get("approximate 100", {}).get("recall")
    disk = ours.get("disk", {}).get("vectors")
    size = disk / (2 * rows * dim) if disk else None
    batch, opened = _value(systems, OURS, "random batch"), _value(systems, OURS, "open first")
    grown = {step: found["grown"] for step, found in ours["memory"].items()}
    most = max(grown, key=lambda step: grown[step]) if grown else None
    enough = None if faster is None or rows < 1_000_000 else faster >= 20 and reached >= 0.99
    recall = "" if reached is None else f" at recall@10 {reached:.4f}"
    later = "" if rows >= 1_000_000 else " (aimed at for 1 M vectors)"
    return [
        Aim("bulk write at least LanceDB's", _times(write, "LanceDB's rows/s"), write, _if(write, lambda r: r >= 1)),
        Aim("vectors at most 1.05x raw", _times(size, "the raw bytes"), size, _if(size, lambda r: r <= 1.05)),
        Aim("scan at least 0.9x the memmap's", _times(scan, "the memmap's rows/s"), scan, _if(scan, lambda r: r >= 0.9)),
        Aim("256 random rows within 1 ms", _ms(batch), batch, _if(batch, lambda ms: ms <= 1)),
        Aim(
            "exact queries, 100 at once, at most 1.1x bare FAISS",
            _times(exact, "FAISS's time"), exact, _if(exact, lambda r: r <= 1.1),
        ),
        Aim(
            "at 1 M vectors recall@10 of .99 at 20x the exact throughput",
            _times(faster, f"the exact queries/s, 100 at once{recall}{later}"), faster, enough,
        ),
        Aim(
            "a million vectors open in under 50 ms", _ms(opened) + (later if opened else ""), opened,
            _if(opened, lambda ms: ms < 50) if rows >= 1_000_000 else None,
        ),
        Aim(
            f"no step adds more than the budget of {budget / 2**20:.0f} MiB to the memory of its own",
            f"at most {grown[most] / 2**20:.0f} MiB ({most})" if most else "not run",
            grown[most] / budget if most else None,
            all(one <= budget for one in grown.values()) if most else None,
        ),
    ]  # fmt: skip


def _value(systems: Mapping[str, Results], key: str, measure: str) -> float | None:
    found = systems.get(key, {}).get("measures", {}).get(measure)
    return None if found is None else float(found["value"])


def _quotient(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _over(systems: Mapping[str, Results], measure: str, above: str, below: str) -> float | None:
    return _quotient(_value(systems, above, measure), _value(systems, below, measure))


def _times(ratio: float | None, of: str) -> str:
    return "not run" if ratio is None else f"{ratio:.2f}x {of}"


def _ms(value: float | None) -> str:
    return "not run" if value is None else f"{value:.2f} ms"


def _if(value: float | None, test: Any) -> bool | None:
    return None if value is None else bool(test(value))
