"""Patches: numbers as worked out one by one, nothing of a picture's own part, and a run that is asked beside them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
import toy_parts
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from toy_parts import quick

import distill
from distill.answers import patches as module
from distill.answers.patches import SIZES, Patches, PatchMaps, beside
from distill.answers.places import DRAWN, HARD, TOP, folds_of, learn_places, said_apart
from distill.evaluation.metrics import roc_area
from distill.students.teacher_stages import teacher_stages
from distill.training import answers, run_directory
from distill.training.evaluate import ask
from distill.training.loop import Run
from distill.training.pictures import StudentPictures
from distill.training.run_data import make_run_data
from distill.training.task_file import read_task
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError, TrainingError

COUNT, PLACES, CHANNELS = 60, 7, 4
Numbers = npt.NDArray[np.float64]
PARTS = np.arange(COUNT) // 3
DEFECT = PARTS % 4 == 0


def random_patches(seed: int = 5) -> torch.Tensor:
    """Return patches whose channels would drown each other; defective pictures have one odd place."""
    random = np.random.default_rng(seed)
    made = random.normal(size=(COUNT, PLACES, CHANNELS))
    made[DEFECT, 3, 1] += 4
    return torch.from_numpy((made * (1, 10, 100, 0.1)).astype(np.float32))


class NoMaps(PatchMaps):
    """Stands where patches are given, and none are made."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.channels = CHANNELS


def learned(seen: torch.Tensor, seed: int = 0) -> Patches:
    return Patches.of(NoMaps(), [seen] * len(SIZES), DEFECT, PARTS, seed)


def test_distances_are_those_worked_out_one_by_one() -> None:
    some = random_patches()
    good = np.flatnonzero(~DEFECT)
    every = some[good].reshape(-1, CHANNELS).double().numpy()
    scaled = (some.double().numpy() - every.mean(axis=0)) / every.std(axis=0)
    kept = scaled[good].reshape(-1, CHANNELS)
    of_kept = np.repeat(PARTS[good], PLACES)
    found = module._distances_apart(
        torch.from_numpy(scaled).float(), torch.from_numpy(kept).float(), PARTS, of_kept
    ).numpy()
    for at in range(COUNT):
        others = kept[of_kept != PARTS[at]]
        expected = [min(np.linalg.norm(one - others, axis=1)) for one in scaled[at]]
        np.testing.assert_allclose(found[at], expected, rtol=1e-3, atol=1e-3)
    asked = learned(some)
    centre, scale, own = (asked.get_buffer(f"{name}_0") for name in ("centre", "scale", "kept"))
    np.testing.assert_allclose(centre.numpy(), every.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scale.numpy(), 1 / every.std(axis=0), rtol=1e-5)
    assert len(own) == len(kept)  # all, since they are few
    nearest = module._nearest((some[:3] - centre) * scale, own.float()).numpy()
    for at in range(3):
        expected = [min(np.linalg.norm(one - own.double().numpy(), axis=1)) for one in scaled[at]]
        np.testing.assert_allclose(nearest[at], expected, rtol=1e-2, atol=1e-2)


def test_a_training_picture_is_not_looked_up_among_its_own_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """All three pictures of a part are the same one: only the patches of other parts are at a distance."""
    some = random_patches()[np.arange(COUNT) // 3 * 3]
    seen: list[Numbers] = []
    regression = module._regression

    def noted(statistics: Numbers, defect: npt.NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(statistics)
        return regression(statistics, defect)

    monkeypatch.setattr(module, "_regression", noted)
    learned(some)
    assert seen[0][:, 0].min() > 0.1


@pytest.mark.parametrize("value", [0.0, 0.3, 1000.0])
def test_a_channel_that_never_varies_says_nothing(value: float) -> None:
    some, new = random_patches(), random_patches(6)
    expected = learned(some).log_odds([new] * len(SIZES))
    constant = torch.full((COUNT, PLACES, 1), value)
    asked = Patches.of(NoMaps(), [torch.cat([some, constant], dim=2)] * len(SIZES), DEFECT, PARTS, 0)
    found = asked.log_odds([torch.cat([new, constant + 1], dim=2)] * len(SIZES))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_patches_that_are_no_numbers_are_refused() -> None:
    some = random_patches()
    some[3, 2, 1] = torch.nan
    with pytest.raises(TrainingError, match="The patches are no numbers, so the weights of their teacher are none"):
        learned(some)


def test_good_pictures_of_one_part_alone_are_too_few() -> None:
    parts, defect = np.array([0] * 40 + [1, 2, 3]), np.array([False] * 41 + [True] * 2)
    with pytest.raises(TrainingError, match="40 of 41 good training pictures show one part"):
        module.refuse_too_few(parts, defect)
    module.refuse_too_few(np.array([0] * 18 + [1, 1, 2, 3]), np.array([False] * 20 + [True] * 2))


def test_statistics_are_the_largest_the_largest_few_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOP", 2)
    numbers = torch.tensor([[1.0, 5.0, 3.0], [2.0, 2.0, 2.0]])
    assert module._statistics(numbers).tolist() == [[5, 4, 3], [2, 2, 2]]
    assert module._statistics(numbers[:, :1]).tolist() == [[1, 1, 1], [2, 2, 2]]  # fewer places than are asked for


def test_only_so_many_are_kept_and_the_seed_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 40)
    kept = [learned(random_patches(), seed).get_buffer("kept_0") for seed in (0, 0, 1)]
    assert [one.shape for one in kept] == [(40, CHANNELS)] * 3
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])
    assert kept[0].dtype == torch.float16


def test_log_odds_tell_new_defects_and_come_from_the_weights() -> None:
    asked, new = learned(random_patches()), random_patches(6)
    said = asked.log_odds([new] * len(SIZES))
    assert said.dtype == torch.float64
    assert roc_area(DEFECT, said.numpy()) > 0.95
    statistics = []
    for at in range(len(SIZES)):
        scaled = (new - asked.get_buffer("centre_0")) * asked.get_buffer("scale_0")
        distances = torch.cdist(scaled, asked.get_buffer("kept_0").float()[None]).amin(dim=2)
        looks = scaled @ asked.get_buffer(f"place_{at}") + asked.get_buffer(f"offset_{at}")
        statistics += [
            torch.stack([n.max(dim=1).values, n.sort(dim=1).values[:, -5:].mean(dim=1), n.mean(dim=1)], dim=1)
            for n in (distances, looks)
        ]
    expected = torch.cat(statistics, dim=1).double() @ asked.weights + asked.bias
    np.testing.assert_allclose(said.numpy(), expected.numpy(), rtol=1e-3, atol=1e-3)


def test_they_say_nothing_of_how_frequent_a_defect_is() -> None:
    """Each good picture three times over: log-odds as if both were as frequent stay nearly where they were."""
    some, new = random_patches(), random_patches(6)
    again = np.concatenate([np.arange(COUNT), *[np.flatnonzero(~DEFECT)] * 2])
    more = Patches.of(NoMaps(), [some[again]] * len(SIZES), DEFECT[again], PARTS[again], 0)
    before, after = (one.log_odds([new] * len(SIZES)).mean().item() for one in (learned(some), more))
    assert abs(after - before) < np.log(3) / 2


def test_places_that_look_like_a_defect_are_found_by_labels_of_pictures_alone() -> None:
    some = random_patches() / torch.tensor([1.0, 10.0, 100.0, 0.1])
    distances = some.norm(dim=2)
    weights, bias = learn_places(some, distances, DEFECT, 0)
    assert weights.argmax() == 1
    said = some @ weights + bias
    assert (said[DEFECT].argmax(dim=1) == 3).float().mean() > 0.9
    assert min(TOP, HARD, DRAWN) > 1


def test_what_is_said_of_a_picture_hangs_on_no_picture_of_its_part() -> None:
    some = random_patches()
    scaled, distances = some / some.std(dim=(0, 1)), random_patches(7)[:, :, 0]
    before = said_apart(scaled, distances, DEFECT, PARTS, 0)
    moved = scaled.clone()
    part = 8  # a defective one
    moved[part == PARTS] += 50
    after = said_apart(moved, distances, DEFECT, PARTS, 0)
    fold = folds_of(PARTS, DEFECT, 0)
    same_fold = (fold == fold[part == PARTS][0]) & (part != PARTS)
    assert torch.equal(before[same_fold], after[same_fold])  # they have the classifier that did not see it
    assert not torch.equal(before[fold != fold[part == PARTS][0]], after[fold != fold[part == PARTS][0]])


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_folds_keep_parts_together_and_leave_both_kinds_to_the_others(
    pictures: list[tuple[int, bool]], seed: int
) -> None:
    parts, defect = (np.array(one) for one in zip(*pictures, strict=True))
    if min(len(set(parts[defect])), len(set(parts[~defect]))) < 2:
        with pytest.raises(
            TrainingError, match="good pictures of at least two parts and defective ones of at least two"
        ):
            folds_of(parts, defect, seed)
        return
    fold = folds_of(parts, defect, seed)
    assert len({(part, one) for part, one in zip(parts, fold, strict=True)}) == len(set(parts))
    for held in set(fold):
        assert defect[fold != held].any()
        assert not defect[fold != held].all()


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(-30, 30),
)
@settings(max_examples=60, deadline=None)
def test_log_odds_are_added_and_defects_stay_as_likely_among_each_other(rows: list[list[float]], odds: float) -> None:
    said = torch.tensor(rows, dtype=torch.float64) + 1e-9
    said /= said.sum(dim=1, keepdim=True)
    found = beside(said, torch.full((len(rows),), odds, dtype=torch.float64), torch.tensor([1.0, 0.0, 1.0]).double())
    np.testing.assert_allclose(found.sum(dim=1), 1)
    for old, new in zip(said.tolist(), found.tolist(), strict=True):
        old_odds, new_odds = (np.log(one[0] + one[2]) - np.log(one[1]) for one in (old, new))
        assert new_odds == pytest.approx(old_odds + odds, abs=1e-4)
        assert new[0] * old[2] == pytest.approx(new[2] * old[0], rel=1e-6, abs=1e-300)


def test_a_head_that_is_quite_sure_stays_so() -> None:
    said = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    found = beside(said, torch.tensor([-5.0, 5.0]).double(), torch.tensor([1.0, 0.0]).double())
    np.testing.assert_allclose(found, said, atol=1e-300)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = timm.create_model("test_resnet", num_classes=7)
    path = tmp_path_factory.mktemp("checkpoint") / "weights.pt"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run(store: EmbeddingStore, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    asked = quick(answer="patches", patches=f"timm:test_resnet@{checkpoint}:3")
    return distill.train(store, tmp_path_factory.mktemp("patches") / "run", asked)


def test_patches_are_two_layers_side_by_side_at_the_places_of_the_last(checkpoint: Path) -> None:
    stages = teacher_stages(f"trunk:timm:test_resnet@{checkpoint}:3", 224, pretrained=True)
    maps = PatchMaps(stages)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 96, 96), np.uint8))
    with torch.inference_mode():
        found = maps(pixels)
        layers = list(stages.stages((pixels.float() - 127.5) / 63.75))
    assert not stages.training
    earlier, last = (layers[at] for at in maps.looked_at)
    side = last.shape[-1]
    assert earlier.shape[-1] == 2 * side
    assert maps.looked_at[1] == len(layers) - 1
    assert found.shape == (2, side * side, earlier.shape[1] + last.shape[1]) == (2, side * side, maps.channels)
    for picture, y, x in ((0, 0, 0), (1, 2, 3)):
        around = last[picture, :, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].sum(dim=(1, 2)) / 9
        expected = around / last.shape[1] ** 0.5
        np.testing.assert_allclose(found[picture, y * side + x, earlier.shape[1] :], expected, atol=1e-5)


def test_a_run_adds_them_to_its_head(run: Run, store: EmbeddingStore) -> None:
    heads = {one.id: one.probabilities for one in ask(run.path, "head")}
    held, _ = run_directory.read_scores(run.path)
    maps = PatchMaps(
        teacher_stages(read_task(run.path / "task.toml").patches.join(("trunk:", "")), 224, pretrained=False)
    )
    patches = Patches.fitting(load_file(run.path / "memory.safetensors"), maps)
    assert patches is not None
    pictures = StudentPictures(store, 32)
    with torch.inference_mode():
        log_odds = patches(pictures.whole(store.positions([one.id for one in held]), SIZES)).tolist()
    pictures.close()
    assert max(map(abs, log_odds)) > 0.5
    for one, odds in zip(held, log_odds, strict=True):
        defect, good = heads[one.id]  # classes are sorted
        expected = np.log(defect) - np.log(good) + odds
        assert np.log(one.probabilities[0]) - np.log(one.probabilities[1]) == pytest.approx(expected, abs=1e-3)
    assert run.report.auroc is not None
    assert run.report.auroc > 0.9


def test_evaluating_needs_neither_the_training_pictures_nor_the_teacher(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = toy_parts.everything()
    own = toy_parts.make_store(tmp_path, rows)
    copy = shutil.copytree(run.path, tmp_path / "run")
    before = (copy / "scores.csv").read_bytes()
    for row in rows:
        if row.split == "train":
            (tmp_path / "images" / row.path).unlink()
    monkeypatch.setattr("embedstore.teachers.load_teacher", lambda *_, **__: pytest.fail("the teacher was loaded"))
    assert distill.evaluate(copy, store=own) == run.report
    assert (copy / "scores.csv").read_bytes() == before


def test_a_finished_run_can_be_asked_so_later(
    run: Run, store: EmbeddingStore, checkpoint: Path, tmp_path: Path
) -> None:
    plain = distill.train(store, tmp_path / "run", quick(patches=f"timm:test_resnet@{checkpoint}:3"))
    assert not (plain.path / "memory.safetensors").exists()
    held, _ = run_directory.read_scores(run.path)
    assert [one.probabilities for one in ask(plain.path, "patches")] == [
        pytest.approx(one.probabilities, abs=1e-9) for one in held
    ]


def lost(file: Path) -> None:
    file.unlink()


def of_another_type(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"kept_1": kept["kept_1"].float()}, file)


def of_another_width(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"kept_0": kept["kept_0"][:, :5].contiguous()}, file)


def of_nothing(file: Path) -> None:
    kept = load_file(file)
    save_file(kept | {"kept_0": kept["kept_0"][:0].contiguous()}, file)


def lacking_what_scales(file: Path) -> None:
    kept = load_file(file)
    del kept["scale_2"]
    save_file(kept, file)


def of_no_numbers(file: Path) -> None:
    kept = load_file(file)
    kept["kept_2"][3, 4] = torch.nan
    save_file(kept, file)


def lacking_a_size(file: Path) -> None:
    kept = load_file(file)
    del kept["kept_2"]
    save_file(kept, file)


def lacking_a_layer(file: Path) -> None:
    kept = load_file(file)
    del kept[next(name for name in kept if name.startswith("maps."))]
    save_file(kept, file)


def of_a_single_number(file: Path) -> None:
    save_file(load_file(file) | {"kept_0": torch.tensor(1.0).half()}, file)


@pytest.mark.parametrize(
    "harm",
    [
        lost,
        of_another_type,
        of_another_width,
        of_nothing,
        lacking_what_scales,
        of_no_numbers,
        lacking_a_size,
        lacking_a_layer,
        of_a_single_number,
    ],
)
def test_damaged_patches_are_refused(harm: Callable[[Path], None], run: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    harm(copy / "memory.safetensors")
    with pytest.raises(
        TrainingError, match=r"memory.safetensors' is missing or damaged; write it anew with: distill train"
    ):
        distill.evaluate(copy)


def test_without_a_good_label_they_are_refused(run: Run, store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match="'patches' compares with good parts, and no good label is known; say which"
    ):
        quick(answer="patches", good=None)
    labels = distill.train(store, tmp_path / "run", quick(good=None))
    with pytest.raises(SettingsError, match="no good label is known"):
        ask(labels.path, "patches")


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ("efficientnet-lite0", "which 'efficientnet-lite0' does not give"),
        ("efficientnet-lite0:40", "'efficientnet-lite0:40' does not give: .* asks for 40 stages"),
        (
            "nobody:3",
            "such as efficientnet-lite0:5, at 96, 160, 224 pixels, which 'nobody:3' does not give: .* unknown",
        ),
    ],
)
def test_stages_that_are_none_are_refused(stages: str, told: str, store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=told):
        distill.train(store, tmp_path / "run", quick(answer="patches", patches=stages))
    assert not (tmp_path / "run").exists()  # before anything was trained


def test_a_complete_run_goes_on_without_the_teacher(
    run: Run, store: EmbeddingStore, checkpoint: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    (copy / "report.json").unlink()  # killed before that was written
    away = checkpoint.rename(tmp_path / "away.pt")
    try:
        again = distill.train(store, copy, read_task(copy / "task.toml"), resume=True)
    finally:
        away.rename(checkpoint)
    assert again.report == run.report
    assert (copy / "memory.safetensors").read_bytes() == (run.path / "memory.safetensors").read_bytes()


def test_one_picture_of_each_part_is_looked_at_before_a_second_one(
    store: EmbeddingStore, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = quick(answer="patches", patches=f"timm:test_resnet@{checkpoint}:3")
    data = make_run_data(store, asked)
    maps = answers._patch_maps(asked, pretrained=False)
    every = answers._looked_at(maps, data, asked)
    assert set(every) == {at for at in data.sides["train"] if data.samples[at].label is not None}
    monkeypatch.setattr(answers, "_MOST_BYTES", 0)
    monkeypatch.setattr(answers, "_FEWEST", 10)
    few = answers._looked_at(maps, data, asked)
    good = [data.samples[at].part for at in few if data.samples[at].label == "good"]
    assert len(few) == 20
    one_lot = [at for at in data.sides["train"] if data.samples[at].label == "good"]
    mixed = next(at for at in data.sides["train"] if data.samples[at].label == "defect")
    samples = list(data.samples)
    for at in (*one_lot, mixed):
        samples[at] = replace(samples[at], group="one lot")
    assert mixed in answers._looked_at(maps, replace(data, samples=samples), asked)  # whatever else its lot has
    assert len(good) == len(set(good)) == 10


def test_a_run_of_an_earlier_release_has_the_stages_that_are_usual(finished: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(finished.path, tmp_path / "run")
    description = json.loads((copy / "run.json").read_text("utf-8"))
    assert description["settings"].pop("patches") == "efficientnet-lite0:5"
    (copy / "run.json").write_text(json.dumps(description), "utf-8")
    assert distill.evaluate(copy) == finished.report
