"""Image encoders through timm: `timm:NAME` or `timm:NAME@CHECKPOINT`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from embedstore.errors import TeacherError
from embedstore.teachers.checkpoints import load_weights, read_weights
from embedstore.teachers.hub import HubProbe, quick_hub
from embedstore.teachers.outputs import STAGES
from embedstore.teachers.torch_encoder import TorchEncoder, require_torch


def load(argument: str, outputs: Sequence[str]) -> TorchEncoder:
    """Load `NAME` (weights from the hub or its cache) or `NAME@CHECKPOINT` (a local file, classifier ignored)."""
    spec = f"timm:{argument}"
    name, at, checkpoint = argument.partition("@")
    probe = None if at else HubProbe()  # a local file never asks the hub
    require_torch(f"The teacher '{spec}'")
    import timm

    if not timm.is_model(name):
        near = timm.list_models(f"{name[:6]}*")[:5] or ["vit_base_patch16_224", "resnet50"]
        raise TeacherError(f"The model '{name}' in '{spec}' is unknown to timm; use for example {', '.join(near)}.")
    if not timm.is_model_pretrained(name) and (not at or "." in name):
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")[:6] or [
            f"none: give a local file, timm:{name}@CHECKPOINT"
        ]
        raise TeacherError(f"timm has no weights for '{name}' in '{spec}'; known: {', '.join(tags)}.")
    if at:
        weights = read_weights(checkpoint)
        model = timm.create_model(name, pretrained=False, num_classes=0)
        load_weights(model, without_classifier(model, weights), checkpoint, name)
    else:
        with quick_hub(probe, spec):
            model = timm.create_model(name, pretrained=True, num_classes=0)
    return timm_encoder(spec, model, outputs)


def without_classifier(model: Any, weights: dict[str, Any]) -> dict[str, Any]:
    """Return the weights less the classifier's, which an encoder has no use for."""
    heads = model.default_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return {key: value for key, value in weights.items() if not key.startswith(tuple(f"{head}." for head in heads))}


def timm_encoder(spec: str, model: Any, outputs: Sequence[str] = ()) -> TorchEncoder:
    """Wrap a timm model without classifier as a teacher, with its own normalisation and input size."""
    from timm.data.config import resolve_model_data_config

    settings = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    channels, height, width = settings["input_size"]
    if channels != 3 or height != width:
        raise TeacherError(
            f"The teacher '{spec}' takes {channels} x {height} x {width} pixels; choose a model that takes 3 x s x s."
        )

    def staged(pixels: Any) -> tuple[Any, list[Any]]:
        # Normalised where that is a transformer's: of what its blocks add up, a few numbers outgrow all others.
        last, maps = model.forward_intermediates(pixels, indices=[*STAGES], norm=True, output_fmt="NCHW")
        return model.forward_head(last), maps

    return TorchEncoder(
        spec,
        model,
        model,
        staged,
        outputs,
        input_size=height,
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        config={"timm": model.default_cfg["architecture"]},  # padding and the like show in no weight
    )
