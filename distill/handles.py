"""What a data set has open: each process opens its own, and lets go of it before it forks.

An LMDB handle must not pass through a fork, neither in use nor forgotten, and so the store refuses a child whose parent has it
open at that moment. Threads don't survive a fork either.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from distill.source import Source
from distill.training.pictures import StudentPictures
from embedstore import EmbeddingStore
from embedstore.store.environment import release_dropped

_turn = threading.RLock()  # held by whoever reads or closes: a fork waits until nobody does
_open: dict[Handles, weakref.ref[object]] = {}  # those with something open, and whose they are


class Opened(NamedTuple):
    """What is read from."""

    source: Source
    pictures: StudentPictures


class Handles:
    """Opens a source and its pictures when they are first needed, at the version that it was made for.

    It can be pickled and forked; what it has open is left behind. Once `owner` is gone, the next one that opens something, or a
    fork, closes what it left open.

    Args:
        owner: who reads through it.
        source: a store, which is opened anew by its path, or a summary file, which holds nothing open.
        size: side of the student's input, in pixels.
        images: the image folder, where it is not where the source remembers it.
    """

    def __init__(self, owner: object, source: Source, size: int, images: Path | None):
        # Else a worker that starts later, after somebody else's build, would read other samples at the same positions.
        self._store = (source.path.resolve(), source.version) if isinstance(source, EmbeddingStore) else None
        self._file = None if self._store else source
        self._size, self._images = size, None if images is None else images.resolve()
        self._owner = weakref.ref(owner)
        self._now: Opened | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_now": None, "_owner": None}

    @contextmanager
    def reading(self) -> Iterator[Opened]:
        """Give what is read from; it must not be used after the context, since a fork may close it then.

        Raises:
            StoreError: the version that was asked for is gone, or this process inherited the store by a fork.
            TrainingError: the image folder is gone.
        """
        with _turn:
            if self._now is None:
                for other in [handles for handles, owner in _open.items() if owner() is None]:
                    other.close()
                self._now = self._opened()
                _open[self] = self._owner
            yield self._now

    def close(self) -> None:
        """Let go of what is open; the next reading opens it again."""
        with _turn:
            now, self._now = self._now, None
            _open.pop(self, None)
            if now is not None:
                _close(now.source)
                now.pictures.close()

    def adopt(self, owner: object) -> None:
        """Take the owner, which a pickle leaves behind."""
        self._owner = weakref.ref(owner)

    def _opened(self) -> Opened:
        source: Source
        if self._store is None:
            assert self._file is not None  # noqa: S101  one of the two was given
            source = self._file
        else:
            source = EmbeddingStore(*self._store)
        try:
            return Opened(source, StudentPictures(source, self._size, self._images))
        except BaseException:
            _close(source)
            raise


def _close(source: Source) -> None:
    if isinstance(source, EmbeddingStore):
        source.close()


def _close_before_fork() -> None:
    _turn.acquire()
    for handles in list(_open):
        handles.close()
    release_dropped()  # stores that somebody forgot to close


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork, after_in_parent=_turn.release, after_in_child=_turn.release)
