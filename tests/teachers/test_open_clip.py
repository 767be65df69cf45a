import importlib.util

import numpy as np
import open_clip
import open_clip.pretrained
import pytest
import torch
from helpers import noise_picture, smooth_picture
from safetensors.torch import save_file

from embedstore.errors import MissingPackageError, TeacherError
from embedstore.teachers import load_teacher
from embedstore.views import WHOLE, render

ARCHITECTURE = "tiny-test-clip"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # as OpenAI published them
TEXTS = ["a crack", "a photo of a good part", "ひび割れ", ""]


@pytest.fixture(scope="module")
def teacher(clip_checkpoint):
    return load_teacher(f"open_clip:{ARCHITECTURE}@{clip_checkpoint}")


@pytest.fixture(scope="module")
def model(clip_checkpoint):
    """Return the model as open_clip itself loads it."""
    return open_clip.create_model(ARCHITECTURE, pretrained=str(clip_checkpoint)).eval()


@pytest.fixture
def tag(clip_checkpoint, monkeypatch):
    """Return a function that makes the checkpoint known to open_clip as a tag of an architecture."""

    def register(architecture: str, **settings: object) -> str:
        known = {architecture: {"local": {"file": str(clip_checkpoint), **settings}}}
        monkeypatch.setattr(open_clip.pretrained, "_PRETRAINED", open_clip.pretrained._PRETRAINED | known)
        return f"open_clip:{architecture}/local"

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return register


def pictures():
    return np.stack([render(picture, WHOLE, 32, "squash") for picture in (noise_picture(1), smooth_picture(2))])


def unit(features):
    return (features / features.norm(dim=1, keepdim=True)).numpy()


def by_hand(model, mean=MEAN, std=STD):
    pixels = (torch.from_numpy(pictures()).float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    with torch.no_grad():
        return unit(model.encode_image(pixels.permute(0, 3, 1, 2)))


def test_a_vector_is_the_image_tower_on_normalised_pixels(teacher, model):
    assert (teacher.input_size, dict(teacher.outputs)) == (32, {"embedding": 24})
    np.testing.assert_allclose(teacher.embed(pictures())["embedding"], by_hand(model), atol=1e-5)


def test_a_text_vector_is_the_text_towers(teacher, model):
    with torch.no_grad():
        expected = unit(model.encode_text(open_clip.tokenize(TEXTS, context_length=16)))
    found = teacher.embed_text(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(teacher.embed_text(TEXTS[1:2]), expected[1:2], atol=1e-5)
    assert np.linalg.norm(found[0] - found[1]) > 0.01


def test_the_wrapping_of_a_checkpoint_does_not_matter(teacher, clip_checkpoint, tmp_path):
    state = torch.load(clip_checkpoint)
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "epoch_3.pt"
    )
    for file in tmp_path.iterdir():
        other = load_teacher(f"open_clip:{ARCHITECTURE}@{file}")
        assert other.fingerprint == teacher.fingerprint, file.name
        np.testing.assert_array_equal(other.embed(pictures())["embedding"], teacher.embed(pictures())["embedding"])
        np.testing.assert_array_equal(other.embed_text(TEXTS), teacher.embed_text(TEXTS))


def test_the_weights_of_a_tag_are_the_same_teacher(teacher, tag):
    other = load_teacher(tag(ARCHITECTURE))
    assert other.fingerprint == teacher.fingerprint
    np.testing.assert_array_equal(other.embed(pictures())["embedding"], teacher.embed(pictures())["embedding"])


def test_a_tags_own_normalisation_is_used_and_in_the_fingerprint(teacher, model, tag):
    other = load_teacher(tag(ARCHITECTURE, mean=(0.5, 0.4, 0.3), std=(0.25, 0.5, 0.75)))
    assert other.fingerprint != teacher.fingerprint
    np.testing.assert_allclose(
        other.embed(pictures())["embedding"], by_hand(model, (0.5, 0.4, 0.3), (0.25, 0.5, 0.75)), atol=1e-5
    )


def test_a_tag_trained_with_another_activation_gets_it(teacher, tag, clip_checkpoint):
    """As `ViT-B-32/openai`, of which open_clip only warns that its vectors would be wrong."""
    other = load_teacher(tag(ARCHITECTURE, quick_gelu=True))
    quick = open_clip.create_model(ARCHITECTURE, pretrained=str(clip_checkpoint), force_quick_gelu=True).eval()
    np.testing.assert_allclose(other.embed(pictures())["embedding"], by_hand(quick), atol=1e-5)
    assert not np.allclose(other.embed(pictures())["embedding"], teacher.embed(pictures())["embedding"], atol=1e-4)
    same = load_teacher(f"open_clip:tiny-test-clip-quickgelu@{clip_checkpoint}")
    assert other.fingerprint == same.fingerprint != teacher.fingerprint


def test_a_checkpoint_of_another_architecture(clip_checkpoint):
    message = (
        r"^The checkpoint '.*' is not of the architecture 'tiny-test-clip-wider': "
        r"'text_projection' is \(16, 24\) instead of \(16, 28\); name the architecture that it was trained with\.$"
    )
    with pytest.raises(TeacherError, match=message):
        load_teacher(f"open_clip:tiny-test-clip-wider@{clip_checkpoint}")


def test_a_checkpoint_of_another_library(clip_architectures, timm_checkpoint):
    message = (
        r"not of the architecture 'tiny-test-clip': \d+ weights are missing \('.*'\), \d+ do not belong \('.*'\); name"
    )
    with pytest.raises(TeacherError, match=message):
        load_teacher(f"open_clip:{ARCHITECTURE}@{timm_checkpoint}")


def test_an_unknown_architecture():
    message = (
        r"^The architecture 'ViT-B32' in 'open_clip:ViT-B32/openai' is unknown to open_clip; use for example ViT-B-16, "
    )
    with pytest.raises(TeacherError, match=message):
        load_teacher("open_clip:ViT-B32/openai")
    with pytest.raises(TeacherError, match=r"'quite other' in .* use for example ViT-B-32, ViT-B-16, ViT-L-14\.$"):
        load_teacher("open_clip:quite other@weights.pt")
    with pytest.raises(
        TeacherError, match=r"^The architecture '' in 'open_clip:' is unknown to open_clip; use for example "
    ):
        load_teacher("open_clip:")


@pytest.mark.parametrize("spec", ["open_clip:ViT-B-32/mine", "open_clip:ViT-B-32", "open_clip:ViT-B-32/"])
def test_an_unknown_tag(spec):
    message = rf"^The weights '(mine|)' in '{spec}' are unknown for ViT-B-32; known: openai, .*\.$"
    with pytest.raises(TeacherError, match=message):
        load_teacher(spec)


def test_an_architecture_without_tags(clip_architectures):
    message = r"unknown for tiny-test-clip; known: none: give a local file, open_clip:ARCH@CHECKPOINT\.$"
    with pytest.raises(TeacherError, match=message):
        load_teacher(f"open_clip:{ARCHITECTURE}/openai")


def test_an_architecture_that_takes_no_squares(clip_architectures, tmp_path):
    oblong = open_clip.create_model("tiny-test-clip-oblong", load_weights=False)
    torch.save(oblong.state_dict(), tmp_path / "w.pt")
    with pytest.raises(TeacherError, match=r"takes 32 x 16 pixels; choose one that takes squares\.$"):
        load_teacher(f"open_clip:tiny-test-clip-oblong@{tmp_path / 'w.pt'}")


@pytest.mark.parametrize("spec", ["open_clip:ViT-B-16-SigLIP/webli", "open_clip:roberta-ViT-B-32@weights.pt"])
def test_an_architecture_whose_texts_need_another_package(spec, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "embedstore.teachers.open_clip.find_spec", lambda name: None if name == "transformers" else find(name)
    )
    message = rf"^The architecture '.*' in '{spec}' reads texts with transformers: pip install transformers\.$"
    with pytest.raises(MissingPackageError, match=message):
        load_teacher(spec)


def test_a_local_file_never_asks_the_hub(clip_checkpoint, monkeypatch):
    def ask(*args, **kwargs):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("embedstore.teachers.open_clip.HubProbe", ask)
    monkeypatch.setattr("urllib.request.urlopen", ask)
    load_teacher(f"open_clip:{ARCHITECTURE}@{clip_checkpoint}")


def test_open_clips_logging_and_warnings_stay_as_they_were(clip_checkpoint, capfd):
    import logging
    import warnings

    before = logging.root.manager.disable, list(warnings.filters)
    load_teacher(f"open_clip:{ARCHITECTURE}@{clip_checkpoint}")
    assert (logging.root.manager.disable, list(warnings.filters)) == before
    assert capfd.readouterr() == ("", "")
