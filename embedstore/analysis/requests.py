"""One request, answered by a scan of what is allowed, or by what the index or a search engine proposes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.analysis.exact_search import Block, Neighbours, Positions, merged, nearest, nearest_of
from embedstore.errors import SettingsError
from embedstore.store.index import Coverage, VectorIndex
from embedstore.vectors import Vectors

if TYPE_CHECKING:
    from embedstore.search_engines.copies import SearchExport
    from embedstore.store.reading import StoreReader

_READ_AT_ONCE = 4096


class EngineWarning(UserWarning):
    """A search engine's answer is not all that was asked for."""


@dataclass(frozen=True)
class Request:
    """What is looked for.

    Attributes:
        queries: (n, d), finite.
        top: how many answers; so many samples are allowed.
        allowed: (samples,) which may be answers.
        filtered: whether that is more than a few excluded ids.
        excluded: how many ids are excluded.
        memory: bytes for a scan.
    """

    queries: Vectors
    top: int
    allowed: npt.NDArray[np.bool_]
    filtered: bool
    excluded: int
    memory: int


def by_scan(
    store: StoreReader,
    request: Request,
    queries: Vectors | None = None,
    among: npt.NDArray[np.bool_] | None = None,
) -> Neighbours:
    """Return the nearest of all that is allowed, or of some of it; for all queries, or for some."""
    asked = request.queries if queries is None else queries
    allowed = request.allowed if among is None else among
    if not request.top:
        return Neighbours(np.empty((len(asked), 0), np.int64), np.empty((len(asked), 0)))
    return nearest(lambda: _blocks(store, allowed), asked, request.top, memory=request.memory)


def by_index(store: StoreReader, index: VectorIndex, request: Request) -> Neighbours:
    """Return the nearest of what the index proposes and of what it does not hold."""
    info, held = index.info, index.coverage(store)
    shape = len(request.queries), request.top
    found = Neighbours(np.full(shape, -1, np.int64), np.full(shape, np.nan))
    lost = np.zeros(len(request.queries), bool)
    rare = index.rare(request.queries)
    for group, nprobe, refine in (
        (np.flatnonzero(~rare), info.nprobe, info.refine),
        (np.flatnonzero(rare), info.rare_nprobe, info.rare_refine),
    ):
        if len(group):
            asked = request.queries[group]
            candidates, lost[group] = _candidates(index, held, request, asked, nprobe=nprobe, refine=refine)
            part = nearest_of(candidates, store.read, asked, request.top)
            found.positions[group], found.similarities[group] = part.positions, part.similarities
    newer = np.zeros(len(store), bool)
    newer[held.missing] = request.allowed[held.missing]
    if newer.any():
        found = merged(found, by_scan(store, request, among=newer))
    again = np.flatnonzero(lost | (found.positions < 0).any(axis=1))
    if len(again):
        part = by_scan(store, request, request.queries[again])
        found.positions[again], found.similarities[again] = part.positions, part.similarities
    return found


def by_engine(
    store: StoreReader, export: SearchExport, request: Request, where: Mapping[str, str | None]
) -> Neighbours:
    """Return the nearest of what a search engine proposes, ranked by the store's own vectors.

    An engine rounds, and of equals it names any. So it is asked for more until the last that it named is surely less near than
    the last answer: then the answer is that of a scan, if the engine misses nothing.

    Raises:
        SettingsError: more answers are wanted than the engine names at once.
    """
    if request.top > export.most_answers:
        raise SettingsError(
            f"{request.top:,} answers are wanted, and the engine names up to {export.most_answers:,} at once; ask for fewer, or "
            "leave --via out."
        )
    shape = len(request.queries), request.top
    found = Neighbours(np.full(shape, -1, np.int64), np.full(shape, np.nan))
    most = min(export.most_answers, len(store))
    count = min(request.top + request.excluded + 1, most)  # one more, which tells that the last answer is nearer
    waiting = np.arange(len(request.queries)) if request.top else np.zeros(0, np.int64)
    margin = 2 * (request.queries.shape[1] + 8) * 2.0**-24  # of sums in float32, as in `exact_search`
    while len(waiting):
        asked = request.queries[waiting]
        named, told = export.nearest(asked, count, where)
        allowed = (named >= 0) & request.allowed[named]
        part = nearest_of(np.where(allowed, named, -1), store.read, asked, request.top)
        found.positions[waiting], found.similarities[waiting] = part.positions, part.similarities
        surely = (named[:, -1] < 0) | (part.similarities[:, -1] > told[:, -1] + margin)
        waiting = waiting[~surely]
        if count == most:
            break
        count = min(2 * count, most)
    if len(waiting) and most < len(store):
        _warn(
            f"More than {most:,} samples are as near as the last answer, and the engine names no more of them at once, so it is "
            "chance which are told; leave --via out for those that stand first in the store."
        )
    if lacking := int((found.positions < 0).any(axis=1).sum()):
        _warn(
            f"The engine names fewer samples than meet the conditions, for {lacking} of {len(found.positions)} queries; export "
            "again with another kind of index, or leave --via out."
        )
    return found


def _warn(sentence: str) -> None:
    warnings.warn(sentence, EngineWarning, stacklevel=5)


def _candidates(
    index: VectorIndex, held: Coverage, request: Request, queries: Vectors, *, nprobe: int | None, refine: int
) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """Return positions (n, c) in the store, -1 where there are fewer, and which queries (n,) met what is gone instead.

    Without a filter the index is asked for all that it holds, and for more where some of that is gone: how many are gone
    tells where in the space much was deleted, so that the recall that was measured does not hold there any more.
    """
    if held.whole and request.allowed.all():  # so that nothing has to be worked out per sample
        numbers = index.search(queries, request.top * refine, effort=nprobe)
        return np.where(numbers >= 0, held.position[numbers], -1), np.zeros(len(queries), bool)
    gone = held.position < 0
    among = ~gone & request.allowed[held.position]
    # Where samples are left out, others take the place in the lists that are looked into: look into more.
    effort = None if nprobe is None else math.ceil(nprobe * len(among) / max(1, int(among.sum())))
    if request.filtered:
        numbers = index.search(queries, request.top * refine, allowed=among, effort=effort)
        return np.where(numbers >= 0, held.position[numbers], -1), np.zeros(len(queries), bool)
    count = (request.top + request.excluded) * refine
    numbers = index.search(queries, 2 * count if gone.any() else count, effort=effort)
    there = (numbers >= 0) & among[numbers]
    kept = np.argsort(~there, axis=1, kind="stable")[:, :count]
    positions = np.where(there, held.position[numbers], -1)
    lost = (there.sum(axis=1) < request.top * refine) & ((numbers >= 0) & gone[numbers]).any(axis=1)
    return np.take_along_axis(positions, kept, 1), lost


def _blocks(store: StoreReader, allowed: npt.NDArray[np.bool_]) -> Iterator[Block]:
    """Yield what is allowed of the store; where that is not nearly all, only blocks that hold some of it are read."""
    chosen = np.flatnonzero(allowed)
    if len(chosen) < 0.9 * len(allowed):
        for start in range(0, len(chosen), _READ_AT_ONCE):
            part = chosen[start : start + _READ_AT_ONCE]
            yield part, store.read(part)
        return
    for positions, block in store.scan():
        mask = allowed[positions]
        if mask.all():
            yield positions, block
        elif mask.any():
            yield positions[mask], block[mask]
