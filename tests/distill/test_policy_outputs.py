"""`own` of several outputs of the teacher: what each target is, worked out from the store's vectors by brute force."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import toy_parts
from helpers import CountingTeacher
from toy_vectors import fitted, training_of, unit, whole

import distill
import embedstore
from distill import DistillationDataset
from distill.targets import TrainingSet
from distill.training.run_directory import load_checkpoint
from distill.training.task_file import read_task
from distill.training.task_format import format_task
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError, StoreError

BOTH = "embedding, early"
DIMS = {"embedding": 12, "early": 4}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of the toy parts, two augmented views, two outputs."""
    folder = tmp_path_factory.mktemp("outputs")
    rows = toy_parts.everything()
    toy_parts.write_pictures(folder / "images", rows)
    manifest = toy_parts.write_manifest(folder / "parts.csv", rows)
    embedstore.build(
        folder / "store", folder / "images", manifest=manifest, teacher=CountingTeacher(early=True), views=2
    )
    return folder / "store"


@pytest.fixture
def training(path: Path) -> Iterator[TrainingSet]:
    with embedstore.open(path) as store:
        yield training_of(store)


def by_hand(training: TrainingSet, output: str, view: int) -> npt.NDArray[np.float64]:
    """Return each training sample's vector, less the mean of the labelled ones' plain vectors, at length 1."""
    store = training.source
    assert isinstance(store, EmbeddingStore)
    labelled = [at for at, label in enumerate(training.labels) if label is not None]
    assert len(labelled) < len(training)
    plain = store.vectors(training.ids, output=output).astype(np.float64)
    return unit(store.vectors(training.ids, view=view, output=output) - plain[labelled].mean(axis=0))


@pytest.mark.parametrize("view", [0, 1, 2])
def test_a_target_is_both_centred_vectors_in_a_row(view: int, training: TrainingSet) -> None:
    policy = fitted("own", training, outputs=BOTH)
    found = whole(policy, training, view)
    parts = [by_hand(training, output, view) for output in DIMS]
    assert policy.dim == 16
    assert found.known.all()
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, np.concatenate(parts, axis=1) / np.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)
    cosines = found.vectors @ found.vectors.T
    np.testing.assert_allclose(cosines, np.mean([part @ part.T for part in parts], axis=0), atol=1e-6)


def test_one_output_alone_and_none_named(training: TrainingSet) -> None:
    early = whole(fitted("own", training, outputs="early"), training, 1).vectors
    np.testing.assert_allclose(early, by_hand(training, "early", 1), atol=1e-6)
    named = whole(fitted("own", training, outputs="embedding"), training, 1).vectors
    np.testing.assert_array_equal(named, whole(fitted("own", training), training, 1).vectors)
    np.testing.assert_allclose(named, by_hand(training, "embedding", 1), atol=1e-6)


def test_each_sample_is_read_in_its_own_view(training: TrainingSet) -> None:
    policy = fitted("own", training, outputs="early,embedding")
    samples, views = np.array([5, 0, 5, 31]), np.array([2, 0, 0, 1])
    expected = [
        np.concatenate([by_hand(training, output, view)[at] for output in ("early", "embedding")]) / np.sqrt(2)
        for at, view in zip(samples, views.tolist(), strict=True)
    ]
    np.testing.assert_allclose(policy.targets(samples, views).vectors, expected, atol=1e-6)


def test_shuffled_own_passes_all_outputs_of_a_sample_to_the_same_other_one(training: TrainingSet) -> None:
    both = whole(fitted("shuffled-own", training, 3, outputs=BOTH), training, 1).vectors
    for output, part in (("embedding", both[:, :12]), ("early", both[:, 12:])):
        alone = whole(fitted("shuffled-own", training, 3, outputs=output), training, 1).vectors
        np.testing.assert_allclose(part * np.sqrt(2), alone, atol=1e-6)
    own = whole(fitted("own", training, outputs=BOTH), training, 1).vectors
    givers = np.array([np.flatnonzero((own == target).all(axis=1))[0] for target in both])
    assert sorted(givers) == list(range(len(training)))
    assert (givers != np.arange(len(training))).all()
    assert [training.labels[at] for at in givers] == list(training.labels)


def test_a_data_set_gives_them_too(path: Path, training: TrainingSet) -> None:
    with DistillationDataset(path, size=32, options={"own": {"outputs": BOTH}}) as data:
        assert data.dim == 16
        torch.manual_seed(4)
        targets = torch.stack([target for _, _, target in data.__getitems__(range(20))])
        torch.manual_seed(4)
        views = torch.randint(3, (20,)).numpy()
        expected = fitted("own", training, outputs=BOTH).targets(np.arange(20), views).vectors
        assert torch.equal(targets, torch.from_numpy(expected))
        with pickle.loads(pickle.dumps(data)) as sent:  # noqa: S301  as to a worker that is spawned
            torch.manual_seed(4)
            assert torch.equal(torch.stack([target for _, _, target in sent.__getitems__(range(20))]), targets)


def test_a_task_file_asks_for_them(path: Path, tmp_path: Path) -> None:
    text = 'policy = "own"\ngood = "good"\nsize = 32\nepochs = 1\n[policies.own]\noutputs = "embedding, early"\n'
    (tmp_path / "task.toml").write_text(text, "utf-8")
    settings = read_task(tmp_path / "task.toml")
    assert settings.options == {"own": {"outputs": "embedding, early"}}
    (tmp_path / "again.toml").write_text(format_task(settings), "utf-8")
    assert read_task(tmp_path / "again.toml") == settings
    distill.train(path, tmp_path / "run", settings)
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint is not None
    assert {values.shape[0] for values in checkpoint["loss"].values()} == {16}  # weight and bias of the projection


# Refusals


def test_a_store_without_the_output_is_refused(store: EmbeddingStore, tmp_path: Path) -> None:
    message = (
        r"^'.*' has no output 'early' of all its views \(it has embedding\); where its teacher gives that, add it with: "
        r"embedstore build '.*' IMAGES --outputs early$"
    )
    options = {"own": {"outputs": BOTH}}
    with pytest.raises(StoreError, match=message):
        distill.train(store, tmp_path / "run", toy_parts.quick(policy="own", options=options))
    with pytest.raises(StoreError, match=message):
        DistillationDataset(store, options=options)


@pytest.mark.parametrize("outputs", ["", "embedding,", "embedding,early,embedding"])
def test_outputs_that_are_empty_or_named_twice_are_refused(outputs: str, training: TrainingSet) -> None:
    for name in ("own", "shuffled-own"):
        with pytest.raises(SettingsError, match=f"^The outputs are '{outputs}'; name each once, with commas between"):
            fitted(name, training, outputs=outputs)


def test_a_mixture_takes_targets_of_one_length_only(path: Path, tmp_path: Path) -> None:
    mixture = {"good": {"shuffled-own": 1.0}, "defect": {"own": 1.0, "none": 1.0}}
    options = {"own": {"outputs": BOTH}}
    settings = toy_parts.quick(policy="mixture", mixture=mixture, options=options)
    message = r"^The mixture's policies give targets of different lengths \(own: 16, shuffled-own: 12\); give all"
    with pytest.raises(SettingsError, match=message):
        distill.train(path, tmp_path / "refused", settings)
    options = {"own": {"outputs": BOTH}, "shuffled-own": {"outputs": BOTH}}
    settings = toy_parts.quick(policy="mixture", mixture=mixture, options=options)
    with DistillationDataset(path, policy="mixture", mixture=mixture, options=options) as data:
        assert data.dim == 16
    assert distill.train(path, tmp_path / "run", settings).report.auroc is not None
