"""A run's directory: written whole or not at all, and refused where it is something else."""

import csv
import errno
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from distill.students import make_student
from distill.training import beginning, projection, run_directory
from distill.training.origin import read_origin
from distill.training.settings import Settings
from embedstore.errors import TrainingError

DESCRIPTION: dict[str, Any] = {
    "settings": {"epochs": 3, "good": "良品", "weight": 1.0},
    "store": {"path": "/somewhere/toy.store", "version": 4},
    "classes": ["傷", "良品"],
}


SUMMARY: dict[str, Any] = {
    "name": "monday",
    "strategy": "sub-prototypes",
    "parameters": {"k": 3},
    "seed": 0,
    "store_version": 2,
    "checksum": "0badcafe",
}


def changed(**parts: Any) -> dict[str, Any]:
    return {
        part: values | parts.get(part, {}) if isinstance(values, dict) else values
        for part, values in DESCRIPTION.items()
    }


def test_a_run_is_described_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "own"
    beginning.begin(path, DESCRIPTION, resume=False)
    assert run_directory.read(path) == DESCRIPTION
    assert [file.name for file in path.iterdir()] == ["run.json"]
    assert "良品" in (path / "run.json").read_text("utf-8")  # a person reads it, too
    beginning.begin(path, DESCRIPTION, resume=True)
    assert run_directory.read(path) == DESCRIPTION


def test_an_empty_directory_and_a_run_yet_to_begin_can_be_resumed(tmp_path: Path) -> None:
    beginning.begin(tmp_path, DESCRIPTION, resume=True)
    assert run_directory.read(tmp_path) == DESCRIPTION


def test_a_kill_while_the_run_is_described_leaves_a_directory_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            beginning.begin(tmp_path / "run", DESCRIPTION, resume=False)
    assert not list((tmp_path / "run").iterdir())
    (tmp_path / "run" / ".run.json.new-77").write_text("{")  # a kill -9 leaves it
    beginning.begin(tmp_path / "run", DESCRIPTION, resume=False)
    assert run_directory.read(tmp_path / "run") == DESCRIPTION


def test_a_run_is_not_begun_over_another(tmp_path: Path) -> None:
    beginning.begin(tmp_path, DESCRIPTION, resume=False)
    with pytest.raises(TrainingError, match="already holds a run; go on with it by --resume"):
        beginning.begin(tmp_path, DESCRIPTION, resume=False)


@pytest.mark.parametrize("resume", [False, True])
def test_a_directory_of_something_else_is_left_alone(resume: bool, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="holds other files and no run"):
        beginning.begin(tmp_path, DESCRIPTION, resume=resume)
    with pytest.raises(TrainingError, match="holds other files and no run"):
        beginning.begin(tmp_path / "thesis.txt", DESCRIPTION, resume=resume)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"settings": {"epochs": 5}}, "was begun with epochs = 3, not 5"),
        (
            {"settings": {"good": None}},
            "was begun with good = 良品, not unset; resume .* takes from '.*task.toml' where no setting",
        ),
        ({"settings": {"new": 1}}, "was begun with new = unset, not 1"),
        ({"store": {"version": 5}}, "was begun with version = 4, not 5"),
        ({"store": {"path": "/elsewhere"}}, "was begun with path = /somewhere/toy.store, not /elsewhere"),
    ],
)
def test_a_run_goes_on_with_what_it_was_begun_with_only(parts: dict[str, Any], told: str, tmp_path: Path) -> None:
    beginning.begin(tmp_path, DESCRIPTION, resume=False)
    with pytest.raises(TrainingError, match=told):
        beginning.begin(tmp_path, changed(**parts), resume=True)
    assert run_directory.read(tmp_path) == DESCRIPTION


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"strategy": "medoids"}, "strategy = medoids, then sub-prototypes"),
        ({"parameters": {"k": 4}}, "parameters = {'k': 4}, then {'k': 3}"),
        ({"seed": 1}, "seed = 1, then 0"),
        ({"store_version": 3}, "store_version = 3, then 2"),
        ({"checksum": "12345678"}, "checksum = 12345678, then 0badcafe"),
    ],
)
def test_a_run_goes_on_with_the_summaries_that_it_was_begun_with_only(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    other = SUMMARY | {"name": "tuesday"}
    begun_with = DESCRIPTION | {"summaries": [other, SUMMARY]}
    beginning.begin(tmp_path, begun_with, resume=False)
    beginning.begin(tmp_path, begun_with, resume=True)
    beginning.begin(tmp_path, DESCRIPTION, resume=True)  # a caller that does not know them
    with pytest.raises(TrainingError) as caught:
        beginning.begin(tmp_path, DESCRIPTION | {"summaries": [other, SUMMARY | change]}, resume=True)
    assert str(caught.value) == (
        f"The summary 'monday' is another than when the run in '{tmp_path}' was begun ({told}); choose another directory "
        "to train with it as it is now."
    )
    for others in ([other], [other, SUMMARY, SUMMARY], []):
        with pytest.raises(TrainingError, match="is another than when the run"):
            beginning.begin(tmp_path, DESCRIPTION | {"summaries": others}, resume=True)
    assert run_directory.read(tmp_path) == begun_with


def test_a_run_of_before_summaries_were_written_down_goes_on(tmp_path: Path) -> None:
    beginning.begin(tmp_path, DESCRIPTION, resume=False)
    beginning.begin(tmp_path, DESCRIPTION | {"summaries": [SUMMARY]}, resume=True)


@pytest.mark.parametrize("which", ["run", "store"])
def test_a_name_that_can_not_be_written_down_is_refused_before_anything_is_made(which: str, tmp_path: Path) -> None:
    odd = str(tmp_path / "caf\udce9")  # as Linux gives a name in Latin-1
    out = Path(odd) if which == "run" else tmp_path / "run"
    description = changed(store={"path": odd}) if which == "store" else DESCRIPTION
    message = r"^The name '.*caf\?' is not UTF-8, so nothing can be trained there; give it another name\.$"
    with pytest.raises(TrainingError, match=message):
        beginning.begin(out, description, resume=True)
    with pytest.raises(TrainingError, match=message), beginning.begun(out, description, resume=False):
        pass
    assert list(tmp_path.iterdir()) == []


# One process at a time

HOLDER = """
import os, sys
from pathlib import Path
from distill.training import beginning
with beginning.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name == "nt", reason="this system has no kill -9")
def test_one_process_at_a_time_works_on_a_run_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    run = tmp_path / "run"
    beginning.begin(run, DESCRIPTION, resume=False)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        before = {file.name: file.read_bytes() for file in run.iterdir()}
        for work in (beginning.begun(run, DESCRIPTION, resume=True), beginning.held(run)):
            with pytest.raises(TrainingError) as caught, work:
                pass
            assert str(caught.value) == (
                f"Another process is working on the run in '{run}'; wait until it is done or stop it, or choose another "
                "directory."
            )
        assert {file.name: file.read_bytes() for file in run.iterdir()} == before
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(30) == -9
    with beginning.begun(run, DESCRIPTION, resume=True):
        pass


def test_a_run_is_let_go_by_what_ends_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), beginning.begun(tmp_path / "run", DESCRIPTION, resume=False):
        raise KeyboardInterrupt
    with beginning.held(tmp_path / "run"):
        pass


def test_what_another_process_has_only_just_made_is_its_own(tmp_path: Path) -> None:
    """It holds the lock, and has not described its run yet."""
    with (
        beginning.held(tmp_path),
        pytest.raises(TrainingError, match="Another process is working on the run"),
        beginning.begun(tmp_path, DESCRIPTION, resume=False),
    ):
        pass
    assert not (tmp_path / "run.json").exists()
    (tmp_path / ".run.json.new-77").write_text("{")  # and then it was killed
    with beginning.begun(tmp_path, DESCRIPTION, resume=False):
        assert run_directory.read(tmp_path) == DESCRIPTION


def test_what_a_killed_process_left_half_written_goes_when_the_run_goes_on(tmp_path: Path) -> None:
    beginning.begin(tmp_path, DESCRIPTION, resume=False)
    (tmp_path / ".checkpoint.pt.new-77").write_bytes(b"half")
    with beginning.begun(tmp_path, DESCRIPTION, resume=True):
        assert {file.name for file in tmp_path.iterdir()} <= {"run.json", "run.lock"}


@pytest.mark.parametrize("resume", [False, True])
def test_no_lock_is_left_in_a_directory_of_something_else(resume: bool, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(TrainingError, match="holds other files and no run"),
        beginning.begun(tmp_path, DESCRIPTION, resume=resume),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_directory_that_can_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run.lock").mkdir()
    with (
        pytest.raises(TrainingError, match=r"^The run's directory '.*' can't be written: "),
        beginning.held(tmp_path),
    ):
        pass


# Damage


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"'.*gone' does not exist; make one with: distill train"):
        run_directory.read(tmp_path / "gone")
    with pytest.raises(TrainingError, match="holds no run"):
        run_directory.read(tmp_path)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b"\xff\xfe", b"null"])
def test_a_damaged_description_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(TrainingError, match=r"run.json' is damaged"):
        run_directory.read(tmp_path)


@pytest.mark.parametrize("part", [{"settings": 3}, {"store": "here"}, {"summaries": 3}, {"summaries": ["monday"]}])
def test_a_description_whose_parts_are_no_tables_is_refused(part: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(DESCRIPTION | part))
    with pytest.raises(TrainingError, match=r"run.json' is damaged"):
        beginning.begin(tmp_path, DESCRIPTION | {"summaries": [SUMMARY]}, resume=True)


def test_what_a_run_cost_is_read_and_may_not_have_been_measured(tmp_path: Path) -> None:
    cost = {"seconds": 2.5, "seconds_targets": 0.5, "peak_memory": 1000}
    run_directory.write_json(tmp_path / "cost.json", cost)
    assert run_directory.read_cost(tmp_path) == cost
    run_directory.write_json(tmp_path / "cost.json", {"seconds": 2, "peak_memory": None})
    assert run_directory.read_cost(tmp_path) == {"seconds": 2, "seconds_targets": None, "peak_memory": None}


@pytest.mark.parametrize("data", [None, b"", b"[]", b"{}", b'{"seconds": "long", "peak_memory": 1}', b'{"seconds": 1}'])
def test_a_damaged_cost_is_refused(data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "cost.json").write_bytes(data)
    with pytest.raises(TrainingError, match=r"cost.json' is missing or damaged"):
        run_directory.read_cost(tmp_path)


def test_a_description_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"settings": {}, "store": {}}))
    with pytest.raises(TrainingError, match="lacks 'classes'"):
        run_directory.read(tmp_path)


def test_a_write_that_fails_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_directory.write_json(tmp_path / "report.json", {"recall": 0.5})
    rest = {"loss": {}, "average": None, "pretraining": []}
    run_directory.save_checkpoint(tmp_path, {"history": [1], **rest})

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"no space left: '.*report.json'"):
        run_directory.write_json(tmp_path / "report.json", {"recall": 0.9})
    with pytest.raises(OSError, match=r"no space left: '.*checkpoint.pt'"):
        run_directory.save_checkpoint(tmp_path, {"history": [1, 2]})
    assert {file.name for file in tmp_path.iterdir()} == {"report.json", "checkpoint.pt"}
    assert json.loads((tmp_path / "report.json").read_text()) == {"recall": 0.5}
    assert run_directory.load_checkpoint(tmp_path) == {"history": [1], **rest}


def test_a_checkpoint_of_an_earlier_release_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    run_directory.save_checkpoint(tmp_path, {"student": {}, "projection": None, "optimiser": {}, "history": [1]})
    with pytest.raises(TrainingError, match=r"is of an earlier release \(it has no average\); delete it to begin"):
        run_directory.load_checkpoint(tmp_path)


def test_a_figure_that_is_no_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        run_directory.write_json(tmp_path / "report.json", {"recall": float("nan")})
    assert not (tmp_path / "report.json").exists()


ODD_IDS = ['with "quotes", commas', "two\nlines", "two\r\nlines", "検査/良品.png", " blank ", "=1+1"]


def test_sides_are_found_again_whatever_the_ids_are(tmp_path: Path) -> None:
    rows = [(name, "test" if n % 2 else "train") for n, name in enumerate(ODD_IDS)]
    run_directory.write_table(tmp_path / "split.csv", ("id", "split"), rows)
    assert run_directory.read_split(tmp_path) == dict(rows)
    with (tmp_path / "split.csv").open(encoding="utf-8", newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["id", *ODD_IDS]


@pytest.mark.parametrize(
    "data", [None, b"", b"name,side\na,train\n", b"id,split\na,bogus\n", b"id,split\na\n", b"id,split\n\xff,train\n"]
)
def test_damaged_sides_are_refused(data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "split.csv").write_bytes(data)
    with pytest.raises(TrainingError, match=r"split.csv' is missing or damaged"):
        run_directory.read_split(tmp_path)


def test_there_may_be_no_checkpoint_yet(tmp_path: Path) -> None:
    assert run_directory.load_checkpoint(tmp_path) is None


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"history": Trap()}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match=r"checkpoint.pt' is damaged; delete it to begin the run again"):
        run_directory.load_checkpoint(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_students_weights_are_found_again_and_mark_the_run_complete(tmp_path: Path) -> None:
    student = make_student("small", 2, 32, seed=0)
    with pytest.raises(
        TrainingError,
        match=r"is not complete; go on with it: distill train STORE --task '.*task.toml' --out",
    ):
        run_directory.load_student(tmp_path, student)
    assert not run_directory.is_complete(tmp_path)
    nn.init.constant_(student.head.bias, 5)
    run_directory.save_student(tmp_path, student.state_dict(), epoch=7)
    assert run_directory.is_complete(tmp_path)
    assert run_directory.kept_epoch(tmp_path) == 7
    other = make_student("small", 2, 32, seed=1)
    run_directory.load_student(tmp_path, other)
    for name, tensor in student.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_weights_of_another_student_or_none_at_all_are_refused(tmp_path: Path) -> None:
    run_directory.save_student(tmp_path, make_student("small", 2, 32, seed=0).state_dict(), epoch=1)
    with pytest.raises(TrainingError, match=r"student.safetensors' is damaged"):
        run_directory.load_student(tmp_path, make_student("small", 3, 32, seed=0))
    (tmp_path / "student.safetensors").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match=r"student.safetensors' is damaged"):
        run_directory.load_student(tmp_path, make_student("small", 2, 32, seed=0))


# Who may read it

WEIGHTS = {"weight": torch.zeros(2)}
KEPT: dict[str, Callable[[Path], None]] = {
    "checkpoint.pt": lambda run: run_directory.save_checkpoint(run, {"history": [1]}),
    "best.safetensors": lambda run: run_directory.save_best(run, WEIGHTS, epoch=1),
    "student.safetensors": lambda run: run_directory.save_student(run, WEIGHTS, epoch=1),
    "memory.safetensors": lambda run: run_directory.save_memory(run, WEIGHTS),
    "split.csv": lambda run: run_directory.write_table(
        run / "split.csv", ("id", "split", "group"), [("a", "train", "")]
    ),
    "cost.json": lambda run: run_directory.write_json(run / "cost.json", {}),
    "scores.csv": lambda run: run_directory.write_table(run / "scores.csv", ("id",), []),
}


@pytest.mark.skipif(os.name == "nt", reason="this system has no such permissions")
def test_what_a_run_keeps_is_for_all_whom_the_umask_lets_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for keep in KEPT.values():
            keep(tmp_path)
        os.chmod(tmp_path / "best.safetensors", 0o600)  # of an earlier release
        run_directory.keep_best(tmp_path)
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(KEPT, 0o644) | {"best.safetensors": 0o600}


READS: dict[str, Callable[[Path], object]] = {
    "checkpoint.pt": run_directory.load_checkpoint,
    "student.safetensors": lambda run: run_directory.load_student(run, make_student("small", 2, 32, seed=0)),
    "student.safetensors of an origin": read_origin,
    "memory.safetensors": run_directory.load_memory,
    "projection.safetensors": lambda run: projection.load(run, Settings(policy="own"), 4),
    "split.csv": run_directory.read_split,
    "cost.json": run_directory.read_cost,
    "scores.csv": run_directory.read_scores,
}


@pytest.mark.parametrize("what", READS)
def test_what_may_not_be_read_is_not_called_damaged(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beginning.begin(tmp_path, DESCRIPTION, resume=False)
    for keep in KEPT.values():
        keep(tmp_path)
    file = tmp_path / what.partition(" ")[0]
    file.touch()
    opened = io.open

    def refuse(name: Any, *given: Any, **named: Any) -> Any:  # root may read everything, so permissions would not do
        if name == file:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return opened(name, *given, **named)

    monkeypatch.setattr(io, "open", refuse)
    with pytest.raises(TrainingError) as caught:
        READS[what](tmp_path)
    assert str(caught.value) == (
        f"You may not read '{file}'; ask the owner of the run for the permission, or for a copy."
    )
