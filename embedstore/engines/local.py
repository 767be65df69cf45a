"""The engine of one machine: threads read and cut pictures a little ahead of the teacher."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from embedstore.engines.cutting import Cut, cut, embed_all
from embedstore.engines.engine import Embedded, Job, Request, WantsPixels
from embedstore.teachers.protocol import Teacher

_CROPS_AT_ONCE = 96  # views in one call of the teacher, about
_READERS = min(8, os.cpu_count() or 2)  # threads that read and cut pictures while the teacher works

Work = TypeVar("Work")


class LocalEngine:
    """Embeds in this process; see `engine.Engine`.

    Args:
        teacher: gives it, loaded when it is first asked for.
    """

    def __init__(self, teacher: Callable[[], Teacher]):
        self._teacher = teacher

    def embed(self, requests: Iterable[Request], job: Job, wants: WantsPixels) -> Generator[list[Embedded]]:
        """See `engine.Engine.embed`."""
        yield from embed_here(requests, lambda one: cut(one, job, wants), self._teacher, job.outputs, job.views + 1)

    def committed(self) -> None:
        """Nothing is kept that would have to be let go."""


def embed_here(
    work: Iterable[Work], cut: Callable[[Work], Cut], teacher: Callable[[], Teacher], outputs: Iterable[str], each: int
) -> Generator[list[Embedded]]:
    """Yield an answer to each piece of work in order, but for those that need no teacher, which come at once.

    Args:
        work: a picture each; taken a little ahead of what is embedded.
        cut: reads and cuts one, in a thread.
        teacher: gives it, loaded when it is first asked for.
        outputs: of the teacher, that are kept.
        each: views that most of them lack.

    Raises:
        TeacherError: the crops are not what the teacher takes.
    """
    ahead = max(4, 2 * _CROPS_AT_ONCE // each)
    with closing(_ahead(work, cut, ahead)) as cuts:  # so that its threads end with the run, however that ends
        yield from embed_all(cuts, teacher, outputs, _CROPS_AT_ONCE)


def _ahead(work: Iterable[Work], cut: Callable[[Work], Cut], ahead: int) -> Generator[Cut]:
    """Yield what threads cut, in order, so many pieces of work ahead of who takes them."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="embedstore-read") as pool:
        waiting: deque[Future[Cut]] = deque()
        try:
            for one in work:
                waiting.append(pool.submit(cut, one))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
