"""A run in a process of its own: the same run, whatever happens to the process."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_parts import quick

import distill
from distill.training import run_directory
from distill.training.run_process import train_apart
from embedstore.errors import TrainingError

SETTINGS = quick(policy="own")

# What any library may do in the child: it speaks on stdout and stderr, in any encoding, at any time.
NOISY = """
import os, sys, threading, time
os.write(1, b'A library greets.\\n\\xff\\xfe{"finished": true}')
os.write(2, b"\\xff" + b"A warning. " * 20_000)
def speak():
    while True:
        os.write(1, b"Loading.")
        time.sleep(0.001)
threading.Thread(target=speak, daemon=True).start()
"""

# A child that never gets beyond its first epoch.
SLEEPING = """
import time
import distill
from distill.training import run_process
def train(*_, progress, **__):
    progress(1, 2, {})
    time.sleep(60)
distill.train = train
run_process._main()
"""

BALLAST = 1_000_000_000  # bytes

Child = Callable[[str], None]


def nothing(done: int, total: int) -> None: ...


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    """Return a function that makes a script stand for the process that trains."""

    def become(code: str) -> None:
        script = tmp_path / "child"
        start = "import json, os, signal, sys, time\nsay = lambda text: print(text, flush=True)\n"
        script.write_text(f"#!{sys.executable}\n{start}{code}\n", "utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(script))

    return become


def begin(out: Path, progress: Callable[[int, int], None] = nothing) -> None:
    train_apart(out / "no.store", out / "run", SETTINGS, images=None, progress=progress)


def failure(out: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        begin(out)
    return str(caught.value)


@pytest.fixture(scope="module")
def both(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[tuple[int, int]]]:
    """The same run in a noisy process of its own and in this one, which is large; and what the first told of its epochs."""
    place = tmp_path_factory.mktemp("both")
    (place / "noise").mkdir()
    (place / "noise" / "sitecustomize.py").write_text(NOISY)
    steps: list[tuple[int, int]] = []
    ballast = bytearray(b"x") * BALLAST
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place / "noise")
        train_apart(
            store_path,
            place / "apart",
            SETTINGS,
            images=store_path.parent / "images",
            progress=lambda *step: steps.append(step),
        )
    here = distill.train(store_path, place / "here", SETTINGS)
    assert len(ballast) == BALLAST
    return place / "apart", here.path, steps


def test_it_is_the_run_that_this_process_would_make(both: tuple[Path, Path, list[tuple[int, int]]]) -> None:
    apart, here, steps = both
    assert steps == [(1, 2), (2, 2)]
    for name in ("student.safetensors", "scores.csv", "split.csv", "report.json"):
        assert (apart / name).read_bytes() == (here / name).read_bytes()
    settings = [json.loads((run / "run.json").read_text("utf-8"))["settings"] for run in (apart, here)]
    assert settings[0] == settings[1] == json.loads(json.dumps(SETTINGS.to_dict()))


def test_its_memory_is_its_own(both: tuple[Path, Path, list[tuple[int, int]]]) -> None:
    apart, here = (run_directory.read_cost(run)["peak_memory"] for run in both[:2])
    assert 50_000_000 < apart < here - BALLAST / 2


def test_what_the_run_refuses_is_refused_here_wherever_that_is(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the user, and none of Python')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError) as caught:
        train_apart(store_path, tmp_path / "run", quick(good="fine"), images=None, progress=nothing)
    assert str(caught.value) == ("Run 'run': The good label 'fine' is not among the training labels (defect, good).")
    assert not (tmp_path / "run").exists()


FULL = """
import errno, os
def full(descriptor):
    raise OSError(errno.ENOSPC, "No space left on device")
os.fsync = full
"""


def test_a_disk_that_gets_full_is_one_sentence(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "sitecustomize.py").write_text(FULL)
    monkeypatch.syspath_prepend(tmp_path / "full")
    with pytest.raises(TrainingError) as caught:
        train_apart(store_path, tmp_path / "run", SETTINGS, images=None, progress=nothing)
    assert str(caught.value) == (
        f"Run 'run': '{tmp_path / 'run' / 'run.json'}' can't be used: No space left on device; check the path, its permissions "
        "and the disk."
    )


TELLING = """
import distill
def train(*_, runs, **__):
    raise OSError(None, f"{runs} runs")
distill.train = train
"""


def test_it_knows_how_many_train_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "telling").mkdir()
    (tmp_path / "telling" / "sitecustomize.py").write_text(TELLING)
    monkeypatch.syspath_prepend(tmp_path / "telling")
    with pytest.raises(TrainingError, match=r"^Run 'run': The system refused to read or write \(7 runs\); "):
        train_apart(tmp_path, tmp_path / "run", SETTINGS, images=None, progress=nothing, runs=7)


# A script stands for the child


def test_it_gets_the_request_and_tells_how_far_it_is(child: Child, tmp_path: Path) -> None:
    child("""
asked = json.loads(sys.stdin.readline())
open(os.path.join(os.path.dirname(sys.argv[0]), "asked.json"), "w").write(json.dumps(asked))
say('distill: {"done": 1, "total": 2}')
say("A library speaks.")
for text in ("", "no answer", "3", "[]", "null", '"finished"', "{}", '{"done": 7}', '{"error', "[" * 100_000):
    say("distill: " + text)
say('distill: {"done": 2, "total": 2}')
say('distill: {"finished": true}')
""")
    seen = []
    begin(tmp_path, lambda *step: seen.append(step))
    assert seen == [(1, 2), (2, 2)]
    assert json.loads((tmp_path / "asked.json").read_text("utf-8")) == {
        "store": str(tmp_path / "no.store"),
        "out": str(tmp_path / "run"),
        "settings": SETTINGS.to_dict(),
        "images": None,
        "runs": 1,
        "version": None,
    }


def test_a_child_that_ends_by_itself_is_one_sentence(child: Child, tmp_path: Path) -> None:
    child("sys.stdin.readline(); print('no space left', file=sys.stderr); sys.exit(9)")
    assert failure(tmp_path) == (
        f"The process that trained '{tmp_path / 'run'}' ended with 9, perhaps for lack of memory; the same command goes on "
        "from its last epoch. It said: no space left"
    )


def test_a_child_that_ends_before_it_has_read_what_is_asked_is_one_sentence(child: Child, tmp_path: Path) -> None:
    child("sys.exit(9)")
    long = quick(policy="mixture", mixture={"x" * 1_000_000: {"own": 1.0}})  # more than a pipe holds
    with pytest.raises(TrainingError, match="ended with 9"):
        train_apart(tmp_path, tmp_path / "run", long, images=None, progress=nothing)


def test_the_child_ends_at_once_where_its_parent_does(tmp_path: Path) -> None:
    """However the parent ended: what tells the child is the end of its stdin."""
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPING], stdin=pipe, stdout=pipe, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"store": "s", "out": "o", "settings": {}, "images": null, "runs": 1, "version": null}\n')
        process.stdin.flush()
        assert any('"done": 1' in line for line in process.stdout)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(30) == 1


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGSEGV"])
def test_a_child_that_is_killed_is_one_sentence(signal: str, child: Child, tmp_path: Path) -> None:
    child(f'sys.stdin.readline(); say(\'distill: {{"done": 1, "total": 2}}\'); os.kill(os.getpid(), signal.{signal})')
    number = {"SIGKILL": 9, "SIGSEGV": 11}[signal]
    assert f"was ended by signal {number}, perhaps for lack of memory" in failure(tmp_path)
    assert failure(tmp_path).endswith("It said: nothing")


def test_a_child_that_ends_before_it_has_finished_has_not_finished(child: Child, tmp_path: Path) -> None:
    child('sys.stdin.readline(); say(\'distill: {"done": 2, "total": 2}\')')
    assert "ended with 0" in failure(tmp_path)


def test_only_the_end_of_what_a_dying_child_says_is_shown(child: Child, tmp_path: Path) -> None:
    child("sys.stdin.readline(); print('x' * 1_000_000 + 'the end', file=sys.stderr); sys.exit(1)")
    said = failure(tmp_path).split("It said: ")[1]
    assert said.endswith("xthe end")
    assert len(said) < 3000


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_no_child_outlives_what_stops_this_process(stop: type[BaseException], child: Child, tmp_path: Path) -> None:
    child('sys.stdin.readline(); say(f\'distill: {{"done": {os.getpid()}, "total": 0}}\'); time.sleep(60)')
    pids = []

    def stopped(done: int, total: int) -> None:
        pids.append(done)
        raise stop

    begun = time.monotonic()
    with pytest.raises(stop):
        begin(tmp_path, stopped)
    assert time.monotonic() - begun < 30
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
