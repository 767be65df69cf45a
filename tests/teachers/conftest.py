"""Tiny models with random weights, saved as the checkpoints that users bring."""

import json
from pathlib import Path

import pytest

CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "patch_dropout": 0.5},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
CLIP_ARCHITECTURES = {
    "tiny-test-clip": CLIP,
    "tiny-test-clip-quickgelu": CLIP | {"quick_gelu": True},
    "tiny-test-clip-wider": CLIP | {"embed_dim": 28},
    "tiny-test-clip-deep": CLIP | {"vision_cfg": CLIP["vision_cfg"] | {"layers": 4}},
    "tiny-test-clip-resnet": CLIP
    | {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}},
    "tiny-test-clip-oblong": CLIP | {"vision_cfg": CLIP["vision_cfg"] | {"image_size": [32, 16]}},
}


@pytest.fixture(scope="session")
def clip_architectures(tmp_path_factory):
    """Make the tiny architectures known to open_clip, for this session alone."""
    factory = pytest.importorskip("open_clip.factory")
    folder = tmp_path_factory.mktemp("architectures")
    for name, config in CLIP_ARCHITECTURES.items():
        (folder / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    factory.add_model_config(folder)
    yield list(CLIP_ARCHITECTURES)
    factory._MODEL_CONFIG_PATHS.remove(folder)
    for name in CLIP_ARCHITECTURES:
        del factory._MODEL_CONFIGS[name]


@pytest.fixture(scope="session")
def clip_checkpoint(clip_architectures, tmp_path_factory) -> Path:
    """Return a `.pt` file with random weights of `tiny-test-clip`."""
    import open_clip
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = open_clip.create_model("tiny-test-clip", load_weights=False)
    path = tmp_path_factory.mktemp("clip") / "weights.pt"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def timm_checkpoint(tmp_path_factory) -> Path:
    """Return a `.pt` file with random weights of timm's `test_resnet`, a classifier of 7 kinds among them."""
    timm = pytest.importorskip("timm")
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = timm.create_model("test_resnet", num_classes=7)
        for name, buffer in model.named_buffers():  # as after some training, so that evaluation mode shows
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    path = tmp_path_factory.mktemp("timm") / "weights.pt"
    torch.save(model.state_dict(), path)
    return path
