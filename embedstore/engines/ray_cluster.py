"""A connection to a Ray cluster: the one at an address, or a small one on this machine for as long as it is needed.

A cluster runs whatever code it is sent by those who reach it (and have its token, where it asks for one), so it belongs in a
network that is trusted. One that is started here listens on this machine alone, and without Ray's dashboard.
"""

from __future__ import annotations

import logging
import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from embedstore.errors import EngineError, MissingPackageError, SettingsError

_PATIENCE_SECONDS = 5.0  # for an address to answer at all
# Ray gives each of its processes 15 seconds, which nobody can change (ray-project/ray issue 65983): too little where a slow disk
# reads their files for the first time. The second start finds them in memory.
_STARTS = 2
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True)
class Node:
    """A machine of a cluster, or a process that plays one.

    Attributes:
        id: Ray's own, in hex.
        name: to speak of it: its address.
        cores, gpus: that tasks may use there.
    """

    id: str
    name: str
    cores: int
    gpus: int


@contextmanager
def connected(address: str | None = None, *, cores: int | None = None) -> Iterator[list[Node]]:
    """Be connected to a Ray cluster while inside; yields its nodes that are alive by then.

    A connection that this process had before is used and kept. Otherwise the connection ends with the context, and with it a
    cluster that was started here.

    Args:
        address: HOST:PORT of a cluster's head, or `auto` for one that runs on this machine; where not given, what the
            environment variable RAY_ADDRESS says, else one is started here.
        cores: for a cluster that is started here; all where not given.

    Raises:
        MissingPackageError: Ray is not installed.
        SettingsError: the address is none, or that of another cluster than this process is connected to.
        EngineError: nothing answers there, it is no Ray cluster that this program can use, or none can be started here.
    """
    ray = require_ray()
    if address is None:
        address = os.environ.get("RAY_ADDRESS") or None
    if ray.is_initialized():
        _refuse_another(ray.get_runtime_context().gcs_address, address)
        yield alive_nodes()
        return
    with _quiet():
        if address is None:
            _start(ray, cores)
        else:
            _join(ray, address)
    try:
        yield alive_nodes()
    finally:
        ray.shutdown()


def require_ray() -> Any:
    """Return the module `ray`.

    Raises:
        MissingPackageError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reads it when a cluster is started
    os.environ.setdefault(
        "RAY_BACKEND_LOG_LEVEL", "fatal"
    )  # what else fails is raised; these lines would break a progress bar
    try:
        import ray
        import ray.data  # the extra installs it; a bare `ray` lacks what it needs
    except ImportError as error:
        raise MissingPackageError("The engine 'ray' needs Ray with Ray Data: pip install 'embedstore[ray]'") from error
    return ray


def _start(ray: Any, cores: int | None) -> None:
    """Start a cluster of one node that listens on the loopback interface alone.

    Raises:
        EngineError: it can't be started, or would listen elsewhere, too.
    """
    from ray._private import ray_constants

    # Ray turns 127.0.0.1 into the machine's own address and listens everywhere, but where it knows no clusters: on macOS and
    # Windows. The variable that says the same elsewhere, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER, is read when Ray is imported, which
    # may have been long ago, and would hold for all that this process does with Ray. So the setting is private, and checked.
    clusters = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        for start in range(_STARTS):
            try:
                ray.init(
                    address="local",
                    num_cpus=cores,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
                break
            except Exception as error:  # Ray says it in many ways
                _end_what_it_began(error)
                ray.shutdown()  # where the node had started, and a later step failed
                if start + 1 == _STARTS:
                    raise EngineError(
                        f"No Ray cluster can be started on this machine ({first_line(error)}); see Ray's own logs, or give "
                        "the address of one that runs with --address."
                    ) from error
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
    if not all(node.name in _LOOPBACK for node in alive_nodes()):
        ray.shutdown()
        raise EngineError(
            f"Ray {ray.__version__} starts no cluster that listens on this machine alone, as other releases do; start one with "
            "ray start --head in a network that you trust, and give its address with --address."
        )


def _end_what_it_began(error: BaseException) -> None:
    """End the processes of a node whose start failed: Ray itself keeps them until this process ends."""
    from ray._private.node import Node as RayNode

    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, RayNode):
            node.kill_all_processes(check_alive=False, allow_graceful=False)


def _join(ray: Any, address: str) -> None:
    """Connect to a cluster that runs."""
    if address != "auto":
        _refuse_silent(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise EngineError(
            f"The Ray cluster at '{address}' can't be used ({first_line(error)}); start one with ray start --head, or leave "
            "--address out to use this machine alone."
        ) from error


def _refuse_another(present: str, address: str | None) -> None:
    if address not in {None, "auto", present}:
        raise SettingsError(
            f"This process is connected to the Ray cluster at '{present}', and '{address}' is to be used; leave the address "
            "out, or end that connection first by ray.shutdown()."
        )


def _refuse_silent(address: str) -> None:
    """Raise where nothing answers at an address, or no Ray cluster does: Ray itself would try for minutes.

    Raises:
        SettingsError: it is not HOST:PORT.
        EngineError: nothing answers, or something else does.
    """
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdigit():
        raise SettingsError(
            f"The address '{address}' is none of a Ray cluster; give HOST:PORT of its head as ray start --head prints it, from "
            "a machine of the cluster, or auto."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"Nothing answers at '{address}' ({error}); see that the Ray cluster runs there, and that this machine may reach it."
        ) from error
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import RayError

    try:
        GcsClient(address=address)
    except RayError as error:
        raise EngineError(
            f"What answers at '{address}' is no Ray cluster that this program can use ({first_line(error)}); give the address "
            "that ray start --head printed."
        ) from error


def alive_nodes() -> list[Node]:
    """Return the nodes of the cluster that this process is connected to, as far as they are alive."""
    import ray

    def resources(node: Any, name: str) -> int:
        return int(node["Resources"].get(name, 0))

    return [
        Node(one["NodeID"], one["NodeManagerAddress"], resources(one, "CPU"), resources(one, "GPU"))
        for one in ray.nodes()  # type: ignore[no-untyped-call]
        if one["Alive"]
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray's own remarks on its start from the terminal; what fails is raised."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line without a full stop: Ray's have many."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
