"""Codes: vectors in a few bytes, what they decode to, and which parts of them fit together."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest

from embedstore.summaries.codes import (
    Codebook,
    Codes,
    balanced_parts,
    codes_fit,
    codes_from_tensors,
    codes_to_tensors,
    decoded,
)
from embedstore.summaries.kmeans import centroids
from embedstore.vectors import Vectors


def spread(seed: int, count: int, dims: int) -> Vectors:
    """Return points that vary less from axis to axis."""
    return (np.random.default_rng(seed).normal(size=(count, dims)) * 0.8 ** np.arange(dims)).astype(np.float32)


def by_hand() -> Codebook:
    """Two bytes for three axes: the first byte speaks for axes 0 and 2, the second for axis 1."""
    columns = np.array([[0.0, 10.0, 0.5], [1.0, 20.0, 1.5], [2.0, 30.0, 2.5]], np.float16)
    return Codebook(columns, np.array([0, 1, 0], np.uint8))


def two_codes() -> tuple[Codes, Codes]:
    """Samples 0, 2 and 3 in one byte, sample 1 in two; a plain picture and one view."""
    short = Codes(
        np.array([0, 2, 3], np.int32),
        np.array([[[0], [1]], [[1], [0]], [[1], [1]]], np.uint8),
        Codebook(np.array([[1.0, 2.0], [3.0, 4.0]], np.float16), np.array([0, 0], np.uint8)),
    )
    return short, Codes(np.array([1], np.int32), np.array([[[2, 0], [0, 1]]], np.uint8), by_hand())


# Dealing axes, fitting, encoding


def test_axes_are_dealt_so_that_products_of_variances_are_alike() -> None:
    assert balanced_parts(np.array([8.0, 4.0, 2.0, 1.0]), 2).tolist() == [0, 1, 1, 0]
    assert balanced_parts(np.array([1.0, 2.0, 4.0, 8.0]), 2).tolist() == [0, 1, 1, 0]
    assert balanced_parts(np.array([64.0, 8.0, 4.0, 2.0, 2.0, 1.0]), 3).tolist() == [0, 1, 2, 2, 1, 0]


@pytest.mark.parametrize(("dims", "count"), [(12, 3), (13, 4), (5, 5), (3, 8), (1, 1), (7, 2)])
def test_every_part_gets_about_as_many_axes(dims: int, count: int) -> None:
    sizes = np.bincount(balanced_parts(np.random.default_rng(0).random(dims), count))
    assert len(sizes) == min(dims, count)
    assert sizes.sum() == dims
    assert sizes.max() <= -(-dims // count)


def test_axes_without_any_variance_are_dealt_too() -> None:
    assert sorted(balanced_parts(np.zeros(4), 2).tolist()) == [0, 0, 1, 1]


def test_each_byte_is_the_nearest_centroid_of_its_part_and_decodes_to_it() -> None:
    book = Codebook.fitted(spread(1, 900, 10), 4, 0)
    points = spread(2, 50, 10)
    codes = book.encode(points)
    assert codes.shape == (50, 4)
    assert codes.dtype == np.uint8
    expected = np.empty((50, 10))
    for row, point in enumerate(points):
        for part in range(4):
            axes = np.flatnonzero(book.parts == part)
            choices = book.centroids[:, axes].astype(np.float64)
            expected[row, axes] = choices[((choices - point[axes]) ** 2).sum(axis=1).argmin()]
    np.testing.assert_array_equal(book.decode(codes), expected.astype(np.float32))


def test_codes_by_hand() -> None:
    assert by_hand().encode(np.array([[1.9, 11, 2.6], [0.2, 24, 0.4]], np.float32)).tolist() == [[2, 0], [0, 1]]
    assert by_hand().decode(np.array([[2, 0], [1, 2]], np.uint8)).tolist() == [[2.0, 10.0, 2.5], [1.0, 30.0, 1.5]]
    assert (by_hand().dim, by_hand().code_bytes) == (3, 2)


def test_few_different_points_are_kept_to_the_last_bit_of_a_float16() -> None:
    few = spread(3, 16, 6).astype(np.float16).astype(np.float32)
    points = few[np.random.default_rng(0).integers(16, size=400)]
    book = Codebook.fitted(points, 3, 0)
    np.testing.assert_array_equal(book.decode(book.encode(points)), points)


@pytest.mark.parametrize(("count", "most"), [(5, 5), (100, 16), (480, 30), (4096, 256), (6000, 256)])
def test_there_is_one_centroid_for_16_points_at_most_but_for_the_first_16(count: int, most: int) -> None:
    assert len(Codebook.fitted(spread(4, count, 4), 2, 0).centroids) == most


def test_codes_lose_as_little_as_those_of_faiss_of_the_same_parts() -> None:
    points = spread(5, 4096, 8)
    book = Codebook.fitted(points, 2, 0)
    order = np.argsort(book.parts, kind="stable")
    quantiser: Any = faiss.ProductQuantizer(8, 2, 8)
    quantiser.train(np.ascontiguousarray(points[:, order]))
    theirs = quantiser.decode(quantiser.compute_codes(np.ascontiguousarray(points[:, order])))
    lost = ((book.decode(book.encode(points)) - points) ** 2).sum()
    assert lost < 1.03 * ((theirs - points[:, order]) ** 2).sum()


def test_centroids_see_every_point() -> None:
    """FAISS by itself trains on 256 points a centroid: here 512 of 3,000. The others would not shape the means."""
    points = spread(6, 3000, 2)
    found = centroids(points, 2, 0).astype(np.float64)
    nearest = ((points[:, None] - found) ** 2).sum(axis=2).argmin(axis=1)
    moved = np.array([points[nearest == one].mean(axis=0) for one in range(2)])
    np.testing.assert_allclose(moved, found, atol=0.02)  # nearly at rest, after few iterations


def test_no_more_centroids_than_different_points() -> None:
    points = np.array([[1, 2], [3, 4], [1, 2]], np.float32)
    assert centroids(points, 5, 0).tolist() == [[1, 2], [3, 4]]


# Several codes together


def test_each_sample_is_decoded_from_its_own_code_and_padded_with_zeros() -> None:
    samples, views = np.array([3, 1, 0, 1, 2]), np.array([0, 0, 1, 1, 1])
    expected = [[3, 4, 0], [2, 10, 2.5], [3, 4, 0], [0, 20, 0.5], [1, 2, 0]]
    assert decoded(two_codes(), samples, views).tolist() == expected
    assert decoded(two_codes(), np.array([-1, 9]), np.array([0, 0])).tolist() == [[0, 0, 0]] * 2
    nobody = np.array([], np.int64)
    assert decoded(two_codes(), nobody, nobody).shape == (0, 3)


def test_bytes_are_those_of_codes_centroids_parts_and_whose_they_are() -> None:
    short, long = two_codes()
    assert short.nbytes == 3 * 2 * 1 + 3 * 4 + 2 * 2 * 2 + 2
    assert long.nbytes == 1 * 2 * 2 + 1 * 4 + 3 * 3 * 2 + 3
    assert short.nbytes_of(0) == short.nbytes - 3
    assert short.nbytes == sum(part.nbytes for part in codes_to_tensors([short]).values())


def test_codes_come_back_from_tensors_and_leave_the_others() -> None:
    tensors = codes_to_tensors(two_codes()) | {"other": np.zeros(1)}
    found = codes_from_tensors(tensors)
    assert tensors.keys() == {"other"}
    assert codes_to_tensors(found).keys() == codes_to_tensors(two_codes()).keys()
    for name, part in codes_to_tensors(two_codes()).items():
        np.testing.assert_array_equal(codes_to_tensors(found)[name], part)
    assert codes_from_tensors({}) == ()
    with pytest.raises(KeyError):
        codes_from_tensors({"codes.0.of": np.zeros(1)})


def test_codes_that_fit_are_told() -> None:
    assert codes_fit((), 4, 1, 3)
    assert codes_fit(two_codes(), 4, 1, 3)  # the longer code tells three axes
    assert codes_fit(two_codes(), 4, 1, 4)
    assert codes_fit(two_codes(), 4, 7, 3)  # of fewer views than the summary


Change = Callable[[Codes], Codes]


def with_book(**change: npt.NDArray[Any]) -> Change:
    return lambda one: replace(one, book=replace(one.book, **change))


NOT_FITTING: dict[str, Change] = {
    "centroids that are not there": lambda one: replace(one, codes=one.codes + np.uint8(1)),
    "no views": lambda one: replace(one, codes=one.codes[:, :0]),
    "codes of fewer samples": lambda one: replace(one, codes=one.codes[:-1]),
    "longer codes than there are parts": lambda one: replace(one, codes=np.repeat(one.codes, 2, axis=2)),
    "flat codes": lambda one: replace(one, codes=one.codes[:, :, 0]),
    "codes of two bytes": lambda one: replace(one, codes=one.codes.astype(np.uint16)),
    "samples in fractions": lambda one: replace(one, of=one.of.astype(np.float32)),
    "a sample that is not there": lambda one: replace(one, of=one.of + np.int32(2)),
    "a sample twice": lambda one: replace(one, of=np.array([0, 2, 2], np.int32)),
    "samples that fall": lambda one: replace(one, of=np.array([0, 3, 2], np.int32)),
    "a sample of both": lambda one: replace(one, of=np.array([0, 1, 3], np.int32)),
    "a negative sample": lambda one: replace(one, of=np.array([-1, 2, 3], np.int32)),
    "centroids of no axis": with_book(centroids=np.zeros((2, 0), np.float16), parts=np.zeros(0, np.uint8)),
    "no centroids": with_book(centroids=np.zeros((0, 2), np.float16)),
    "centroids of more axes": with_book(centroids=np.zeros((2, 3), np.float16)),
    "centroids that are no numbers": with_book(centroids=np.full((2, 2), np.nan, np.float16)),
    "centroids of four bytes": with_book(centroids=np.zeros((2, 2), np.float32)),
    "parts of a longer code": with_book(parts=np.array([0, 1], np.uint8)),
    "flat parts": with_book(parts=np.zeros((2, 1), np.uint8)),
}


@pytest.mark.parametrize("case", NOT_FITTING)
def test_codes_that_do_not_fit_are_told(case: str) -> None:
    short, long = two_codes()
    assert not codes_fit((NOT_FITTING[case](short), long), 4, 1, 3)


def test_codes_of_other_samples_views_and_axes_are_told() -> None:
    short, long = two_codes()
    assert not codes_fit((short, long), 5, 1, 3)
    assert not codes_fit((short, long), 3, 1, 3)
    assert not codes_fit((short, long), 4, 0, 3)
    assert not codes_fit((short, long), 4, 1, 2)
    assert not codes_fit((short,), 4, 1, 3)
    assert not codes_fit((short, replace(long, codes=long.codes[:, :1])), 4, 1, 3)
