"""Exact search: the answers of float64 brute force, however the scan is cut, whatever else is asked, on any threads."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore import vectors
from embedstore.analysis import exact_search
from embedstore.analysis.exact_search import Block, Neighbours, as_queries, nearest

Rows = npt.NDArray[np.float16]


def scan_of(rows: Rows, cut: int, *, wide: bool = False, backwards: bool = False) -> Callable[[], Iterator[Block]]:
    """Return a scan of rows in blocks of `cut`; of float32 with `wide`, the last block first with `backwards`."""

    def scan() -> Iterator[Block]:
        for start in range(0, len(rows), cut)[:: -1 if backwards else 1]:
            block = rows[start : start + cut]
            yield np.arange(start, start + len(block)), block.astype(np.float32) if wide else block

    return scan


def brute_force(rows: Rows, queries: npt.ArrayLike, top: int) -> tuple[list[list[int]], list[list[float]]]:
    """Return positions and similarities in Python's own float64, one pair at a time; sums without any rounding."""
    positions, similarities = [], []
    for query in as_queries(queries).tolist():
        found = []
        for position, row in enumerate(rows.astype(np.float64).tolist()):
            length = math.sqrt(math.fsum(a * a for a in row))
            product = math.fsum(a * b for a, b in zip(query, row, strict=True))
            found.append((-(product / length if length else 0.0), position))
        best = sorted(found)[:top]
        positions.append([position for _, position in best] + [-1] * (top - len(best)))
        similarities.append([-score for score, _ in best] + [math.nan] * (top - len(best)))
    return positions, similarities


def assert_same(found: Neighbours, expected: tuple[list[list[int]], list[list[float]]]) -> None:
    assert found.positions.tolist() == expected[0]
    np.testing.assert_array_equal(found.similarities, np.array(expected[1]).reshape(found.similarities.shape))


# Few different numbers, so that rows meet by chance, lie on a line, or are zero; lengths from 0 to beyond 4.
few = st.sampled_from([0.0, 0.0, 1.0, -1.0, 0.5, 3.0, 0.037, 6e-8, -3e-5])


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Rows, list[list[float]]]:
    dim = draw(st.integers(1, 5))
    kinds = draw(st.lists(st.lists(few, min_size=dim, max_size=dim), min_size=1, max_size=12))
    rows = draw(st.lists(st.sampled_from(kinds), max_size=60))
    queries = draw(st.lists(st.lists(few, min_size=dim, max_size=dim), max_size=4))
    return np.array(rows, np.float16).reshape(len(rows), dim), np.array(queries).reshape(len(queries), dim).tolist()


@settings(max_examples=150)
@given(
    tasks(),
    st.integers(1, 9) | st.just(100),
    st.integers(1, 70),
    st.sampled_from([1, 3, 1024]),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.booleans(),
)
def test_answers_are_those_of_brute_force(
    task: tuple[Rows, list[list[float]]], top: int, cut: int, at_once: int, threads: int, wide: bool, backwards: bool
) -> None:
    rows, queries = task
    asked = np.array(queries).reshape(len(queries), rows.shape[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_search, "_ROWS", at_once)
        patch.setattr(exact_search, "blas_threads", lambda: threads)
        found = nearest(scan_of(rows, cut, wide=wide, backwards=backwards), asked, top)
    assert (found.positions.shape, found.similarities.shape) == ((len(asked), top), (len(asked), top))
    assert_same(found, brute_force(rows, asked, top))


def cone(seed: int, count: int, dim: int = 24) -> Rows:
    """Return vectors around one direction, of lengths from .5 to 1.5, that differ in the last bits of float32 only."""
    random = np.random.default_rng(seed)
    rows = 1 + random.normal(size=(count, dim)) * 0.003
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True) * random.uniform(0.5, 1.5, (count, 1))).astype(
        np.float16
    )


def doubles(rows: Rows, queries: npt.ArrayLike) -> npt.NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return as_queries(queries) @ wide.T / np.linalg.norm(wide, axis=1)


@pytest.mark.parametrize("order", ["as they come", "better and better", "worse and worse"])
@pytest.mark.parametrize("top", [1, 10, 200])
def test_rows_that_float32_can_hardly_tell_apart_are_ranked_in_float64(top: int, order: str) -> None:
    rows, queries = cone(1, 5000), np.ones((1, 24)) + np.random.default_rng(2).normal(size=(3, 24)) * 0.01
    by_first = np.argsort(doubles(rows, queries[:1])[0])
    rows = {"as they come": rows, "better and better": rows[by_first], "worse and worse": rows[by_first[::-1]]}[order]
    scores = doubles(rows, queries)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    found = nearest(scan_of(rows, 1500), queries, top)
    np.testing.assert_allclose(found.similarities, np.take_along_axis(scores, expected, 1), rtol=0, atol=1e-15)
    # NumPy's own product may round the last bit otherwise than ours, so that equal scores change places.
    np.testing.assert_allclose(
        np.take_along_axis(scores, found.positions, 1), np.take_along_axis(scores, expected, 1), rtol=0, atol=1e-15
    )


def test_the_error_in_float32_stays_within_the_margin() -> None:
    """Long vectors of one sign lose most."""
    worst = 0.0
    for dim in (3, 64, 2000):
        rows, queries = cone(dim, 300, dim), np.ones((1, dim)) + np.random.default_rng(0).normal(size=(20, dim)) * 0.01
        wide = rows.astype(np.float32)
        scores = (wide @ as_queries(queries).T.astype(np.float32)) / np.sqrt(np.vecdot(wide, wide))[:, None]
        margin = exact_search._Best(as_queries(queries), 1).margin
        assert margin < 3e-4
        worst = max(worst, float(np.abs(scores.T - doubles(rows, queries)).max() / margin))
    assert 0.001 < worst < 1


def test_big_batches_are_cut_to_the_memory() -> None:
    rows, queries = cone(3, 300), np.random.default_rng(4).normal(size=(50, 24))
    scans = 0

    def scan() -> Iterator[Block]:
        nonlocal scans
        scans += 1
        yield from scan_of(rows, 100)()

    whole = nearest(scan, queries, 5)
    assert scans == 1
    cut = nearest(scan, queries, 5, memory=1)
    assert scans == 1 + 50
    assert_same(cut, (whole.positions.tolist(), whole.similarities.tolist()))


def test_positions_are_what_the_scan_says() -> None:
    rows = cone(5, 50)
    numbers = np.random.default_rng(6).permutation(1000)[:50]

    def scan() -> Iterator[Block]:
        yield numbers, rows

    plain, renamed = nearest(scan_of(rows, 50), rows[:4], 3), nearest(scan, rows[:4], 3)
    np.testing.assert_array_equal(renamed.similarities, plain.similarities)
    assert renamed.positions[:, 0].tolist() == numbers[:4].tolist()


def test_a_fault_in_the_scan_is_told_by_every_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def scan() -> Iterator[Block]:
        yield from scan_of(cone(7, 20), 5)()
        raise RuntimeError("damaged block")

    for threads in (1, 2, 3):
        monkeypatch.setattr(exact_search, "blas_threads", lambda threads=threads: threads)
        with pytest.raises(RuntimeError, match="damaged block"):
            nearest(scan, np.ones((1, 24)), 2)


def test_every_float16_number_is_widened_to_the_same_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)]
    expected = numbers.astype(np.float32)
    assert (vectors.widened(numbers).view(np.int32) == expected.view(np.int32)).all()
    monkeypatch.setattr(vectors, "_SMALLEST", np.float32(0))  # as where small numbers are flushed
    assert (vectors.widened(numbers).view(np.int32) == expected.view(np.int32)).all()
