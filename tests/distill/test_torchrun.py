"""`distill train` under torchrun: several ranks write one run, say one thing, and lose no finished epoch with one of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_parts import everything, make_store

from distill.training import run_directory
from distill.training.run_directory import read_metrics
from distill_cli.main import main

pytestmark = pytest.mark.cluster

EPOCHS = 3
GIVEN = (
    "--policy", "own", "--good", "good", "--size", "32", "--epochs", str(EPOCHS), "--learning-rate", "0.0003",
    "--precision", "float32",  # in bfloat16, rounding hangs on how a batch is divided
)  # fmt: skip

# At its fourth step, the last of its second epoch, a rank does something, in the first of torchrun's attempts only.
CHILD = """
import os, signal, sys, time
import torch
from distill_cli.main import main
from embedstore.errors import TrainingError

step, steps = torch.optim.AdamW.step, 0

def failing(self, *arguments, **options):
    global steps
    steps += 1
    if steps == 4 and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        DOES
    return step(self, *arguments, **options)

torch.optim.AdamW.step = failing
main()
"""
DIES = "os.kill(os.getpid(), signal.SIGKILL)"
FAILS = 'raise TrainingError("The second rank can not go on.")'

# The first rank evaluates for long, and the other waits for it.
SLOW = """
import pathlib, time
from distill.training import loop
from distill_cli.main import main

def slow(path, *arguments):
    pathlib.Path(path, "evaluates").touch()
    time.sleep(100)

loop.write_report = slow
main()
"""


def command(
    arguments: Sequence[str], program: Sequence[str] = ("-m", "distill_cli.main"), restarts: int = 0
) -> list[str]:
    """Return what calls `distill` in two processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [*torchrun, "--max-restarts", str(restarts), *program, *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}


def call(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment(), capture_output=True, encoding="utf-8", timeout=120, check=False)


def alone(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call `distill` in this process."""
    monkeypatch.setattr(sys, "argv", ["distill", *arguments])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()


def program(folder: Path, text: str) -> tuple[str]:
    """Return a program that is `distill`, but for what a rank does."""
    path = folder / "child.py"
    path.write_text(text, "utf-8")
    return (str(path),)


def sentences(told: str) -> list[str]:
    """Return what the command says, without what torchrun says of the processes that it started."""
    return [line for line in told.splitlines() if line.startswith("Error: ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, and with a run `two` by two ranks."""
    folder = tmp_path_factory.mktemp("torchrun")
    make_store(folder, everything())
    trained = call(command(["train", str(folder / "toy.store"), *GIVEN, "--out", str(folder / "two"), "--json"]))
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["policy"] == "own"  # one report, and nothing else
    assert trained.stderr.count("Training (own)") == 1
    assert "Warning" not in trained.stderr
    return folder


def curves(run: Path) -> list[dict[str, float]]:
    lines = read_metrics(run)
    return [{name: figure for name, figure in line.items() if "seconds" not in name} for line in lines]


def test_the_curve_is_that_of_one_process_and_the_run_is_as_it_writes_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(["train", str(place / "toy.store"), *GIVEN, "--out", str(place / "one")], monkeypatch)
    one, two = place / "one", place / "two"
    assert sorted(file.name for file in two.iterdir()) == sorted(file.name for file in one.iterdir())
    for found, expected in zip(curves(two), curves(one), strict=True):
        assert found["epoch"] == expected["epoch"]
        for name in ("cross_entropy", "alignment"):
            assert found[name] == pytest.approx(expected[name], rel=1e-3), name
    assert curves(one)[-1]["alignment"] < 0.97 * curves(one)[0]["alignment"]
    assert (two / "split.csv").read_bytes() == (one / "split.csv").read_bytes()
    held, expected_held = (run_directory.read_scores(run)[0] for run in (two, one))
    assert [h.id for h in held] == [h.id for h in expected_held]
    for found_of, expected_of in zip(held, expected_held, strict=True):
        assert found_of.probabilities == pytest.approx(expected_of.probabilities, abs=5e-3)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_after_a_killed_rank_all_begin_again_and_end_as_if_it_had_lived(place: Path) -> None:
    out = place / "killed"
    given = ["train", str(place / "toy.store"), *GIVEN, "--out", str(out), "--resume"]
    trained = call(command(given, program(place, CHILD.replace("DOES", DIES)), restarts=1))
    assert trained.returncode == 0, trained.stderr
    assert "Signal 9" in trained.stderr or "exitcode: -9" in trained.stderr
    assert len(sentences(trained.stderr)) <= 1  # torchrun may end the other before it notices
    assert "in backward" not in trained.stderr  # what PyTorch says of it is not shown
    assert not list(out.glob("*.new*"))
    found, expected = (load_file(run / "student.safetensors") for run in (out, place / "two"))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert curves(out) == curves(place / "two")


def test_where_one_rank_fails_all_end_one_says_why_and_one_process_can_go_on(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = place / "failed"
    given = ["train", str(place / "toy.store"), *GIVEN, "--out", str(out)]
    failed = call(command(given, program(place, CHILD.replace("DOES", FAILS))))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert sentences(failed.stderr) == ["Error: The second rank can not go on."]
    assert run_directory.is_complete(out) is False
    assert [line["epoch"] for line in curves(out)] == [1]
    alone([*given, "--resume"], monkeypatch)
    assert curves(out)[0] == curves(place / "two")[0]
    for found, expected in zip(curves(out), curves(place / "two"), strict=True):
        assert found["cross_entropy"] == pytest.approx(expected["cross_entropy"], rel=1e-3)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no groups of processes")
def test_ctrl_c_ends_all_at_once_though_one_waits_for_another(place: Path) -> None:
    out = place / "stopped"
    given = ["train", str(place / "toy.store"), *GIVEN, "--out", str(out)]
    with subprocess.Popen(
        command(given, program(place, SLOW)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as run:
        until = time.monotonic() + 100
        while not (out / "evaluates").exists() and time.monotonic() < until:
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        told = run.communicate(timeout=20)[1]  # torchrun kills after 30 seconds
    assert told.count("Stopped. Finished epochs are kept") == 1
    assert "loop.py" not in told  # no traceback of ours
    assert [line["epoch"] for line in curves(out)] == list(range(1, EPOCHS + 1))
