"""CLIP and its relatives through open_clip: `open_clip:ARCH/TAG` or `open_clip:ARCH@CHECKPOINT`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from embedstore.errors import TeacherError
from embedstore.teachers.checkpoints import load_weights, read_weights
from embedstore.teachers.hub import HubProbe, quick_hub
from embedstore.teachers.torch_encoder import TorchEncoder, require_torch
from embedstore.vectors import Vectors, unit_length

if TYPE_CHECKING:
    from embedstore.teachers.protocol import TextTeacher


class OpenClipTeacher(TorchEncoder):
    """An open_clip model: pictures through its image tower, texts through its text tower."""

    def __init__(self, name: str, architecture: str, model: Any):
        import open_clip

        preprocess = open_clip.get_model_preprocess_cfg(model)
        size = preprocess["size"]
        sides = {size} if isinstance(size, int) else set(size)
        if len(sides) != 1:
            raise TeacherError(f"The teacher '{name}' takes pictures of {size} pixels; only square ones are supported.")
        super().__init__(
            name,
            model,
            model.encode_image,
            input_size=sides.pop(),
            mean=tuple(preprocess["mean"]),
            std=tuple(preprocess["std"]),
            config={"open_clip": open_clip.get_model_config(architecture)},
        )
        self._tokenizer = open_clip.get_tokenizer(architecture)

    def embed_text(self, texts: list[str]) -> Vectors:
        """Embed texts; see `TextTeacher.embed_text`."""
        import torch

        with torch.inference_mode():
            vectors = self.model.encode_text(self._tokenizer(texts).to(self.device))
        return unit_length(vectors.float().cpu().numpy())


def load(argument: str) -> TextTeacher:
    """Load `ARCH/TAG` (weights from the hub or its cache) or `ARCH@CHECKPOINT` (a local file)."""
    spec = f"open_clip:{argument}"
    probe = HubProbe()
    require_torch(f"The teacher '{spec}'")
    import open_clip

    architecture, at, checkpoint = argument.partition("@")
    tag = ""
    if not at:
        architecture, _, tag = argument.partition("/")
    if architecture not in open_clip.list_models():
        near = [name for name in open_clip.list_models() if name.lower().startswith(architecture.lower()[:5])][:5]
        raise TeacherError(
            f"The architecture '{architecture}' in '{spec}' is unknown to open_clip; use for example "
            f"{', '.join(near or ['ViT-B-32', 'ViT-B-16', 'ViT-L-14'])}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # open_clip warns of activations that the tag itself settles
        if at:
            weights = read_weights(checkpoint)
            model = open_clip.create_model(architecture, pretrained=None, pretrained_hf=False, load_weights=False)
            load_weights(model, weights, checkpoint, architecture)
        else:
            model = _pretrained(architecture, tag, spec, probe)
    return OpenClipTeacher(spec, architecture, model)


def _pretrained(architecture: str, tag: str, spec: str, probe: HubProbe) -> Any:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        known = ", ".join(tags[:6]) or "none: give a local file, open_clip:ARCH@CHECKPOINT"
        raise TeacherError(f"The weights '{tag}' in '{spec}' are unknown for {architecture}; known: {known}.")
    with quick_hub(probe, spec):
        # Before the model is built, which takes seconds, make sure that its weights are to be had.
        open_clip.download_pretrained(open_clip.get_pretrained_cfg(architecture, tag))
        return open_clip.create_model(architecture, pretrained=tag)
