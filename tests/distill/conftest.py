"""Little stores and one finished run for all tests of the distiller; nobody writes to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
import toy_parts
import toy_stops
import toy_vectors

import distill
import embedstore
from distill.targets import TrainingSet
from distill.training.loop import Run
from embedstore import EmbeddingStore


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 labelled pictures on three sides, 6 unlabelled ones (4 train, 2 test), 3 set aside."""
    return toy_parts.make_store(tmp_path_factory.mktemp("toy"), toy_parts.everything())


@pytest.fixture(scope="session")
def store(store_path: Path) -> Iterator[EmbeddingStore]:
    with embedstore.open(store_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def finished(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, with the policy `own`."""
    return distill.train(store_path, tmp_path_factory.mktemp("finished") / "run", toy_parts.quick(policy="own"))


@pytest.fixture(scope="session")
def uninterrupted(store: EmbeddingStore, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of `toy_stops.SETTINGS` that nobody stopped."""
    return distill.train(store, tmp_path_factory.mktemp("uninterrupted") / "run", toy_stops.SETTINGS)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of timm's `test_resnet`, of whose first stages patches are made."""
    path = tmp_path_factory.mktemp("checkpoint") / "weights.pt"
    with torch.random.fork_rng():
        torch.manual_seed(2)
        torch.save(timm.create_model("test_resnet", num_classes=7).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def patch_stages(checkpoint: Path) -> str:
    """Return the setting `patches` that names these."""
    return f"timm:test_resnet@{checkpoint}:3"


@pytest.fixture(scope="session")
def vector_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    """120 samples of given vectors, see `toy_vectors`."""
    with toy_vectors.make_store(tmp_path_factory.mktemp("vectors") / "store") as opened:
        yield opened


@pytest.fixture(scope="session")
def training(vector_store: EmbeddingStore) -> TrainingSet:
    """The training side of `vector_store`."""
    return toy_vectors.training_of(vector_store)
