"""Students: their weights depend on the seed alone, and they take pixels as they are."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.students import Student, make_projection, make_student
from distill.students.student import few_at_a_time
from embedstore.errors import SettingsError

TIMM = "mobilenetv3_small_050"  # whose feature count is not timm's `num_features`


def pixels(count: int = 4, size: int = 32, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), np.uint8))


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(("name", "parameters"), [("small", 281_390), ("medium", 1_755_950)])
def test_our_own_students_have_the_sizes_that_are_told(name: str, parameters: int) -> None:
    assert sum(parameter.numel() for parameter in make_student(name, 2, 96, 0).parameters()) == parameters


def test_the_small_student_is_what_it_was_in_the_first_release() -> None:
    """Runs of then are evaluated with it: names and shapes of its weights, and the order in which they are drawn."""
    weights = make_student("small", 2, 32, seed=0).state_dict()
    assert [(name, tuple(weights[name].shape)) for name in weights if weights[name].ndim == 4] == [
        ("trunk.layers.0.0.weight", (32, 3, 3, 3)),
        ("trunk.layers.1.0.weight", (64, 32, 3, 3)),
        ("trunk.layers.2.convolution.weight", (64, 64, 3, 3)),
        ("trunk.layers.3.0.weight", (96, 64, 3, 3)),
        ("trunk.layers.4.convolution.weight", (96, 24, 3, 3)),
        ("trunk.layers.5.0.weight", (128, 96, 3, 3)),
        ("trunk.layers.6.convolution.weight", (128, 32, 3, 3)),
    ]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [
            layer.weight
            for shape in ((3, 32, 1), (32, 64, 1), (64, 64, 1), (64, 96, 1), (96, 96, 4), (96, 128, 1), (128, 128, 4))
            if (layer := nn.Conv2d(shape[0], shape[1], 3, groups=shape[2], bias=False))
        ]
        head = nn.Linear(262, 2)
    assert all(map(torch.equal, drawn, (value for value in weights.values() if value.ndim == 4)))
    assert torch.equal(weights["head.weight"], head.weight)


@pytest.mark.parametrize("name", ["small", "medium", TIMM])
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    first = make_student(name, 2, 32, seed=0)
    torch.manual_seed(2)
    assert same(first, make_student(name, 2, 32, seed=0))
    assert not same(first, make_student(name, 2, 32, seed=1))


def test_a_projection_depends_on_the_seed_alone() -> None:
    first = make_projection(8, 5, seed=0)
    torch.manual_seed(2)
    assert same(first, make_projection(8, 5, seed=0))
    assert not same(first, make_projection(8, 5, seed=1))
    features = torch.ones(1, 8)
    torch.testing.assert_close(first(features), first.weight.sum(dim=1)[None] + first.bias)


@pytest.mark.parametrize("name", ["small", TIMM, "scratch:timm:test_resnet:2"])
def test_making_one_leaves_all_random_generators_alone(name: str) -> None:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    make_student(name, 2, 32, seed=0)
    make_projection(8, 5, seed=0)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert after == before


@pytest.mark.parametrize("name", ["small", "medium", TIMM, "scratch:timm:test_resnet:2"])
def test_a_fresh_student_has_seen_nothing(name: str) -> None:
    student = make_student(name, 2, 32, seed=0)
    assert all(module.training for module in student.modules())
    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert norm.num_batches_tracked == 0
        assert norm.running_mean is not None
        assert not norm.running_mean.any()


@pytest.mark.parametrize(("name", "features"), [("small", 262), ("medium", 518), (TIMM, 1024), ("resnet18", 512)])
def test_features_and_logits(name: str, features: int) -> None:
    student = make_student(name, 3, 32, seed=0).eval()
    found, logits = student(pixels())
    assert student.features == features
    assert found.shape == (4, features)
    torch.testing.assert_close(logits, found @ student.head.weight.T + student.head.bias)


def test_pixels_are_normalised_by_the_student_itself() -> None:
    class Taken(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels.flatten(1)

    student = Student(Taken(), features=3, classes=2)
    features, _ = student(torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1))
    torch.testing.assert_close(features, torch.tensor([[-2.0, 2.0, -1.2]]))


def test_the_small_students_features_are_the_mean_and_the_maximum_over_the_picture() -> None:
    student = make_student("small", 2, 64, seed=0).eval()
    batch = pixels(2, 64)
    scaled = (batch.float() - 127.5) / 63.75
    level, contrast = scaled.mean(dim=(2, 3)), scaled.std(dim=(2, 3))
    same = (scaled - level[:, :, None, None]) / (contrast[:, :, None, None] + 0.1)
    maps = student.trunk.get_submodule("layers")(same)
    assert maps.shape == (2, 128, 4, 4)
    features, _ = student(batch)
    torch.testing.assert_close(features[:, :128], maps.flatten(2).mean(dim=2))
    torch.testing.assert_close(features[:, 128:256], maps.flatten(2).max(dim=2).values)
    torch.testing.assert_close(features[:, 256:], torch.cat([level, contrast], dim=1))


def test_the_small_student_sees_the_same_parts_in_another_light() -> None:
    """What it reads off the picture hardly changes with exposure; the exposure itself is told beside it."""
    student = make_student("small", 2, 64, seed=0).eval()
    batch = pixels(2, 64) // 2
    brighter = batch + 60
    with torch.inference_mode():
        before, after = student(batch)[0], student(brighter)[0]
    torch.testing.assert_close(before[:, :256], after[:, :256], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        after[:, 256:259] - before[:, 256:259], torch.full((2, 3), 60 / 63.75), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", ["small", TIMM])
def test_in_evaluation_a_picture_gets_the_same_answer_in_any_company(name: str) -> None:
    student = make_student(name, 2, 32, seed=0).eval()
    batch = pixels(6)
    with torch.inference_mode():
        together = student(batch)[1]
        assert torch.equal(student(batch)[1], together)
        alone = torch.cat([student(picture[None])[1] for picture in batch])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_an_unknown_student_is_refused_with_names_that_are_known() -> None:
    with pytest.raises(
        SettingsError, match="'mobilenet_v9' is unknown; use small, medium, or a timm model such as mobile"
    ):
        make_student("mobilenet_v9", 2, 32, seed=0)
    with pytest.raises(SettingsError, match="such as mobilenetv3_small_050, resnet18"):
        make_student("qq", 2, 32, seed=0)


def test_a_tag_that_timm_does_not_know_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"timm refuses 'resnet18\.evil' \(Invalid pretrained tag.*; leave out what follows"
    ):
        make_student("resnet18.evil", 2, 32, seed=0, pretrained=False)


def test_a_student_that_would_begin_with_weights_of_timm_is_refused() -> None:
    said = r"^The student 'test_resnet\.r160_in1k' names weights of timm \('r160_in1k'\), and students begin with random ones; "
    with pytest.raises(SettingsError, match=said):
        make_student("test_resnet.r160_in1k", 2, 64, seed=0)
    make_student(
        "test_resnet.r160_in1k", 2, 64, seed=0, pretrained=False
    )  # of a run of an earlier release, which began so


def test_a_student_of_one_size_only_says_which() -> None:
    with pytest.raises(SettingsError, match="takes no pictures of 32 x 32 pixels; it was made for --size 224"):
        make_student("vit_tiny_patch16_224", 2, 32, seed=0)


@pytest.mark.parametrize(
    ("count", "size", "largest"), [(50, 96, 21), (50, 160, 7), (9, 224, 4), (3, 900, 1), (0, 96, 0)]
)
def test_pictures_are_looked_at_some_at_a_time_and_none_is_lost(count: int, size: int, largest: int) -> None:
    shown = pixels(count, size)
    batches = few_at_a_time(shown)
    assert max(map(len, batches)) == largest
    assert torch.equal(torch.cat(list(batches)), shown)
