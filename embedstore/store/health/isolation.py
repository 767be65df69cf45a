"""Work on files that may be damaged, in a process of its own: what LMDB does there ends that process and not ours."""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any

from embedstore.errors import EmbedstoreError, StoreError

SILENCE_SECONDS = 300  # without a word from the other process, which tells of every few megabytes
TELL_SECONDS = 0.1  # between two words on how far the work is
_PATIENCE_SECONDS = 10  # with a process that has said its last word

_CODE = "from embedstore.store.health.isolation import main; main()"
_TASKS = {"verify": "embedstore.store.health.verification", "repair": "embedstore.store.health.mending"}

Event = dict[str, Any]
Tell = Callable[[Event], None]


class DiedError(StoreError):
    """The other process ended before its work did, or went silent; the message says how."""


def run(task: str, *arguments: str) -> Iterator[Event]:
    """Run `work(*arguments, tell)` of a module in a fresh interpreter, and yield the events that it tells.

    Args:
        task: a key of `_TASKS`.
        arguments: texts.

    Raises:
        DiedError: the process died, failed or went silent.
        StoreError: what the work raised on purpose.
    """
    command, environment = interpreter(_CODE, task, *arguments)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=environment,
    ) as process:
        lines: queue.Queue[str | None] = queue.Queue()
        last_words: list[str] = []
        threads = [
            threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True),
            threading.Thread(target=_keep_last, args=(process.stderr, last_words), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            if not (yield from _events(lines)):
                threads[1].join(_PATIENCE_SECONDS)
                raise DiedError(_how(process.wait(_PATIENCE_SECONDS), "".join(last_words)))
        finally:
            process.kill()
            for thread in threads:
                thread.join(_PATIENCE_SECONDS)


def interpreter(code: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return command and environment to run code in a fresh interpreter, which takes no module from the working directory."""
    search = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONIOENCODING": "utf-8"}
    return [sys.executable, "-P", "-c", code, *arguments], environment


def _events(lines: queue.Queue[str | None]) -> Generator[Event, None, bool]:
    """Yield the events of the work; return whether it was done."""
    while True:
        try:
            line = lines.get(timeout=SILENCE_SECONDS)
        except queue.Empty:
            raise DiedError(f"it gave no sign of life for {SILENCE_SECONDS} s") from None
        event = _parsed(line)
        if event is None:
            return False
        if "error" in event:
            raise StoreError(event["error"])
        if "done" in event:
            return True
        yield event


def _pass_on(stream: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    for line in stream or ():
        lines.put(line)
    lines.put(None)


def _keep_last(stream: IO[str] | None, words: list[str]) -> None:
    for line in stream or ():
        words[:] = [*words[-20:], line]


def _parsed(line: str | None) -> Event | None:
    """Return an event; None at the end, or where the process died within a line."""
    try:
        event = json.loads(line or "")
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _how(code: int, words: str) -> str:
    """Say how a process ended."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"the system stopped it ({name})"
    last = words.strip().splitlines()[-1:] or ["without a word"]
    return f"it ended with code {code} ({last[0].strip()})"


class Teller:
    """Tells how far a work is, but not too often; call it as a function of (done, total)."""

    def __init__(self, tell: Tell):
        self._tell, self._last = tell, 0.0

    def __call__(self, done: int, total: int) -> None:
        """Tell it, unless something was told just before."""
        if time.monotonic() - self._last >= TELL_SECONDS or done == total:
            self._last = time.monotonic()
            self._tell({"progress": done, "total": total})


def main() -> None:
    """Do the task that the command line names, and write its events, one JSON object a line."""
    task, *arguments = sys.argv[1:]
    try:
        importlib.import_module(_TASKS[task]).work(*arguments, _tell)
        _tell({"done": True})
    except EmbedstoreError as error:
        _tell({"error": str(error)})
    except OSError as error:
        where = f"'{error.filename}' can't be used" if error.filename else "The disk can't be used"
        _tell({"error": f"{where}: {error.strerror}."})


def _tell(event: Event) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def as_path(path: Path) -> str:
    """Return a path as an argument of `run`."""
    return str(path.absolute())
