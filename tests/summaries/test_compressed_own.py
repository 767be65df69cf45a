"""compressed-own: what is kept of own vectors, to whom the longer codes go, and what is told of it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of, training_of, unit_vectors

from embedstore.errors import SummaryError
from embedstore.summaries import STRATEGIES, Prototypes, TrainingVectors
from embedstore.summaries.codes import Codebook, Codes, decoded
from embedstore.summaries.compressed_own import _Space
from embedstore.vectors import unit_length

DIM, VIEWS, FEW, MANY = 12, 2, 5, 300
Wide = npt.NDArray[np.float64]


def few_vectors() -> npt.NDArray[np.float16]:
    """Return 15 different vectors: of no more than 16, codes lose nothing but what is left of the axes."""
    return np.stack([unit_vectors(seed, FEW, DIM) for seed in range(VIEWS + 1)])


def many_vectors() -> npt.NDArray[np.float16]:
    """Return vectors of which the first 12 lie off the plane in which nearly all vary, the others' views near the others."""
    random = np.random.default_rng(0)
    plain = random.normal(size=(MANY, DIM)) * np.array([1, 1, 0.7, 0.5, *[0.02] * 8])
    plain[:12] = random.normal(size=(12, DIM)) * np.array([*[0.02] * 8, 1, 1, 1, 1])
    views = plain + random.normal(size=(VIEWS + 1, MANY, DIM)) * 0.02
    return unit_length(views + 0.3).astype(np.float16)


def flat_vectors(count: int, views: int) -> npt.NDArray[np.float16]:
    """Return vectors (views + 1, count, 64) that vary along 8 axes, but for what float16 rounds: short codes tell all."""
    random = np.random.default_rng(0)
    plain = random.normal(size=(count, 8)) @ random.normal(size=(8, 64))
    moved = random.normal(size=(views + 1, count, 8)) * 0.3 @ random.normal(size=(8, 64))
    return unit_length(plain + (moved if views else 0)).reshape(views + 1, count, 64).astype(np.float16)


def labels(count: int) -> list[str]:
    return ["good" if number % 3 else "defect" for number in range(count)]


def fitted(vectors: npt.NDArray[np.float16], *, seed: int = 3, **options: Any) -> Prototypes:
    order, block = options.pop("order", None), options.pop("block", 100)
    training = training_of(vectors, labels(vectors.shape[1]), order=order, block=block)
    return STRATEGIES["compressed-own"](training, seed, **options)


def kept(prototypes: Prototypes) -> Wide:
    """Return what is decoded of all samples, (views + 1, n, dims)."""
    samples = np.arange(sum(len(one.of) for one in prototypes.codes))
    views = range(prototypes.codes[0].views + 1)
    return np.stack([decoded(prototypes.codes, samples, np.full(len(samples), view)) for view in views]).astype(float)


def true_directions(vectors: npt.NDArray[np.float16]) -> Wide:
    """Return centred directions, (views + 1, n, d), by the definition."""
    off = vectors.astype(float) - vectors[0].astype(float).mean(axis=0)
    return np.asarray(off / np.linalg.norm(off, axis=2, keepdims=True))


def principal(directions: Wide, count: int) -> Wide:
    """Return the first axes (d, count) of directions, by a singular value decomposition."""
    return np.linalg.svd(directions.reshape(-1, directions.shape[2]), full_matrices=False)[2][:count].T


def cosines(prototypes: Prototypes, vectors: npt.NDArray[np.float16]) -> Wide:
    """Return the cosine (views + 1, n) between each vector and what is kept of it, axes found anew."""
    found, truth = kept(prototypes), true_directions(vectors)
    along = truth @ principal(truth, found.shape[2])
    along *= np.sign((along * found).sum(axis=(0, 1)))  # an axis may point either way
    return np.asarray((along * found).sum(axis=2) / np.linalg.norm(found, axis=2))


# What is kept


@pytest.mark.parametrize("code_bytes", [1, 2, 3, 16])
def test_angles_are_those_of_own_vectors_along_four_axes_a_byte(code_bytes: int) -> None:
    vectors = few_vectors()
    found = kept(fitted(vectors, bytes=code_bytes, rare_bytes=code_bytes)).reshape(15, -1)
    truth = true_directions(vectors)
    assert found.shape[1] == min(4 * code_bytes, DIM)
    along = (truth @ principal(truth, found.shape[1])).reshape(15, -1)
    np.testing.assert_allclose(found @ found.T, along @ along.T, atol=3e-3)


def test_the_centre_is_the_mean_of_the_plain_vectors_alone() -> None:
    vectors = few_vectors()
    vectors[1:] = -vectors[1:]
    found = kept(fitted(vectors, bytes=16, rare_bytes=16)).reshape(15, -1)
    truth = true_directions(vectors).reshape(15, -1)
    np.testing.assert_allclose(found @ found.T, truth @ truth.T, atol=3e-3)


def test_more_bytes_lose_less() -> None:
    vectors = many_vectors()
    means = [cosines(fitted(vectors, bytes=count, rare_bytes=count), vectors).mean() for count in (1, 2, 4, 12)]
    assert means == sorted(means)
    assert means[0] > 0.9
    assert means[-1] > 0.995


def test_of_many_vectors_each_view_shows_others_of_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = many_vectors()
    whole = cosines(fitted(vectors, bytes=3, rare_bytes=3), vectors).mean()
    monkeypatch.setattr("embedstore.summaries.compressed_own._MOST_FITTED", MANY)
    part = fitted(vectors, bytes=3, rare_bytes=3)
    assert len(part.codes[0].book.centroids) == MANY // 16  # fitted to so many vectors
    assert cosines(part, vectors).mean() > whole - 0.02


@pytest.mark.parametrize("views", [0, 1, VIEWS])
def test_fewer_views_are_kept_where_asked(views: int) -> None:
    vectors = few_vectors()
    found = fitted(vectors, bytes=16, rare_bytes=16, kept_views=views)
    truth = true_directions(vectors)[: views + 1].reshape(-1, DIM)
    assert found.codes[0].codes.shape == (FEW, views + 1, np.linalg.matrix_rank(truth, tol=1e-3))
    coded = kept(found).reshape(len(truth), -1)
    np.testing.assert_allclose(coded @ coded.T, truth @ truth.T, atol=3e-3)


# Rare samples


def test_the_longer_codes_go_to_what_the_short_ones_describe_worst_and_describe_it_better() -> None:
    vectors = many_vectors()
    plain = fitted(vectors, bytes=1, rare_bytes=1)
    found = fitted(vectors, bytes=1, share=0.04, rare_bytes=12)
    assert [len(one.of) for one in found.codes] == [MANY - 12, 12]
    assert found.codes[1].of.tolist() == list(range(12))
    before, after = cosines(plain, vectors), cosines(found, vectors)
    assert (after[:, :12] > before[:, :12] + 0.2).all()
    np.testing.assert_array_equal(kept(plain)[:, 12:], kept(found)[:, 12:, :4])  # the others' do not change
    assert not kept(found)[:, 12:, 4:].any()


def test_a_sample_counts_by_all_of_its_views() -> None:
    vectors = many_vectors()
    vectors[0, 40], vectors[1:, 50] = vectors[0, 5], vectors[1:, 5]  # one odd view of three, two odd views of three
    odd = fitted(vectors, bytes=1, share=13 / MANY, rare_bytes=12).codes[1].of
    assert odd.tolist() == [*range(12), 50]


def test_the_share_is_of_all_samples_rounded_up_and_all_of_them_leave_no_short_code() -> None:
    vectors = many_vectors()
    for share, count in ((5e-324, 1), (1e-12, 1), (1 / MANY, 1), (0.1, 30), (0.101, 31)):
        assert len(fitted(vectors, bytes=1, share=share, rare_bytes=12).codes[1].of) == count
    (one,) = fitted(vectors, bytes=1, share=1.0, rare_bytes=12).codes
    assert (len(one.of), one.book.code_bytes) == (MANY, 12)


NO_GAIN = "None of the {} pictures that these describe worst gains by {} bytes; all keep these."


@pytest.mark.parametrize(
    ("count", "views", "options", "longer", "said"),
    [
        (600, 2, {"bytes": 16}, 0, NO_GAIN.format(60, 64)),  # fitted to few samples, longer codes have fewer centroids
        (200, 8, {"bytes": 32, "rare_bytes": 40}, 0, NO_GAIN.format(20, 40)),
        (600, 0, {"bytes": 16}, 32, "32 of 600 pictures, those that gain of the 60 described worst, have 64; "),
        (
            600,
            2,
            {"bytes": 4, "rare_bytes": 8},
            59,
            "59 of 600 pictures, those that gain of the 60 described worst, have 8; ",
        ),
    ],
    ids=["none gains", "none gains of many views", "some gain", "nearly all gain"],
)
def test_no_sample_gets_a_longer_code_that_describes_it_no_better(
    count: int, views: int, options: dict[str, Any], longer: int, said: str
) -> None:
    vectors = flat_vectors(count, views)
    short = fitted(vectors, **options | {"rare_bytes": options["bytes"]})
    found = fitted(vectors, **options)
    assert sum(map(len, (one.of for one in found.codes[1:]))) == longer
    before, after = (cosines(one, vectors).mean(axis=0) for one in (short, found))
    changed = np.isin(np.arange(count), found.codes[1].of) if longer else np.zeros(count, bool)
    np.testing.assert_array_equal(after[~changed], before[~changed])
    assert (after[changed] > before[changed]).all()
    assert found.remarks[1].startswith(said)
    if longer:
        told = re.findall(r"[01]\.\d{3}", found.remarks[1])
        assert told == [f"{one[changed].mean():.3f}" for one in (before, after)]


@pytest.mark.parametrize(("code_bytes", "rare_bytes"), [(2, 2), (12, 64), (16, 64)])
def test_there_is_no_longer_code_where_it_would_be_no_longer(code_bytes: int, rare_bytes: int) -> None:
    (one,) = fitted(many_vectors(), bytes=code_bytes, rare_bytes=rare_bytes).codes
    assert one.book.code_bytes == min(code_bytes, DIM)


# On what it depends


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_neither_the_order_of_rows_nor_the_cut_of_blocks_changes_what_is_kept(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedstore.summaries.compressed_own._MOST_FITTED", 400)  # so that vectors are drawn
    vectors, order = many_vectors(), np.random.default_rng(block).permutation(MANY)
    options: dict[str, Any] = {"bytes": 2, "share": 0.1, "rare_bytes": 6}
    found, other = fitted(vectors, **options), fitted(vectors, order=order, block=block, **options)
    np.testing.assert_array_equal(kept(other), kept(found)[:, order])
    assert found.distances is not None
    assert other.distances is not None
    np.testing.assert_array_equal(other.distances, found.distances[order])
    assert other.remarks == found.remarks


def test_another_seed_gives_other_codes() -> None:
    vectors = many_vectors()
    assert not np.array_equal(kept(fitted(vectors, bytes=2, seed=1)), kept(fitted(vectors, bytes=2, seed=2)))


def test_samples_that_are_all_alike_have_no_direction() -> None:
    alike = np.repeat(few_vectors()[:1, :1], 6, axis=1)
    found = fitted(alike)
    assert not kept(found).any()
    assert found.distances is not None
    assert found.distances.max() < 1e-3


# What is told


def test_remarks_tell_the_true_cosines() -> None:
    vectors = many_vectors()
    found = fitted(vectors, bytes=1, share=0.04, rare_bytes=12)
    before = cosines(fitted(vectors, bytes=1, rare_bytes=1), vectors)[:, :12].mean()
    after = cosines(found, vectors)
    assert re.findall(r"\b\d+ bytes|\b\d+ of \d+|[01]\.\d{3}|have \d+", " ".join(found.remarks)) == [
        "1 bytes", "12 of 300", "have 12", f"{before:.3f}", f"{after[:, :12].mean():.3f}", f"{after.mean():.3f}",
    ]  # fmt: skip


def farness(vector: Wide, centre: Wide, direction: Wide) -> float:
    """Return how far a vector lies from the point of its length in a direction from the centre, found by looking everywhere."""
    far = np.linspace(0, 8, 400_001)
    off = np.abs(centre @ centre + 2 * far * (centre @ direction) + far**2 - vector @ vector)
    there = far[1:-1][(off[1:-1] <= off[:-2]) & (off[1:-1] <= off[2:])]  # where it has that length, or nearly
    away = there[np.abs(there - np.linalg.norm(vector - centre)).argmin()] if len(there) else 0.0
    return float(np.linalg.norm(unit_length(vector) - unit_length(centre + away * direction)))


def test_what_is_hidden_is_the_distance_from_the_vector_of_its_own_length_that_is_kept() -> None:
    vectors = many_vectors()
    found = fitted(vectors, bytes=1, share=0.04, rare_bytes=12)
    truth, coded = true_directions(vectors), kept(found)
    axes = principal(truth, DIM)
    axes *= np.sign((truth @ axes * coded).sum(axis=(0, 1)))
    towards = unit_length(coded[0] @ axes.T).astype(float)
    plain = vectors[0].astype(float)
    expected = [
        farness(vector, plain.mean(axis=0), direction) for vector, direction in zip(plain, towards, strict=True)
    ]
    assert found.distances is not None
    np.testing.assert_allclose(found.distances, expected, atol=1e-4)


def test_vectors_of_any_length_are_as_far_from_whatever_direction_is_kept_of_them() -> None:
    random = np.random.default_rng(3)
    vectors = (random.normal(size=(MANY, 3)) * 0.6 + [1, 0, 0]).astype(np.float16)
    apart = vectors - vectors.mean(axis=0, dtype=float)
    towards = unit_length(apart + random.normal(size=(MANY, 3)) * np.linspace(0, 3, MANY)[:, None])
    space = _Space(training_of(vectors, labels(MANY)), 0, 0, 3)
    everyone = np.arange(MANY, dtype=np.int32)
    told = [
        Codes(everyone[at : at + 1], np.zeros((1, 1, 1), np.uint8), Codebook(along[None], np.zeros(3, np.uint8)))
        for at, along in enumerate((towards @ space._axes).astype(np.float16))
    ]
    plain = vectors.astype(float)
    expected = [
        farness(vector, plain.mean(axis=0), direction) for vector, direction in zip(plain, towards, strict=True)
    ]
    found = space.distances(tuple(told))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.max() <= 2


def test_vectors_of_any_length_that_are_kept_whole_hide_nothing_and_none_is_farther_than_2() -> None:
    random = np.random.default_rng(2)
    whole = few_vectors() * random.uniform(0.2, 20, (FEW, 1)).astype(np.float16)
    centre = whole[0].astype(float).mean(axis=0)
    assert (
        np.linalg.norm(whole[0].astype(float), axis=1) < np.linalg.norm(centre)
    ).any()  # on this side of it, and beyond
    found = fitted(whole, bytes=16, rare_bytes=16).distances
    assert found is not None
    assert found.max() < 5e-3
    lossy = (many_vectors() * random.uniform(0.2, 200, (MANY, 1))).astype(np.float16)
    found = fitted(lossy, bytes=1, rare_bytes=1).distances
    assert found is not None
    assert 0.5 < found.max() <= 2


def test_a_summary_tells_that_distance_and_serves_by_class_means(tmp_path: Path) -> None:
    vectors = many_vectors()
    modes = ["odd" if number < 12 else "usual" for number in range(MANY)]
    groups = [f"part {number // 2}" for number in range(MANY)]
    with store_of(tmp_path / "store", vectors, labels=labels(MANY), modes=modes, groups=groups) as store:
        means = store.summarize("class-mean")
        found = store.summarize("compressed-own", bytes=1, share=0.04, rare_bytes=12, name="few-bytes")
        again = store.summary("few-bytes")
        training = TrainingVectors.from_store(store, np.arange(MANY))
        distance = STRATEGIES["compressed-own"](training, 0, bytes=1, share=0.04, rare_bytes=12).distances
    np.testing.assert_array_equal(found.vectors, means.vectors)
    np.testing.assert_array_equal(found.serving, means.serving)
    np.testing.assert_array_equal(found.radius, means.radius)
    assert again.to_bytes() == found.to_bytes()
    assert distance is not None
    for label, loss in found.averaging_loss.items():
        own = distance[np.array(labels(MANY)) == label]
        assert loss.worst == pytest.approx(own.max(), abs=1e-6)
        assert loss.mean == pytest.approx(own.mean(), abs=1e-6)
        assert loss.far_modes.get("odd", 0) == 0 < means.averaging_loss[label].far_modes["odd"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bytes": 0}, "bytes of a code are 0, of a rare sample's 64; expected 1 to 256"),
        ({"rare_bytes": 8}, "bytes of a code are 16, of a rare sample's 8; .* no fewer for rare"),
        ({"rare_bytes": 257}, "of a rare sample's 257; expected 1 to 256"),
        ({"share": 0.0}, "share of samples to keep is 0.0"),
        ({"kept_views": 3}, "number of views to keep is 3; expected 0 to 2, which there are"),
        ({"kept_views": -1}, "number of views to keep is -1; expected 0 to 2"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SummaryError, match=words):
        fitted(few_vectors(), **options)
