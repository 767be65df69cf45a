"""What takes long: worked out once, in a thread of its own, from when it is first asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Later(Generic[T]):
    """The result of some work, begun by who asks first and shared by all who ask; what failed is begun again when asked for."""

    def __init__(self, work: Callable[[], T]):
        self._work = work
        self._lock = threading.Lock()
        self._promised: Future[T] | None = None

    def result(self) -> T:
        """Return it; waits until it is there. What the work raised is raised to each who asks."""
        return self._begun().result()

    async def awaited(self) -> T:
        """Return it; no thread is held while it is not there yet."""
        return await asyncio.wrap_future(self._begun())

    def _begun(self) -> Future[T]:
        with self._lock:
            if self._promised is None:
                self._promised = Future()
                self._promised.set_running_or_notify_cancel()  # who gives up waiting does not cancel it for others
                # Of its own and a daemon: Ctrl-C does not wait for it.
                threading.Thread(target=self._run, args=(self._promised,), daemon=True).start()
            return self._promised

    def _run(self, promised: Future[T]) -> None:
        try:
            promised.set_result(self._work())
        except BaseException as error:  # noqa: BLE001  whoever waits for it gets it
            with self._lock:
                self._promised = None
            promised.set_exception(error)
