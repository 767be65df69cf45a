"""A copy of a store in a search engine: made beside the one before, measured, and only then put in its place."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedstore.errors import EmbedstoreError, SearchEngineError, SettingsError
from embedstore.images import FIELDS
from embedstore.search_engines.agreement import Agreement, agreement
from embedstore.search_engines.copies import Copy, collection_of, engine_at
from embedstore.search_engines.milvus import Milvus
from embedstore.search_engines.record import ExportRecord, VectorsDigest, fields_digest, history_digest, path_digest
from embedstore.store.fields import ATTRIBUTE, ID, URI, Texts
from embedstore.vectors import unit_length

if TYPE_CHECKING:
    from embedstore.analysis.exact_search import Positions
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.store.reading import StoreReader

Progress = Callable[[str, int, int], None]

_MESSAGE = 1 << 21  # bytes of rows that are sent at once, which take some ten times that on the way


@dataclass(frozen=True)
class EngineExport:
    """What an export made, and how good it is.

    Attributes:
        engine, uri, collection: where the copy is.
        version, view, count: of what.
        kind, effort: of its index, and how hard it is searched; None where there is no choice.
        exact: whether such an index misses nothing.
        recall: share of the 10 nearest by the store's exact search that the engine names; None where there is one sample alone.
        wanted: the recall that was asked for.
        faiss_overlap: the same of the 10 nearest by FAISS, with its index Flat.
        queries, seed: how many stored samples that was measured with, and of their draw.
        seconds: for all of it.
    """

    engine: str
    uri: str
    collection: str
    version: int
    view: int
    count: int
    kind: str
    effort: int | None
    exact: bool
    recall: float | None
    wanted: float
    faiss_overlap: float | None
    queries: int
    seed: int
    seconds: float


def export_to(
    store: EmbeddingStore,
    engine: str,
    uri: str | None = None,
    *,
    collection: str | None = None,
    view: int = 0,
    kind: str | None = None,
    recall: float = 0.99,
    queries: int = 200,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> EngineExport:
    """Copy the vectors of a store with ids, labels and all other fields into a search engine, and measure its answers.

    Whoever searches there meets the copy before this one until all of it is there; an export that was interrupted is never
    met, and the next one removes it. One export at a time goes to a name.

    Args:
        store: to read, at the version that it is opened at.
        engine: a key of `ENGINES`, such as `milvus`.
        uri: where it is; where not given, as the environment variable EMBEDSTORE_MILVUS_URI says, of another engine alike.
        collection: the name to search it by; after the store where not given.
        view: whose vectors; pictures, samples and texts are looked for in 0, the plain one.
        kind: of index, by the engine's own word; where not given, one that misses nothing, up to a size that the engine says.
        recall: share of the 10 nearest that a search should find; as much effort is made as that takes.
        queries: stored samples to measure it with.
        seed: of their draw.
        overwrite: replace another store's export, or that of one that lay elsewhere, or one that may still be at work.
        progress: called with (what is done, done, total).

    Raises:
        SettingsError: engine, address, collection or kind can't be, or the collection holds something else.
        StoreError: the store has no such view.
        SearchEngineError: the engine can't be reached, or fails.
        MissingPackageError: its package is not installed.
    """
    begun, told = time.perf_counter(), progress or (lambda step, done, total: None)
    _refuse(store, queries, recall)
    store.read(np.zeros(1, np.int64), view=view)  # a view that is not there is told before anything is made
    name, rows = collection or collection_of(store), Rows(store)
    with closing(engine_at(engine, uri, create=True)) as opened:
        chosen = opened.kind_for(kind, len(store))
        before = _replaced(opened, name, store, overwrite)
        place = opened.begin(name, store.dim, rows.longest, overwrite=overwrite)
        try:
            vectors = _fill(opened, place, store, view, rows, told)
            told("Indexing", 0, 1)
            opened.finish(place, chosen, len(store))
            told("Indexing", 1, 1)
            if (there := opened.count(place)) != len(store):
                raise SearchEngineError(
                    f"'{opened.uri}' has {there:,} rows where {len(store):,} were sent; see its log, and export again."
                )
            told("Measuring", 0, 1)
            copy, most = Copy(opened, place, chosen, store), opened.most_effort(chosen, len(store))
            measured = agreement(copy, view=view, most=most, wanted=recall, queries=queries, seed=seed)
            told("Measuring", 1, 1)
            record = _record(store, view, vectors, rows, chosen, measured)
            opened.publish(name, place, record.to_json())
        except BaseException:
            with suppress(EmbedstoreError):  # what can't be removed now, the next export removes
                if (now := opened.found(name)) is None or now.place != place:
                    opened.drop(place)
            raise
        if before is not None:
            opened.drop(before)
        return EngineExport(
            engine=engine,
            uri=opened.uri,
            collection=name,
            version=record.version,
            view=view,
            count=record.count,
            kind=chosen,
            effort=record.effort,
            exact=opened.is_exact(chosen),
            recall=record.recall,
            wanted=recall,
            faiss_overlap=measured.faiss,
            queries=measured.queries,
            seed=seed,
            seconds=time.perf_counter() - begun,
        )


def _refuse(store: EmbeddingStore, queries: int, recall: float) -> None:
    if not len(store):
        raise SettingsError(f"The store '{store.path}' has no samples, so there is nothing to export.")
    if queries < 1 or not 0 <= recall <= 1:
        raise SettingsError(
            f"The recall is {recall}, measured with {queries} samples; give a share from 0 to 1, and 1 or more samples."
        )


def _replaced(engine: Milvus, collection: str, store: EmbeddingStore, overwrite: bool) -> str | None:
    """Return the place that an export to a name takes the place of; raise where that is none of this store's."""
    found = engine.found(collection)
    if found is None:
        return None
    if not found.said:
        raise SettingsError(
            f"The collection '{collection}' at '{engine.uri}' is no export of a store, so it is left alone; choose another name "
            "with --collection."
        )
    if not overwrite and not ExportRecord.from_json(found.said).is_of(store):
        raise SettingsError(
            f"The collection '{collection}' at '{engine.uri}' is an export of another store, or of this one at another "
            "path; choose another name with --collection, or replace it with --overwrite."
        )
    return found.place


def _fill(  # noqa: PLR0917
    engine: Milvus, place: str, store: EmbeddingStore, view: int, rows: Rows, told: Progress
) -> str:
    """Send all rows, a message at a time, and return the hash of their vectors."""
    digest, done = VectorsDigest(store), 0
    step = max(1, _MESSAGE // (4 * store.dim + sum(rows.longest.values())))
    for positions, block in store.scan(view=view):
        digest.add(positions, block)
        for start in range(0, len(positions), step):
            part = positions[start : start + step]
            engine.insert(place, rows.at(part), unit_length(block[start : start + step]))
            done += len(part)
            told("Exporting", done, len(store))
    return digest.hexdigest()


def _record(  # noqa: PLR0917
    store: EmbeddingStore, view: int, vectors: str, rows: Rows, kind: str, measured: Agreement
) -> ExportRecord:
    return ExportRecord(
        version=store.version,
        path=path_digest(store),
        history=history_digest(store, store.version),
        fields=fields_digest(store),
        vectors=vectors,
        teacher=store.teacher,
        fingerprint=store.fingerprint,
        view=view,
        count=len(store),
        dim=store.dim,
        kind=kind,
        effort=measured.effort,
        recall=measured.recall,
        columns=rows.columns,
    )


class Rows:
    """A store's samples as rows of a collection: the texts of all of them, by column.

    Args:
        store: to read.

    Attributes:
        columns: field of the store -> column.
        longest: column -> bytes of its longest text.
    """

    def __init__(self, store: StoreReader) -> None:
        self.columns = columns_of(store)
        self._codes = {column: store.text_field(name).codes for name, column in self.columns.items()}
        self._texts: dict[str, Texts] = {}
        for name, column in self.columns.items():
            self._texts[column] = [*store.text_field(name).texts, None]  # the last, where a code of -1 leads
        self.longest = {
            column: max((len(text.encode()) for text in texts if text is not None), default=0)
            for column, texts in self._texts.items()
        }
        self.longest[URI] = max(self.longest[ID], self.longest[URI])

    def at(self, positions: Positions) -> Mapping[str, Texts]:
        """Return column -> texts (m,) of the samples at some positions; a uri that is the id is told as such."""
        found = {column: self._taken(column, positions) for column in self._texts}
        found[URI] = [uri or own for uri, own in zip(found[URI], found[ID], strict=True)]
        return found

    def _taken(self, column: str, positions: Positions) -> Texts:
        texts = self._texts[column]
        return [texts[code] for code in self._codes[column][positions].tolist()]


def columns_of(store: StoreReader) -> dict[str, str]:
    """Return field -> column: its own name; of an attribute `attribute_` and its name, or its number where that can't be."""
    columns = {name: name for name in (ID, URI, *FIELDS)}
    for number, name in enumerate(store.attribute_names):
        column = f"attribute_{name if re.fullmatch('[A-Za-z0-9_]{1,100}', name) else number}"
        while column in columns.values():
            column += "_"
        columns[ATTRIBUTE + name] = column
    return columns
