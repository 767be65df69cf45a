"""The nearest samples: by scanning the store, or by its index where that serves as well."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.analysis.exact_search import MEMORY, Block, Neighbours, Positions, merged, nearest, nearest_of
from embedstore.errors import CorruptStoreError, PictureError, SettingsError, StoreError, TeacherError
from embedstore.pictures import read_picture
from embedstore.store.index import Coverage, IndexWarning, VectorIndex, open_index
from embedstore.store.index_file import IndexInfo
from embedstore.teachers import TextTeacher, load_teacher
from embedstore.teachers.protocol import EMBEDDING, Teacher
from embedstore.vectors import Vectors
from embedstore.views import WHOLE, render

if TYPE_CHECKING:
    from embedstore.store.searching import SearchableStore


STALE = 0.1  # an index that lacks, or holds in vain, a larger share of its samples is left aside
FEW = 10  # ids that may be excluded without that being a filter
_READ_AT_ONCE = 4096


@dataclass(frozen=True)
class Hit:
    """One answer: the sample and its cosine similarity to the query."""

    id: str
    similarity: float
    label: str | None
    mode: str | None
    group: str | None
    uri: str


def query(
    store: SearchableStore,
    *,
    image: str | os.PathLike[str] | None,
    id: str | None,
    text: str | None,
    top: int,
    where: Mapping[str, str | None] | None,
    exact: bool | None = None,
) -> list[Hit]:
    """Return the samples nearest to one of a picture, a sample or a text; see `SearchableStore.query`.

    Raises:
        SettingsError: none or more than one of the three was given.
        PictureError: the picture can't be read.
        TeacherError: the store's teacher can't be loaded, or reads no text.
        TeacherMismatchError: what loads under its name is another teacher.
    """
    if sum(given is not None for given in (image, id, text)) != 1:
        raise SettingsError("Give one of --image, --id and --text, to say what is looked for.")
    if id is not None:
        return search(store, store.vectors([id]), top=top, where=where, exclude=[id], exact=exact)[0]
    if image is not None:
        teacher = _own_teacher(store)
        try:
            picture, _ = read_picture(image)
        except PictureError as error:
            raise PictureError(f"The picture '{image}' {error}; give a readable picture.") from error
        pixels = render(picture, WHOLE, teacher.input_size, store.recipe.fit)
        return search(store, teacher.embed(pixels[None])[EMBEDDING], top=top, where=where, exact=exact)[0]
    return search(store, text_vectors(store, [text or ""]), top=top, where=where, exact=exact)[0]


def text_vectors(store: SearchableStore, texts: Sequence[str]) -> Vectors:
    """Return the vectors (n, d) of some texts; see `SearchableStore.embed_text`."""
    teacher = _own_teacher(store)
    if not isinstance(teacher, TextTeacher):
        raise TeacherError(
            f"The teacher '{teacher.name}' reads no text; build the store with an open_clip teacher for that."
        )
    return teacher.embed_text(list(texts))


def _own_teacher(store: SearchableStore) -> Teacher:
    teacher = load_teacher(store.teacher)
    store.check_teacher(teacher)
    return teacher


def search(
    store: SearchableStore,
    vectors: npt.ArrayLike,
    *,
    top: int = 5,
    where: Mapping[str, str | None] | None = None,
    exclude: Sequence[str] = (),
    exact: bool | None = None,
) -> list[list[Hit]]:
    """Return for each query (n, d) its `top` nearest samples, best first; see `SearchableStore.search`."""
    found = nearest_samples(store, vectors, top=top, where=where, exclude=exclude, exact=exact)
    samples = {position: store.sample_at(position) for position in np.unique(found.positions).tolist() if position >= 0}
    return [
        [
            Hit(s.id, similarity, s.label, s.mode, s.group, s.uri)
            for similarity, s in zip(similarities, map(samples.get, positions), strict=True)
            if s is not None
        ]
        for similarities, positions in zip(found.similarities.tolist(), found.positions.tolist(), strict=True)
    ]


def nearest_samples(
    store: SearchableStore,
    vectors: npt.ArrayLike,
    *,
    top: int = 5,
    where: Mapping[str, str | None] | None = None,
    exclude: Sequence[str] = (),
    exact: bool | None = None,
    memory: int = MEMORY,
) -> Neighbours:
    """Return where the nearest samples stand and how similar they are; see `SearchableStore.nearest`.

    Raises:
        StoreError: `top` is below 1, the queries are not finite or have another dimension than the store, or the index is
            asked for (`exact` is False) and there is none.
        SettingsError: a condition is no text.
        CorruptStoreError: the index is asked for and can't be used.
    """
    asked = np.atleast_2d(np.asarray(vectors, np.float32))
    if top < 1:
        raise StoreError(f"The number of answers is {top}; ask for 1 or more.")
    if asked.ndim != 2 or asked.shape[1] != store.dim:
        raise StoreError(f"The queries have the shape {asked.shape}; expected (n, {store.dim}).")
    if not np.isfinite(asked).all():
        raise StoreError("A query holds values that are not finite; look for NaN in what made it.")
    allowed = _passing(store, where)
    if exclude:  # finding ids is work in a big store
        excluded = store.find(exclude)
        allowed[excluded[excluded >= 0]] = False
    shown, top = min(top, len(store)), min(top, int(allowed.sum()))
    request = _Request(asked, top, allowed, bool(where) or len(exclude) > FEW, len(exclude), memory)
    index = None if exact else _index(store, top, filtered=request.filtered, needed=exact is False)
    found = None
    if index is not None and top:
        try:
            found = _by_index(store, index, request)
        except CorruptStoreError as error:
            if exact is False:
                raise
            _warn_of(error)
    return _padded(_by_scan(store, request) if found is None else found, shown)


@dataclass(frozen=True)
class _Request:
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


def _passing(store: SearchableStore, where: Mapping[str, str | None] | None) -> npt.NDArray[np.bool_]:
    for name, value in (where or {}).items():
        if value is not None and not isinstance(value, str):
            raise SettingsError(
                f"The condition on '{name}' is {value!r}; give a text, or None for samples without one."
            )
    return store.where(where or {})


def _padded(found: Neighbours, width: int) -> Neighbours:
    lacking = width - found.positions.shape[1]
    if not lacking:
        return found
    beside = [(0, 0), (0, lacking)]
    return Neighbours(
        np.pad(found.positions, beside, constant_values=-1), np.pad(found.similarities, beside, constant_values=np.nan)
    )


def _by_scan(
    store: SearchableStore,
    request: _Request,
    queries: Vectors | None = None,
    among: npt.NDArray[np.bool_] | None = None,
) -> Neighbours:
    """Return the nearest of all that is allowed, or of some of it; for all queries, or for some."""
    asked = request.queries if queries is None else queries
    allowed = request.allowed if among is None else among
    if not request.top:
        return Neighbours(np.empty((len(asked), 0), np.int64), np.empty((len(asked), 0)))
    return nearest(lambda: _blocks(store, allowed), asked, request.top, memory=request.memory)


def _by_index(store: SearchableStore, index: VectorIndex, request: _Request) -> Neighbours:
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
        found = merged(found, _by_scan(store, request, among=newer))
    again = np.flatnonzero(lost | (found.positions < 0).any(axis=1))
    if len(again):
        part = _by_scan(store, request, request.queries[again])
        found.positions[again], found.similarities[again] = part.positions, part.similarities
    return found


def _candidates(
    index: VectorIndex, held: Coverage, request: _Request, queries: Vectors, *, nprobe: int | None, refine: int
) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """Return positions (n, c) in the store, -1 where there are fewer, and which queries (n,) met what is gone instead.

    Without a filter the index is asked for all that it holds, and for more where some of that is gone: how many are gone
    tells where in the space much was deleted, so that the recall that was measured does not hold there any more.
    """
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


def _index(store: SearchableStore, top: int, *, filtered: bool, needed: bool) -> VectorIndex | None:
    """Return the index where it serves: for what its recall was measured for, and while most of it is in the store still."""
    if not needed and filtered:  # what passes may be anywhere, and a scan of it misses nothing
        return None
    try:
        index = open_index(store)
    except CorruptStoreError as error:
        if needed:
            raise
        _warn_of(error)
        return None
    if index is None:
        if needed:
            raise StoreError(f"The store '{store.path}' has no index; make one with: embedstore index '{store.path}'")
        return None
    if needed or top > index.info.top:
        return index if needed else None
    if index.coverage(store).stale > STALE:
        warnings.warn(out_of_date(store, index), IndexWarning, stacklevel=4)
        return None
    return index


def serving_index(store: SearchableStore, top: int, where: Mapping[str, str | None] | None = None) -> IndexInfo | None:
    """Return what the index is that a search for `top` answers asks by itself; None where it scans."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IndexWarning)
        index = _index(store, min(top, len(store)), filtered=bool(where), needed=False)
    return None if index is None else index.info


def _warn_of(error: CorruptStoreError) -> None:
    warnings.warn(f"{error} Until then the store is scanned.", IndexWarning, stacklevel=4)


def out_of_date(store: SearchableStore, index: VectorIndex) -> str:
    """Return the sentence that says that an index holds too little of the store to be used."""
    held = index.coverage(store)
    return (
        f"The index of '{store.path}' lacks {len(held.missing):,} new samples and holds {int((held.position < 0).sum()):,} "
        f"that are gone, of {len(held.position):,}, so the store is scanned; make it again with: "
        f"embedstore index '{store.path}'"
    )


def _blocks(store: SearchableStore, allowed: npt.NDArray[np.bool_]) -> Iterator[Block]:
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
