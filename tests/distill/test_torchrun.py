"""`distill train` under torchrun: several ranks write one run, say one thing, and lose no finished epoch with one of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_parts import everything, make_store

from distill.training import run_directory
from distill.training.run_directory import read_metrics

pytestmark = pytest.mark.cluster

EPOCHS = 3
GIVEN = ("--policy", "own", "--good", "good", "--size", "32", "--epochs", str(EPOCHS), "--learning-rate", "0.0003")

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


def torchrun(
    arguments: Sequence[str], *, ranks: int = 2, program: Sequence[str] = ("-m", "distill_cli.main"), restarts: int = 0
) -> subprocess.CompletedProcess[str]:
    """Call `distill` in so many processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "--max-restarts", str(restarts), *program, *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def program(folder: Path, does: str) -> tuple[str]:
    """Return a program that is `distill`, but for what its second rank does."""
    path = folder / "child.py"
    path.write_text(CHILD.replace("DOES", does), "utf-8")
    return (str(path),)


def sentences(told: str) -> list[str]:
    """Return what the command says, without what torchrun says of the processes that it started."""
    return [line for line in told.splitlines() if line.startswith("Error: ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, and with a run `two` by two ranks."""
    folder = tmp_path_factory.mktemp("torchrun")
    make_store(folder, everything())
    trained = torchrun(["train", str(folder / "toy.store"), *GIVEN, "--out", str(folder / "two"), "--json"])
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["policy"] == "own"  # one report, and nothing else
    assert trained.stderr.count("Training (own)") == 1
    assert "Warning" not in trained.stderr
    return folder


def curves(run: Path) -> list[dict[str, float]]:
    lines = read_metrics(run)
    return [{name: figure for name, figure in line.items() if "seconds" not in name} for line in lines]


def test_the_curve_is_that_of_one_process_and_the_run_is_as_it_writes_it(place: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "distill_cli.main",
        "train",
        str(place / "toy.store"),
        *GIVEN,
        "--out",
        str(place / "one"),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(command, env=environment, capture_output=True, check=True)
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
    trained = torchrun(given, program=program(place, DIES), restarts=1)
    assert trained.returncode == 0, trained.stderr
    assert "Signal 9" in trained.stderr or "exitcode: -9" in trained.stderr
    assert not list(out.glob("*.new"))
    found, expected = (load_file(run / "student.safetensors") for run in (out, place / "two"))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert curves(out) == curves(place / "two")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_what_two_ranks_have_begun_one_process_ends(place: Path) -> None:
    out = place / "ended"
    given = ["train", str(place / "toy.store"), *GIVEN, "--out", str(out)]
    stopped = torchrun(given, program=program(place, DIES))
    assert stopped.returncode != 0
    assert len(sentences(stopped.stderr)) <= 1  # torchrun may end the other before it notices
    assert "in backward" not in stopped.stderr  # what PyTorch says of it is not shown
    assert [line["epoch"] for line in curves(out)] == [1]
    trained = torchrun([*given, "--resume"], ranks=1)
    assert trained.returncode == 0, trained.stderr
    assert curves(out)[0] == curves(place / "two")[0]
    for found, expected in zip(curves(out), curves(place / "two"), strict=True):
        assert found["cross_entropy"] == pytest.approx(expected["cross_entropy"], rel=1e-3)


def test_where_one_rank_fails_on_the_way_all_end_and_one_says_why(place: Path) -> None:
    out = place / "failed"
    given = ["train", str(place / "toy.store"), *GIVEN, "--out", str(out)]
    failed = torchrun(given, program=program(place, FAILS))
    assert failed.returncode != 0
    assert failed.stdout == ""
    assert sentences(failed.stderr) == ["Error: The second rank can not go on."]
    assert run_directory.is_complete(out) is False
    assert [line["epoch"] for line in curves(out)] == [1]


def test_what_all_refuse_and_what_the_first_refuses_is_said_once(place: Path) -> None:
    store = str(place / "toy.store")
    nowhere = torchrun(["train", str(place / "none.store"), "--out", str(place / "new")])
    assert (nowhere.returncode, nowhere.stdout, len(sentences(nowhere.stderr))) == (1, "", 1)
    assert not (place / "new").exists()
    twice = torchrun(["train", store, *GIVEN, "--out", str(place / "two")])
    assert (twice.returncode, twice.stdout) == (1, "")
    (told,) = sentences(twice.stderr)
    assert "already holds a run; go on with it by --resume" in told
    compared = torchrun(["compare", store, "--good", "good", "--out", str(place / "compared")])
    assert compared.returncode == 1
    (told,) = sentences(compared.stderr)
    assert told.startswith("Error: 'distill compare' takes one process, and torchrun started 2;")
    shutil.rmtree(place / "compared", ignore_errors=True)
