"""CLIP and its relatives through open_clip: `open_clip:ARCH/TAG` or `open_clip:ARCH@CHECKPOINT`."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from embedstore.errors import MissingPackageError, TeacherError
from embedstore.teachers.checkpoints import load_weights, read_weights
from embedstore.teachers.hub import HubProbe, quick_hub
from embedstore.teachers.outputs import STAGES
from embedstore.teachers.torch_encoder import TorchEncoder, require_torch
from embedstore.vectors import Vectors, unit_length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from embedstore.teachers.protocol import TextTeacher


class OpenClipTeacher(TorchEncoder):
    """An open_clip model: pictures through its image tower, texts through its text tower."""

    def __init__(
        self,
        name: str,
        architecture: str,
        model: Any,
        tokenizer: Callable[[list[str]], torch.Tensor],
        outputs: Sequence[str] = (),
    ):
        import open_clip

        preprocess = open_clip.get_model_preprocess_cfg(model)
        size = preprocess["size"]
        height, width = (size, size) if isinstance(size, int) else size
        if height != width:
            raise TeacherError(f"The teacher '{name}' takes {height} x {width} pixels; choose one that takes squares.")
        config = open_clip.get_model_config(architecture)
        config.pop("quick_gelu", None)  # the tag may have it too, and the layers tell

        def staged(pixels: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
            # The last, too: open_clip's ResNet stops at the highest stage that is asked for.
            found = model.visual.forward_intermediates(pixels, indices=[*STAGES, -1], normalize_intermediates=True)
            return found["image_features"], found["image_intermediates"][:-1]

        super().__init__(
            name,
            model,
            model.encode_image,
            staged,
            outputs,
            input_size=height,
            mean=tuple(preprocess["mean"]),
            std=tuple(preprocess["std"]),
            config={"open_clip": config},
        )
        self._tokenizer = tokenizer

    def embed_text(self, texts: list[str]) -> Vectors:
        """Embed texts; see `TextTeacher.embed_text`."""
        import torch

        with torch.inference_mode():
            vectors = self.model.encode_text(self._tokenizer(texts).to(self.device))
        return unit_length(vectors.float().cpu().numpy())


def load(argument: str, outputs: Sequence[str]) -> TextTeacher:
    """Load `ARCH/TAG` (weights from the hub or its cache) or `ARCH@CHECKPOINT` (a local file)."""
    spec = f"open_clip:{argument}"
    architecture, at, source = argument.partition("@")
    if not at:
        architecture, _, source = argument.partition("/")
    probe = None if at else HubProbe()  # a local file never asks the hub
    require_torch(f"The teacher '{spec}'")
    import open_clip

    _check_architecture(architecture, spec)
    if not at:
        _check_tag(architecture, source, spec)
    with warnings.catch_warnings(), quick_hub(probe, spec):
        warnings.simplefilter("ignore")  # open_clip warns of activations, which `_from_tag` settles
        model = _from_file(architecture, source) if at else _from_tag(architecture, source)
        tokenizer = open_clip.get_tokenizer(architecture)
    return OpenClipTeacher(spec, architecture, model, tokenizer, outputs)


def _check_architecture(architecture: str, spec: str) -> None:
    import open_clip

    known = open_clip.list_models()
    if architecture not in known:
        near = [name for name in known if name.lower().startswith(architecture.lower()[:5])][:5]
        raise TeacherError(
            f"The architecture '{architecture}' in '{spec}' is unknown to open_clip; use for example "
            f"{', '.join(near or ['ViT-B-32', 'ViT-B-16', 'ViT-L-14'])}."
        )
    text = open_clip.get_model_config(architecture)["text_cfg"]
    if (text.get("hf_tokenizer_name") or text.get("hf_model_name")) and find_spec("transformers") is None:
        raise MissingPackageError(
            f"The architecture '{architecture}' in '{spec}' reads texts with transformers: pip install transformers."
        )


def _check_tag(architecture: str, tag: str, spec: str) -> None:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        known = ", ".join(tags[:6]) or "none: give a local file, open_clip:ARCH@CHECKPOINT"
        raise TeacherError(f"The weights '{tag}' in '{spec}' are unknown for {architecture}; known: {known}.")


def _from_file(architecture: str, checkpoint: str) -> Any:
    import open_clip

    weights = read_weights(checkpoint)
    model = open_clip.create_model(architecture, load_weights=False, pretrained_text=False)
    load_weights(model, weights, checkpoint, architecture)
    return model


def _from_tag(architecture: str, tag: str) -> Any:
    import open_clip

    settings = open_clip.get_pretrained_cfg(architecture, tag)
    # Before the model is built, which takes seconds, make sure that its weights are to be had.
    open_clip.download_pretrained(settings)
    # Some tags were trained with another activation than their architecture names; open_clip itself only warns.
    return open_clip.create_model(architecture, tag, force_quick_gelu=bool(settings.get("quick_gelu")))
