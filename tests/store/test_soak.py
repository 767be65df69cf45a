"""Nothing lost: a process that works on a store is killed at random moments, over everything one can do to a store.

20 trials here; `make soak` runs 200, or as many as EMBEDSTORE_SOAK_TRIALS says.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soak_steps
from helpers import assert_same_to_a_float16_step, python_environment, snapshot
from soak_steps import STEPS

import embedstore
from embedstore.store.health.verification import verify

TRIALS = int(os.environ.get("EMBEDSTORE_SOAK_TRIALS", "20"))

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")


def seen(store: Path) -> dict[str, Any]:
    """Return all that a reader sees, and of an index what it answers; nothing where there is no store."""
    if not (store / "CURRENT").exists():
        return {}
    with embedstore.open(store) as opened:
        if opened.version == 0:
            return {}
        return snapshot(opened)


@dataclass(frozen=True)
class Reference:
    """What happens where nobody is killed."""

    states: list[dict[str, Any]]  # what is seen before each step, and after the last
    seconds: list[float]  # that each step takes in a process of its own


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    root = tmp_path_factory.mktemp("reference")
    states: list[dict[str, Any]] = [{}]
    for step in STEPS:
        step(root / "store", root / "images")
        states.append(seen(root / "store"))
    begun, seconds = 0.0, []
    with at_work(root / "timed", root / "timed images") as process:
        for line in process.stdout or ():
            if line.startswith("begin"):
                begun = time.monotonic()
            elif line.startswith("end"):
                seconds.append(time.monotonic() - begun)
    return Reference(states, seconds)


def at_work(store: Path, images: Path) -> subprocess.Popen[str]:
    """Start a process that does all steps and tells of each."""
    command = [sys.executable, soak_steps.__file__, str(store), str(images), "0"]
    return subprocess.Popen(command, env=python_environment(), stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("trial", range(TRIALS))
def test_a_kill_loses_nothing_that_was_acknowledged(trial: int, tmp_path: Path, reference: Reference) -> None:
    states, store, images = reference.states, tmp_path / "store", tmp_path / "images"
    victim = trial % len(STEPS)
    moment = np.random.default_rng(trial).random() * reference.seconds[victim]
    acknowledged = 0
    with at_work(store, images) as process:
        for line in process.stdout or ():
            what, _, number = line.strip().partition(" ")
            if what == "end":
                acknowledged = int(number) + 1
            if (what, number) == ("begin", str(victim)):
                time.sleep(moment)
                process.kill()  # what it said before it died is read all the same

    found = seen(store)
    done = [number for number in range(len(states)) if states[number] == found and number >= acknowledged]
    assert done, f"{acknowledged} steps were acknowledged, but version {found.get('version')} is seen"
    assert done[0] <= acknowledged + 1
    if found:
        report = verify(store)
        assert report.findings == (), report

    soak_steps.run(store, images, done[0])
    after = seen(store)
    assert after["samples"] == states[-1]["samples"]
    assert (after["version"], after["aside"]) == (states[-1]["version"], states[-1]["aside"])
    for view, expected in states[-1]["vectors"].items():
        assert after["vectors"][view].keys() == expected.keys()
        for name, vector in expected.items():
            assert_same_to_a_float16_step(
                np.frombuffer(after["vectors"][view][name], np.float32), np.frombuffer(vector, np.float32)
            )
    assert verify(store).findings == ()
    with embedstore.open(store) as opened:
        assert len(list((store / "generations").iterdir())) == 1
        assert opened.unfinished() == 0
        assert opened.index_info is not None
    shutil.rmtree(tmp_path)
