"""A death at any step of a change, for tests of all that works on a store."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from helpers import Killed

from embedstore.store import layout
from embedstore.store.environment import Environment


@contextmanager
def killed_at(step: int) -> Iterator[list[str]]:
    """Die at a step, a transaction or a change of files, and let nothing that a living process would do come after."""
    done: list[str] = []

    def dying(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            done.append(name)
            if len(done) > step:
                raise Killed
            return original(*arguments, **options)

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "write", dying("write", Environment.write))
        patch.setattr(layout, "write_current", dying("move", layout.write_current))
        patch.setattr(shutil, "rmtree", dying("remove", shutil.rmtree))
        yield done
