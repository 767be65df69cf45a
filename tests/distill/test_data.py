"""The data set for a loop of one's own: each item is the very view and the very target that `distill.train` would show."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_data import SIZE, TRAINING, VIEWS, Oracle, asked, everything, make_kept, make_oracle, same, targets_of

import embedstore
from distill import DistillationDataset, DistillationLoss, Settings
from distill.data import REFUSED
from distill.students import make_student
from distill.targets import POLICIES
from distill.training.pictures import StudentPictures
from distill.training.run_data import make_run_data
from embedstore.errors import EmbedstoreError, SettingsError, SummaryError, TrainingError
from embedstore.exports import SummaryFile, export
from embedstore.views import WHOLE

ALLOWED = [name for name in POLICIES if name not in REFUSED]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_kept(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def oracle(path: Path) -> Oracle:
    return make_oracle(path)


@pytest.fixture
def training(path: Path) -> Iterator[DistillationDataset]:
    with DistillationDataset(path, size=SIZE) as data:
        yield data


# What an item is


@pytest.mark.parametrize("name", ALLOWED)
def test_every_policy_gives_the_view_that_was_drawn_and_its_target(name: str, path: Path, oracle: Oracle) -> None:
    with DistillationDataset(path, size=SIZE, **asked(name)) as data:
        torch.manual_seed(3)
        images, labels, targets = everything(data.__getitems__(range(TRAINING)))
        assert data.dim == targets.shape[1]
    torch.manual_seed(3)
    views, step = torch.randint(VIEWS + 1, (TRAINING,)).numpy(), int(torch.randint(2**31, ()))
    assert oracle.views(images, list(range(TRAINING))) == views.tolist()
    expected = targets_of(path, name, views, step)
    assert expected.known.any() == (name != "none")
    assert torch.equal(targets[expected.known], torch.from_numpy(expected.vectors)[expected.known])
    assert not targets[~expected.known].any()
    assert [None if label < 0 else data.classes[label] for label in labels] == oracle.labels
    assert (images.dtype, labels.dtype, targets.dtype) == (torch.uint8, torch.int64, torch.float32)


def test_a_sample_alone_is_the_same_as_in_a_batch(training: DistillationDataset, oracle: Oracle) -> None:
    for sample in (0, 17, TRAINING - 1):
        torch.manual_seed(sample)
        alone = training[sample]
        torch.manual_seed(sample)
        assert same(everything([alone]), everything(training.__getitems__([sample])))
        view = oracle.views(alone[0][None], [sample])[0]
        assert torch.equal(alone[2], oracle.vectors[view, sample])
        assert isinstance(alone[1], int)


def test_a_sample_that_is_asked_for_often_comes_in_all_of_its_views_alike(
    training: DistillationDataset, oracle: Oracle
) -> None:
    images, _, targets = everything(training.__getitems__([5] * 600))
    views = oracle.views(images, [5] * 600)
    assert np.abs(np.bincount(views, minlength=VIEWS + 1) - 200).max() < 60  # five standard deviations
    assert torch.equal(targets, oracle.vectors[views, 5])


def test_fewer_views_than_the_store_has(path: Path, oracle: Oracle) -> None:
    for views in range(VIEWS):
        with DistillationDataset(path, size=SIZE, views=views) as data:
            images, _, _ = everything(data.__getitems__([*range(TRAINING)] * 3))
        assert set(oracle.views(images, [*range(TRAINING)] * 3)) == set(range(views + 1))


@pytest.mark.parametrize("side", ["val", "test", "aside"])
def test_other_sides_give_whole_pictures_and_no_targets(side: str, path: Path) -> None:
    with embedstore.open(path) as store:
        positions = np.flatnonzero(store.where({"split": side}))
        pictures = StudentPictures(store, SIZE)
        expected = pictures.cut(positions, [WHOLE] * len(positions))
        pictures.close()
        ids, labels = ([values[at] for at in positions] for values in (store.ids, store.labels))
    with DistillationDataset(path, side, size=SIZE) as data:
        images, numbers, targets = everything(list(data))
        assert (len(data), data.ids, data.prototypes) == (len(ids), ids, None)
        assert targets.shape == (len(ids), data.dim)
    assert torch.equal(images, expected)
    assert not targets.any()
    assert [None if number < 0 else data.classes[number] for number in numbers] == labels


def test_what_a_user_is_told_of_the_training_side(training: DistillationDataset, oracle: Oracle) -> None:
    assert (len(training), training.ids, training.classes) == (TRAINING, oracle.ids, ["defect", "good"])
    assert (training.dim, training.prototypes, training.remarks) == (192, None, [])
    assert training.labels.dtype == np.int64
    assert [None if at < 0 else training.classes[at] for at in training.labels] == oracle.labels
    assert [label for _, label, _ in training] == training.labels.tolist()


def test_prototypes_are_what_the_targets_are_chosen_from(path: Path) -> None:
    with DistillationDataset(path, size=SIZE, policy="class-mean") as data:
        _, labels, targets = everything(list(data))
        assert data.prototypes is not None
        assert data.prototypes.shape == (2, data.dim)
        assert torch.equal(targets[labels >= 0], data.prototypes[labels[labels >= 0]])  # the labels are sorted in both


def test_images_can_be_changed_in_place_and_learned_from(training: DistillationDataset) -> None:
    torch.manual_seed(0)
    training[0][0].fill_(0)
    torch.manual_seed(0)
    assert training[0][0].any()  # the same view again
    weights = torch.ones(3, SIZE, SIZE, requires_grad=True)
    (weights * training[0][0]).sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None


def test_places_from_the_end_and_places_that_are_not_there(training: DistillationDataset) -> None:
    torch.manual_seed(0)
    last = training[-1]
    torch.manual_seed(0)
    assert same(everything([last]), everything([training[TRAINING - 1]]))
    with pytest.raises(IndexError):
        training[TRAINING]


def test_the_folds_are_those_of_a_run(path: Path) -> None:
    with embedstore.open(path) as store:
        data = make_run_data(store, Settings(folds=3, fold=1))
        expected = {side: [store.ids[at] for at in data.sides[side]] for side in ("train", "val", "test")}
    for side, ids in expected.items():
        assert DistillationDataset(path, side, folds=3, fold=1).ids == ids


# A summary file


@pytest.fixture(scope="module")
def file(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A summary of the training side, exported."""
    target = tmp_path_factory.mktemp("file") / "rare.safetensors"
    with embedstore.open(path) as store:
        store.summarize("rare-samples", name="rare", split="train")
        export(store, target, summary="rare")
    return target


def test_a_summary_file_gives_the_items_of_the_store(path: Path, file: Path) -> None:
    found = []
    for source, more in ((path, {"options": {"rare-samples": {"summary": "rare"}}}), (file, {})):
        images = path.parent / "images"
        with DistillationDataset(source, size=SIZE, policy="rare-samples", images=images, **more) as data:
            for read in (data, pickle.loads(pickle.dumps(data))):  # noqa: S301  as a spawned worker gets it
                torch.manual_seed(5)
                found.append(everything(read.__getitems__(range(TRAINING))))
    assert found[0][2].any()
    assert all(same(found[0], other) for other in found[1:])


def test_an_opened_file_will_do(file: Path, path: Path) -> None:
    opened = DistillationDataset(SummaryFile(file), policy="rare-samples", images=path.parent / "images")
    assert len(opened[0]) == 3


def test_the_other_sides_of_a_file_need_no_policy(file: Path, path: Path) -> None:
    assert len(DistillationDataset(file, "val", images=path.parent / "images")[0]) == 3


# What is refused


def test_the_live_teacher_is_refused_alone_and_in_a_mixture(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'live-teacher' runs the teacher beside .* or take one of none, class-"):
        DistillationDataset(path, policy="live-teacher")
    shares = {"good": {"own": 1}, "defect": {"live-teacher": 0.5, "own": 1}}
    with pytest.raises(SettingsError, match="The mixture of 'defect' names the policy 'live-teacher'; use none"):
        DistillationDataset(path, policy="mixture", mixture=shares)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"side": "tarin"}, SettingsError, "The side 'tarin' is unknown; use one of train, val, test, aside."),
        ({"policy": "levitation"}, SettingsError, "The policy 'levitation' is unknown"),
        ({"size": 4}, SettingsError, "The size is 4; expected 16 to 4096."),
        ({"views": 9}, TrainingError, "asks for 9 views, but .* has 2"),
        ({"policy": "class-mean", "options": {"class-mean": {"summary": "no"}}}, SummaryError, "has no summary 'no'"),
        ({"folds": 1}, EmbedstoreError, "folds"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: dict[str, Any], kind: type[EmbedstoreError], message: str, path: Path
) -> None:
    with pytest.raises(kind, match=message):
        DistillationDataset(path, **arguments)


def test_a_summary_that_saw_what_is_validated_is_refused(path: Path, tmp_path: Path) -> None:
    store = shutil.copytree(path, tmp_path / "copy.store")
    with embedstore.open(store) as opened:
        opened.summarize("class-mean", name="all")
    with pytest.raises(SummaryError, match=r"'all' saw .* pictures that this run is tested on"):
        DistillationDataset(store, policy="class-mean", options={"class-mean": {"summary": "all"}})


def test_a_file_has_no_own_vectors_and_does_not_know_the_pictures(file: Path, path: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match="'own' needs every picture's own vector, which a summary file does not hold"
    ):
        DistillationDataset(file, images=path.parent / "images")
    with pytest.raises(TrainingError, match="does not hold the pictures; tell where they are"):
        DistillationDataset(file, policy="class-mean")
    with pytest.raises(TrainingError, match=r"The image folder '.*gone' is not there"):
        DistillationDataset(file, policy="class-mean", images=tmp_path / "gone")


# With the loss


@pytest.mark.parametrize(
    ("name", "alignment"), [("own", "cosine"), ("class-mean", "contrastive"), ("sub-prototypes", "contrastive")]
)
def test_a_step_with_the_loss_lowers_it(name: str, alignment: str, path: Path) -> None:
    with DistillationDataset(path, size=SIZE, **asked(name)) as data:
        images, labels, targets = everything(data.__getitems__(range(TRAINING)))
        student = make_student("small", len(data.classes), SIZE, seed=0)
        loss = DistillationLoss(student.features, data.dim, alignment=alignment, prototypes=data.prototypes)
    optimiser = torch.optim.AdamW([*student.parameters(), *loss.parameters()], lr=1e-3)
    reached = []
    for _ in range(3):
        features, logits = student(images)
        lost = loss(features, logits, labels, targets)
        assert (lost.labelled, lost.aligned) == (60, 64 if name == "own" else 60)
        optimiser.zero_grad()
        lost.total.backward()
        optimiser.step()
        reached.append((lost.cross_entropy.item(), lost.alignment.item()))
    assert reached[0][0] > reached[2][0]
    assert reached[0][1] > reached[2][1]
