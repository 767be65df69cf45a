"""How a run is begun in its directory, or gone on with there, and by one process at a time."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from distill.training.run_directory import (
    CHECKPOINT,
    INHERITED,
    LOCK,
    METRICS,
    PRETRAINING,
    RUN,
    SPLIT,
    STUDENT,
    read,
    write_text,
)
from distill.training.same_run import refuse_other
from distill.training.task_file import TASK
from embedstore.errors import TrainingError

_HALF_WRITTEN = ".*.new-*"  # what `write_whole` leaves in a process that was killed
_BEFORE_EPOCHS = (TASK, SPLIT, INHERITED, RUN)
_OF_EPOCHS = (PRETRAINING, METRICS, CHECKPOINT, STUDENT)


@contextmanager
def begun(path: Path, description: Mapping[str, Any], *, resume: bool) -> Iterator[None]:
    """`begin` a run, or go on with it, and be its only process while inside.

    One that is begun here and fails before its first epoch leaves none.

    Raises:
        TrainingError: as `begin`, or another process works on the run.
    """
    _refuse_place(path, description)
    _make(path)
    with held(path):
        for left in path.glob(_HALF_WRITTEN):
            left.unlink(missing_ok=True)
        new = not (path / RUN).exists()
        begin(path, description, resume=resume)  # only now is it certain that no other process begins it, too
        try:
            yield
        except BaseException:
            if new and not any((path / name).exists() for name in _OF_EPOCHS):
                # Nothing is lost, and when that was put right the run may be begun here. What went wrong first is what is told.
                with suppress(OSError):
                    for name in _BEFORE_EPOCHS:
                        (path / name).unlink(missing_ok=True)
            raise


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other processes from a run while inside; the lock ends with this process, however that ends.

    Raises:
        TrainingError: another process holds it, or the directory can't be written.
    """
    lock = filelock.FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise TrainingError(
            f"Another process is working on the run in '{path}'; wait until it is done or stop it, or choose another "
            "directory."
        ) from error
    except OSError as error:
        raise TrainingError(
            f"The run's directory '{path}' can't be written: {error.strerror}; copy it to where you may write."
        ) from error
    try:
        yield
    finally:
        lock.release()


def refuse_beforehand(path: Path, description: Mapping[str, Any], *, resume: bool) -> None:
    """Refuse what `begun` would refuse, as far as that can be known before the run is begun; nothing is made.

    Raises:
        TrainingError: as `begun`.
    """
    _refuse_place(path, description)
    if (path / RUN).exists():
        with held(path):
            begin(path, description, resume=resume)


def begin(path: Path, description: Mapping[str, Any], *, resume: bool) -> None:
    """Make the directory and describe the run, or check that it holds the very run that is to go on.

    A description without `summaries` is compared without them.

    Raises:
        TrainingError: it holds something else, or a run with other settings, another store or another summary.
    """
    _refuse_place(path, description)
    _make(path)
    if not (path / RUN).exists():
        write_text(path / RUN, json.dumps(description, indent=2, ensure_ascii=False))
        return
    if not resume:
        raise TrainingError(f"'{path}' already holds a run; go on with it by --resume, or choose another directory.")
    refuse_other(path, read(path), description)


def _refuse_place(path: Path, description: Mapping[str, Any]) -> None:
    """Refuse a directory of something else, and what could not be written down at the end of a run."""
    for place in (str(path), description["store"]["path"], description.get("from", {}).get("path", "")):
        try:
            place.encode()
        except UnicodeEncodeError as error:
            shown = place.encode("utf-8", "replace").decode()
            raise TrainingError(
                f"The name '{shown}' is not UTF-8, so nothing can be trained there; give it another name."
            ) from error
    if (path / RUN).exists():
        return
    if path.exists() and (not path.is_dir() or any(not _is_before_a_run(file) for file in path.iterdir())):
        raise TrainingError(f"'{path}' holds other files and no run; choose a new or empty directory for the run.")


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"The run's directory '{path}' can't be made: {error.strerror}; choose one where you may write."
        ) from error


def _is_before_a_run(file: Path) -> bool:
    """Return whether a process that was killed as it began may have left a file."""
    return file.name == LOCK or file.match(f".{RUN}.new-*")
