"""A Ray cluster of several node processes on this machine, with a teacher that takes its time and notes what it embeds."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helpers import python_environment

SLOW = """
import os
from embedstore.teachers.pixels import PixelTeacher

original = PixelTeacher.embed

def embed(self, pictures):
    import time
    with open(os.environ["EMBEDDED_LOG"], "a") as log:
        log.write(f"{os.getpid()} {len(pictures)}\\n")
    time.sleep(float(os.environ["EMBEDDED_SECONDS"]))
    return original(self, pictures)

if "EMBEDDED_LOG" in os.environ:
    PixelTeacher.embed = embed
"""

# Ray gives a node 30 seconds, which nobody can change; a machine that is busy with something else may need more.
_STARTS = 3


def started_cluster(count: int) -> tuple[Any, list[Any]]:
    """Start a cluster of nodes of one core each; returns it, and its nodes that are not the head."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 100 << 20}
    for start in range(_STARTS):
        cluster = None
        try:
            cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
            return cluster, [cluster.add_node(**small) for _ in range(count - 1)]
        except Exception:  # Ray says it in many ways
            if cluster is not None:
                cluster.shutdown()  # all of it: the late node would join beside its second
            if start + 1 == _STARTS:
                raise
    raise AssertionError("started at least once")


class Nodes:
    """Some nodes of one core each, the first of which is the head.

    Attributes:
        address: of the head.
        log: a line for each call of a teacher on a node: the process's id and the number of views.
    """

    def __init__(self, folder: Path, count: int, seconds: float):
        (folder / "slow").mkdir()
        (folder / "slow" / "sitecustomize.py").write_text(SLOW)
        self.log = folder / "embedded.log"
        self._environment = python_environment()
        self._environment["PYTHONPATH"] += os.pathsep + str(folder / "slow")
        told = {"EMBEDDED_LOG": str(self.log), "EMBEDDED_SECONDS": str(seconds), "RAY_USAGE_STATS_ENABLED": "0"}
        with changed_environment({**self._environment, **told}):
            self._cluster, self.workers = started_cluster(count)
        self.address = str(self._cluster.address)

    def close(self) -> None:
        """End all processes of the cluster."""
        self._cluster.shutdown()

    def kill_node(self) -> None:
        """Kill one that is not the head, as a power cut would."""
        self._cluster.remove_node(self.workers.pop(), allow_graceful=False)

    def kill_teacher(self) -> None:
        """Kill the process of a teacher that has just begun; one of a node that was killed may be gone by then."""
        known = len(self.calls())
        while True:
            calls = self.await_calls(known + 1)
            known = len(calls)
            with contextlib.suppress(ProcessLookupError):
                os.kill(calls[-1][0], signal.SIGKILL)
                return

    def calls(self) -> list[tuple[int, int]]:
        """Return (process, views) of each call of a teacher so far."""
        with contextlib.suppress(FileNotFoundError):
            return [(int(pid), int(views)) for pid, views in map(str.split, self.log.read_text().splitlines())]
        return []

    def await_calls(self, count: int) -> list[tuple[int, int]]:
        """Wait until teachers were called so often."""
        until = time.monotonic() + 60
        while len(calls := self.calls()) < count:
            assert time.monotonic() < until, "no teacher was called"
            time.sleep(0.02)
        return calls

    def build(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start `embedstore build` on the nodes, in a process of its own."""
        return subprocess.Popen(
            [
                sys.executable, "-c", "from embedstore_cli.main import main; main()", "build", *map(str, arguments),
                "--engine", "ray", "--address", self.address, "--json",
            ],
            env={**self._environment, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip


@contextlib.contextmanager
def changed_environment(changes: Mapping[str, Any]) -> Iterator[None]:
    """Have other environment variables while inside: child processes inherit them."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def nodes(folder: Path, count: int = 3, seconds: float = 0.3) -> Iterator[Nodes]:
    """Have a cluster while inside."""
    started = Nodes(folder, count, seconds)
    try:
        yield started
    finally:
        started.close()
