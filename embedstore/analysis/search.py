"""The nearest samples: by scanning the store, by its index where that serves as well, or by a search engine's export of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.analysis.exact_search import MEMORY, Neighbours
from embedstore.analysis.requests import Request, by_engine, by_index, by_scan
from embedstore.errors import CorruptStoreError, PictureError, SettingsError, StoreError, TeacherError
from embedstore.pictures import read_picture
from embedstore.store.index import IndexWarning, VectorIndex, open_index
from embedstore.store.index_file import IndexInfo
from embedstore.teachers import TextTeacher
from embedstore.teachers.protocol import EMBEDDING
from embedstore.teachers.reduced import ReducedTeacher
from embedstore.vectors import Vectors
from embedstore.views import WHOLE, render

if TYPE_CHECKING:
    from embedstore.search_engines.copies import SearchExport
    from embedstore.store.searching import SearchableStore


STALE = 0.1  # an index that lacks, or holds in vain, a larger share of its samples is left aside
FEW = 10  # ids that may be excluded without that being a filter


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
    via: SearchExport | None = None,
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
        return search(store, store.vectors([id]), top=top, where=where, exclude=[id], exact=exact, via=via)[0]
    if image is not None:
        try:
            picture, _ = read_picture(image)  # before the teacher is loaded, which takes long
        except PictureError as error:
            raise PictureError(f"The picture '{image}' can't be used: {error}; give a readable picture.") from error
        teacher = store.load_teacher()
        pixels = render(picture, WHOLE, teacher.input_size, store.recipe.fit)
        return search(store, teacher.embed(pixels[None])[EMBEDDING], top=top, where=where, exact=exact, via=via)[0]
    return search(store, text_vectors(store, [text or ""]), top=top, where=where, exact=exact, via=via)[0]


def text_vectors(store: SearchableStore, texts: Sequence[str]) -> Vectors:
    """Return the vectors (n, d) of some texts; see `SearchableStore.embed_text`."""
    teacher = store.load_teacher()
    if isinstance(teacher, ReducedTeacher):
        raise TeacherError(
            f"The vectors of '{store.path}' are on fewer axes, where texts have no place; ask the store that it was thinned from."
        )
    if not isinstance(teacher, TextTeacher):
        raise TeacherError(
            f"The teacher '{teacher.name}' reads no text; build the store with an open_clip teacher for that."
        )
    return teacher.embed_text(list(texts))


def search(
    store: SearchableStore,
    vectors: npt.ArrayLike,
    *,
    top: int = 5,
    where: Mapping[str, str | None] | None = None,
    exclude: Sequence[str] = (),
    exact: bool | None = None,
    via: SearchExport | None = None,
) -> list[list[Hit]]:
    """Return for each query (n, d) its `top` nearest samples, best first; see `SearchableStore.search`."""
    found = nearest_samples(store, vectors, top=top, where=where, exclude=exclude, exact=exact, via=via)
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
    via: SearchExport | None = None,
    memory: int = MEMORY,
) -> Neighbours:
    """Return where the nearest samples stand and how similar they are; see `SearchableStore.nearest`.

    Raises:
        StoreError: `top` is below 1, the queries are not finite or have another dimension than the store, or the index is
            asked for (`exact` is False) and there is none.
        SettingsError: a condition is no text, both an export and a way to do without are asked for, or its engine does not name
            so many answers.
        CorruptStoreError: the index is asked for and can't be used.
        OutOfStepError: the export holds something else than the store.
        SearchEngineError: its engine fails.
    """
    asked = np.atleast_2d(np.asarray(vectors, np.float32))
    if top < 1:
        raise StoreError(f"The number of answers is {top}; ask for 1 or more.")
    if asked.ndim != 2 or asked.shape[1] != store.dim:
        raise StoreError(f"The queries have the shape {asked.shape}; expected (n, {store.dim}).")
    if not np.isfinite(asked).all():
        raise StoreError("A query holds values that are not finite; look for NaN in what made it.")
    if via is not None:
        if exact is not None:
            raise SettingsError(
                "A search engine is asked, or the store is, by a scan or its index; leave out one of the two."
            )
        via.check(store)
    allowed = _passing(store, where)
    if exclude:  # finding ids is work in a big store
        excluded = store.find(exclude)
        allowed[excluded[excluded >= 0]] = False
    shown, top = min(top, len(store)), min(top, int(allowed.sum()))
    request = Request(asked, top, allowed, bool(where) or len(exclude) > FEW, len(exclude), memory)
    if via is not None:
        return _answers(by_engine(store, via, request, where or {}), shown)
    index = None if exact else _index(store, top, filtered=request.filtered, needed=exact is False)
    found = None
    if index is not None and top:
        try:
            found = by_index(store, index, request)
        except CorruptStoreError as error:
            if exact is False:
                raise
            _warn_of(error)
    return _answers(by_scan(store, request) if found is None else found, shown)


def _passing(store: SearchableStore, where: Mapping[str, str | None] | None) -> npt.NDArray[np.bool_]:
    for name, value in (where or {}).items():
        if value is not None and not isinstance(value, str):
            raise SettingsError(
                f"The condition on '{name}' is {value!r}; give a text, or None for samples without one."
            )
    return store.where(where or {})


def _answers(found: Neighbours, width: int) -> Neighbours:
    """Return answers that are so wide, with cosines within 1: a rounded query may be as long as 1 + 2^-24."""
    beside = [(0, 0), (0, width - found.positions.shape[1])]
    cosines = np.clip(found.similarities, -1, 1)
    return Neighbours(
        np.pad(found.positions, beside, constant_values=-1), np.pad(cosines, beside, constant_values=np.nan)
    )


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
