"""The directory of a run: what was asked, on what, how it went, and what came out. How it is begun: `beginning`.

RUN/
  run.json              settings, store, versions; written first, never changed
  task.toml             the settings as a task file, from which the same run can be made
  split.csv             which sample was on which side
  inherited.csv         what the students before it learned from, where it began with one; see `origin`
  pretraining.csv       one line an epoch of pre-training, where there is one
  metrics.csv           one line an epoch of training
  curves.html           both as curves
  checkpoint.pt         everything needed to go on; replaced after every epoch
  best.safetensors      the weights of the epoch that was best on the validation side so far
  student.safetensors   the student's weights, of the last or the best epoch; its presence says that training is complete
  projection.safetensors  the map from the student's features to the teacher's space, where it learned one
  memory.safetensors    what is kept of the training pictures, as the student sees them, where its answers need that
  scores.csv            what the student says of each held-out sample
  report.json           the figures
  gate.json             how it fares against another run; see `gate`
  cost.json             seconds of training and of making the targets, and the most memory that the process had
  run.lock              held by the process that works on the run; empty
"""

import csv
import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import torch

from distill.evaluation.report import Held
from distill.students import Student
from distill.training.task_file import TASK
from embedstore.errors import TrainingError
from embedstore.files import write_whole
from embedstore.images import SPLITS

RUN, SPLIT, METRICS, CHECKPOINT = "run.json", "split.csv", "metrics.csv", "checkpoint.pt"
PRETRAINING, CURVES, INHERITED = "pretraining.csv", "curves.html", "inherited.csv"
BEST, STUDENT, SCORES, REPORT = "best.safetensors", "student.safetensors", "scores.csv", "report.json"
COST, LOCK, MEMORY = "cost.json", "run.lock", "memory.safetensors"


def read(path: Path) -> dict[str, Any]:
    """Return what `begin` wrote.

    Raises:
        TrainingError: there is no run, or its description is damaged.
    """
    if not os.path.isfile(path / RUN):  # Path.is_file raises where a name is too long
        what = "holds no run" if os.path.exists(path) else "does not exist"
        raise TrainingError(f"'{path}' {what}; make one with: distill train STORE --out '{path}'")
    try:
        description: dict[str, Any] = json.loads((path / RUN).read_text("utf-8"))
        missing = {"settings", "store", "classes"} - description.keys()
        for table in (description.get("settings", {}), description.get("store", {}), *description.get("summaries", [])):
            table.items()
    except (ValueError, TypeError, AttributeError) as error:
        raise TrainingError(f"'{path / RUN}' is damaged; train again in another directory.") from error
    if missing:
        raise TrainingError(f"'{path / RUN}' lacks '{min(missing)}'; train again in another directory.")
    return description


def is_complete(path: Path) -> bool:
    """Return whether training has ended."""
    return (path / STUDENT).is_file()


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file in one step; a figure that is no number would make it invalid, and is an error."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    write_whole(path, text.encode())


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file in one step."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_metrics(path: Path, name: str = METRICS) -> list[dict[str, float]]:
    """Return a run's figures by epoch; those of pre-training with `PRETRAINING`."""
    with (path / name).open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def read_cost(path: Path) -> dict[str, Any]:
    """Return what a run cost: `seconds` of training, `seconds_targets` of making the targets before, `peak_memory` in bytes.

    The last two are None where they were not measured.

    Raises:
        TrainingError: the file is missing or damaged, or may not be read.
    """
    try:
        cost = json.loads((path / COST).read_text("utf-8"))
        targets = cost.get("seconds_targets")
        return {
            "seconds": float(cost["seconds"]),
            "seconds_targets": None if targets is None else float(targets),
            "peak_memory": cost["peak_memory"],
        }
    except PermissionError as error:
        raise may_not_read(path / COST) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"'{path / COST}' is missing or damaged; train again in another directory.") from error


def read_scores(path: Path) -> tuple[list[Held], list[str]]:
    """Return what a run's student says of each held-out sample, and the classes that it tells apart.

    Raises:
        TrainingError: the file is missing or damaged, or may not be read.
    """
    try:
        classes: list[str] = read(path)["classes"]
        with (path / SCORES).open(encoding="utf-8", newline="") as file:
            held = [
                Held(
                    id=row["id"],
                    side=row["split"],
                    label=row["label"] or None,
                    mode=row["mode"] or None,
                    group=row["group"] or None,
                    probabilities=tuple(float(row[f"p({label})"]) for label in classes),
                )
                for row in csv.DictReader(file)
            ]
    except PermissionError as error:
        raise may_not_read(path / SCORES) from error
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise TrainingError(
            f"'{path / SCORES}' is missing or damaged; write it anew with: distill evaluate '{path}'"
        ) from error
    return held, classes


def read_split(path: Path) -> dict[str, str]:
    """Return the side of each sample id, as the run had it.

    Raises:
        TrainingError: the file is missing or damaged, or may not be read.
    """
    try:
        with (path / SPLIT).open(encoding="utf-8", newline="") as file:
            sides = {row["id"]: row["split"] for row in csv.DictReader(file)}
        if not sides or not set(sides.values()) <= set(SPLITS):
            raise ValueError("not the sides of a split")
    except PermissionError as error:
        raise may_not_read(path / SPLIT) from error
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise TrainingError(f"'{path / SPLIT}' is missing or damaged; train again in another directory.") from error
    return sides


def save_checkpoint(path: Path, values: dict[str, Any]) -> None:
    """Replace the checkpoint in one step: a kill leaves the one before or this one."""
    content = BytesIO()
    torch.save(values, content)
    write_whole(path / CHECKPOINT, content.getvalue())


def load_checkpoint(path: Path, content: bytes | None = None) -> dict[str, Any] | None:
    """Return the last checkpoint, if any; never runs code from it. `content` is that of its file, where another process read it.

    Raises:
        TrainingError: it is damaged, of an earlier release, or may not be read.
    """
    file = path / CHECKPOINT
    if content is None and not file.exists():
        return None
    try:
        held = BytesIO(file.read_bytes() if content is None else content)
        if zipfile.ZipFile(held).testzip() is not None:  # torch.load checks no sums
            raise ValueError("a sum is wrong")
        held.seek(0)
        checkpoint: dict[str, Any] = torch.load(held, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise may_not_read(file) from error
    except Exception as error:  # a damaged file raises whatever its decoder meets
        raise damaged_checkpoint(path) from error
    if not isinstance(checkpoint, dict) or "history" not in checkpoint:
        raise damaged_checkpoint(path)
    if lacking := {"loss", "average", "pretraining"} - checkpoint.keys():
        raise TrainingError(
            f"'{file}' is of an earlier release (it has no {min(lacking)}); delete it to begin the run again."
        )
    return checkpoint


def may_not_read(file: Path) -> TrainingError:
    """Return the error that says what to do where the system does not let a run's file be read."""
    return TrainingError(f"You may not read '{file}'; ask the owner of the run for the permission, or for a copy.")


def damaged_checkpoint(path: Path) -> TrainingError:
    """Return the error that says what to do where a run's checkpoint is damaged, or of something else."""
    return TrainingError(f"'{path / CHECKPOINT}' is damaged; delete it to begin the run again from its first epoch.")


def save_best(path: Path, weights: dict[str, torch.Tensor], *, epoch: int) -> None:
    """Write the weights of the best epoch so far, in one step."""
    save_weights(path / BEST, weights, epoch)


def save_student(path: Path, weights: dict[str, torch.Tensor], *, epoch: int) -> None:
    """Write the student's weights, those of an epoch, in one step."""
    save_weights(path / STUDENT, weights, epoch)


def keep_best(path: Path) -> None:
    """Make the best epoch's weights the student's."""
    write_whole(path / STUDENT, (path / BEST).read_bytes())


def kept_epoch(path: Path) -> int | None:
    """Return which epoch's weights a complete run's student has, counted from 1; None where an earlier release wrote it."""
    from safetensors import safe_open

    with safe_open(path / STUDENT, "pt") as file:
        told = (file.metadata() or {}).get("epoch", "")
    return int(told) if told.isdecimal() else None


def save_weights(target: Path, weights: dict[str, torch.Tensor], epoch: int) -> None:
    """Write weights, those of an epoch, in one step."""
    from safetensors.torch import save  # its save_file makes files that their owner alone may read

    # Each a tensor of its own: a module may have one weight under two names, which the format has no word for.
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}
    write_whole(target, save(own, metadata={"epoch": str(epoch)}))


def save_memory(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write what the student's answers need of the training pictures, in one step; see `distill.answers`."""
    from safetensors.torch import save

    write_whole(path / MEMORY, save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}))


def load_memory(path: Path) -> dict[str, torch.Tensor]:
    """Return what `save_memory` wrote.

    Raises:
        TrainingError: the file is missing or damaged, or may not be read.
    """
    from safetensors.torch import load

    try:
        return load((path / MEMORY).read_bytes())
    except PermissionError as error:
        raise may_not_read(path / MEMORY) from error
    except Exception as error:  # a damaged file raises whatever its decoder meets
        raise damaged_memory(path) from error


def damaged_memory(path: Path) -> TrainingError:
    """Return the error that says what to do where a run's memory is missing, damaged, or another student's."""
    return TrainingError(f"'{path / MEMORY}' is missing or damaged; write it anew with: {_train_again(path)}")


def _train_again(path: Path) -> str:
    """Return the command that goes on with a run: a run's settings must be given once more."""
    return f"distill train STORE --task '{path / TASK}' --out '{path}' --resume"


def load_student(path: Path, student: Student) -> None:
    """Give a student the weights that it was trained to.

    Raises:
        TrainingError: training has not ended, or the file is damaged or may not be read.
    """
    from safetensors.torch import load

    if not is_complete(path):
        raise TrainingError(f"The run in '{path}' is not complete; go on with it: {_train_again(path)}")
    try:
        student.load_state_dict(load((path / STUDENT).read_bytes()))
    except PermissionError as error:
        raise may_not_read(path / STUDENT) from error
    except Exception as error:  # a damaged file raises whatever its decoder meets
        raise TrainingError(f"'{path / STUDENT}' is damaged; train again in another directory.") from error
