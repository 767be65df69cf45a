import re

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from helpers import noise_picture, smooth_picture
from safetensors.torch import save_file

from embedstore.errors import TeacherError, WeightsUnavailableError
from embedstore.teachers import load_teacher
from embedstore.teachers.timm import timm_encoder
from embedstore.views import WHOLE, render


@pytest.fixture(scope="module")
def teacher(timm_checkpoint):
    return load_teacher(f"timm:test_resnet@{timm_checkpoint}")


def pictures(side):
    return np.stack([render(picture, WHOLE, side, "squash") for picture in (noise_picture(1), smooth_picture(2))])


def by_hand(model, batch, mean, std):
    """Return the pooled features of a timm model that keeps its classifier, at unit length."""
    pixels = (torch.from_numpy(batch).float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    with torch.no_grad():
        features = model.forward_head(model.forward_features(pixels.permute(0, 3, 1, 2)), pre_logits=True)
    return (features / features.norm(dim=1, keepdim=True)).numpy()


def test_a_vector_is_the_models_pooled_features_of_normalised_pixels(teacher, timm_checkpoint):
    model = timm.create_model("test_resnet", num_classes=7, checkpoint_path=str(timm_checkpoint)).eval()
    found = teacher.embed(pictures(160))["embedding"]
    assert teacher.input_size == 160
    np.testing.assert_allclose(found, by_hand(model, pictures(160), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), atol=1e-5)


def test_normalisation_is_the_models_own(tmp_path):
    model = timm.create_model("test_efficientnet", num_classes=3).eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    found = load_teacher(f"timm:test_efficientnet@{tmp_path / 'w.pt'}").embed(pictures(160))["embedding"]
    expected = by_hand(model, pictures(160), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_transformer_works_too(tmp_path):
    model = timm.create_model("test_vit", num_classes=3).eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    found = load_teacher(f"timm:test_vit@{tmp_path / 'w.pt'}").embed(pictures(160))["embedding"]
    np.testing.assert_allclose(found, by_hand(model, pictures(160), (0.5,) * 3, (0.5,) * 3), atol=1e-5)


def test_the_classifier_and_the_wrapping_of_a_checkpoint_do_not_matter(teacher, timm_checkpoint, tmp_path):
    state = torch.load(timm_checkpoint)
    bare = {name: value for name, value in state.items() if not name.startswith("fc.")}
    assert len(bare) == len(state) - 2
    torch.save(bare, tmp_path / "bare.pt")
    torch.save(
        {"epoch": 9, "state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "wrapped.pth"
    )
    torch.save({"model": state, "optimizer": {"lr": 1.0}}, tmp_path / "model.bin")
    torch.save(state | {"fc.weight": torch.zeros(2, 3)}, tmp_path / "other_classes.pt")
    save_file(state, tmp_path / "weights.safetensors")
    for file in tmp_path.iterdir():
        other = load_teacher(f"timm:test_resnet@{file}")
        assert other.fingerprint == teacher.fingerprint, file.name
        np.testing.assert_array_equal(
            other.embed(pictures(160))["embedding"], teacher.embed(pictures(160))["embedding"]
        )


def test_architectures_that_share_every_weight_have_different_fingerprints():
    """TensorFlow's padding is in no tensor; the same weights give other vectors with it."""
    torch.manual_seed(0)
    ours, theirs = (timm.create_model(name, num_classes=0) for name in ("efficientnet_lite0", "tf_efficientnet_lite0"))
    theirs.load_state_dict(ours.state_dict())
    for model in (ours, theirs):
        model.pretrained_cfg = ours.pretrained_cfg | {"architecture": model.pretrained_cfg["architecture"]}
        model.default_cfg = model.pretrained_cfg
    first, second = (timm_encoder("x", model) for model in (ours, theirs))
    assert not np.allclose(first.embed(pictures(224))["embedding"], second.embed(pictures(224))["embedding"], atol=1e-4)
    assert first.fingerprint != second.fingerprint


def test_a_checkpoint_of_another_architecture(timm_checkpoint):
    message = (
        r"^The checkpoint '.*' is not of the architecture 'test_vit': \d+ weights are missing \('blocks\..*'\), "
        r"\d+ do not belong \('bn1\.bias'\); name the architecture that it was trained with\.$"
    )
    with pytest.raises(TeacherError, match=message):
        load_teacher(f"timm:test_vit@{timm_checkpoint}")


def test_a_checkpoint_with_other_shapes(timm_checkpoint, tmp_path):
    state = torch.load(timm_checkpoint)
    state["bn1.weight"] = torch.zeros(5)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(
        TeacherError, match=r"'test_resnet': 'bn1\.weight' is \(5,\) instead of \(\d+,\); name the architecture"
    ):
        load_teacher(f"timm:test_resnet@{tmp_path / 'w.pt'}")


def test_a_checkpoint_that_lacks_one_weight(timm_checkpoint, tmp_path):
    state = torch.load(timm_checkpoint)
    del state["bn1.running_var"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(TeacherError, match=r"'test_resnet': 1 weights are missing \('bn1\.running_var'\); name the"):
        load_teacher(f"timm:test_resnet@{tmp_path / 'w.pt'}")


@pytest.mark.parametrize("name", ["resnet5", "nothing_like_it", "", "hf-hub:timm/resnet50"])
@pytest.mark.parametrize("end", ["", "@weights.pt"])
def test_an_unknown_name(name, end):
    message = rf"^The model '{name}' in 'timm:{name}{end}' is unknown to timm; use for example \w+.*\.$"
    with pytest.raises(TeacherError, match=message) as raised:
        load_teacher(f"timm:{name}{end}")
    assert "resnet" in str(raised.value).partition("use for example")[2] or name == ""


def test_an_unknown_tag():
    for end in ("", "@weights.pt"):
        message = (
            rf"^timm has no weights for 'resnet50\.mine' in 'timm:resnet50\.mine{end}'; known: resnet50\.a1_in1k, .*\.$"
        )
        with pytest.raises(TeacherError, match=message):
            load_teacher(f"timm:resnet50.mine{end}")


def test_a_model_that_timm_has_no_weights_for():
    message = (
        r"^timm has no weights for 'coatnet_0_224' in .*; known: none: give a local file, timm:coatnet_0_224@CHECKPOINT"
    )
    with pytest.raises(TeacherError, match=message):
        load_teacher("timm:coatnet_0_224")


def test_a_model_that_takes_no_squares(monkeypatch, timm_checkpoint):
    model = timm.create_model("test_resnet", num_classes=0)
    model.pretrained_cfg = model.default_cfg = model.default_cfg | {"input_size": (3, 160, 96)}
    with pytest.raises(
        TeacherError, match=r"'timm:x' takes 3 x 160 x 96 pixels; choose a model that takes 3 x s x s\.$"
    ):
        timm_encoder("timm:x", model)


def test_weights_that_can_not_be_had(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    message = (
        r"^The weights of 'timm:test_resnet' are not on this machine and the hub can't be reached; fetch them once "
        r"where there is a network and copy the hub's cache, or give a local file: timm:NAME@CHECKPOINT\.$"
    )
    with pytest.raises(WeightsUnavailableError, match=message) as raised:
        load_teacher("timm:test_resnet")
    assert not re.search("\n", str(raised.value))
    assert capfd.readouterr() == ("", "")
