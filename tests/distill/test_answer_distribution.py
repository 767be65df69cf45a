"""A student asked through the distribution of each class: the textbook's densities, and what few pictures change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import softmax
from scipy.stats import multivariate_normal
from toy_parts import quick

import distill
from distill.answers.distribution import COMMON_PARTS, EVEN, Distribution
from distill.students import make_student
from distill.training import run_directory
from distill.training.loop import Run
from distill.training.pictures import StudentPictures
from embedstore import EmbeddingStore
from embedstore.errors import TrainingError
from embedstore.views import WHOLE

Floats = npt.NDArray[np.float64]
FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


def distribution_of(features: Floats, labels: npt.NDArray[np.int64], parts: list[str]) -> Distribution:
    return Distribution.of(torch.tensor(features, dtype=torch.float32), labels, parts)


def asked(distribution: Distribution, features: Floats) -> Floats:
    return distribution(torch.tensor(features, dtype=torch.float32), torch.zeros(len(features), 1)).numpy()


def by_hand(features: Floats, labels: npt.NDArray[np.int64], parts: list[str], queries: Floats) -> Floats:
    """Return the probabilities as the definition says, with SciPy's densities."""
    features, queries = features.astype(np.float32).astype(np.float64), queries.astype(np.float32).astype(np.float64)
    centre, spread = features.mean(axis=0), features.std(axis=0)
    points, dim = (features - centre) / spread, features.shape[1]
    off = points - np.array([points[labels == label].mean(axis=0) for label in labels])
    together = off.T @ off / len(off)
    logs = []
    for label in range(int(labels.max()) + 1):
        own = points[labels == label]
        count = len({part for part, one in zip(parts, labels, strict=True) if one == label})
        share = count / (count + COMMON_PARTS)
        covariance = share * np.cov(own.T, bias=True) + (1 - share) * together
        covariance = (1 - EVEN) * covariance + EVEN * np.trace(covariance) / dim * np.eye(dim)
        density = multivariate_normal(own.mean(axis=0), covariance).logpdf((queries - centre) / spread)
        logs.append(density / dim)
    return np.asarray(softmax(np.array(logs).T, axis=1), np.float64)


def made(seed: int, counts: tuple[int, ...] = (40, 25, 12), dim: int = 5) -> tuple[Floats, npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    features = [
        random.normal(size=dim) + random.normal(size=(count, dim)) @ random.normal(size=(dim, dim)) for count in counts
    ]
    return np.concatenate(features) * 10.0 ** (np.arange(dim) % 5), np.repeat(np.arange(len(counts)), counts)


@pytest.mark.parametrize("seed", range(4))
def test_classes_are_as_likely_as_their_densities_say(seed: int) -> None:
    features, labels = made(seed)
    parts = [f"part {at // 2}" for at in range(len(labels))]
    queries, _ = made(seed + 50)
    found = asked(distribution_of(features, labels, parts), queries)
    np.testing.assert_allclose(found, by_hand(features, labels, parts, queries), atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_defects_on_all_sides_are_told_from_good_ones_in_the_middle() -> None:
    """Where no plane can part them: the head's kind of answer is no better than chance here."""
    random = np.random.default_rng(0)
    good, around = random.normal(size=(200, 4)) * 0.3, random.normal(size=(200, 4))
    defects = 2 * around / np.linalg.norm(around, axis=1, keepdims=True)
    labels = np.repeat([0, 1], 200)
    found = distribution_of(np.concatenate([defects, good]), labels, [str(at) for at in range(400)])
    said = asked(found, np.array([[0.0, 0, 0, 0], [2, 0, 0, 0], [0, -2, 0, 0]])).argmax(axis=1)
    assert said.tolist() == [1, 0, 0]


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_of_one_part_gets_the_spread_of_all(count: int) -> None:
    features, labels = made(3, (60, count))
    parts = [*(f"part {at}" for at in range(60)), *["rare"] * count]
    queries, _ = made(9, (20, 5))
    found = asked(distribution_of(features, labels, parts), queries)
    np.testing.assert_allclose(found, by_hand(features, labels, parts, queries), atol=1e-4)
    assert np.isfinite(found).all()
    at_rare = asked(distribution_of(features, labels, parts), features[60:61])
    assert at_rare[0, 1] > at_rare[0, 0]


def test_answers_are_far_from_0_and_1_so_that_a_threshold_can_stand_between() -> None:
    features, labels = made(5, (300, 300), dim=64)
    found = asked(distribution_of(features, labels, [str(at) for at in range(600)]), features)
    assert len(np.unique(found[:, 0])) == len(features)
    assert found.min() > 0.001
    assert found.max() < 0.999


def test_features_that_never_vary_say_nothing() -> None:
    features, labels = made(1)
    parts = [str(at) for at in range(len(labels))]
    expected = asked(distribution_of(features, labels, parts), features)
    dead = np.full((len(features), 40), 7.0)
    with_dead = distribution_of(np.column_stack([dead[:, :20], features, dead[:, 20:]]), labels, parts)
    for value in (7.0, -1e6):
        queries = np.column_stack([np.full_like(dead[:, :20], value), features, np.full_like(dead[:, 20:], value)])
        np.testing.assert_allclose(asked(with_dead, queries), expected, rtol=1e-12)
    assert np.ptp(expected[:, 0]) > 0.1


def test_where_nothing_varies_all_classes_are_equally_likely() -> None:
    nothing = distribution_of(np.ones((6, 3)), np.array([0, 0, 1, 1, 2, 2]), list("abcdef"))
    np.testing.assert_allclose(asked(nothing, np.arange(6.0).reshape(2, 3)), 1 / 3)


@pytest.fixture(scope="module")
def run(store: EmbeddingStore, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return distill.train(store, tmp_path_factory.mktemp("answer") / "run", quick(policy="own", answer="distribution"))


def test_turned_and_mirrored_training_pictures_tell_the_spread(run: Run, store: EmbeddingStore) -> None:
    student = make_student("small", 2, 32, 0)
    run_directory.load_student(run.path, student)
    student.eval()
    pictures = StudentPictures(store, 32)

    def seen(ids: list[str], way: tuple[int, ...]) -> Floats:
        pixels = pictures.cut(store.positions(ids), [WHOLE] * len(ids))
        with torch.inference_mode():
            return student(pixels.flip(way) if way else pixels)[0].double().numpy()

    train = [one for one in store.samples if one.split == "train" and one.label is not None]
    ids = [one.id for one in train]
    features = np.concatenate([seen(ids, way) for way in FLIPS])
    varying = features.std(axis=0) > 1e-6 * features.std(axis=0).max()
    labels = np.array([int(one.label == "good") for one in train] * 4)
    parts = [one.part for one in train] * 4
    held, _ = run_directory.read_scores(run.path)
    whitened = Distribution.of(torch.tensor(features, dtype=torch.float32), labels, parts)
    expected = np.mean([asked(whitened, seen([one.id for one in held], way)) for way in FLIPS], axis=0)
    pictures.close()
    assert varying.sum() > 20
    np.testing.assert_allclose([one.probabilities for one in held], expected, atol=1e-6)
    plain = Distribution.of(
        torch.tensor(features[: len(ids)], dtype=torch.float32), labels[: len(ids)], parts[: len(ids)]
    )
    assert np.abs(asked(plain, features[:5]) - asked(whitened, features[:5])).max() > 1e-3


def of_another_student(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"means": kept["means"][:, :5].contiguous()}, file)


def of_another_type(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"means": kept["means"].float()}, file)


def of_no_numbers(file: Path) -> None:
    kept = load_file(file)
    kept["volumes"][0] = torch.inf
    save_file(kept, file)


def of_fewer_features_than_vary(file: Path) -> None:
    kept = load_file(file)
    kept["scale"][kept["scale"].nonzero()[0]] = 0
    save_file(kept, file)


def of_a_single_number(file: Path) -> None:
    save_file(load_file(file) | {"scale": torch.tensor(1.0)}, file)


def of_neighbours(file: Path) -> None:
    save_file({"points": torch.zeros(3, 2)}, file)


@pytest.mark.parametrize(
    "harm",
    [
        of_another_student,
        of_another_type,
        of_no_numbers,
        of_fewer_features_than_vary,
        of_a_single_number,
        of_neighbours,
    ],
)
def test_what_is_no_distribution_of_this_student_is_refused(
    harm: Callable[[Path], None], run: Run, tmp_path: Path
) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    harm(copy / "memory.safetensors")
    with pytest.raises(TrainingError, match=r"memory.safetensors' is missing or damaged; write it anew with"):
        distill.evaluate(copy)
