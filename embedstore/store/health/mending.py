"""Mending: makes a store of what could be salvaged, as one new version where samples changed; runs apart, see `isolation`.

A lost block of embeddings, or rows whose ids nobody can tell: their samples leave the newest version. What is known of those
with an id is kept as *lost*, and the next build that meets their pictures gives it back to them. Where only vectors of a
further output were lost, no sample leaves: the newest version does without that column until a build has filled it again. Nor
does one leave for an augmented view: the newest version has those before it, until a build makes as many as there were. A
lost block of another field is empty, and so is what the source said of it last, so that the next build takes the source's
word anew. Earlier versions that are not what they were can't be read any more; a version never says another thing than it
did.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError, StoreError
from embedstore.store import layout
from embedstore.store.data_file import DATA, missing_bytes, put_placeholders
from embedstore.store.environment import make_environment, open_environment
from embedstore.store.fields import ATTRIBUTE, ID, SAID
from embedstore.store.health.completion import Completion
from embedstore.store.health.isolation import Event, Tell, Teller
from embedstore.store.health.problems import NOTES, Kind, Places, Problem
from embedstore.store.health.raw import RawStore
from embedstore.store.health.salvage import Salvaged, salvage
from embedstore.store.health.soundness import Examination
from embedstore.store.health.verification import FRESH, WHOLE, current_generation, examine_generation
from embedstore.store.layout import BLOCK, FIELDS, META, ROWS, Column
from embedstore.store.rows import by_block, visible
from embedstore.store.tables import Compacted, Tables
from embedstore.store.writing import Writer, next_head
from embedstore.teachers.protocol import EMBEDDING

_LIGHT = {Kind.CURRENT, Kind.INDEX}
_LEAVE = {Kind.NAMELESS, Kind.MISNAMED, Kind.DUPLICATE, Kind.HOLE, Kind.INFINITE}


def work(path: str, tell: Tell) -> None:
    """Make a sound generation `NNNN.new` beside the damaged one, where that is needed, and tell what was done.

    Raises:
        StoreError: what is left is not enough for a store; nothing was changed.
    """
    store, progress = Path(path), Teller(tell)
    generation, found = current_generation(store)
    try:
        if generation is None:
            raise CorruptStoreError("none of its data files holds a store")
        source = _whole(generation)
        with RawStore(source) as raw:
            found += [one for one in examine_generation(raw, generation, progress) if isinstance(one, Problem)]
    except CorruptStoreError as error:
        raise StoreError(
            f"The data file of '{store}' can't be opened ({error}); restore the store from a copy. Nothing was changed."
        ) from error
    kinds = {problem.kind for problem in found} - set(NOTES)
    tell({"used": generation.name, "kinds": sorted(kinds)})
    if kinds <= _LIGHT:
        return
    names = [re.match(r"[0-9]{4,8}(?![^.])", one.name) for one in (store / layout.GENERATIONS).iterdir()]
    fresh = generation.with_name(f"{max(int(name[0]) for name in names if name) + 1:04d}{FRESH}")
    make_environment(fresh).release()
    _mend(source, fresh, Completion(store), tell)
    layout.sync_directory(fresh)
    rest = [problem for problem in _examined(fresh, progress)[1] if problem.kind not in NOTES]
    if rest:
        what = ", ".join(sorted({f"{problem.kind} ({problem.where})" for problem in rest}))
        raise StoreError(
            f"The store '{store}' could not be made sound: {what}; restore it from a copy. Nothing was changed."
        )
    tell({"fresh": fresh.name})


def _whole(generation: Path) -> Path:
    """Return a generation whose data file has all its pages: where it is cut off, a copy that has others in their place.

    A page beyond the end of the file would end the process. What stands in its place fails its checksum.
    """
    if not missing_bytes(generation / DATA):
        return generation
    whole = generation.with_name(f"{generation.name}{WHOLE}{FRESH}")
    whole.mkdir()
    shutil.copyfile(generation / DATA, whole / DATA)
    put_placeholders(whole / DATA)
    return whole


def _mend(generation: Path, fresh: Path, completion: Completion, tell: Tell) -> None:
    """Fill a fresh generation with what can be kept."""
    progress = Teller(tell)
    with _writing(fresh) as session:
        with RawStore(generation) as raw:
            left = salvage(raw, session, progress)
        for event in completion.run(session, left):
            tell(event)
    examination, problems = _examined(fresh, progress)
    wrong = [problem.rows // BLOCK for problem in problems if problem.kind in {Kind.NAMELESS, Kind.MISNAMED}]
    if sum(map(len, wrong)):
        with _writing(fresh) as session:
            completion.restore_ids(session, np.unique(np.concatenate(wrong)).tolist())
        examination, problems = _examined(fresh, progress)
    with _writing(fresh) as session:
        for event in _Ending(session, left, completion, examination, problems).run():
            tell(event)


class _Ending:
    """Takes out of the newest version what can't stay, and closes versions that are not what they were."""

    def __init__(
        self,
        session: Writer,
        left: Salvaged,
        first: Completion,
        examination: Examination,
        problems: list[Problem],
    ):
        self._session, self._left, self._first = session, left, first
        self._rows, self._head = examination.rows, first.head
        self._readable = set(examination.versions.tolist())
        self._changed = {version for problem in problems for version in problem.versions} | {
            version for version in self._readable if any(start <= version < end for start, end in first.changed)
        }
        further: dict[Column, list[Places]] = {}
        leaving = [np.zeros(0, np.int64)]
        for problem in problems:
            if problem.column is not None and (problem.column.output != EMBEDDING or problem.column.view > 0):
                further.setdefault(problem.column, []).append(problem.rows)
            elif problem.kind in _LEAVE:
                leaving.append(problem.rows)
        self._leaving = np.unique(np.concatenate(leaving))
        # A build gives further outputs and views back to the samples that stay, so none leaves for them.
        lacking = {column: np.setdiff1d(np.concatenate(rows), self._leaving) for column, rows in further.items()}
        self._incomplete = {column: rows for column, rows in lacking.items() if len(rows)}
        lost = (column.view - 1 for column in self._incomplete if column.output == EMBEDDING and self._is_used(column))
        self._views = min(lost, default=self._head.views)
        stays = visible(self._rows, self._head.version)
        stays[self._leaving] = False
        self._stays = np.flatnonzero(stays)

    def run(self) -> Iterator[Event]:
        """Do all of it."""
        first = self._first
        version = self._head.version
        if len(self._leaving) or first.lost_rows or first.emptied or first.unsure or self._incomplete:
            version = self._session.begin()
            emptied = yield from self._empty_fields(version)
            lost = yield from self._keep_lost(version)
            if not lost and not len(self._stays) and (len(self._leaving) or first.lost_rows):
                raise first.hopeless("nothing of its samples is left")
            details = {"removed": max(lost, len(self._leaving)), "updated": emptied}
            columns = (column for column in self._head.columns if column not in self._incomplete)
            kept = tuple(column for column in columns if column.view <= self._views or not self._is_used(column))
            head = replace(next_head(self._head), columns=kept)
            self._drop_incomplete()
            self._session.publish(
                head, "repair", details={name: count for name, count in details.items() if count}, died=self._leaving
            )
        seen = [column for column in self._incomplete if column.view <= self._views]
        if outputs := sorted({column.output for column in seen} - {EMBEDDING}):
            yield {"list": "outputs_incomplete", "names": outputs}
        if lost_views := self._head.views - self._views:
            yield {"views": self._views, "views_incomplete": lost_views}
        yield {"version": version, "samples": len(self._stays)}
        yield from self._close_versions(version)
        yield from self._drop_summaries()
        for database in (layout.LOG, layout.LOST, layout.ASIDE):
            if count := len(self._left.damaged.get(database, [])):
                yield {"dropped": database.decode(), "count": count}
        for database in (layout.TAGS, layout.SUMMARIES):
            names = [key.decode(errors="replace") for key in self._left.damaged.get(database, [])]
            if names:
                yield {"list": database.decode(), "names": names}
        for database in {*self._left.torn, *self._left.fewer} - {ROWS, layout.VECTORS, FIELDS, META}:
            yield {"said": f"Entries of the table '{database.decode()}' are missing, and nothing says which."}

    def _is_used(self, column: Column) -> bool:
        """Return whether a column is of the teacher in use."""
        return column.space == self._head.space

    def _drop_incomplete(self) -> None:
        """Forget what stands in place of lost vectors of outputs and views, for a build takes what is there as good."""
        for column, rows in self._incomplete.items():
            for _, inside in by_block(rows):

                def drop(tables: Tables, column: Column = column, rows: Places = rows[inside]) -> None:
                    tables.drop_vectors(column, rows)

                self._session.write(drop)

    def _empty_fields(self, version: int) -> Generator[Event, None, int]:
        """Empty the lost blocks of fields, with what the source said of them; return of how many samples."""
        names = self._session.read(lambda tables: tables.names())
        seen = np.flatnonzero(visible(self._rows, self._head.version))
        touched: set[int] = set()
        for number, block in sorted(self._first.emptied):
            own = seen[seen // BLOCK == block]
            if not len(own):
                continue
            empty = {name: [None] * len(own) for name in (names[number], _twin(names[number]))}

            def put(tables: Tables, own: Places = own, empty: dict[str, list[None]] = empty) -> None:
                tables.put_fields(own, empty, version)

            self._session.write(put)
            touched.update(own.tolist())

            def read(tables: Tables, block: int = block, own: Places = own) -> list[str | None]:
                return _texts(tables.field_block(ID, block, version), own)

            ids = self._session.read(read)
            yield {"emptied": names[number], "ids": [text for text in ids if text is not None]}
        return len(touched)

    def _keep_lost(self, version: int) -> Generator[Event, None, int]:
        """Keep what is known of samples that leave, where no other row has their id; return of how many."""
        there = {self._rows["key"][row].tobytes() for row in self._stays.tolist()} if self._gone() else set()
        names = self._session.read(lambda tables: tables.names())
        lost = nameless = 0
        for block in sorted(self._gone()):
            rows = self._leaving[self._leaving // BLOCK == block]
            if block in self._first.lost_rows:
                rows = np.arange(block * BLOCK, (block + 1) * BLOCK)

            def read(tables: Tables, block: int = block, rows: Places = rows) -> list[dict[str, str]]:
                columns = {name: _texts(tables.field_block(name, block, version), rows) for name in names}
                found = [{name: texts[at] for name, texts in columns.items()} for at in range(len(rows))]
                return [{name: text for name, text in one.items() if text is not None} for one in found]

            fields = self._session.read(read)
            keep, keys = [], self._rows["key"][rows]
            for one, key in zip(fields, keys, strict=True):
                right = ID in one and (block in self._first.lost_rows or layout.id_key(one[ID]) == key.tobytes())
                if right and layout.id_key(one[ID]) not in there:
                    keep.append(one)
                nameless += not right and block not in self._first.lost_rows

            def put(tables: Tables, keep: list[dict[str, str]] = keep) -> None:
                for one in keep:
                    tables.put_lost(one)

            self._session.write(put)
            lost += len(keep)
            yield {"lost": [one[ID] for one in keep]}
        if nameless:
            yield {"nameless": nameless}
        return lost

    def _gone(self) -> set[int]:
        return {*self._first.lost_rows, *(self._leaving // BLOCK).tolist()}

    def _close_versions(self, newest: int) -> Iterator[Event]:
        """Make the versions unreadable that are not what they were, and take their tags."""
        compacted = self._session.read(lambda tables: tables.compacted())
        logged = self._session.read(lambda tables: [int(entry["version"]) for entry in tables.log()])
        before = {version for version in {*logged, *self._readable} if compacted.left(version)}
        kept = self._readable - self._changed
        closed = sorted(before - kept - {newest})
        tags = self._session.read(lambda tables: tables.tags())
        dropped = [name for name, version in tags.items() if version not in {*kept, newest}]

        def put(tables: Tables) -> None:
            if closed:
                tables.put_compacted(Compacted(newest, tuple(sorted({*kept, newest}))))
            for name in dropped:
                tables.drop_tag(name)

        self._session.write(put)
        if closed:
            yield {"versions": closed}
        if dropped:
            yield {"list": "tags", "names": dropped}

    def _drop_summaries(self) -> Iterator[Event]:
        from embedstore.summaries import Summary

        def find(tables: Tables) -> list[str]:
            spaces = tables.spaces()
            made = {name: tables.summary(name) for name in tables.summary_names()}
            return [
                n for n, data in made.items() if data is not None and Summary.from_bytes(data).fingerprint not in spaces
            ]

        foreign = self._session.read(find)

        def drop(tables: Tables) -> None:
            for name in foreign:
                tables.drop_summary(name)

        self._session.write(drop)
        if foreign:
            yield {"list": "summaries", "names": foreign}


def _examined(generation: Path, progress: Teller) -> tuple[Examination, list[Problem]]:
    with RawStore(generation) as raw:
        examination = Examination(raw, progress)
        return examination, list(examination.run())


@contextmanager
def _writing(generation: Path) -> Iterator[Writer]:
    environment = open_environment(generation)
    try:
        yield Writer(environment)
    finally:
        environment.release()


def _texts(block: tuple[list[str], npt.NDArray[np.int32]], rows: Places) -> list[str | None]:
    """Return the texts of some rows of a block of a field."""
    texts, codes = block
    known = [*texts, None]
    return [known[code] for code in codes[rows % BLOCK].tolist()]


def _twin(name: str) -> str:
    """Return the field that holds what the source said last of a field."""
    return SAID + (f"attribute {name.removeprefix(ATTRIBUTE)}" if name.startswith(ATTRIBUTE) else name)
