"""One training run in a process of its own: its memory is its own, and what kills it leaves the others alone.

The request is a line of JSON on stdin, the answers are marked lines of JSON on stdout: {"done", "total"} after each
epoch, then {"finished"} or {"error"}. The end of stdin tells the child that its parent is gone, however that came: it must
not go on beside the next one that trains the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from distill.training.settings import Settings
from embedstore.errors import EmbedstoreError, TrainingError, system_refusal

_MARK = "distill: "  # begins each answer
_ANSWERS = ({"done", "total"}, {"finished"}, {"error"})
_TAIL = 2_000  # characters of stderr that are shown of a process that died


def train_apart(
    store: Path,
    out: Path,
    settings: Settings,
    *,
    images: Path | None,
    progress: Callable[[int, int], None],
    threads: int | None = None,
    runs: int = 1,
    version: int | None = None,
    started: Callable[[subprocess.Popen[str]], None] = lambda child: None,
) -> None:
    """Train a run in its own process, going on where it was; return when it is complete.

    Args:
        store: path of a store or of a summary file.
        out: the run's directory.
        settings: what to do.
        images: the image folder, where it is not where the store remembers it.
        progress: called with (epochs done, epochs in all).
        threads: of torch and of what else reads OMP_NUM_THREADS; None leaves them as they are.
        runs: how many train at the same time, this one among them; they share memory and the room on the disk.
        version: of the store; see `distill.train`.
        started: called with the process, so that another thread can end it.

    Raises:
        TrainingError: the run can't be done, or its process died.
    """
    request = {
        "store": str(store),
        "out": str(out),
        "settings": settings.to_dict(),
        "images": None if images is None else str(images),
        "runs": runs,
        "version": version,
    }
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONIOENCODING": "utf-8"}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    with (
        tempfile.TemporaryFile() as complaints,  # a pipe that nobody reads would fill, and stop the child
        subprocess.Popen(
            # -P: the user's own directory may hold a json.py
            [sys.executable, "-P", "-m", "distill.training.run_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment,
            encoding="utf-8",
            errors="replace",
        ) as child,
    ):
        assert child.stdin is not None  # noqa: S101  pipes were asked for
        assert child.stdout is not None  # noqa: S101
        try:
            started(child)
            with suppress(BrokenPipeError):  # it died before it was asked
                child.stdin.write(json.dumps(request) + "\n")
                child.stdin.flush()
            answer: dict[str, Any] = {}
            for line in child.stdout:
                said = _said(line)
                if said is None:  # a library's own words
                    continue
                answer = said
                if "done" in answer:
                    progress(answer["done"], answer["total"])
            child.wait()
            complaints.seek(0)
            complaint = complaints.read().decode("utf-8", "replace")
        except BaseException:  # Ctrl-C too: the run goes on from its last epoch the next time
            child.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
    if "error" in answer:
        raise TrainingError(f"Run '{out.name}': {answer['error']}")
    if "finished" not in answer:
        why = f"was ended by signal {-child.returncode}" if child.returncode < 0 else f"ended with {child.returncode}"
        raise TrainingError(
            f"The process that trained '{out}' {why}, perhaps for lack of memory; the same command goes on from its last "
            f"epoch. It said: {complaint[-_TAIL:].strip() or 'nothing'}"
        )


def _said(line: str) -> dict[str, Any] | None:
    """Return an answer of the child; None where the line is none, though it may begin like one."""
    if not line.startswith(_MARK):
        return None
    try:
        said = json.loads(line.removeprefix(_MARK))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and any(keys <= said.keys() for keys in _ANSWERS) else None


def _main() -> None:
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import distill
    from distill.training.memory import hold_freed_memory

    hold_freed_memory()
    try:
        distill.train(
            request["store"],
            request["out"],
            Settings(**request["settings"]),
            images=request["images"],
            resume=True,
            progress=lambda done, total, _: _answer(done=done, total=total),
            runs=request["runs"],
            version=request["version"],
        )
    except EmbedstoreError as error:
        _answer(error=str(error))
    except (KeyboardInterrupt, BrokenPipeError):  # the parent stops, or is gone
        os._exit(1)
    except OSError as error:
        if error.strerror is None:  # of a library, and none of the system's
            raise
        _answer(error=system_refusal(error))
    else:
        _answer(finished=True)


def _answer(**values: Any) -> None:
    sys.stdout.write(f"\n{_MARK}{json.dumps(values)}\n")  # a library may have left a line without its end
    sys.stdout.flush()


def _end_with_parent() -> None:
    while os.read(0, 1):  # past sys.stdin, whose lock would hinder the end of this process
        pass
    os._exit(1)


if __name__ == "__main__":
    _main()
