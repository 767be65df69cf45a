"""Several runs at a time, each in a process of its own: when one fails, or on Ctrl-C, the others stop and go on the next time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Lock

Started = Callable[[subprocess.Popen[str]], None]  # to be called with each process that a run starts


def together(runs: Sequence[Callable[[Started], None]], jobs: int) -> None:
    """Do all runs, so many at a time and the first ones first; raise what the first that failed raised.

    Args:
        runs: each waits for its process, of which it tells the function that it is called with.
        jobs: runs at a time.
    """
    processes = _Processes()
    with ThreadPoolExecutor(jobs, thread_name_prefix="runs") as pool:
        coming = [pool.submit(run, processes.started) for run in runs]
        try:
            done, _ = wait(coming, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:  # Ctrl-C too
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            raise


class _Processes:
    """Those that were started, so that all can be stopped; one that starts meanwhile is stopped, too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._started: list[subprocess.Popen[str]] = []
        self._stopped = False

    def started(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._started.append(process)
            if self._stopped:
                process.kill()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._started:
                process.kill()
