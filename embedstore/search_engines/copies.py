"""A copy of a store in an engine, asked for the nearest: its answers as positions in the store."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedstore.errors import OutOfStepError, SearchEngineError, SettingsError
from embedstore.search_engines.milvus import Milvus
from embedstore.search_engines.record import ExportRecord
from embedstore.store.fields import as_stored, spelt
from embedstore.vectors import unit_length

if TYPE_CHECKING:
    from embedstore.analysis.exact_search import Floats, Positions
    from embedstore.store.searching import SearchableStore
    from embedstore.vectors import Vectors

ENGINES = {"milvus": Milvus}

_AT_ONCE = 1 << 18  # answers in one message


def engine_at(engine: str, uri: str | None, *, create: bool) -> Milvus:
    """Open an engine by its name and address; where there is none, the environment variable EMBEDSTORE_NAME_URI says it.

    Raises:
        SettingsError: there is no such engine, or nobody says where it is.
    """
    if engine not in ENGINES:
        raise SettingsError(f"There is no search engine '{engine}'; use one of {', '.join(ENGINES)}.")
    variable = f"EMBEDSTORE_{engine.upper()}_URI"
    address = uri or os.environ.get(variable)
    if not address:
        raise SettingsError(f"Say where {engine} is: give --uri, or set {variable}.")
    return ENGINES[engine](address, create=create)


def collection_of(store: SearchableStore) -> str:
    """Return the collection's name after the store: the folder's, without `.store`, in letters that engines take."""
    name = store.path.resolve().name
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name.removesuffix(".store")).strip("_")[:150]
    if plain and not plain[0].isdigit():
        return plain
    return f"store_{plain or hashlib.blake2b(name.encode(errors='surrogatepass'), digest_size=4).hexdigest()}"


@dataclass(frozen=True)
class Copy:
    """Rows in an engine that are the samples of a store.

    Attributes:
        engine, place: where they are.
        kind: of the index.
        store: what they are a copy of.
    """

    engine: Milvus
    place: str
    kind: str
    store: SearchableStore

    def nearest(
        self, queries: Vectors, count: int, effort: int | None, where: Mapping[str, str | None] | None = None
    ) -> tuple[Positions, Floats]:
        """Return where the nearest to each query (n, d) stand, and how near the engine says they are, both (n, count).

        Where there are fewer, positions end in -1 and similarities in -inf. `where` is by columns.

        Raises:
            OutOfStepError: the engine names a sample that the store does not have.
        """
        positions = np.full((len(queries), count), -1, np.int64)
        similarities = np.full((len(queries), count), -np.inf)
        step = max(1, _AT_ONCE // count)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            told = self.engine.search(self.place, unit_length(queries[part]), count, where or {}, self.kind, effort)
            similarities[part] = told.similarities
            ids = [one for names in told.ids for one in names]
            found = self.store.find(ids) if ids else np.zeros(0, np.int64)
            if (found < 0).any():
                raise OutOfStepError(
                    f"'{self.engine.uri}' names '{ids[int(np.argmin(found))]}', which '{self.store.path}' does not have: "
                    "somebody else changed the copy; export again."
                )
            there = np.arange(count) < np.array([len(names) for names in told.ids])[:, None]
            positions[part][there] = found
        return positions, similarities


class SearchExport:
    """An export that is in step with a store, to be asked in its place; get one by `open_export`.

    Attributes:
        copy: where it is.
        record: what it says of itself.
        collection: its name.
    """

    def __init__(self, copy: Copy, record: ExportRecord, collection: str, command: str) -> None:
        self.copy, self.record, self.collection = copy, record, collection
        self._command = command
        self._checked: int | None = None

    @property
    def most_answers(self) -> int:
        """How many answers one search may ask for."""
        return self.copy.engine.most_answers

    @property
    def exact(self) -> bool:
        """Whether it misses nothing."""
        return self.copy.engine.is_exact(self.record.kind)

    def check(self, store: SearchableStore) -> None:
        """Raise where this is no export of what a store holds at its version; once for each version; see `ExportRecord.holds`.

        Raises:
            SettingsError: it was opened for another store object.
            OutOfStepError: it holds something else, and how to export again.
        """
        if self.copy.store is not store:
            raise SettingsError(
                f"The export was opened for '{self.copy.store.path}'; open it for the store that is asked."
            )
        if self._checked == store.version:
            return
        record = self.record
        if record.view:
            raise OutOfStepError(
                f"The collection '{self.collection}' holds view {record.view}, and queries are answered by the plain one; export "
                f"that with: {self._command}"
            )
        if not record.holds(store):
            raise OutOfStepError(self._why(store))
        if (there := self.copy.engine.count(self.copy.place)) != record.count:
            raise OutOfStepError(
                f"The collection '{self.collection}' has {there:,} rows, and {record.count:,} were exported: somebody else "
                f"changed it; export again with: {self._command}"
            )
        self._checked = store.version

    def _why(self, store: SearchableStore) -> str:
        if self.record.version != store.version and self.record.has_history_of(store):
            return (
                f"The collection '{self.collection}' holds version {self.record.version} of the store '{store.path}', but it is "
                f"read at version {store.version}, which has other samples, texts or vectors; export that with: {self._command}"
            )
        return (
            f"The collection '{self.collection}' holds version {self.record.version} of another store than '{store.path}', which "
            f"is read at version {store.version}; name this one's own with --collection, or replace that with: {self._command} "
            "--overwrite"
        )

    def nearest(self, queries: Vectors, count: int, where: Mapping[str, str | None]) -> tuple[Positions, Floats]:
        """Return what `Copy.nearest` does, for conditions on the store's fields, in any Unicode form.

        Raises:
            OutOfStepError: another export has taken its place meanwhile, too.
        """
        columns = {
            self.record.columns[spelt(name)]: None if text is None else as_stored(text) for name, text in where.items()
        }
        try:
            return self.copy.nearest(queries, count, self.record.effort, columns)
        except OutOfStepError:
            raise
        except SearchEngineError as error:
            found = self.copy.engine.found(self.collection)
            if found is None or found.place == self.copy.place:
                raise
            raise OutOfStepError(
                f"The collection '{self.collection}' was exported anew since it was opened here; open it again."
            ) from error


@contextmanager
def open_export(
    store: SearchableStore, engine: str, uri: str | None = None, *, collection: str | None = None
) -> Iterator[SearchExport]:
    """Open the export of a store in a search engine, to be given to its searches: `store.query(id=..., via=export)`.

    Args:
        store: whose it is, at the version that it is opened at.
        engine: a key of `ENGINES`, such as `milvus`.
        uri: where it is; where not given, as the environment variable EMBEDSTORE_MILVUS_URI says, of another engine alike.
        collection: the name it was exported to; after the store where not given.

    Raises:
        SettingsError: the engine is unknown, or the address can't be.
        OutOfStepError: it holds something else than the store.
        SearchEngineError: there is no export, or the engine can't be reached.
        MissingPackageError: its package is not installed.
    """
    name = collection or collection_of(store)
    with closing(engine_at(engine, uri, create=False)) as opened:
        command = f"embedstore export '{store.path}' '{opened.uri}' --to {engine}"
        command += "" if collection is None else f" --collection {collection}"
        command += "" if store.pinned is None else f" --version {store.pinned}"
        found = opened.found(name)
        if found is None or not found.said:
            what = "is no export" if found is not None else "does not exist"
            raise SearchEngineError(
                f"The collection '{name}' at '{opened.uri}' {what}; export the store with: {command}"
            )
        record = ExportRecord.from_json(found.said)
        opened.load(found.place)
        export = SearchExport(Copy(opened, found.place, record.kind, store), record, name, command)
        export.check(store)
        yield export
