"""Students, each with a head for labels: two of our own, every timm model, stages of a teacher, and the user's own modules."""

import torch
from torch import Tensor, nn

from distill.students.own import own_trunk
from distill.students.residual import MediumTrunk, SmallTrunk
from distill.students.student import Student, device
from distill.students.teacher_stages import teacher_stages
from distill.students.timm_model import timm_model
from distill.training.settings import is_code, is_of_teacher
from embedstore.errors import SettingsError

__all__ = ["TRUNKS", "MediumTrunk", "SmallTrunk", "Student", "device", "make_projection", "make_student"]

TRUNKS: dict[str, type[SmallTrunk]] = {"small": SmallTrunk, "medium": MediumTrunk}


def make_student(name: str, classes: int, size: int, seed: int, *, pretrained: bool = True) -> Student:
    """Make a student with freshly drawn weights: the same for the same arguments, whatever the policy.

    Args:
        name: `small`, `medium`, a timm model's name without a tag for weights, `trunk:TEACHER:STAGES` or
            `scratch:TEACHER:STAGES`, see `teacher_stages`, or `MODULE:FUNCTION`, see `own_trunk`.
        classes: how many labels.
        size: side of its input, in pixels.
        seed: of the weights.
        pretrained: give `trunk:` the teacher's weights; False where a trained student's are loaded next, so that no teacher is
            needed.

    Raises:
        SettingsError: there is no such model, or it does not take pictures of this size.
        TeacherError: the teacher's weights are not the teacher's, or are not there.
        MissingPackageError: the package of the teacher's weights is not installed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = _trunk(name, size, pretrained=pretrained)
        return Student(trunk, _feature_count(name, trunk, size), classes)


def make_projection(inputs: int, outputs: int, seed: int) -> nn.Linear:
    """Make the learned map between the student's features and the targets' space; see `losses.DistillationLoss`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(inputs, outputs)


def _trunk(name: str, size: int, *, pretrained: bool) -> nn.Module:
    if name in TRUNKS:
        return TRUNKS[name]()
    if is_of_teacher(name):
        return teacher_stages(name, size, pretrained=pretrained)
    return own_trunk(name) if is_code(name) else _timm_trunk(name, begins=pretrained)


def _timm_trunk(name: str, *, begins: bool) -> nn.Module:
    import timm

    model, _, weights = name.partition(".")
    if begins and weights and timm.is_model(model):
        raise SettingsError(
            f"The student '{name}' names weights of timm ('{weights}'), and students begin with random ones; leave '.{weights}' "
            f"out, or begin with its first stages: trunk:timm:{name}:STAGES"
        )
    if not timm.is_model(name):
        near = timm.list_models(f"{name[:6]}*")[:5] or ["mobilenetv3_small_050", "resnet18"]
        raise SettingsError(
            f"The student '{name}' is unknown; use {', '.join(TRUNKS)}, or a timm model such as {', '.join(near)}."
        )
    return timm_model(name, name)


def _feature_count(name: str, trunk: nn.Module, size: int) -> int:
    """Ask the trunk itself: timm's `num_features` is another number for many models, and some take one size only."""
    trunk.eval()  # so that the probe leaves no trace in its running means
    try:
        with torch.no_grad():
            features: Tensor = trunk(torch.zeros(1, 3, size, size))
    except Exception as error:
        if is_code(name):
            what = f"{type(error).__name__}: {error}"
            raise SettingsError(
                f"The student '{name}' failed on a picture of {size} x {size} pixels ({what})."
            ) from error
        if not isinstance(error, AssertionError | IndexError | RuntimeError | ValueError):
            raise
        made_for = getattr(trunk, "default_cfg", {}).get("input_size", ("?",))[-1]
        raise SettingsError(
            f"The student '{name}' takes no pictures of {size} x {size} pixels; it was made for --size {made_for}."
        ) from error
    trunk.train()
    if not isinstance(features, Tensor) or features.ndim != 2:
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise SettingsError(f"The student '{name}' gave {got} for one picture; expected features of shape (1, f).")
    return features.shape[1]
