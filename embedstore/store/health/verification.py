"""Verification: reads every byte that a store uses and says what is wrong, without changing anything."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedstore.errors import CorruptStoreError, NotAStoreError, StoreError
from embedstore.store import layout
from embedstore.store.data_file import DATA, missing_bytes
from embedstore.store.health import isolation
from embedstore.store.health.isolation import DiedError, Event, Tell, Teller
from embedstore.store.health.problems import NOTES, Kind, Problem
from embedstore.store.health.raw import RawStore
from embedstore.store.health.sentences import sentences
from embedstore.store.health.soundness import Examination

Progress = Callable[[int, int], None]  # entries read, entries in all

# Generations that no code uses: what a repair kept aside, and began; and its copy of a file that was cut off.
DAMAGED, FRESH, WHOLE = ".damaged", ".new", ".whole"

_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or worth a note, in one sentence each.

    Attributes:
        kind: a word for programs; see `soundness.Kind`.
        what: what is wrong.
        where: in which part of the store.
        examples: which of them; the first few.
        count: how many.
        mend: what to do.
    """

    kind: str
    what: str
    where: str
    examples: tuple[str, ...]
    count: int
    mend: str


@dataclass(frozen=True)
class VerificationReport:
    """What a verification found.

    Attributes:
        path: of the store.
        generation: the name of the directory that was read.
        version: the newest; None where that can't be told.
        samples: of the newest version.
        entries: how many were read.
        bytes: size of the data file.
        findings: what is wrong.
        notes: what is worth knowing, and no error.
        seconds: how long it took.
    """

    path: str
    generation: str | None
    version: int | None
    samples: int
    entries: int
    bytes: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(path: str | os.PathLike[str], progress: Progress | None = None) -> VerificationReport:
    """Read all of a store, in a process of its own, and return what is wrong with it; nothing is changed.

    A writer is neither waited for nor stopped; what it writes meanwhile is not looked at. Where LMDB ends the process that
    reads, or that says nothing for `isolation.SILENCE_SECONDS`, this is a finding like others.

    Args:
        path: the store.
        progress: called with (entries read, entries in all).

    Raises:
        NotAStoreError: there is no store at `path`.
        StoreError: the store is of another format version.
    """
    store = Path(path)
    refuse_no_store(store)
    while True:
        report = report_of(store, isolation.run("verify", isolation.as_path(store)), progress)
        if report.clean or not _replaced(store, report.generation):
            return report


def _replaced(store: Path, generation: str | None) -> bool:
    """Return whether a compaction has put another generation in place of this one, which it may have removed by halves."""
    try:
        used = layout.read_current(store)
    except StoreError:
        return False
    return generation is not None and used.name != generation and used.is_dir()


def report_of(path: Path, events: Iterable[Event], progress: Progress | None = None) -> VerificationReport:
    """Put what `work` tells together: problems of one kind and part of the store become one finding."""
    started = time.monotonic()
    found: dict[tuple[str, str], tuple[int, list[str]]] = {}
    facts: dict[str, Any] = {"generation": None, "version": None, "samples": 0, "entries": 0, "bytes": 0}
    where = "before the first entry"
    try:
        for event in events:
            if "problem" in event:
                key = event["problem"], event["where"]
                count, examples = found.setdefault(key, (0, []))
                if len(examples) < _EXAMPLES and event["example"]:
                    examples.append(event["example"])
                found[key] = count + event["count"], examples
            elif "progress" in event:
                where = f"after {event['progress']:,} of {event['total']:,} entries"
                if progress is not None:
                    progress(event["progress"], event["total"])
            else:
                facts |= event
    except DiedError as error:
        found[Kind.STOPPED, where] = 1, [str(error), *_cut_off(path, facts["generation"])]
    findings: list[Finding] = []
    notes: list[Finding] = []
    for (kind, part), (count, examples) in found.items():
        what, mend = sentences(Kind(kind), str(path))
        (notes if kind in NOTES else findings).append(Finding(kind, what, part, tuple(examples), count, mend))
    return VerificationReport(
        path=str(path), findings=tuple(findings), notes=tuple(notes), seconds=time.monotonic() - started, **facts
    )


def refuse_no_store(path: Path) -> None:
    """Raise where there is nothing that could be a store, or one of another format."""
    try:
        layout.read_current(path)
    except CorruptStoreError:
        return
    except NotAStoreError:
        if not layout.generations(path):
            raise


def work(path: str, tell: Tell) -> None:
    """Examine a store and tell what `report_of` takes; opens damaged files, so call it where that may end the process."""
    for found in examine(Path(path), Teller(tell)):
        tell(_event(found) if isinstance(found, Problem) else found)


def examine(path: Path, progress: Progress) -> Iterator[Problem | Event]:
    """Yield what is wrong with a store, and facts about it."""
    generation, problems = current_generation(path)
    yield from problems
    yield from _leftovers(path, generation)
    if generation is None:
        return
    yield {"generation": generation.name}
    try:
        size = (generation / DATA).stat().st_size
    except OSError as error:
        yield Problem(Kind.UNREADABLE, f"'{generation.name}/{DATA}'", error.strerror or "")
        return
    yield {"bytes": size}
    try:
        raw = RawStore(generation)
    except CorruptStoreError as error:
        yield Problem(Kind.UNREADABLE, f"'{generation.name}/{DATA}'", str(error))
        return
    with raw:
        yield from examine_generation(raw, generation, progress)


def examine_generation(raw: RawStore, generation: Path, progress: Progress) -> Iterator[Problem | Event]:
    """Yield what is wrong with an opened generation and its index, and facts about it."""
    from embedstore.store.index_file import problems as index_problems

    examination = Examination(raw, progress)
    yield from examination.run()
    rows = raw.row_count or len(examination.rows)
    for sentence in index_problems(generation, examination.space, rows, examination.spaces):
        yield Problem(Kind.INDEX, "the index", sentence)
    head = examination.head
    yield {
        "version": None if head is None else head.version,
        "samples": examination.samples,
        "entries": examination.done,
    }


def current_generation(path: Path) -> tuple[Path | None, list[Problem]]:
    """Return the generation in use, and what is wrong with CURRENT; where that can't be used, the newest that has a head."""
    problems = []
    try:
        generation = layout.read_current(path)
        if generation.is_dir():
            return generation, []
        problems.append(Problem(Kind.CURRENT, "'CURRENT'", f"it names {generation.name}, which is not there"))
    except (CorruptStoreError, NotAStoreError) as error:
        if not layout.generations(path):
            raise
        problems.append(
            Problem(Kind.CURRENT, "'CURRENT'", "it is missing" if isinstance(error, NotAStoreError) else "damaged")
        )
    for candidate in reversed(layout.generations(path)):
        try:
            with RawStore(candidate) as raw:
                if raw.meta(b"head") is not None or raw.count(layout.LOG):
                    return candidate, problems
        except StoreError:
            continue
    return None, problems


def _leftovers(path: Path, used: Path | None) -> Iterator[Problem]:
    for left in sorted((path / layout.GENERATIONS).glob("*")):
        if used is not None and left.name == used.name:
            continue
        if DAMAGED in left.name:
            yield Problem(Kind.KEPT_ASIDE, f"'{layout.GENERATIONS}/{left.name}'")
        elif re.fullmatch(rf"[0-9]{{4,8}}({re.escape(WHOLE)})?({re.escape(FRESH)})?", left.name):
            yield Problem(Kind.LEFT, f"'{layout.GENERATIONS}/{left.name}'")


def _cut_off(path: Path, generation: str | None) -> Iterator[str]:
    if generation is not None and (missing := missing_bytes(path / layout.GENERATIONS / generation / DATA)):
        yield f"{missing:,} bytes are missing at the end of the data file"


def _event(problem: Problem) -> Event:
    return {"problem": problem.kind, "where": problem.where, "example": problem.example, "count": problem.count}
