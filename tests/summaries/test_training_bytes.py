"""How many bytes training needs of a summary, counted by hand, and what own vectors take beside it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers import store_of, training_of, unit_vectors

from distill.targets.policy import fitting_policy
from embedstore import EmbeddingStore, Summary
from embedstore.errors import SummaryError
from embedstore.summaries import STRATEGIES
from embedstore.summaries.summary import _NOT_REPLAYED

COUNT, DIM, VIEWS = 600, 10, 3  # 300 of each label
VECTOR = 2 * DIM  # bytes, as float16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    vectors = np.stack([unit_vectors(seed, COUNT, DIM) for seed in range(VIEWS + 1)])
    path = tmp_path_factory.mktemp("bytes") / "store"
    with store_of(path, vectors, labels=["good", "defect"] * (COUNT // 2)) as opened:
        yield opened


def made(store: EmbeddingStore, strategy: str, **options: Any) -> Summary:
    return store.summarize(strategy, **options)


def codes(count: int, views: int, code_bytes: int, dims: int, centroids: int) -> int:
    """Return the bytes of codes and whose they are, of centroids as float16, and of the axes' parts."""
    return count * ((views + 1) * code_bytes + 4) + 2 * centroids * dims + dims


@pytest.mark.parametrize("views", [0, 1, VIEWS])
@pytest.mark.parametrize(
    ("strategy", "options", "vectors", "each_view", "chosen"),
    [
        # vectors, those of them of which each view has one, and prototype numbers: of how many bytes, for each view or once
        ("class-mean", {}, 2, 0, 0),
        ("class-distribution", {"rank": 3}, 2 * (1 + 3), 0, 0),
        ("sub-prototypes", {"k": 20}, 40, 0, "uint8 for each view"),
        ("sub-prototypes", {"k": 130}, 260, 0, "uint16 for each view"),
        ("medoids", {"k": 8}, 16, 0, "uint8 for each view"),
        ("random-samples", {"share": 0.1}, 60, 60, "uint8 once"),
        ("herding", {"k": 150}, 300, 300, "uint16 once"),
        ("rare-samples", {"share": 0.1, "k": 5}, 10 + 60, 60, "uint8 once"),
    ],
)
def test_prototypes_and_kept_samples_by_hand(
    views: int, strategy: str, options: dict[str, Any], vectors: int, each_view: int, chosen: Any, store: EmbeddingStore
) -> None:
    numbers = {
        0: 0,
        "uint8 for each view": COUNT * (views + 1),
        "uint16 for each view": 2 * COUNT * (views + 1),
        "uint8 once": COUNT,
        "uint16 once": 2 * COUNT,
    }
    expected = (vectors + each_view * views) * VECTOR + numbers[chosen]
    assert made(store, strategy, **options).training_bytes(views) == expected


@pytest.mark.parametrize("views", [0, 2])
def test_codes_by_hand(views: int, store: EmbeddingStore) -> None:
    summary = made(store, "compressed-own", bytes=1, share=0.1, rare_bytes=2, kept_views=2)
    short = codes(540, views, 1, 4, COUNT * 3 // 16)
    assert summary.training_bytes(views) == short + codes(60, views, 2, 8, 16)
    assert summary.nbytes == summary.vectors.nbytes + summary.training_bytes()
    assert len(summary.to_bytes()) > summary.nbytes
    plain = made(store, "compressed-own", bytes=1, rare_bytes=1)
    assert plain.training_bytes() == codes(COUNT, VIEWS, 1, 4, COUNT * 4 // 16)


def test_own_vectors_are_those_of_all_views_and_samples(store: EmbeddingStore) -> None:
    summary = made(store, "class-mean")
    assert summary.own_bytes() == COUNT * (VIEWS + 1) * VECTOR
    assert summary.own_bytes(1) == COUNT * 2 * VECTOR
    everyone = made(store, "random-samples", share=1.0)
    assert everyone.training_bytes() == summary.own_bytes() + 2 * COUNT  # and which prototype is whose


def test_all_views_are_counted_where_none_are_named_and_no_more_than_there_are(store: EmbeddingStore) -> None:
    few = made(store, "compressed-own", kept_views=1)
    for summary, views in ((made(store, "sub-prototypes", k=4), VIEWS), (few, 1)):
        assert summary.training_bytes() == summary.training_bytes(views)
        for wrong in (-1, views + 1):
            with pytest.raises(SummaryError, match=rf"knows {views} views, not {wrong}; ask for 0 to {views}\.$"):
                summary.training_bytes(wrong)
    for wrong in (-1, VIEWS + 1):
        with pytest.raises(SummaryError, match=rf"knows {VIEWS} views, not {wrong}; ask for 0 to {VIEWS}\.$"):
            few.own_bytes(wrong)
    assert few.own_bytes(VIEWS) == few.own_bytes()  # of the store, whatever it keeps itself


def test_the_policy_that_fits_replays_kept_samples_but_of_those_strategies_that_say_so() -> None:
    training = training_of(unit_vectors(0, 40), ["good", "defect"] * 20)
    samples = {name for name, fit in STRATEGIES.items() if (fit(training, 0).source >= 0).any()}
    assert "rare-samples" in samples
    assert {name for name in samples if fitting_policy(name) != "rare-samples"} == set(_NOT_REPLAYED)
