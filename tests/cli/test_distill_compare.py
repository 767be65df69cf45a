"""distill compare as people run it: each run in a process of its own, stopped, killed, and given again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from toy_commands import save

import distill
import embedstore
from distill.evaluation.comparison import Comparison, RunScores, compare_runs
from distill.training import run_directory
from distill.training.compare import Step
from distill.training.settings import Settings
from distill_cli.compare import _left, _progress, _short
from distill_cli.compare import compare as command_compare
from embedstore.exports import export

EPOCHS = 12
PATIENCE = 120  # seconds, on a busy machine

# As `distill`; but a job that a shell started in the background ignores SIGINT, and so would its children.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from distill_cli.main import main
sys.argv[0] = "distill"
main()
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-c", COMMAND, "compare", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, encoding="utf-8")


def call(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Run the command to its end; return what it printed and what it complained of."""
    with start(*arguments) as process:
        out, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, out + complaints
    assert "Traceback" not in complaints
    return out, complaints


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    while not true():
        assert process.poll() is None, "".join(process.communicate())
        assert time.monotonic() - begun < PATIENCE
        time.sleep(0.002)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that any of its threads began."""
    if not Path("/proc/self/task").exists():
        pytest.skip("this system does not tell the children of a process")
    return [int(pid) for of in Path(f"/proc/{process.pid}/task").glob("*/children") for pid in of.read_text().split()]


def is_training(pid: int) -> bool:
    try:
        return b"distill.training.run_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def written(file: Path) -> tuple[int, int]:
    """Return what changes when a file is written again."""
    return file.stat().st_ino, file.stat().st_mtime_ns


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a split; its kinds of defect have names that a page or a terminal would take for its own."""
    place = tmp_path_factory.mktemp("line")
    rows = ["path,label,mode,group,split"]
    for number in range(80):
        label, mode = (("good", ""), ("defect", "<b>傷</b>"), ("good", ""), ("defect", "[red]線"))[number % 4]
        save(place / "images" / f"{number:02}.png", number, bright=label == "defect" and number % 5 > 0)
        side = ("train", "val", "train", "test", "train")[number // 4 % 5]
        rows.append(f"{number:02}.png,{label},{mode},part {number // 2},{side}")
    (place / "parts.csv").write_text("\n".join(rows), "utf-8")
    embedstore.build(place / "s", place / "images", manifest=place / "parts.csv", teacher="pixels", views=1)
    return place / "s"


@pytest.fixture(scope="module")
def finished(store: Path) -> tuple[Path, str, str]:
    """A comparison that was stopped by Ctrl-C, then killed, then let run to its end; and what it printed then."""
    out = store.parent / "out"
    first, second = (out / "runs" / f"{policy}-seed3" for policy in ("own", "none"))
    same = command(store)

    with start(*same) as process:
        wait_until((first / "checkpoint.pt").exists, process)
        (child,) = children(process)
        assert is_training(child)
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, complaints
    assert said == ""
    assert complaints.splitlines()[-1].startswith(
        "Stopped. Finished epochs are kept; the same command goes on from there"
    )
    assert "Traceback" not in complaints
    assert not is_training(child)
    assert not run_directory.is_complete(first)

    with start(*same) as process:
        wait_until((second / "checkpoint.pt").exists, process)
        (child,) = children(process)
        process.kill()
        process.communicate(timeout=PATIENCE)
    begun = time.monotonic()
    while is_training(child):  # it notices that nobody listens
        assert time.monotonic() - begun < PATIENCE
        time.sleep(0.01)
    assert run_directory.is_complete(first)
    assert not run_directory.is_complete(second)
    assert not (out / "comparison.json").exists()
    student = written(first / "student.safetensors")

    said, complaints = call(*same, "--json")
    assert written(first / "student.safetensors") == student
    return out, said, complaints


def test_several_at_a_time_that_are_stopped_go_on_and_what_is_finished_is_not_trained_again(
    store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ("--policies", "none", "--good", "good", "--size", 32, "--epochs", EPOCHS, "--folds", 3, "--seeds", 1)
    same = (store, "--out", out, *given, "--jobs", 2)
    with start(*same) as process:
        runs = [out / "runs" / f"none-fold{fold}-seed0" for fold in range(3)]
        wait_until(lambda: any(run_directory.is_complete(run) for run in runs), process)
        wait_until((runs[2] / "checkpoint.pt").exists, process)
        training = [child for child in children(process) if is_training(child)]
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, complaints
    assert said == ""
    assert "Traceback" not in complaints
    assert training
    assert not any(map(is_training, training))
    before = {run: written(run / "student.safetensors") for run in runs if run_directory.is_complete(run)}
    assert 0 < len(before) < 3
    call(*same)
    assert {run: written(run / "student.safetensors") for run in before} == before
    assert (read(out)["folds"], read(out)["looks"]) == (3, 2)


def command(store: Path, *more: object) -> tuple[object, ...]:
    """Return the comparison of this module; the command line rules over the task file."""
    task = store.parent / "task.toml"
    task.write_text('good = "good"\nsize = 32\nepochs = 9\noverkill = 0.1\npolicy = "own"\nfolds = 7\n', "utf-8")
    options = ("--policies", "own, none", "--task", task, "--epochs", EPOCHS, "--seed", 3, "--seeds", 1, "--no-folds")
    return store, "--out", store.parent / "out", *options, *more


def test_what_was_stopped_and_killed_ends_as_runs_that_were_not(
    finished: tuple[Path, str, str], store: Path, tmp_path: Path
) -> None:
    """And as the task file says, but for what the command line said."""
    out = finished[0]
    runs = []
    for policy in ("none", "own"):
        settings = Settings(policy=policy, good="good", epochs=EPOCHS, size=32, seed=3, overkill=0.1)
        path = distill.train(store, tmp_path / policy, settings).path
        for name in ("student.safetensors", "scores.csv"):
            assert (path / name).read_bytes() == (out / "runs" / f"{policy}-seed3" / name).read_bytes()
        held, classes = run_directory.read_scores(path)
        runs.append(RunScores(policy, 0, 3, held, classes))
    expected, found = compare_runs(runs, good="good", overkill=0.1).to_dict(), read(out)
    for comparison in (expected, found):
        del comparison["remarks"]
        for policy in comparison["policies"]:
            del policy["seconds"], policy["peak_memory"], policy["curve"]
    assert found == json.loads(json.dumps(expected))


def read(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "comparison.json").read_text("utf-8"))
    return found


def test_json_is_all_that_is_printed(finished: tuple[Path, str, str]) -> None:
    out, said, _ = finished
    assert json.loads(said, parse_constant=pytest.fail) == read(out)
    assert "\x1b" not in said


def test_it_prints_the_tables_the_differences_and_where_everything_is(
    finished: tuple[Path, str, str], store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for policy in ("none", "own"):
        path = finished[0] / "runs" / f"{policy}-seed3"
        held, classes = run_directory.read_scores(path)
        cost = run_directory.read_cost(path)
        runs.append(RunScores(policy, 0, 3, held, classes, cost["seconds"], cost["peak_memory"]))
    expected = compare_runs(runs, good="good", overkill=0.1)
    asked: list[Any] = []

    def compare(*arguments: Any, **options: Any) -> Comparison:
        asked.append((arguments, options))
        return expected

    monkeypatch.setattr(distill, "compare", compare, raising=False)
    out = store.parent / "printed"
    out.mkdir()
    command_compare(store, "own,none", out, folds=4, seeds=2, baseline="own", good="\u304b\u3099", images=store)
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines()]
    for one in expected.policies:
        values = [one.auroc, one.recall, one.overkill, one.mean_recall, one.macro_mode_recall]
        assert [one.policy, *(f"{value:.3f}" for value in values)] in [line[:6] for line in lines]
        assert any(line[:2] == [one.policy, one.worst_mode] for line in lines)
    assert "with 'own': " in said
    assert "Note: One seed" in said
    files = [out / "comparison.html", out / "comparison.json", out / "runs"]
    assert "The page is '{}', the figures are in '{}', and the runs are in '{}'.".format(*files) in said
    assert files[0].is_file()
    ((arguments, options),) = asked
    assert arguments == (store, out, ["own", "none"], Settings(good="が"))  # as a store has it, in Unicode NFC
    del options["progress"]
    assert options == {"folds": 4, "seeds": 2, "jobs": 1, "baseline": "own", "images": store}


@pytest.mark.parametrize(
    ("in_task", "given", "expected"),
    [("", {}, 5), ("folds = 7", {}, 7), ("folds = 7", {"folds": 3}, 3), ("folds = 7", {"no_folds": True}, None)],
)
def test_the_command_line_rules_over_the_task_file_and_that_over_the_default(
    in_task: str,
    given: dict[str, Any],
    expected: int | None,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class AskedError(Exception):
        pass

    def compare(*_: Any, folds: int | None, seeds: int, jobs: int, **__: Any) -> None:
        raise AskedError(folds, seeds, jobs)

    monkeypatch.setattr(distill, "compare", compare, raising=False)
    (tmp_path / "task.toml").write_text(in_task, "utf-8")
    with pytest.raises(AskedError) as asked:
        command_compare(store, "own", tmp_path, task=tmp_path / "task.toml", **given)
    assert asked.value.args == (expected, 3, 1)


def test_options_reach_the_settings_that_all_runs_share(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def compare(_: Path, __: Path, ___: list[str], settings: distill.Settings, **____: Any) -> None:
        raise AskedError(settings.to_dict())

    monkeypatch.setattr(distill, "compare", compare, raising=False)
    given = {"learning_rate": 3e-4, "answer": "both", "student": "scratch:efficientnet-lite0:5", "keep": "best"}
    with pytest.raises(AskedError) as asked:
        command_compare(store, "own", tmp_path, **given)
    assert asked.value.args[0].items() >= given.items()


def test_methods_are_compared_under_their_names(store: Path, tmp_path: Path) -> None:
    given = ("--epochs", 2, "--size", 32, "--good", "good", "--no-folds", "--seeds", 1, "--out", tmp_path / "cmp")
    shown, _ = call(store, "--policies", "none,none-fresh,clip-embed-kd,clip-teacher-kd", *given)
    for name in ("none-fresh", "clip-embed-kd", "clip-teacher-kd"):
        assert name in shown
        assert run_directory.is_complete(tmp_path / "cmp" / "runs" / f"{name}-seed0")
    page = unescape((tmp_path / "cmp" / "comparison.html").read_text("utf-8"))
    assert "The large model runs in CLIP-Teacher-KD, and in no other." in page


def test_a_summary_file_with_a_task_file_is_compared(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def compare(source: Path, _: Path, policies: list[str], settings: Settings, **__: Any) -> None:
        raise AskedError(source, policies, settings.good)

    monkeypatch.setattr(distill, "compare", compare, raising=False)
    file = tmp_path / "means.safetensors"
    with embedstore.open(store) as opened:
        opened.summarize("class-mean", name="means", split="train")
        export(opened, file, summary="means")
    (tmp_path / "task.toml").write_text('good = "good"', "utf-8")
    with pytest.raises(AskedError) as asked:
        command_compare(file, "none,class-mean", tmp_path, task=tmp_path / "task.toml")
    assert asked.value.args == (file, ["none", "class-mean"], "good")


def test_progress_goes_to_stderr_and_tells_runs_and_epochs(finished: tuple[Path, str, str]) -> None:
    _, said, complaints = finished
    told = " ".join(complaints.split())
    assert "2/2 runs" in told
    assert "none-seed3 " in told
    assert f"{EPOCHS}/{EPOCHS} epochs" in told
    assert "━" not in said


def test_the_page_says_the_same_and_takes_no_name_for_markup(finished: tuple[Path, str, str]) -> None:
    page = (finished[0] / "comparison.html").read_text("utf-8")
    assert page.startswith("<!")
    assert "<b>傷" not in page
    assert "<b>傷</b>" in unescape(page)
    assert "[red]線" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--policies", "own", "--folds", "3", "--no-folds"), "--folds and --no-folds exclude each other"),
        (("--policies", "own", "--epochs", "0"), "The number of epochs is 0"),
        (("--policies", "own", "--patches", "pixels:1"), "but the answer is 'head'; give --answer patches, too."),
        (("--policies", "own", "--task", "nowhere.toml"), "'nowhere.toml' does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    arguments: tuple[str, ...], words: str, store: Path, tmp_path: Path
) -> None:
    said, complaints = call(store, "--out", tmp_path / "out", *arguments, code=2)
    assert said == ""
    (line,) = [line for line in complaints.splitlines() if line.strip() and "━" not in line]
    assert line.startswith("Error: ")
    assert words in line
    assert not (tmp_path / "out").exists()


# How far it is, and the time that is left


@pytest.mark.parametrize(
    ("answer", "runs_done", "told"),
    [("head", 0, "run 4"), ("patches", 0, "run 4, its patches"), ("patches", 1, "run 4")],
)
def test_after_the_epochs_it_says_that_patches_are_learned(answer: str, runs_done: int, told: str, capsys: Any) -> None:
    with _progress(Settings(good="good", answer=answer)) as progress:
        progress(Step("run 4", 9, 10, 0, 4, 9, 31))
        progress(Step("run 4", 10, 10, runs_done, 4, 10, 30))
    assert re.search(rf"{told} +━+ 10/10 epochs", capsys.readouterr().err)


def test_the_time_left_is_that_of_the_epochs_trained_here() -> None:
    def left(seconds: float, *, trained: int, left: int) -> str:
        return _left(Step("run", 1, 10, 0, 4, trained, left), seconds)

    assert left(100, trained=0, left=40) == ""  # what was finished before says nothing of how long an epoch takes
    assert left(24, trained=6, left=20) == ", about 80 s left"
    assert left(12, trained=6, left=20) == ", about 40 s left"  # two at a time
    assert left(24, trained=6, left=0) == ""


@pytest.mark.parametrize(("seconds", "told"), [(0.2, "1 s"), (99, "99 s"), (130, "2 min"), (9000, "2.5 h")])
def test_time_is_told_in_one_unit(seconds: float, told: str) -> None:
    assert _short(seconds) == told
