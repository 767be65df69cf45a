"""The user's own module as a trunk: `MODULE:FUNCTION`."""

from collections.abc import Callable
from importlib import import_module

from torch import nn

from embedstore.errors import SettingsError


def own_trunk(name: str) -> nn.Module:
    """Call the user's own function, named as `MODULE:FUNCTION`, that makes a trunk.

    The trunk maps normalised pixels (m, 3, s, s) to features (m, f). The function takes nothing; weights that it draws
    depend on the run's seed.

    Raises:
        SettingsError: it can't be imported, or what it gives is no module.
    """
    module, _, function = name.partition(":")
    try:
        make: Callable[[], object] = getattr(import_module(module), function)
    except Exception as error:  # whatever stands in the user's module
        what = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise SettingsError(
            f"The student '{name}' can't be imported ({what}); name a function as MODULE:FUNCTION, in a module that Python "
            "finds here: installed, or its folder in PYTHONPATH."
        ) from error
    try:
        trunk = make()
    except Exception as error:  # it is the user's
        raise SettingsError(
            f"The student '{name}' failed when it was made ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(trunk, nn.Module):
        raise SettingsError(
            f"The student '{name}' gave a {type(trunk).__name__}; expected a torch.nn.Module that maps pixels to features."
        )
    return trunk
