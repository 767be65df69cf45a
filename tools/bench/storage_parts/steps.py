"""The steps: what is done to one system in one process, and how long each repetition took."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage_parts.systems.system import TUNED_TO, NotOfferedError, Settings, System, Where, size
from storage_parts.vectors import MACHINES, TUNING, Rows, Vectors, recall

TOP = 10
BATCH = 100  # queries
RANDOM = 256  # rows in a random batch
FEW = 2_000  # rows written to warm up
PATIENCE = 30  # seconds for repetitions of a query; then those done must do
Ask = Callable[[Vectors, int], Any]
FILTERS: dict[str, Where] = {"rare": {"label": "crack"}, "common": {"label": "good"}}  # 1 % and 90 % of the rows
DELETED: Where = {"machine": MACHINES[-1]}


@dataclass
class Outcome:
    """What a step found out.

    Attributes:
        seconds: for each measure, how long each repetition took.
        work: for each measure, how many rows or queries one repetition is.
        recall: for each measure of queries, the share of right answers.
        facts: anything else.
        began: when memory was first measured, by the clock of `time.time`.
        ended: when it was last measured.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    work: dict[str, int] = field(default_factory=dict)
    recall: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    began: float = 0.0
    ended: float = 0.0

    def begin(self) -> None:
        """Measure memory from here on; the peak is set back, where the system allows."""
        self.facts["held"], self.facts["private before"] = memory("VmRSS"), memory("RssAnon")
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", "ascii")
        self.began = time.time()

    def end(self) -> None:
        """Measure memory up to here; the last time counts."""
        self.facts["peak"], self.facts["private after"] = memory("VmHWM"), memory("RssAnon")
        self.ended = time.time()

    @contextmanager
    def timed(self, measure: str, work: int) -> Iterator[None]:
        """Add what happens inside as one repetition."""
        started = time.perf_counter()
        yield
        self.seconds.setdefault(measure, []).append(time.perf_counter() - started)
        self.work[measure] = work


@dataclass(frozen=True)
class Truth:
    """What the right answers need to reach, see `vectors.true_scores`; `needed` is by name of filter, "all" for none."""

    rows: Rows
    needed: dict[str, Vectors]

    def recall(self, queries: slice, numbers: npt.NDArray[np.int64], name: str) -> float:
        """Return the recall of answers (n, top) to some of the queries under the named filter."""
        mask = self.rows.mask(FILTERS.get(name, {}))
        return recall(self.rows, self.rows.queries[queries], numbers, self.needed[name][queries], mask)


def write(system: System, truth: Truth, found: Outcome) -> None:
    """Write all rows, synced, after a few others elsewhere: what a process does only once is not measured."""
    system.load()
    few = replace(truth.rows, count=min(FEW, truth.rows.count))
    aside = type(system)(system.folder.with_name(f"{system.folder.name}-few"), few, {}, system.threads, system.budget)
    aside.prepare()
    aside.write()
    shutil.rmtree(aside.folder)
    system.prepare()
    found.begin()
    with found.timed("write", truth.rows.count):
        system.write()
    found.end()
    found.facts["disk"] = system.disk()


def open_(system: System, truth: Truth, found: Outcome) -> None:
    """Open: the first time in a process, then ten times more."""
    system.load()
    found.begin()
    with found.timed("open first", 1):
        count = system.open()
    if count != truth.rows.count:
        raise AssertionError(f"{system.name} holds {count} rows, not {truth.rows.count}.")
    for _ in range(10):
        system.close()
        with found.timed("open", 1):
            system.open()
    found.end()
    system.close()


def scan(system: System, truth: Truth, found: Outcome) -> None:
    """Read all vectors in order, six times, the first apart; last block and sum are compared with what was written."""
    with opened(system, found):
        for repetition in range(6):
            count, last = 0, np.zeros((0, 0))
            with found.timed("scan" if repetition else "scan first", truth.rows.count):
                for block in system.scan():
                    count, last = count + len(block), block
        found.end()
        total = sum(float(block.sum(dtype=np.float64)) for block in system.scan())
        expected = sum(float(truth.rows.vectors[a:b].sum(dtype=np.float64)) for a, b in truth.rows.chunks())
        same = np.array_equal(last, truth.rows.vectors[count - len(last) :]) if system.ordered else True
        if count != truth.rows.count or abs(total - expected) > 1e-6 * truth.rows.count or not same:
            raise AssertionError(f"The scan of {system.name} gave other vectors than were written.")


def random(system: System, truth: Truth, found: Outcome) -> None:
    """Read random batches of 256 rows, the first apart; the last is compared with what was written."""
    with opened(system, found):
        drawn = np.random.default_rng(1).integers(0, truth.rows.count, (301, RANDOM))
        for number, positions in enumerate(drawn):
            with found.timed("random batch" if number else "random batch first", RANDOM):
                last = system.read(positions)
        found.end()
        if last.dtype != np.float32 or not np.array_equal(last, truth.rows.vectors[drawn[-1]]):
            raise AssertionError(f"The random batch of {system.name} holds other vectors than were written.")


def exact(system: System, truth: Truth, found: Outcome) -> None:
    """Ask exactly; and once more for ids and labels, of systems that keep them."""
    with opened(system, found):
        _ask(system, truth, found, "exact", system.exact, "all")
        queries, began = truth.rows.queries[:-TUNING], time.perf_counter()
        with suppress(NotOfferedError):
            system.records(queries[:2], TOP)
            for start in range(0, len(queries), BATCH):
                with found.timed(f"records {BATCH}", BATCH):
                    system.records(queries[start : start + BATCH], TOP)
                if time.perf_counter() - began > PATIENCE:
                    break


def index(system: System, truth: Truth, found: Outcome) -> None:
    """Build the index, then choose the fastest settings that reach the recall on the tuning queries."""
    with opened(system, found):
        with found.timed("index", truth.rows.count):
            system.build_index()
        found.end()
        system.close()
        found.facts["disk"] = system.disk()
        system.open()
        tuning = slice(len(truth.rows.queries) - TUNING, None)
        queries = truth.rows.queries[tuning]
        tried: list[tuple[bool, float, float, Settings]] = []
        for ladder in system.ladders():
            for settings in ladder:
                system.settings = settings
                answers = system.approximate(queries, TOP)
                reached = truth.recall(tuning, system.row_numbers(answers, TOP), "all")
                started = time.perf_counter()
                system.approximate(queries, TOP)
                tried.append((reached >= TUNED_TO, reached, time.perf_counter() - started, settings))
                if reached >= TUNED_TO:
                    break
        best = min(tried, key=lambda one: (not one[0], one[2] if one[0] else -one[1]))
        found.facts["settings"] = best[3]
        found.facts["tried"] = [{"recall": one[1], "seconds": one[2], **one[3]} for one in tried]


def approximate(system: System, truth: Truth, found: Outcome) -> None:
    """Ask by the index."""
    with opened(system, found):
        _ask(system, truth, found, "approximate", system.approximate, "all")


def filtered(system: System, truth: Truth, found: Outcome) -> None:
    """Ask under a filter that few rows pass, and one that most pass."""
    with opened(system, found):
        for name, where in FILTERS.items():
            _ask(system, truth, found, f"filtered {name}", partial(system.filtered, where=where), name)


def delete(system: System, truth: Truth, found: Outcome) -> None:
    """Delete a fifth of the rows, compact, and look whether the right number is left."""
    with opened(system, found):
        left = int((~truth.rows.mask(DELETED)).sum())
        before = size(system.folder)
        with found.timed("delete", truth.rows.count - left):
            system.delete(DELETED)
        deleted = size(system.folder)
        try:
            with found.timed("compact", truth.rows.count):
                system.compact()
        finally:
            found.end()
            found.facts["bytes"] = {"before": before, "deleted": deleted, "compacted": size(system.folder)}
            system.close()
            count = system.open()
            if count != left:
                raise AssertionError(f"{system.name} holds {count} rows after the deletion, not {left}.")


@contextmanager
def opened(system: System, found: Outcome) -> Iterator[None]:
    """Import, open, and close in the end; memory is measured from before it is opened."""
    system.load()
    found.begin()
    system.open()
    try:
        yield
    finally:
        system.close()


def memory(what: str) -> int | None:
    """Return a line of this process's status in bytes: `VmRSS` or `RssAnon` now, `VmHWM` at most; None where there is none."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
    return None


def _ask(system: System, truth: Truth, found: Outcome, measure: str, ask: Ask, name: str) -> None:  # noqa: PLR0917
    queries = truth.rows.queries[:-TUNING]
    ask(queries[:2], TOP)  # so that what is read once is read
    for together in (1, BATCH):
        answers, began = [], time.perf_counter()
        for start in range(0, BATCH if together == 1 else len(queries), together):
            with found.timed(f"{measure} {together}", together):
                answer = ask(queries[start : start + together], TOP)
            answers.append(system.row_numbers(answer, TOP))
            if time.perf_counter() - began > PATIENCE:
                break
        found.end()
        numbers = np.concatenate(answers)
        found.recall[f"{measure} {together}"] = truth.recall(slice(0, len(numbers)), numbers, name)


STEPS: dict[str, Callable[[System, Truth, Outcome], None]] = {
    "write": write,
    "open": open_,
    "scan": scan,
    "random": random,
    "exact": exact,
    "index": index,
    "approximate": approximate,
    "filtered": filtered,
    "delete": delete,
}
