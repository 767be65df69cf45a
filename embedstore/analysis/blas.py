"""How many threads matrix products take, and how to have each done by the thread that asks for it."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_guard = threading.Lock()
_inside = 0
_setting: Any = None  # what the first one inside found
_threads = 1


@functools.cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(user_api="blas")


def blas_threads() -> int:
    """Return how many threads the process lets BLAS take, by OMP_NUM_THREADS and the like."""
    with _guard:
        return _threads if _inside else _now()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let no matrix product take threads of its own while inside, where the caller's threads do one each.

    The setting is the process's, so that of several threads inside the first one changes it and the last gives it back.
    """
    global _inside, _setting, _threads  # noqa: PLW0603
    with _guard:
        if _inside == 0:
            _threads = _now()
            _setting = _libraries().limit(limits=1)
        _inside += 1
    try:
        yield
    finally:
        with _guard:
            _inside -= 1
            if _inside == 0:
                _setting.restore_original_limits()


def _now() -> int:
    return max((library.num_threads for library in _libraries().lib_controllers), default=1)
