"""The engine of one machine: threads read and cut pictures a little ahead of the teacher."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from embedstore.engines.cutting import Cut, answer, cut, embed
from embedstore.engines.engine import Embedded, Job, Request, WantsPixels
from embedstore.teachers.protocol import Teacher

_CROPS_AT_ONCE = 96  # views in one call of the teacher, about
_READERS = min(8, os.cpu_count() or 2)  # threads that read and cut pictures while the teacher works


class LocalEngine:
    """Embeds in this process; see `engine.Engine`.

    Args:
        load: gives the teacher, when the first picture lacks something.
    """

    def __init__(self, load: Callable[[], Teacher]):
        self._load = load
        self._teacher: Teacher | None = None

    def embed(self, requests: Iterable[Request], job: Job, wants: WantsPixels) -> Generator[list[Embedded]]:
        """See `engine.Engine.embed`."""
        batch: list[Cut] = []
        crops = 0
        with closing(_cut(requests, job, wants)) as pictures:  # so that its threads end with the run, however that ends
            for picture in pictures:
                if picture.crops is None:
                    yield [answer(picture)]
                    continue
                batch.append(picture)
                crops += len(picture.crops)
                if crops >= _CROPS_AT_ONCE:
                    yield self._embedded(batch, job)
                    batch, crops = [], 0
        if batch:
            yield self._embedded(batch, job)

    def committed(self) -> None:
        """Nothing is kept that would have to be let go."""

    def _embedded(self, batch: list[Cut], job: Job) -> list[Embedded]:
        if self._teacher is None:
            self._teacher = self._load()
        return embed(batch, self._teacher, job.outputs)


def _cut(requests: Iterable[Request], job: Job, wants: WantsPixels) -> Generator[Cut]:
    """Yield the pictures in order, read and cut by threads a little ahead of who takes them."""
    ahead = max(4, 2 * _CROPS_AT_ONCE // (job.views + 1))
    with ThreadPoolExecutor(_READERS, thread_name_prefix="embedstore-read") as pool:
        waiting: deque[Future[Cut]] = deque()
        try:
            for request in requests:
                waiting.append(pool.submit(cut, request, job, wants))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
