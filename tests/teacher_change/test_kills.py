"""A migration is killed at random moments while others read and write; whoever looks finds one teacher or the other, whole."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import migrate_slowly
import numpy as np
import pytest
from helpers import (
    CountingTeacher,
    assert_same_to_a_float16_step,
    by_hand,
    python_environment,
    snapshot,
    write_pictures,
)
from two_teachers import NAMES, TurnedTeacher, built

import embedstore
from embedstore.teacher_change import drop_old, space_states

FIRST, SECOND = CountingTeacher().fingerprint, TurnedTeacher().fingerprint
TRIALS = 8

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")


def migrating(store: Path) -> subprocess.Popen[str]:
    environment = python_environment()
    environment["PYTHONPATH"] = f"{Path(__file__).parent}:{environment['PYTHONPATH']}"
    command = [sys.executable, migrate_slowly.__file__, str(store)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long a migration takes that nobody kills."""
    with migrating(built(tmp_path_factory.mktemp("timed") / "store")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        begun = time.monotonic()
        assert process.stdout.readline() == "end\n"
        return time.monotonic() - begun


@pytest.mark.parametrize("trial", range(TRIALS))
def test_a_kill_leaves_one_teacher_in_use_and_the_same_call_goes_on(trial: int, tmp_path: Path, seconds: float) -> None:
    store = built(tmp_path / "store")
    (tmp_path / "images/good/07.png").unlink()  # so that the switch removes a sample, too
    with embedstore.open(store) as opened:
        before = snapshot(opened)
    moment = (trial + np.random.default_rng(trial).random()) / TRIALS * seconds * 1.1
    with migrating(store) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        time.sleep(moment)
        process.kill()

    with embedstore.open(store) as opened:
        done = [state.complete for state in space_states(opened) if state.fingerprint == SECOND]
        if opened.version == 1:
            assert snapshot(opened) == before
            assert opened.fingerprint == FIRST
        else:
            assert (opened.version, opened.fingerprint, len(opened)) == (2, SECOND, 23)
    assert embedstore.verify(store).findings == ()

    teacher = TurnedTeacher()
    report = embedstore.migrate(store, teacher, without_missing=True)
    assert teacher.seen <= 2 * (23 - sum(done))  # what was committed is not embedded again
    assert (report.active, report.version, report.samples, report.complete) == (True, 2, 23, 23)
    with embedstore.open(store) as opened:
        expected = [by_hand(TurnedTeacher(), tmp_path / "images", name, name, 1, opened.recipe) for name in opened.ids]
        assert_same_to_a_float16_step(opened.vectors(view=1), expected)
    with embedstore.open(store, version=1) as opened:
        assert snapshot(opened) == before
    assert embedstore.verify(store).findings == ()


def test_readers_see_one_space_or_the_other_and_others_write_meanwhile(tmp_path: Path) -> None:
    store = built(tmp_path / "store")
    recipe = embedstore.Recipe()
    images = tmp_path / "images"
    own = {
        teacher.fingerprint: {name: by_hand(teacher, images, name, name, 0, recipe) for name in NAMES}
        for teacher in (CountingTeacher(), TurnedTeacher())
    }
    seen: list[str] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            with embedstore.open(store) as opened:
                vectors, fingerprint = dict(zip(opened.ids, opened.vectors(), strict=True)), opened.fingerprint
            for name in NAMES:
                assert_same_to_a_float16_step(vectors[name], own[fingerprint][name])
            seen.append(fingerprint)

    failures: list[BaseException] = []
    reader = threading.Thread(target=lambda: _noting(read, failures))
    reader.start()
    with migrating(store) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        write_pictures(images, ["good/60.png"], seed=6)
        with embedstore.open(store) as opened, opened.write("relabel", wait=30) as writing:
            writing.set("mode", {NAMES[0]: "odd"})
        assert process.stdout.readline() == "end\n"
    time.sleep(0.05)
    over.set()
    reader.join()
    assert not failures, failures
    assert seen[0] == FIRST
    assert seen[-1] == SECOND
    assert seen == sorted(seen, key=[FIRST, SECOND].index)
    with embedstore.open(store) as opened:
        assert opened.sample(NAMES[0]).mode == "odd"
        assert [entry.action for entry in opened.log()][2:] == ["relabel", "migrate to turned"]


def test_a_reader_that_stays_open_keeps_its_space_through_switch_and_dropping(tmp_path: Path) -> None:
    store = built(tmp_path / "store")
    with embedstore.open(store) as reader:
        before = snapshot(reader)
        embedstore.migrate(store, TurnedTeacher())
        drop_old(store)
        assert snapshot(reader) == before
        reader.refresh()
        assert reader.fingerprint == SECOND


def _noting(work: Callable[[], None], failures: list[BaseException]) -> None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001
        failures.append(error)
