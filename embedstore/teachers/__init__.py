"""Teachers: frozen encoders behind one small protocol. The only place that loads one.

To add a teacher, write a file with a `load(argument) -> Teacher` and add its line to `TEACHERS`. Nothing heavy is
imported before a teacher is loaded.
"""

from collections.abc import Callable

from embedstore.errors import TeacherError
from embedstore.teachers import efficientnet_lite, open_clip, pixels, timm
from embedstore.teachers.protocol import Teacher, TextTeacher

DEFAULT_TEACHER = "open_clip:ViT-B-32/laion2b_s34b_b79k"

TEACHERS: dict[str, Callable[[str], Teacher]] = {
    "open_clip": open_clip.load,
    "timm": timm.load,
    "efficientnet-lite0": efficientnet_lite.load_lite0,
    "efficientnet-lite1": efficientnet_lite.load_lite1,
    "efficientnet-lite2": efficientnet_lite.load_lite2,
    "pixels": pixels.load,
}

__all__ = ["DEFAULT_TEACHER", "TEACHERS", "Teacher", "TextTeacher", "load_teacher"]


def load_teacher(spec: str) -> Teacher:
    """Load a teacher by its spec.

    Args:
        spec: `open_clip:ARCH/TAG`, `open_clip:ARCH@CHECKPOINT`, `timm:NAME`, `timm:NAME@CHECKPOINT`,
            `efficientnet-lite0`, `-lite1`, `-lite2`, or `pixels` (NumPy only, for tests and trials).

    Raises:
        TeacherError: the spec is unknown, or the checkpoint belongs to another architecture.
        WeightsUnavailableError: the weights are not here and can't be fetched.
        MissingPackageError: PyTorch, or another package that this teacher needs, is not installed.
    """
    kind, _, argument = spec.partition(":")
    if kind not in TEACHERS:
        raise TeacherError(
            f"The teacher '{spec}' is unknown; use open_clip:ARCH/TAG, open_clip:ARCH@CHECKPOINT, timm:NAME, "
            "timm:NAME@CHECKPOINT, efficientnet-lite0, efficientnet-lite1, efficientnet-lite2 or pixels."
        )
    return TEACHERS[kind](argument)
