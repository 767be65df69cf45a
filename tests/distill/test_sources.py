"""Training from one exported summary: the same as from the store that it left, with no store anywhere."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_parts
from toy_parts import quick

import distill
import embedstore
from distill.source import Source, opened_source
from distill.training.loop import Run
from embedstore import EmbeddingStore
from embedstore.errors import NotAStoreError, SettingsError, SummaryError, TrainingError
from embedstore.exports import SummaryFile, export

FILE_OF = {"class-mean": "means", "rotated-means": "means", "sub-prototypes": "subs", "rare-samples": "rare"}
MADE_BY: dict[str, dict[str, Any]] = {
    "means": {"strategy": "class-mean"},
    "subs": {"strategy": "sub-prototypes", "k": 3},
    "rare": {"strategy": "rare-samples", "k": 2, "share": 0.2},
}


def settings_of(policy: str) -> distill.Settings:
    return quick(policy=policy, options={policy: {"summary": FILE_OF[policy]}}, weight=3)


MIXED = quick(
    policy="mixture",
    mixture={"good": {"sub-prototypes": 1, "none": 1}, "defect": {"rare-samples": 1}},
    options={"sub-prototypes": {"summary": "rare"}, "rare-samples": {"summary": "rare"}},
)


@dataclass(frozen=True)
class Left:
    """What is left of a store that is gone: its pictures, the files, and what was trained before."""

    folder: Path
    runs: dict[str, Run]

    @property
    def images(self) -> Path:
        return self.folder / "moved"

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def weights(self, policy: str) -> str:
        return weights(self.runs[policy])


def weights(run: Run) -> str:
    return hashlib.sha256((run.path / "student.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("left")
    path = toy_parts.make_store(folder, toy_parts.everything())
    with embedstore.open(path) as store:
        for name, how in MADE_BY.items():
            store.summarize(**how, name=name, split="train")
            export(store, folder / f"{name}.safetensors", summary=name)
        store.summarize("class-mean", name="everything")
        export(store, folder / "everything.safetensors", summary="everything")
        runs = {policy: distill.train(store, folder / policy, settings_of(policy)) for policy in FILE_OF}
        runs["mixture"] = distill.train(store, folder / "mixture", MIXED)
    shutil.rmtree(path)
    (folder / "images").rename(folder / "moved")
    return Left(folder, runs)


# The same as from the store


@pytest.mark.parametrize("policy", FILE_OF)
def test_a_file_gives_the_very_weights_that_the_store_gave(policy: str, left: Left, tmp_path: Path) -> None:
    file = left.file(FILE_OF[policy])
    run = distill.train(file, tmp_path / "run", settings_of(policy), images=left.images)
    assert weights(run) == left.weights(policy)
    assert run.report == left.runs[policy].report
    for name in ("scores.csv", "report.json", "split.csv"):
        assert (run.path / name).read_bytes() == (left.runs[policy].path / name).read_bytes()


def test_the_runs_that_are_compared_differ_from_each_other(left: Left) -> None:
    assert len({left.weights(policy) for policy in left.runs}) == len(left.runs)


def test_a_mixture_is_trained_from_a_file(left: Left, tmp_path: Path) -> None:
    run = distill.train(left.file("rare"), tmp_path / "run", MIXED, images=left.images)
    assert weights(run) == left.weights("mixture")


def test_the_summary_of_a_file_need_not_be_named(left: Left, tmp_path: Path) -> None:
    named = left.weights("sub-prototypes")
    run = distill.train(
        left.file("subs"), tmp_path / "run", quick(policy="sub-prototypes", weight=3), images=left.images
    )
    assert weights(run) == named


def test_an_opened_file_will_do_and_a_path_as_text_too(left: Left, tmp_path: Path) -> None:
    settings = quick(policy="class-mean", epochs=1)
    opened = distill.train(SummaryFile(left.file("means")), tmp_path / "opened", settings, images=left.images)
    named = distill.train(str(left.file("means")), tmp_path / "named", settings, images=str(left.images))
    assert weights(opened) == weights(named)


def test_fewer_views_than_the_file_knows(left: Left, tmp_path: Path) -> None:
    settings = quick(policy="rare-samples", views=1, epochs=1)
    run = distill.train(left.file("rare"), tmp_path / "run", settings, images=left.images)
    assert weights(run) != left.weights("rare-samples")
    with pytest.raises(TrainingError, match=r"asks for 3 views, but '.*rare.safetensors' has 2"):
        distill.train(left.file("rare"), tmp_path / "more", quick(policy="rare-samples", views=3), images=left.images)


def test_policies_that_need_no_summary_are_trained_from_a_file_too(left: Left, tmp_path: Path) -> None:
    found = {
        policy: weights(distill.train(left.file("means"), tmp_path / policy, quick(policy=policy), images=left.images))
        for policy in ("none", "random-vectors")
    }
    assert len(set(found.values())) == 2


def test_a_run_from_a_file_is_resumed(left: Left, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    file, settings = left.file("rare"), settings_of("rare-samples")
    with pytest.raises(KeyboardInterrupt):
        distill.train(file, tmp_path / "run", settings, images=left.images, progress=stop)
    run = distill.train(file, tmp_path / "run", settings, images=left.images, resume=True)
    assert weights(run) == left.weights("rare-samples")


# Evaluated anew


@pytest.fixture
def run(left: Left, tmp_path: Path) -> Run:
    return distill.train(left.file("means"), tmp_path / "run", quick(policy="class-mean", epochs=1), images=left.images)


def test_a_run_from_a_file_is_evaluated_anew(run: Run, left: Left) -> None:
    described = json.loads((run.path / "run.json").read_text("utf-8"))
    assert described["store"]["path"] == str(left.file("means").resolve())
    (run.path / "report.json").unlink()
    assert distill.evaluate(run.path, images=left.images) == run.report
    assert distill.evaluate(run.path, store=left.file("subs"), images=left.images) == run.report


def test_a_run_whose_file_has_moved_asks_for_it(left: Left, tmp_path: Path) -> None:
    file = Path(shutil.copy(left.file("means"), tmp_path / "here.safetensors"))
    run = distill.train(file, tmp_path / "run", quick(policy="none", epochs=1), images=left.images)
    moved = file.rename(tmp_path / "there.safetensors")
    with pytest.raises(
        TrainingError,
        match=r"^The run's summary file is not in '.*here.safetensors'; tell where it is now: --store FILE$",
    ):
        distill.evaluate(run.path, images=left.images)
    assert distill.evaluate(run.path, store=moved, images=left.images) == run.report


# Refusals


def test_without_the_pictures_nothing_can_be_trained_or_evaluated(run: Run, left: Left, tmp_path: Path) -> None:
    message = r"^The file '.*means.safetensors' does not hold the pictures; tell where they are: --images DIR$"
    with pytest.raises(TrainingError, match=message):
        distill.train(left.file("means"), tmp_path / "new", quick(policy="class-mean"))
    assert not (tmp_path / "new").exists()
    with pytest.raises(TrainingError, match=message):
        distill.evaluate(run.path)


def test_pictures_other_than_those_that_were_embedded_are_refused(left: Left, tmp_path: Path) -> None:
    images = shutil.copytree(left.images, tmp_path / "images")
    toy_parts.draw("rims", 1).save(images / "good000.png")
    with pytest.raises(TrainingError, match=r"'good000.png' is another than the one that was embedded"):
        distill.train(left.file("means"), tmp_path / "run", quick(policy="class-mean"), images=images)


def test_a_summary_that_saw_what_is_tested_is_refused(left: Left, tmp_path: Path) -> None:
    """All that has labels, but for the three pictures that are set aside."""
    with pytest.raises(SummaryError, match=r"^The summary 'everything' saw 40 pictures that this run is tested on"):
        distill.train(left.file("everything"), tmp_path / "run", quick(policy="class-mean"), images=left.images)
    assert not (tmp_path / "run").exists()


def test_a_fold_that_tests_what_the_summary_saw_is_refused(left: Left, tmp_path: Path) -> None:
    settings = quick(policy="class-mean", folds=5, fold=2)
    with pytest.raises(SummaryError, match=r"^The summary 'means' saw \d+ pictures that this run is tested on"):
        distill.train(left.file("means"), tmp_path / "run", settings, images=left.images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "own"}, "'own' needs every picture's own vector, which a summary file does not hold"),
        ({"policy": "class-mean", "options": {"class-mean": {"summary": "monday"}}}, "summary 'means', not 'monday'"),
        ({"policy": "class-mean", "options": {"class-mean": {"per_class": 3}}}, "holds a finished summary"),
        ({"policy": "rare-samples"}, r"'means' \(class-mean\) keeps no samples"),
    ],
    ids=["own", "another name", "parameters", "means for rare-samples"],
)
def test_what_a_file_can_not_do_is_refused(settings: dict[str, Any], message: str, left: Left, tmp_path: Path) -> None:
    with pytest.raises((SettingsError, SummaryError), match=message):
        distill.train(left.file("means"), tmp_path / "run", quick(**settings), images=left.images)
    assert not (tmp_path / "run").exists()


def test_a_file_with_several_prototypes_a_label_is_none_of_means(left: Left, tmp_path: Path) -> None:
    with pytest.raises(SummaryError, match=r"'subs' \(sub-prototypes\) has several prototypes for a label"):
        distill.train(left.file("subs"), tmp_path / "run", quick(policy="class-mean"), images=left.images)


# What a source answers


def test_a_file_answers_as_the_store_does(store: EmbeddingStore, left: Left) -> None:
    """The store of the other tests has the same pictures as the one that is gone."""
    with opened_source(left.file("rare")) as file:
        asked = [name for name in vars(Source) if not name.startswith("_")]
        assert {"read", "content_at", "image_root"} <= set(asked)
        assert [name for name in asked if not hasattr(file, name)] == []
        for name in ("version", "fingerprint", "teacher", "dim", "views", "recipe"):
            assert getattr(file, name) == getattr(store, name), name
        assert len(file) == len(store)
        assert [s.id for s in file.samples] == store.ids
        for at, sample in enumerate(store.samples):
            found = file.sample_at(at)
            assert (found.id, found.uri, found.label, found.mode) == (sample.id, sample.uri, sample.label, sample.mode)
            assert (found.group, found.split, found.part) == (sample.group, sample.split, sample.part)
            assert file.content_at(at) == store.content_at(at)
        assert "good000.png" in file
        assert "nothing.png" not in file
        np.testing.assert_array_equal(file.positions(store.ids[::7]), store.positions(store.ids[::7]))
        summary = file.summary("rare")
        kept = file.positions([summary.seen[at] for at in summary.source[summary.source >= 0]])
        for view in range(store.views + 1):
            np.testing.assert_array_equal(file.read(kept[::-1], view=view), store.read(kept[::-1], view=view))


def test_the_ending_decides_what_is_opened(store_path: Path, left: Left, tmp_path: Path) -> None:
    with opened_source(store_path) as source:
        assert isinstance(source, EmbeddingStore)
    with opened_source(str(left.file("means"))) as source:
        assert isinstance(source, SummaryFile)
    with pytest.raises(NotAStoreError), opened_source(tmp_path / "nothing"):
        pass
    with (
        pytest.raises(
            SummaryError, match=r"^There is no file '.*nothing.safetensors'; write one with: embedstore expo"
        ),
        opened_source(tmp_path / "nothing.safetensors"),
    ):
        pass
