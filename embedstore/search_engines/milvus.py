"""Milvus through pymilvus: a server by its address, or milvus-lite, which is a folder whose name ends in `.db`.

A collection's name is an *alias*. Each export fills a collection of its own, and the alias moves to it when it is complete, in
one step; so the alias is the mark "complete", and who searches by name never meets half an export. What an export says of
itself is a property of its collection.
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from embedstore.errors import MissingPackageError, SearchEngineError, SettingsError
from embedstore.store.fields import ID, Texts
from embedstore.vectors import Vectors

TOKEN = "EMBEDSTORE_MILVUS_TOKEN"  # noqa: S105  the name of an environment variable
CONNECT_SECONDS = 10.0
_CALL_SECONDS = 120.0
_VECTOR = "vector"  # the column beside those of the fields
_SAID = "embedstore"  # the property of a collection that holds what its export says of itself
_LOCAL = ".db"
_AT_WORK = 6 * 3600  # seconds for which an export that is not complete may be at work, and not killed
_LONGEST_TEXT = 65_535  # bytes of a VARCHAR
_EXACT_UP_TO = 200_000  # vectors; from there on a search that looks at all of them takes too long
_LEAST_CANDIDATES, _MOST_CANDIDATES = 16, 4096  # that a search in a graph follows
_KINDS = ("FLAT", "IVF_FLAT", "HNSW", "AUTOINDEX")
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
_users: Counter[str] = Counter()  # of each folder in this process; its server ends with the last


@dataclass(frozen=True)
class Found:
    """What lies under a collection's name.

    Attributes:
        place: the collection that the name leads to now.
        said: what its export said of itself; None where it is nothing of ours.
    """

    place: str
    said: str | None


@dataclass(frozen=True)
class Told:
    """What Milvus answers to n queries, best first.

    Attributes:
        ids: n lists of up to as many as were asked for.
        similarities: (n, k) inner products in its float32; -inf where there are fewer.
    """

    ids: Sequence[Sequence[str]]
    similarities: npt.NDArray[np.float64]


class Milvus:
    """A server or a local folder. Whatever goes wrong there is a `SearchEngineError` in one sentence.

    A server's token comes from the environment: EMBEDSTORE_MILVUS_TOKEN.

    Attributes:
        uri: where it is, as it was given.
        most_answers: that one search may ask for.

    Args:
        uri: `http://host:19530`, `https://...`, or a path that ends in `.db`.
        create: make that folder where there is none.

    Raises:
        SettingsError: that is no address, or it holds a password.
        SearchEngineError: nobody answers there, or another process has the folder open.
        MissingPackageError: pymilvus, or milvus-lite for a folder, is not installed.
    """

    most_answers = 16_384

    def __init__(self, uri: str, *, create: bool) -> None:
        self.uri = uri
        self._folder = os.path.abspath(uri) if uri.endswith(_LOCAL) and "://" not in uri else None
        _refuse_address(uri, self._folder, create)
        self._client = _connected(uri, self._folder)

    def close(self) -> None:
        """Let go of it; milvus-lite gives its folder free for others."""
        with _quiet():
            self._client.close()
        _release(self._folder)

    # What there is

    def kind_for(self, asked: str | None, count: int) -> str:
        """Return the kind of index that was asked for; else FLAT, which is exact, up to 200,000 vectors, then HNSW.

        Raises:
            SettingsError: there is no such kind.
        """
        if asked is None:
            return "FLAT" if count <= _EXACT_UP_TO else "HNSW"
        if asked.upper() not in _KINDS:
            raise SettingsError(f"Milvus has no index '{asked}' here; use one of {', '.join(_KINDS)}.")
        return asked.upper()

    def is_exact(self, kind: str) -> bool:
        """Return whether an index of this kind misses nothing."""
        return kind == "FLAT"

    def most_effort(self, kind: str, count: int) -> int | None:
        """Return the highest effort: lists that there are, or candidates to follow in a graph; None where there is no choice."""
        return {"IVF_FLAT": _lists(count), "HNSW": _MOST_CANDIDATES}.get(kind)

    def found(self, collection: str) -> Found | None:
        """Return what the alias leads to; None where there is nothing."""
        from pymilvus.exceptions import MilvusException

        with _told(self.uri):
            if not self._client.has_collection(collection, timeout=_CALL_SECONDS):
                return None
            try:
                place = str(self._client.describe_alias(collection, timeout=_CALL_SECONDS)["collection_name"])
            except MilvusException:  # it is a collection by itself, which no export makes
                return Found(collection, None)
            return Found(place, self._said(place))

    def _said(self, place: str) -> str | None:
        properties = self._client.describe_collection(place, timeout=_CALL_SECONDS).get("properties") or {}
        said = properties.get(_SAID)
        return None if said is None else str(said)

    def load(self, place: str) -> None:
        """Load a collection into memory, where it is not there already."""
        with _told(self.uri):
            self._client.load_collection(place)

    def count(self, place: str) -> int:
        """Return how many rows a collection has, counted by the server."""
        with _told(self.uri):
            (row,) = self._client.query(place, filter="", output_fields=["count(*)"], timeout=_CALL_SECONDS)
        return int(row["count(*)"])

    # An export

    def begin(self, collection: str, dim: int, longest: Mapping[str, int], *, overwrite: bool) -> str:
        """Make an empty collection that no name leads to yet, and remove those that interrupted exports left.

        Args:
            collection: the name that is to lead to it.
            dim: of the vectors.
            longest: column -> bytes of its longest text; all but `id` may lack texts.
            overwrite: remove those, too, that another export may be at work at.

        Raises:
            SettingsError: a text is too long for a VARCHAR, or the name is none.
            SearchEngineError: another export to the name may be at work.
        """
        from pymilvus import DataType, MilvusClient

        if not re.fullmatch(r"[A-Za-z_]\w{0,199}", collection, re.ASCII):
            raise SettingsError(
                f"The name '{collection}' can't be a collection in Milvus; give --collection with up to 200 letters from a to z, "
                "digits and underscores."
            )
        for name, size in longest.items():
            if size > _LONGEST_TEXT:
                raise SettingsError(
                    f"A text in the column '{name}' has {size:,} bytes, and Milvus takes up to {_LONGEST_TEXT:,}; shorten it in "
                    "the store first."
                )
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        for name, size in longest.items():
            key = {"is_primary": True} if name == ID else {"nullable": True}
            schema.add_field(name, DataType.VARCHAR, max_length=max(1, size), **key)
        schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=dim)
        place = f"{collection}__{int(time.time()):08x}{secrets.token_hex(4)}"
        with _told(self.uri):
            self._sweep(collection, overwrite)
            self._client.create_collection(
                place, schema=schema, properties={_SAID: ""}, consistency_level="Strong", timeout=_CALL_SECONDS
            )
        return place

    def _sweep(self, collection: str, overwrite: bool) -> None:
        """Remove what exports to this name left that were killed; a folder is one process's, so nobody is at work there."""
        for place in self._client.list_collections(timeout=_CALL_SECONDS):
            named = re.fullmatch(rf"{collection}__([0-9a-f]{{8}})[0-9a-f]{{8}}", place)
            said = self._said(place) if named else None
            if named is None or said is None or self._client.list_aliases(place, timeout=_CALL_SECONDS)["aliases"]:
                continue
            age = time.time() - int(named[1], 16)
            if self._folder is None and not said and age < _AT_WORK and not overwrite:
                raise SearchEngineError(
                    f"Another export to '{collection}' at '{self.uri}' began {max(0, age) / 60:.0f} minutes ago and is not "
                    "complete; wait for it, or, if it was killed, give --overwrite."
                )
            self._client.drop_collection(place, timeout=_CALL_SECONDS)

    def insert(self, place: str, columns: Mapping[str, Texts], vectors: Vectors) -> None:
        """Insert rows (m,) with their texts and their vectors (m, d) of unit length, in one message."""
        names = [*columns, _VECTOR]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), vectors, strict=True)]
        with _told(self.uri):
            self._client.insert(place, rows, timeout=_CALL_SECONDS)

    def finish(self, place: str, kind: str, count: int) -> None:
        """Flush, index by inner product, and load, so that it can be searched; this takes as long as it takes."""
        parameters = {
            "IVF_FLAT": {"nlist": _lists(count)},
            "HNSW": {"M": 32, "efConstruction": 200},
        }.get(kind, {})
        with _told(self.uri):
            self._client.flush(place)
            index = self._client.prepare_index_params()
            # pymilvus unpacks the outer `params`; milvus-lite reads only what is in `params` then, servers take either.
            index.add_index(field_name=_VECTOR, index_type=kind, metric_type="IP", params={"params": parameters})
            self._client.create_index(place, index)
        self.load(place)

    def publish(self, collection: str, place: str, said: str) -> None:
        """Let a collection say what it is, then let the name lead to it, in one step."""
        with _told(self.uri):
            self._client.alter_collection_properties(place, {_SAID: said}, timeout=_CALL_SECONDS)
            if self._client.has_collection(collection, timeout=_CALL_SECONDS):
                self._client.alter_alias(place, collection, timeout=_CALL_SECONDS)
            else:
                self._client.create_alias(place, collection, timeout=_CALL_SECONDS)

    def drop(self, place: str) -> None:
        """Remove a collection."""
        with _told(self.uri):
            self._client.drop_collection(place, timeout=_CALL_SECONDS)

    # A search

    def search(  # noqa: PLR0917
        self, place: str, queries: Vectors, count: int, where: Mapping[str, str | None], kind: str, effort: int | None
    ) -> Told:
        """Return the `count` rows with the highest inner product with each query (n, d) among those that meet conditions.

        Args:
            place: the collection to look in.
            queries: of unit length.
            count: 1 to `most_answers`.
            where: column -> text, or None for rows without one; the texts may hold anything.
            kind: of the index that it has.
            effort: how hard to search; None where there is no choice.
        """
        candidates = max(effort or 1, count, _LEAST_CANDIDATES)
        parameters = {"IVF_FLAT": {"nprobe": effort}, "HNSW": {"ef": candidates}}.get(kind, {})
        with _told(self.uri):
            answers = self._client.search(
                place,
                data=list(queries),
                anns_field=_VECTOR,
                limit=count,
                filter=_condition(where),
                output_fields=[ID],
                search_params={"metric_type": "IP", "params": parameters},
                timeout=_CALL_SECONDS,
            )
        ids = [[str(hit[ID]) for hit in hits] for hits in answers]
        similarities = np.full((len(ids), count), -np.inf)
        for row, hits in zip(similarities, answers, strict=True):
            row[: len(hits)] = [hit["distance"] for hit in hits]
        return Told(ids, similarities)


def _condition(where: Mapping[str, str | None]) -> str:
    """Return a filter expression; columns are our own names, and texts become literals that nothing ends early."""
    return " and ".join(
        f"{column} is null" if text is None else f'{column} == "{text.translate(_ESCAPED)}"'
        for column, text in where.items()
    )


def _lists(count: int) -> int:
    """Return into how many lists an IVF index of so many vectors is cut; with fewer than 39 a list, k-means learns too little."""
    return max(1, min(65_536, round(4 * math.sqrt(count)), count // 39))


def _refuse_address(uri: str, folder: str | None, create: bool) -> None:
    """Raise where an address can't be one, before anything is made there."""
    if folder is None:
        if "@" in uri:  # told first, and without the address: what comes next quotes it
            raise SettingsError(
                f"The address of Milvus holds a login, which others could read; leave it out, and set {TOKEN} to user:password."
            )
        if not _is_address(uri):
            raise SettingsError(
                f"'{uri}' is no address of Milvus; give http://HOST:19530, or for milvus-lite a path that ends in {_LOCAL}."
            )
    elif not os.path.isdir(os.path.dirname(folder)):
        raise SettingsError(f"The directory '{os.path.dirname(folder)}' does not exist; make it first.")
    elif os.path.isfile(folder):
        raise SearchEngineError(
            f"'{uri}' is a file, and milvus-lite keeps a folder there; it may be of a release before 3, so choose another path."
        )
    elif not create and not os.path.isdir(folder):
        raise SearchEngineError(
            f"There is no '{uri}'; copy a store there first, with: embedstore export STORE '{uri}' --to milvus"
        )


def _is_address(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or no IPv6 address
        return False


def _connected(uri: str, folder: str | None) -> Any:
    try:
        import pymilvus
    except ImportError as error:
        raise MissingPackageError("Milvus needs pymilvus: pip install 'embedstore[milvus]'") from error
    if folder is None:
        with _told(uri):
            return pymilvus.MilvusClient(uri, token=os.environ.get(TOKEN, ""), timeout=CONNECT_SECONDS)
    try:
        import milvus_lite  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"A path that ends in {_LOCAL} needs milvus-lite: pip install 'embedstore[milvus]'"
        ) from error
    _users[folder] += 1
    try:
        with _quiet():
            return pymilvus.MilvusClient(folder, timeout=CONNECT_SECONDS)
    except pymilvus.MilvusException as error:
        _release(folder)
        raise SearchEngineError(
            f"milvus-lite can't open '{uri}': another process may have it open, or it is not one of its folders; wait for the "
            "other, or choose another path."
        ) from error


def _release(folder: str | None) -> None:
    """End the threads of milvus-lite that serve a folder, and unlock it, unless somebody else here has it open."""
    if folder is None:
        return
    _users[folder] -= 1
    if _users[folder]:
        return
    from milvus_lite.server_manager import server_manager_instance

    with _quiet():
        server_manager_instance.release_server(folder)


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Make one sentence of what pymilvus raises."""
    import grpc
    from pymilvus.exceptions import MilvusException

    try:
        with _quiet():
            yield
    except (MilvusException, grpc.RpcError) as error:
        reason = " ".join(str(getattr(error, "message", "") or error).split()).rstrip(".")
        if "Fail connecting" in reason or "UNAVAILABLE" in reason:
            sentence = f"No Milvus answers at '{uri}'; start it, or check the address."
        elif re.search("auth|permission|privilege", reason, re.IGNORECASE):
            sentence = f"Milvus at '{uri}' refused the login ({reason}); set {TOKEN} to user:password, or to its key."
        else:
            sentence = f"Milvus at '{uri}' failed: {reason}; see its log, its disk and its memory, and try again."
        raise SearchEngineError(sentence) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep both packages from logging tracebacks of what is told as one sentence."""
    loggers = [logging.getLogger(name) for name in ("pymilvus", "milvus_lite", "grpc")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
