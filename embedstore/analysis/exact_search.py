"""Exact nearest neighbours by cosine: a scan in float32 that can't miss one, ranked in float64."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.analysis.blas import blas_threads, one_thread_each
from embedstore.vectors import Vectors, unit_length, widened

Positions = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Block = tuple[Positions, npt.NDArray[np.float16] | Vectors]

MEMORY = 1 << 28  # bytes
_ROWS = 1024  # at a time: their float32 copy stays in the processor's cache, and the matrix product is at full speed
_NOBODY = np.iinfo(np.int64).max
_PIECE = 1 << 18  # numbers: pairs are ranked in pieces of so many


@dataclass(frozen=True)
class Neighbours:
    """The nearest samples to each of n queries, best first.

    Attributes:
        positions: (n, k) in the order of the store; -1 where there are fewer than k.
        similarities: (n, k) cosine similarities; NaN where there are fewer than k.
    """

    positions: Positions
    similarities: Floats


def nearest(
    scan: Callable[[], Iterable[Block]], queries: npt.ArrayLike, top: int, *, memory: int = MEMORY
) -> Neighbours:
    """Return the `top` rows with the highest cosine similarity to each query, exactly.

    The answer is that of brute force in float64, with queries of unit length rounded to multiples of 2^-24; of equal
    similarities the earlier position wins, and a row of zeros has similarity 0. It does not hang on how the scan is cut,
    on what else is asked, or on the number of threads: as many as BLAS would use, each with rows of its own.

    Args:
        scan: gives (positions (m,), vectors (m, d)) of all rows anew at each call, float16 or float16 widened to float32,
            all finite, in any order. It is called once for each batch of queries.
        queries: (n, d), finite.
        top: how many, 1 or more.
        memory: bytes to keep within, beside what the scan itself takes; decides how large the batches are.
    """
    wide = as_queries(queries)
    count, dim = wide.shape
    threads = blas_threads()
    # For each thread: rows in float32, a piece of pairs; for each query itself twice, its answers thrice, its scores, and
    # where all of these come near the best (copies of one sample), all as pairs.
    batch = (memory // threads - 4 * _ROWS * dim - 24 * _PIECE) // (12 * dim + 48 * top + 64 * _ROWS)
    batch = int(np.clip(batch, 1, 4096))
    answers = Neighbours(np.empty((count, top), np.int64), np.empty((count, top)))
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        found = _search(scan, wide[part], top, threads).neighbours()
        answers.positions[part], answers.similarities[part] = found.positions, found.similarities
    return answers


def nearest_of(
    candidates: Positions, read: Callable[[Positions], Vectors], queries: npt.ArrayLike, top: int
) -> Neighbours:
    """Return the `top` of some candidates for each query, ranked exactly as `nearest` does.

    Args:
        candidates: (n, c) positions, no query's twice; -1 is none.
        read: gives the vectors (m, d) of positions (m,).
        queries: (n, d), finite.
        top: how many, 1 or more.
    """
    best = _Best(as_queries(queries), top)
    query, place = np.nonzero(candidates >= 0)
    order = np.argsort(candidates[query, place], kind="stable")  # so that each block of the store is met once
    query, positions = query[order], candidates[query, place][order]
    step = max(1, 4 * _PIECE // best.queries.shape[1])
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        distinct, row = np.unique(positions[part], return_inverse=True)
        rows = read(distinct)
        longest = float(np.sqrt(np.vecdot(rows, rows).max()))
        best.add(query[part], positions[part], best.exact(rows, row, query[part], longest))
    best.settle()
    return best.neighbours()


def merged(first: Neighbours, second: Neighbours) -> Neighbours:
    """Return the best k of two answers to the same queries, k each, that have no position in common."""
    positions = np.concatenate([first.positions, second.positions], axis=1)
    similarities = np.concatenate([first.similarities, second.similarities], axis=1)
    rank = np.where(positions < 0, np.inf, -similarities)
    order = np.lexsort((positions, rank), axis=1)[:, : first.positions.shape[1]]
    return Neighbours(np.take_along_axis(positions, order, 1), np.take_along_axis(similarities, order, 1))


def without(found: Neighbours, own: Positions) -> Neighbours:
    """Return answers without the query's own position, one fewer."""
    others = np.argsort(found.positions == own[:, None], axis=1, kind="stable")[:, :-1]
    return Neighbours(np.take_along_axis(found.positions, others, 1), np.take_along_axis(found.similarities, others, 1))


def as_queries(queries: npt.ArrayLike) -> Floats:
    """Return queries (n, d) of unit length as multiples of 2^-24: float32 holds those, and float64 their products."""
    rounded: Floats = np.round(unit_length(queries).astype(np.float64) * 2**24) / 2**24
    return rounded


def directions(block: npt.NDArray[np.float16] | Vectors) -> Vectors:
    """Return finite vectors (m, d) scaled to length 1, in float32 and fast; zeros stay zeros."""
    rows = widened(block)
    lengths = np.sqrt(np.vecdot(rows, rows))[:, None]
    scaled = np.zeros_like(rows)
    np.divide(rows, lengths, out=scaled, where=lengths > 0)
    return scaled


class _Best:
    """The best answers so far to some queries (b, d), by exact similarity."""

    def __init__(self, queries: Floats, top: int):
        self.queries = queries
        self.narrow = np.ascontiguousarray(queries.T, np.float32)
        self.similarities = np.full((len(queries), top), -np.inf)
        self.positions = np.full((len(queries), top), _NOBODY)
        # With u = 2^-24, the sum of d products in float32, in any order, is off by at most g = du / (1 - du) times the sum
        # of their sizes, which is at most |q||r|, |q| < 1.0001 (both sides are exact in float32, and no product of
        # multiples of 2^-24 underflows). The squared length of r is off by g of itself, hence the length by g / 2 + u,
        # and dividing adds 2u. Together that is below (1.5 g + 4u) x 1.001 < 2 (d + 4) u for d up to 2^17; the rest is for
        # rounding `floor` to float32.
        self.margin = 2 * (queries.shape[1] + 8) * 2.0**-24
        # What scores below its query's floor in float32 is not among the best.
        self.floor = np.full(len(queries), -np.inf, np.float32)
        self._waiting: list[tuple[Positions, Positions, Floats]] = []
        self._count = 0

    def look(self, positions: Positions, block: npt.NDArray[np.float16] | Vectors) -> None:
        """Take the rows (m, d) into account."""
        top = self.positions.shape[1]
        rows = widened(block)
        lengths = np.sqrt(np.vecdot(rows, rows))
        scores = rows @ self.narrow
        scores *= np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)[:, None]
        close = np.flatnonzero(scores >= self.floor)
        if len(close) > 2 * top * len(self.queries) and len(rows) > top:
            # The first rows, or rows that come better and better: at least `top` of them are as good as the last of
            # their own best, and both sides of this comparison may be off.
            last = np.partition(scores.T.copy(), len(rows) - top, axis=1)[:, len(rows) - top]
            np.maximum(self.floor, last - np.float32(2 * self.margin), out=self.floor)
            close = np.flatnonzero(scores >= self.floor)
        if len(close):
            row, query = np.divmod(close, len(self.queries))
            self.add(query, positions[row], self.exact(rows, row, query, float(lengths.max())))

    def add(self, query: Positions, positions: Positions, similarities: Floats) -> None:
        """Take pairs with their exact similarities into account; they wait until sorting them pays."""
        self._waiting.append((query, positions, similarities))
        self._count += len(query)
        if self._count > self.positions.size // 2:
            self.settle()

    def exact(self, rows: Vectors, row: Positions, query: Positions, longest: float) -> Floats:
        """Return the similarities of pairs of a row and a query in float64; `longest` is about the longest row's length.

        For rows up to length 4 all products and sums are multiples of 2^-48 below 2^5: nothing is rounded, and the order of
        summation is all one. For longer ones it must be the same wherever a row stands.
        """
        short = longest < 3.9
        if short and len(row) > rows.shape[0] * len(self.queries) // 32:  # many pairs, as where many rows are copies
            doubles = rows.astype(np.float64)
            return _over((doubles @ self.queries.T)[row, query], np.sqrt(np.vecdot(doubles, doubles))[row])
        result = np.empty(len(row))
        step = max(1, _PIECE // rows.shape[1])
        for start in range(0, len(row), step):
            part = slice(start, start + step)
            doubles, asked = rows[row[part]].astype(np.float64), self.queries[query[part]]
            if short:
                products, squares = np.vecdot(doubles, asked), np.vecdot(doubles, doubles)
            else:
                products, squares = (doubles * asked).sum(axis=1), (doubles * doubles).sum(axis=1)
            result[part] = _over(products, np.sqrt(squares))
        return result

    def settle(self) -> None:
        """Merge the waiting pairs into the answers."""
        if not self._waiting:
            return
        top = self.positions.shape[1]
        query, positions, similarities = map(np.concatenate, zip(*self._waiting, strict=True))
        self._waiting, self._count = [], 0
        last, worst = self.positions[query, -1], self.similarities[query, -1]
        better = (similarities > worst) | ((similarities == worst) & (positions < last))
        query, positions, similarities = query[better], positions[better], similarities[better]
        touched = np.unique(query)
        query = np.concatenate([np.repeat(touched, top), query])
        positions = np.concatenate([self.positions[touched].reshape(-1), positions])
        similarities = np.concatenate([self.similarities[touched].reshape(-1), similarities])
        order = np.lexsort((positions, -similarities, query))
        kept = order[np.searchsorted(query[order], touched)[:, None] + np.arange(top)]
        self.positions[touched], self.similarities[touched] = positions[kept], similarities[kept]
        self.floor[touched] = np.maximum(self.floor[touched], self.similarities[touched, -1] - self.margin)

    def neighbours(self) -> Neighbours:
        """Return the answers, once they are settled."""
        there = self.positions != _NOBODY
        return Neighbours(np.where(there, self.positions, -1), np.where(there, self.similarities, np.nan))


def _over(products: Floats, lengths: Floats) -> Floats:
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def _search(scan: Callable[[], Iterable[Block]], queries: Floats, top: int, threads: int) -> _Best:
    blocks, turn, stopped = iter(scan()), threading.Lock(), threading.Event()

    def work() -> _Best:
        best = _Best(queries, top)
        while not stopped.is_set():
            with turn:  # reading the store is one thread's work at a time, looking at what was read is not
                block = next(blocks, None)
            if block is None:
                break
            for start in range(0, len(block[0]), _ROWS):
                best.look(block[0][start : start + _ROWS], block[1][start : start + _ROWS])
        best.settle()
        return best

    if threads == 1:
        return work()
    with one_thread_each(), ThreadPoolExecutor(threads) as pool:
        try:
            bests = [task.result() for task in [pool.submit(work) for _ in range(threads)]]
        finally:
            stopped.set()
    for other in bests[1:]:
        query, place = np.nonzero(other.positions != _NOBODY)
        bests[0].add(query, other.positions[query, place], other.similarities[query, place])
    bests[0].settle()
    return bests[0]
