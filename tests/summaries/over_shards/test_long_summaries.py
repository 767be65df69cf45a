"""What a summary says while it is made, and what it says before the work instead of after: what can't be saved."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from toy_shards import PARAMETERS, over, shards_of, toy_store, training_over

from embedstore import EmbeddingStore
from embedstore.errors import EngineError, StoreError, SummaryError
from embedstore.store import embedding_store, layout
from embedstore.summaries import OVER_SHARDS, STRATEGIES, strategy, summarize
from embedstore.summaries.over_shards import clusters, on_ray
from embedstore.summaries.over_shards.shards import InProcess
from embedstore.summaries.over_shards.sums import label_sums
from embedstore.summaries.summary import least_bytes


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with toy_store(tmp_path_factory.mktemp("long") / "store") as made:
        yield made


def test_each_pass_is_told_from_its_first_shard_to_its_last(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "STARTED_FROM", 5)
    told = list[tuple[str, int, int]]()
    summarize(
        store, "rare-samples", seed=3, engine=InProcess(140), progress=lambda *said: told.append(said),
        **PARAMETERS["rare-samples"],
    )  # fmt: skip
    assert {total for _, _, total in told} == {3}
    assert [done for _, done, _ in told] == [0, 1, 2, 3] * (len(told) // 4)
    passes = [what for what, done, _ in told if done == 0]
    assert list(dict.fromkeys(passes)) == [
        "Means", "k-means", "Clusters", "Rare scores", "Near distances", "Nearest prototypes",
    ]  # fmt: skip
    assert passes.count("Clusters") == 2
    assert passes.count("k-means") > 2 * clusters.STARTS
    assert passes.count("Nearest prototypes") == store.views + 1


def test_what_is_gathered_is_told_as_one_piece(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[tuple[str, int, int]]()
    summarize(store, "rare-samples", progress=lambda *said: told.append(said))
    assert told == [("making rare-samples", 0, 1), ("making rare-samples", 1, 1)]
    told.clear()
    monkeypatch.setattr(strategy, "MOST_GATHERED", 0)
    summarize(store, "herding", progress=lambda *said: told.append(said))  # is gathered however large
    assert [one for one in told if one[0] == "making herding"] == [("making herding", 0, 1), ("making herding", 1, 1)]
    assert "Nearest prototypes" in {what for what, _, _ in told}


def never(*asked: Any, **parameters: Any) -> Any:
    pytest.fail("the work began")


def test_what_is_too_large_to_be_kept_is_told_before_the_work(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = least_bytes(store.ids, store.views)
    made = over(store, "class-mean", 60)
    assert size == made.serving.nbytes + len(made.fitted) + 8 * len(made.seen) + len("".join(made.seen))
    monkeypatch.setattr(layout, "MOST_BYTES", size - 1)
    assert store.summarize("class-mean", engine="shards").seen == store.ids  # which is not saved
    monkeypatch.setitem(OVER_SHARDS, "class-mean", never)
    with pytest.raises(
        SummaryError, match=r"of 420 pictures in 2 views each takes .* keeps none above .* GB; summarise fewer"
    ):
        store.summarize("class-mean", name="large", engine="shards")


def test_what_turns_out_too_large_is_refused_whole(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MOST_BYTES", least_bytes(store.ids, store.views))
    with pytest.raises(SummaryError, match=r"'large' has .* keeps none above"):
        store.summarize("class-mean", name="large")
    assert "large" not in store.summary_names
    monkeypatch.setattr(layout, "MOST_BYTES", len(store.summarize("class-mean").to_bytes()) + 100)
    store.summarize("class-mean", name="fits")
    assert "fits" in store.summary_names


def test_a_store_that_can_t_be_written_is_told_before_the_work(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_store, "os", SimpleNamespace(access=lambda path, mode: path != store.path, W_OK=2))
    assert store.summarize("class-mean").seen == store.ids  # which is not saved
    monkeypatch.setitem(STRATEGIES, "class-mean", never)
    with pytest.raises(StoreError, match="can't be written, so no summary can be saved there; copy it"):
        store.summarize("class-mean", name="read only")


def test_whoever_worked_long_waits_as_long_for_another_writer(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited, clock, writer = list[float](), iter([100.0, 112.3, 200.0, 200.2]), embedding_store.writer

    def spied(path: Path, *, wait: float) -> Any:
        waited.append(wait)
        return writer(path, wait=wait)

    monkeypatch.setattr(embedding_store, "writer", spied)
    monkeypatch.setattr(embedding_store, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    store.summarize("class-mean", name="long")
    store.summarize("class-mean", name="short")
    assert waited == [12, 0]


def test_a_node_that_does_not_see_the_store_says_so(store: EmbeddingStore, tmp_path: Path) -> None:
    shard = shards_of(training_over(store))[0]
    assert on_ray._work(label_sums, shard, (3, store.dim)).shape == (3, store.dim)
    elsewhere = replace(shard, place=replace(shard.place, path=tmp_path / "elsewhere"))
    with pytest.raises(EngineError, match=r"The machine '.+' of the Ray cluster does not see the store at .*elsewhere"):
        on_ray._work(label_sums, elsewhere, (3, store.dim))
    on_ray._reader.cache_clear()  # which holds the store open


def test_one_picture_is_a_summary_of_its_own(store: EmbeddingStore) -> None:
    for name in OVER_SHARDS:
        made = summarize(store, name, positions=np.array([5]), engine=InProcess(), **PARAMETERS.get(name, {}))
        assert made.seen == [store.ids[5]]
        np.testing.assert_allclose(made.vectors, store.read(np.array([5])), atol=1e-6)
