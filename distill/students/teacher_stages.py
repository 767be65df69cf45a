"""The first stages of a teacher as a trunk: `trunk:TEACHER:STAGES` with its weights, `scratch:TEACHER:STAGES` with random ones.

Fine-tuned on labels alone, such a trunk is the rival that a store has to beat where the teacher is small. From random weights it
is the same student without what the teacher learned elsewhere.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from distill.students.student import MIDDLE, SPREAD
from distill.students.timm_model import timm_model
from distill.training.settings import SCRATCH, TRUNK
from embedstore.errors import SettingsError

_LITE = {f"efficientnet-lite{size}": f"tf_efficientnet_lite{size}" for size in (0, 1, 2)}  # teacher -> its name in timm


class TeacherStages(nn.Module):
    """Layers of a teacher, then the mean over the picture, as the teacher takes it; the maximum beside it made nothing better.

    The student normalises pixels its own way, so they are brought to the teacher's here.

    Args:
        layers: pixels as the teacher takes them (m, 3, s, s) -> maps (m, c, h, w).
        mean, std: of the teacher's own transform, per channel, on pixels in 0..1.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, layers: nn.Module, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.layers = layers
        middle, spread = (torch.tensor(values).view(1, -1, 1, 1) * 255 for values in (mean, std))
        self.register_buffer("scale", SPREAD / spread)
        self.register_buffer("shift", (MIDDLE - middle) / spread)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (m, 3, s, s) to (m, c)."""
        maps: Tensor = self.layers(pixels * self.scale + self.shift)
        return maps.mean(dim=(2, 3))

    def stages(self, pixels: Tensor) -> Iterator[Tensor]:
        """Yield the maps (m, c, h, w) after each layer, one after the other."""
        maps = pixels * self.scale + self.shift
        for layer in self.layers.children():
            maps = layer(maps)
            yield maps


def teacher_stages(name: str, size: int, *, pretrained: bool) -> TeacherStages:
    """Make the trunk that a student's name asks for.

    Args:
        name: `trunk:TEACHER:STAGES` or `scratch:TEACHER:STAGES`; the teacher is `efficientnet-lite0` to `-lite2`,
            `timm:NAME@CHECKPOINT` (for `trunk:` only) or `timm:NAME`.
        size: side of its input, in pixels.
        pretrained: give `trunk:` the teacher's weights; else they are drawn, since others follow, and no teacher is needed.

    Raises:
        SettingsError: the name is not of that form, the teacher has no such stages, or `scratch:` names a checkpoint.
        TeacherError, MissingPackageError: as `embedstore.load_teacher`, where the teacher's weights are to be read.
    """
    kind, _, rest = name.partition(":")
    teacher, _, count = rest.rpartition(":")
    if not teacher or not re.fullmatch(r"[1-9][0-9]?", count):
        raise SettingsError(
            f"The student '{name}' is not {kind}:TEACHER:STAGES; write for example {kind}:efficientnet-lite0:5 for the first "
            "five stages of that teacher."
        )
    from timm.data.config import resolve_model_data_config

    if kind == SCRATCH and "@" in teacher:
        raise SettingsError(
            f"The student '{name}' begins from random weights, so no checkpoint is read; leave out what follows the @, or begin "
            f"from the checkpoint with {TRUNK}:{rest}."
        )
    architecture = _architecture(name, teacher)
    model = timm_model(name, architecture)
    if kind == TRUNK and pretrained:
        model.load_state_dict(_weights(teacher))
    layers = _first_stages(name, model, int(count), size)
    settings = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    return TeacherStages(layers, settings["mean"], settings["std"])


def _architecture(name: str, teacher: str) -> str:
    """Return the name that timm has for a teacher."""
    import timm

    kind, _, argument = teacher.partition(":")
    architecture = _LITE.get(teacher) or (argument.partition("@")[0] if kind == "timm" else "")
    if not timm.is_model(architecture):
        raise SettingsError(
            f"The student '{name}' takes stages of the teacher '{teacher}', which is unknown or can't be cut into stages; use "
            f"{', '.join(_LITE)}, or timm:NAME@CHECKPOINT."
        )
    return architecture


def _weights(teacher: str) -> dict[str, Tensor]:
    from embedstore.teachers import load_teacher
    from embedstore.teachers.torch_encoder import TorchEncoder

    loaded = load_teacher(teacher)
    assert isinstance(loaded, TorchEncoder)  # noqa: S101  as all teachers from timm are
    return {key: value.cpu() for key, value in loaded.model.state_dict().items()}


def _first_stages(name: str, model: nn.Module, count: int, size: int) -> nn.Sequential:
    """Return a model's layers up to and with a stage; tried on a picture, for not every model runs its layers one by one.

    What timm calls `blocks` or `stages` are stages, or `layer1`, `layer2`..., or `s1`, `s2`...
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    stages: list[nn.Module] = []
    for own_name, child in model.named_children():
        if own_name in ("blocks", "stages") or re.fullmatch(r"(layer|s)\d", own_name):
            parts = list(child.children()) if own_name in ("blocks", "stages") else [child]
            wanted = parts[: max(0, count - len(stages))]
            stages += parts
            layers |= {f"{own_name}_{at}": part for at, part in enumerate(wanted)}
        elif len(stages) < count:
            layers[own_name] = child
    if len(stages) < count:
        raise SettingsError(
            f"The student '{name}' asks for {count} stages, and the teacher has {len(stages)} that can be told apart; "
            + ("ask for fewer." if stages else "use a convolutional one, such as efficientnet-lite0.")
        )
    cut = nn.Sequential(layers)
    if not _runs_alike(model, cut, stages[count - 1], size):
        raise SettingsError(
            f"The student '{name}' can't be made: the teacher does not run its layers one by one on pictures of {size} x {size} "
            "pixels; use a convolutional one, such as efficientnet-lite0."
        )
    return cut


def _runs_alike(model: nn.Module, cut: nn.Sequential, last: nn.Module, size: int) -> bool:
    """Return whether layers one by one give the maps that the model itself has after the last of them."""
    seen: list[Tensor] = []
    hook = last.register_forward_hook(lambda _, __, maps: seen.append(maps.clone()))
    picture = torch.linspace(-2, 2, 3 * size * size).view(1, 3, size, size)
    model.eval()
    try:
        with torch.no_grad():
            model(picture)
            hook.remove()
            maps = cut(picture)
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        return False  # of one size only, or not to be run this way, such as a stage that gives several maps
    finally:
        hook.remove()
        model.train()
    if not seen or not isinstance(maps, Tensor):  # the model has the stage, but does not run it, or it gives no maps
        return False
    return maps.ndim == 4 and maps.shape[2] == maps.shape[3] and torch.equal(maps, seen[0])
