"""Models of timm as they are made here: without weights, and without a classifier."""

from torch import nn

from embedstore.errors import SettingsError


def timm_model(student: str, architecture: str) -> nn.Module:
    """Make a model that timm knows.

    Args:
        student: the student's name, for the message.
        architecture: the name that timm has for it, perhaps with a tag: `resnet18` or `resnet18.a1_in1k`.

    Raises:
        SettingsError: timm can't make it, as where it does not know the tag.
    """
    import timm

    try:
        model: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0)
    except RuntimeError as error:
        raise SettingsError(
            f"The student '{student}' can't be made, since timm refuses '{architecture}' ({error}); leave out what follows the "
            "dot, or use a name that timm lists."
        ) from error
    return model
