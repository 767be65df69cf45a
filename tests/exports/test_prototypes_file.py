"""Prototypes alone: the same numbers to a float16, nothing of any sample, and no student is trained from them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from safetensors.numpy import load_file

from embedstore import EmbeddingStore
from embedstore.errors import SettingsError, SummaryError
from embedstore.exports import SummaryFile, export, read_prototypes

COUNT, DIM, VIEWS = 60, 64, 2
IDS = [f"部品/{at:02}.png" for at in range(COUNT)]
STRATEGIES = ("class-mean", "sub-prototypes", "rare-samples", "class-distribution", "compressed-own")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    vectors = np.stack([unit_vectors(view, COUNT, DIM) for view in range(VIEWS + 1)])
    labels = [("good", "傷")[at % 2] for at in range(COUNT)]
    splits = [("train", "train", "test")[at % 3] for at in range(COUNT)]
    path = tmp_path_factory.mktemp("prototypes") / "store"
    with store_of(path, vectors, ids=IDS, labels=labels, splits=splits) as opened:
        for strategy in STRATEGIES:
            opened.summarize(strategy, name=strategy, split="train")
        yield opened


@pytest.mark.parametrize("name", STRATEGIES)
def test_prototypes_come_back_and_nothing_of_samples(name: str, store: EmbeddingStore, tmp_path: Path) -> None:
    file, whole = tmp_path / "g.safetensors", tmp_path / "whole.safetensors"
    export(store, file, summary=name, prototypes_only=True)
    export(store, whole, summary=name)
    kept, found = store.summary(name), read_prototypes(file)
    for one, other in ((kept.vectors, found.vectors), (kept.centre, found.centre)):
        assert other.dtype == np.float32
        np.testing.assert_array_equal(other, one.astype(np.float16).astype(np.float32))
    for attribute in ("name", "strategy", "labels", "fingerprint", "store_version", "seed", "views"):
        assert getattr(found, attribute) == getattr(kept, attribute)
    np.testing.assert_array_equal(found.counts, kept.counts)
    np.testing.assert_array_equal(read_prototypes(whole).vectors, kept.vectors)
    data = file.read_bytes()
    assert all(sample_id.encode() not in data for sample_id in IDS)
    assert {tensor for tensor, values in load_file(file).items() if values.size} == {
        "vectors", "centre", "counts", "radius", "source",
    }  # fmt: skip
    assert len(data) < 2 * kept.vectors.size + 2 * DIM + 1600 + 60 * len(kept.labels)


def test_no_student_is_trained_from_them(store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / "g.safetensors", summary="class-mean", prototypes_only=True)
    with pytest.raises(
        SummaryError, match=r"no student is trained from; export the summary without --prototypes-only\.$"
    ):
        SummaryFile(tmp_path / "g.safetensors")


def test_what_can_not_be_is_refused(store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^Prototypes are those of a summary; name it with --summary NAME\.$"):
        export(store, tmp_path / "g.safetensors", prototypes_only=True)
    with pytest.raises(SummaryError, match="There is no file"):
        read_prototypes(tmp_path / "none.safetensors")
    export(store, tmp_path / "vectors.safetensors")
    with pytest.raises(SummaryError, match="can't be used"):
        read_prototypes(tmp_path / "vectors.safetensors")
    export(store, tmp_path / "g.safetensors", summary="class-mean", prototypes_only=True)
    data = bytearray((tmp_path / "g.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "g.safetensors").write_bytes(data)
    with pytest.raises(SummaryError, match="fails its checksum"):
        read_prototypes(tmp_path / "g.safetensors")
