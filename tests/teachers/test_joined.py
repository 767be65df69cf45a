"""Teachers side by side: whose vectors, of which weight, and what is refused."""

import shutil

import numpy as np
import pytest
from helpers import noise_picture, smooth_picture
from PIL import Image

from embedstore.errors import TeacherError
from embedstore.teachers import load_teacher
from embedstore.views import WHOLE, render


@pytest.fixture(scope="module")
def parts(timm_checkpoint):
    return ["pixels", f"timm:test_resnet@{timm_checkpoint}"]


def pictures(side, count=3):
    return np.stack([render(noise_picture(seed, (80, 60)), WHOLE, side, "squash") for seed in range(count)])


def test_the_parts_stand_side_by_side_and_weigh_the_same(parts):
    joined, (pixels, resnet) = load_teacher("joined:" + "+".join(parts)), [load_teacher(one) for one in parts]
    assert joined.input_size == resnet.input_size > pixels.input_size
    shown = pictures(joined.input_size)
    small = np.stack([np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC)) for one in shown])
    found = joined.embed(shown)["embedding"]
    width = pixels.outputs["embedding"]
    np.testing.assert_allclose(found[:, :width] * np.sqrt(2), pixels.embed(small)["embedding"], atol=1e-6)
    np.testing.assert_allclose(found[:, width:] * np.sqrt(2), resnet.embed(shown)["embedding"], atol=1e-6)
    cosine = [one @ one.T for one in (pixels.embed(small)["embedding"], resnet.embed(shown)["embedding"])]
    np.testing.assert_allclose(found @ found.T, np.mean(cosine, axis=0), atol=1e-5)


def test_the_order_of_the_parts_makes_another_teacher(parts):
    one, other = (load_teacher("joined:" + "+".join(order)) for order in (parts, parts[::-1]))
    assert one.fingerprint != other.fingerprint


def test_a_plus_in_the_path_of_a_checkpoint_joins_nothing(timm_checkpoint, tmp_path):
    odd = tmp_path / "a+b+pixelated.pt"
    shutil.copy(timm_checkpoint, odd)
    joined = load_teacher(f"joined:timm:test_resnet@{odd}+pixels")
    assert joined.embed(pictures(joined.input_size, 1))["embedding"].shape == (1, joined.outputs["embedding"])
    assert joined.outputs["embedding"] == 192 + load_teacher(f"timm:test_resnet@{odd}").outputs["embedding"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("joined:", "names fewer than two known teachers; expected two or more with \\+ between"),
        ("joined:pixels", "names fewer than two known teachers"),
        ("joined:pixels+pixels", "has the same teacher twice"),
        ("joined:pixels+joined:pixels+pixels", "joins one that is joined itself"),
        ("joined:pixel+pixels", "The teacher 'pixel' is unknown"),
        ("joined:pixels+pixel", "names fewer than two known teachers"),
    ],
)
def test_what_can_not_be_joined_is_refused(spec, said):
    with pytest.raises(TeacherError, match=said):
        load_teacher(spec)


def test_further_outputs_are_refused(parts):
    with pytest.raises(TeacherError, match="can't give maxima: it has the embeddings of its parts alone"):
        load_teacher("joined:" + "+".join(parts), ["maxima"])


def test_a_store_is_built_and_asked_by_both(tmp_path):
    import embedstore

    (tmp_path / "images" / "good").mkdir(parents=True)
    for seed in range(4):
        smooth_picture(seed, (90, 70)).save(tmp_path / "images" / "good" / f"{seed}.png")
    timm = pytest.importorskip("timm")
    import torch

    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "net.pt")
    spec = f"joined:pixels+timm:test_resnet@{tmp_path / 'net.pt'}"
    embedstore.build(tmp_path / "store", tmp_path / "images", teacher=spec)
    with embedstore.open(tmp_path / "store") as store:
        assert (store.teacher, store.dim) == (spec, load_teacher(spec).outputs["embedding"])
        np.testing.assert_allclose(np.linalg.norm(store.vectors(), axis=1), 1, atol=2e-3)
