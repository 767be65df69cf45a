"""live-teacher: the teacher beside the student says what the store says, and needs the very pictures."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toy_parts
from toy_parts import quick
from toy_vectors import make_store as make_vector_store

import distill
import embedstore
from distill.targets import POLICIES, LivePolicy, TrainingSet
from distill.training.run_data import make_run_data
from distill.training.run_directory import read_metrics
from embedstore import EmbeddingStore
from embedstore.errors import TeacherError, TrainingError
from embedstore.pictures import read_picture
from embedstore.teachers import load_teacher
from embedstore.vectors import unit_length
from embedstore.views import draw_view, render

STEP = 2e-3  # of a unit vector's part, stored as float16 and the centre taken off


@pytest.fixture
def training(store: EmbeddingStore) -> TrainingSet:
    return TrainingSet.from_source(store, make_run_data(store, quick()).sides["train"])


@pytest.fixture
def live(training: TrainingSet) -> Iterator[LivePolicy]:
    policy = POLICIES["live-teacher"].fit(training, None, 0)
    assert isinstance(policy, LivePolicy)
    yield policy
    policy.close()


def test_its_targets_are_those_of_own_to_a_float16_step(training: TrainingSet, live: LivePolicy) -> None:
    own = POLICIES["own"].fit(training, None, 0)
    assert own is not None
    samples, views = np.arange(12), np.arange(12) % 3
    found, stored = live.targets(samples, views), own.targets(samples, views)
    assert found.known.all()
    assert found.chosen is None
    assert live.dim == own.dim
    np.testing.assert_allclose(found.vectors, stored.vectors, atol=STEP)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)


def test_it_sees_views_that_the_store_does_not_have(store: EmbeddingStore, live: LivePolicy) -> None:
    training = TrainingSet.from_source(store, make_run_data(store, quick()).sides["train"])
    number = 2**31 - 1
    found = live.targets(np.array([3]), np.array([number]))
    teacher = load_teacher("pixels")
    assert store.image_root is not None
    picture, _ = read_picture(store.image_root / store.sample_at(int(training.positions[3])).uri)
    view = draw_view(store.recipe, training.ids[3], number)
    crop = render(picture, view, teacher.input_size, store.recipe.fit)
    expected = unit_length(teacher.embed(crop[None])["embedding"] - training.centre)
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)


def test_what_was_begun_beforehand_is_the_same(live: LivePolicy) -> None:
    samples, views = np.array([5, 1, 5]), np.array([0, 2, 1])
    live.begin(samples, views, 7)
    begun = live.targets(samples, views, 7)
    np.testing.assert_array_equal(begun.vectors, live.targets(samples, views, 8).vectors)


def test_a_run_beside_the_teacher_is_nearly_the_run_from_the_store(store: EmbeddingStore, tmp_path: Path) -> None:
    runs = [
        distill.train(store, tmp_path / policy, quick(policy=policy, epochs=2, weight=3))
        for policy in ("own", "live-teacher")
    ]
    own, live = ([line["alignment"] for line in read_metrics(run.path)] for run in runs)
    assert live == pytest.approx(own, rel=0.01)


def test_uncentred_nothing_is_taken_off(training: TrainingSet) -> None:
    policy = POLICIES["live-teacher"].fit(training, None, 0, centred=False)
    assert isinstance(policy, LivePolicy)
    found = policy.targets(np.array([0]), np.array([1])).vectors
    policy.close()
    stored = training.vectors(np.array([0]), np.array([1]))
    np.testing.assert_allclose(found, unit_length(stored), atol=STEP)


def test_another_teacher_than_the_stores_is_refused(tmp_path: Path) -> None:
    with make_vector_store(tmp_path / "store") as store:
        training = TrainingSet.from_source(store, np.arange(4))
        with pytest.raises(TeacherError, match="'by hand' is unknown"):
            POLICIES["live-teacher"].fit(training, None, 0)
        told = r"'pixels' .* is another than the one that filled '.*' .*; name that one in the option"
        with pytest.raises(TrainingError, match=told):
            POLICIES["live-teacher"].fit(training, None, 0, teacher="pixels")


def test_a_teacher_that_is_not_there_is_refused(training: TrainingSet) -> None:
    with pytest.raises(TeacherError, match="unknown"):
        POLICIES["live-teacher"].fit(training, None, 0, teacher="oracle")


def test_pictures_that_are_missing_or_changed_end_the_run_with_a_sentence(
    store: EmbeddingStore, tmp_path: Path
) -> None:
    assert store.image_root is not None
    copied = shutil.copytree(store.path, tmp_path / "kept.store")
    manifest, side = store.path.with_name("parts.csv"), store.recipe.student_side
    embedstore.build(copied, store.image_root, manifest=manifest, keep_images=side)  # the student needs no files
    images = shutil.copytree(store.image_root, tmp_path / "images")
    with embedstore.open(copied) as kept:
        with pytest.raises(TrainingError, match=r"The image folder '.*' is not there"):
            distill.train(kept, tmp_path / "no-folder", quick(policy="live-teacher"), images=tmp_path / "no")
        assert not (tmp_path / "no-folder").exists()
        toy_parts.draw("spot", 77).save(images / "good000.png")
        with pytest.raises(TrainingError, match=r"'good000.png' is another than the one that was embedded"):
            distill.train(kept, tmp_path / "changed", quick(policy="live-teacher"), images=images)
        (images / "good000.png").unlink()
        with pytest.raises(TrainingError, match=r"'good000.png' under '.*' can't be read"):
            distill.train(kept, tmp_path / "missing", quick(policy="live-teacher"), images=images)
