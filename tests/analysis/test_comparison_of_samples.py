"""A comparison that is asked about any sample, and about all at once."""

from typing import Any

import numpy as np
import pytest
from test_odd_samples import SUMMARIES, by_loops, make

from embedstore import EmbeddingStore
from embedstore.analysis.odd_distances import percentiles
from embedstore.analysis.odd_samples import Comparison


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with make(tmp_path_factory.mktemp("compared") / "store") as opened:
        yield opened


@pytest.mark.parametrize(("strategy", "parameters"), SUMMARIES)
def test_the_percentiles_of_all_are_as_plain_loops_find_them(
    store: EmbeddingStore, strategy: str, parameters: dict[str, Any]
) -> None:
    summary = store.summarize(strategy, split="train", **parameters)
    comparison = Comparison(store, summary)
    found = dict(zip(comparison.samples.ids, percentiles(comparison.samples, comparison.distances), strict=True))
    for label in ("good", "crack", "dent", None):
        for plain in by_loops(store, summary, label):
            expected = np.nan if plain["percentile"] is None else plain["percentile"]
            assert found[plain["id"]] == pytest.approx(expected, nan_ok=True)


def test_any_sample_is_described_as_it_is_among_the_oddest(store: EmbeddingStore) -> None:
    comparison = Comparison(store, store.summarize("class-mean"))
    listed = comparison.oddest("good", 5)
    alone = [comparison.describe([one])[0] for one in reversed(listed)]
    assert alone[::-1] == comparison.describe(listed)
    assert comparison.describe([]) == []


def test_prototypes_are_named_as_samples_name_theirs(store: EmbeddingStore) -> None:
    comparison = Comparison(store, store.summarize("sub-prototypes", k=3))
    assert comparison.names[:4] == ["crack 1", "crack 2", "crack 3", "dent 1"]
    for odd in comparison.describe([(at, 0) for at in range(0, len(store), 7)]):
        if odd.prototype is not None:
            assert odd.prototype.name == comparison.names[odd.prototype.index]
    assert Comparison(store, store.summarize("class-mean")).names == ["crack", "dent", "good"]


def test_places_lead_to_positions_of_the_store(store: EmbeddingStore) -> None:
    samples = Comparison(store, store.summarize("class-mean")).samples
    assert [store.ids[at] for at in samples.positions] == samples.ids == sorted(store.ids)
