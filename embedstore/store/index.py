"""The index: approximate nearest neighbours by FAISS, made from the store and never the truth.

Of the plain view of the active teacher, by cosine, immutable. It only proposes candidates: their similarities always come
from the store's own vectors.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import CorruptStoreError
from embedstore.store.index_file import (
    IndexInfo,
    check_belongs,
    checked_size,
    damaged,
    marker_state,
    read_info,
    read_rows,
)

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader

Positions = npt.NDArray[np.int64]

_QUERIES_AT_ONCE = 1024
_AGAIN = "make it again with: embedstore index STORE"


class IndexWarning(UserWarning):
    """A store has an index that was not asked, since it is damaged or too old."""


@dataclass(frozen=True)
class Coverage:
    """What an index holds of a store at one version.

    Attributes:
        position: (rows,) where each vector of the index stands in the store; -1: not in this version.
        missing: (m,) positions in the store, ascending, that the index does not hold.
    """

    position: Positions
    missing: Positions

    @functools.cached_property
    def stale(self) -> float:
        """How many samples are missing or gone, as a share of those in the index."""
        return (len(self.missing) + int((self.position < 0).sum())) / len(self.position)

    @property
    def whole(self) -> bool:
        """Whether it holds exactly the samples of the store."""
        return self.stale == 0


class VectorIndex:
    """An opened index; get one by `open_index`.

    Attributes:
        info: what it is.
        rows: (n,) the row of the store that each vector came from, ascending.
    """

    def __init__(self, index: Any, info: IndexInfo, rows: Positions):
        self.info, self.rows = info, rows
        self._index = index
        self._coverage: tuple[int, Coverage] | None = None

    def coverage(self, store: StoreReader) -> Coverage:
        """Return what this index holds of the store at its version; remembered for the last version."""
        known = self._coverage
        if known is None or known[0] != store.version:
            at = np.full(store.row_total, -1, np.int64)
            at[store.rows] = np.arange(len(store.rows))
            position = at[self.rows]
            at[self.rows] = -1
            known = self._coverage = (store.version, Coverage(position, at[store.rows][at[store.rows] >= 0]))
        return known[1]

    @property
    def has_centres(self) -> bool:
        """Whether it has lists with centres that a query's cosine can be taken to."""
        return _centres(self._index) is not None

    def nearest_centre(self, queries: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the similarity (n,) of each query (n, d) to the nearest list's centre, whatever its length."""
        rows = np.asarray(queries, np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        faiss, index = _faiss(), self._index
        try:
            while isinstance(index, faiss.IndexPreTransform):
                for at in range(index.chain.size()):
                    rows = faiss.downcast_VectorTransform(index.chain.at(at)).apply(rows)
                index = faiss.downcast_index(index.index)
            found: npt.NDArray[np.float32] = _centres(index).search(rows, 1)[0][:, 0]
        except RuntimeError as error:
            raise CorruptStoreError(f"FAISS can't search the index: {reason(error)}; {_AGAIN}") from error
        return found

    def rare(self, queries: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which queries (n, d) are farther from every centre than nearly all samples are."""
        asked = np.asarray(queries, np.float32)
        if self.info.rare_below is None or not self.has_centres:
            return np.zeros(len(asked), bool)
        return self.nearest_centre(asked) <= self.info.rare_below

    def search(
        self,
        queries: npt.ArrayLike,
        count: int,
        *,
        allowed: npt.NDArray[np.bool_] | None = None,
        effort: int | None = None,
    ) -> Positions:
        """Return `count` candidates (n, count) for each query, by their numbers in the index; -1 where there are fewer.

        Args:
            queries: (n, d) of any length.
            count: how many, 1 or more.
            allowed: (rows,) which may be candidates; all where not given.
            effort: instead of the index's own `nprobe`.

        Raises:
            CorruptStoreError: FAISS refuses, or the index gives numbers that it can't have.
        """
        faiss = _faiss()
        asked = np.ascontiguousarray(queries, np.float32)
        selector = None
        if allowed is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        most = steps(self._index)
        effort = effort or self.info.nprobe
        parameters = _parameters(self._index, min(effort, most) if effort and most else effort, selector)
        found = np.full((len(asked), count), -1, np.int64)
        count = min(count, len(self.rows))
        try:
            for start in range(0, len(asked), _QUERIES_AT_ONCE):
                part = slice(start, start + _QUERIES_AT_ONCE)
                _, found[part, :count] = self._index.search(asked[part], count, params=parameters)
        except RuntimeError as error:
            raise CorruptStoreError(f"FAISS can't search the index: {reason(error)}; {_AGAIN}") from error
        if found.max(initial=-1) >= len(self.rows) or found.min(initial=-1) < -1:
            raise CorruptStoreError(f"The index gave samples that it does not hold; {_AGAIN}")
        return found


def open_index(store: StoreReader) -> VectorIndex | None:
    """Return the index of a store's generation; None where it has none, or one of another of its teachers.

    It is read where it lies, not loaded.

    Raises:
        CorruptStoreError: it can't be used, and why.
    """
    state = marker_state(store.generation)
    if (
        state is not None
        and (space := _space(store.generation, state)) != store.fingerprint
        and space in store.teachers
    ):
        return None  # a version from before, or after, the teacher changed
    index = None if state is None else _opened(store.generation, store.dim, state)
    if index is not None:
        check_belongs(store.generation, index.info, store.fingerprint, store.row_total)
    return index


@functools.lru_cache(maxsize=4)
def _space(generation: Path, state: tuple[int, ...]) -> str | None:
    """Return the fingerprint of the teacher whose vectors an index is of; `state` as below."""
    info = read_info(generation)
    return None if info is None else info.space


@functools.lru_cache(maxsize=4)
def _opened(generation: Path, dim: int, state: tuple[int, ...]) -> VectorIndex | None:
    """Open an index once; `state` tells one marker from the next."""
    info = read_info(generation)
    if info is None:
        return None
    path = checked_size(generation, info.vectors_file, info.size)
    rows = read_rows(generation, info)
    index = read_faiss(path)
    if index is None or dim != info.dim or not _fits(index, info):
        raise damaged(generation, f"'{info.vectors_file}' is not the index that it should be")
    return VectorIndex(index, info, rows)


def _faiss() -> Any:
    import faiss  # slow to import; what it says of its types is not what it takes

    return faiss


def read_faiss(path: Path) -> Any:
    """Return a FAISS index that is read from its file as needed; None where FAISS can't read it."""
    faiss = _faiss()
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (RuntimeError, MemoryError):  # the latter where a damaged number says how much there is
        return None


def reason(error: BaseException) -> str:
    """Return what FAISS says is wrong, without where in its code."""
    return (str(error).split("Error: ")[-1].splitlines() or [""])[0].strip()


def _fits(index: Any, info: IndexInfo) -> bool:
    faiss = _faiss()
    if (index.d, index.ntotal, index.metric_type) != (info.dim, info.rows, faiss.METRIC_INNER_PRODUCT):
        return False
    inner = _inner(index)
    if not index.is_trained or inner.ntotal != index.ntotal:
        return False
    if isinstance(inner, faiss.IndexIVF):
        lists, coarse = inner.invlists, inner.quantizer
        sizes = sum(lists.list_size(number) for number in range(lists.nlist))
        packed = isinstance(inner, faiss.IndexIVFFastScan)  # its lists have no code size of their own
        return bool(
            (lists.nlist, coarse.ntotal, coarse.d, sizes) == (inner.nlist, inner.nlist, inner.d, inner.ntotal)
            and (packed or lists.code_size == inner.code_size)
        )
    return True


def steps(index: Any) -> int | None:
    """Return up to how many lists a query can look into; for a graph, how long its list of candidates can be."""
    faiss = _faiss()
    inner = _inner(index)
    if isinstance(inner, faiss.IndexIVF):
        return int(inner.nlist)
    return 4096 if isinstance(inner, faiss.IndexHNSW) else None


def _centres(index: Any) -> Any:
    """Return the index of the lists' centres by inner product, of unit length; None where there is none."""
    faiss = _faiss()
    inner = _inner(index)
    if not isinstance(inner, faiss.IndexIVF):
        return None
    centres = faiss.downcast_index(inner.quantizer)
    return (
        centres if isinstance(centres, faiss.IndexFlat) and centres.metric_type == faiss.METRIC_INNER_PRODUCT else None
    )


def _inner(index: Any) -> Any:
    """Return what lies behind the rotations and projections of an index."""
    faiss = _faiss()
    while isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    return index


def _parameters(index: Any, effort: int | None, selector: Any) -> Any:
    faiss = _faiss()
    given = {} if selector is None else {"sel": selector}
    if isinstance(index, faiss.IndexPreTransform):
        inner = _parameters(faiss.downcast_index(index.index), effort, selector)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(nprobe=effort or 1, **given)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=effort or 16, **given)
    return faiss.SearchParameters(**given)
