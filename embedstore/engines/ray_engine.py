"""The engine of a Ray cluster: Ray Data moves portions of pictures from tasks that cut them to teachers that embed them.

    requests -> portions -> tasks read and cut -> a teacher per GPU or group of cores -> a shard on the disk -> this process

A lost worker or node costs the shards that its teachers had in hand, one each; Ray Data goes on with the others, and what is left
is done in another round, on the nodes that are there by then. This process alone takes shards in: see `shards`.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path

from embedstore.engines.engine import Embedded, Job, Request, WantsPixels
from embedstore.engines.ray_cluster import Node, alive_nodes, connected, first_line, require_ray
from embedstore.engines.shards import Shards, usable
from embedstore.errors import EmbedstoreError, EngineError, SettingsError

CROPS = 1000
_CORES = 4  # of a teacher, where not given
_PICTURES_AT_ONCE = 100_000  # in one round: requests are taken as the work goes on
_AHEAD = 2  # portions at a teacher: one in hand, and the next
_CUTTING = 0.5  # of a core of each teacher's, by Ray's account: for the task that cuts its next portion
_PATIENCE_SECONDS = 30.0  # for a network drive to show here what a node wrote
_REMARK_SECONDS = 60.0  # after which it is told that no teacher has begun: Ray waits for room without a word


class ClusterWarning(UserWarning):
    """A Ray cluster does not get on with the work, and why that may be."""


class RayEngine:
    """Embeds on the nodes of a Ray cluster; see `engine.Engine`.

    Args:
        address: HOST:PORT of the cluster's head, or `auto`; where not given, see `ray_cluster.connected`.
        crops: (sample, view) pairs in a shard, about: what a lost worker costs.
        cores: of each teacher, where the cluster has no GPU; where not given 4, or as many as the largest node has.

    Attributes:
        shards: that were embedded and taken in by the last run.
        repeated: how often it embedded a shard that it had begun before, for a worker or a node was lost.

    Raises:
        SettingsError: a number is out of range.
    """

    def __init__(self, address: str | None = None, *, crops: int = CROPS, cores: int | None = None):
        for name, number, most in (("crops in a shard", crops, 100_000), ("cores of a teacher", cores, 1024)):
            if number is not None and not 1 <= number <= most:
                raise SettingsError(f"The number of {name} is {number}; expected 1 to {most}.")
        self._address, self._crops, self._cores = address, crops, cores
        self._run: _Run | None = None

    @property
    def shards(self) -> int:
        """See the class."""
        return 0 if self._run is None else self._run.taken

    @property
    def repeated(self) -> int:
        """See the class."""
        return 0 if self._run is None else self._run.repeated

    def embed(self, requests: Iterable[Request], job: Job, wants: WantsPixels) -> Generator[list[Embedded]]:
        """See `engine.Engine.embed`.

        Raises:
            MissingPackageError, SettingsError, EngineError: see `ray_cluster.connected`.
            EngineError: the folder of shards can't be used, a node does not see it or the pictures, no node has room for a
                teacher, or the cluster fails.
            TeacherError: a node can't load the teacher: its weights, too, must be where all nodes find them.
            TeacherMismatchError: it is another one there.
        """
        self._run = run = _Run(job, wants, self._crops, self._cores)
        waiting = iter(requests)
        left = _next(waiting)
        if not left:
            return
        with connected(self._address), usable(job.shards):
            job.shards.mkdir(exist_ok=True)
            try:
                while left:
                    yield from run.embed(left)
                    left = _next(waiting)
            finally:
                with suppress(OSError):  # there is something in it, for this run or the next
                    job.shards.rmdir()

    def committed(self) -> None:
        """Remove the shards that are in the store now."""
        if self._run is not None:
            self._run.drop()


class _Run:
    """One run of the engine, while it is connected."""

    def __init__(self, job: Job, wants: WantsPixels, crops: int, cores: int | None):
        self._job, self._wants, self._crops, self._cores = job, wants, crops, cores
        self.shards = Shards(job)
        self._to_drop: list[str] = []  # shards that were yielded
        self._seen: set[str] = set()  # and all that ever were: a node may be asked twice
        self.taken = self.repeated = 0

    def embed(self, left: dict[str, Request]) -> Iterator[list[Embedded]]:
        """Yield the answers to some requests, by id, in as many rounds as that takes."""
        patient = True
        while left:
            before, failure = len(left), None
            try:
                with closing(self._finished(list(left.values()), patient)) as finished:
                    for key in finished:
                        yield from self._take(key, left)
            except (EmbedstoreError, OSError):
                raise
            except Exception as error:  # noqa: BLE001  Ray fails in many ways; told below where it does so twice
                failure = error
            for key in self.shards.done():  # whose word was lost with the node that gave it
                yield from self._take(key, left)
            self.shards.forget_taken()
            if len(left) < before:
                patient = True
            elif patient:
                patient = False  # once more, with an end at the first thing that fails
            else:
                why = (
                    "nodes or workers are lost before they finish anything" if failure is None else first_line(failure)
                )
                raise EngineError(
                    f"The Ray cluster can't embed the {len(left)} pictures that are left ({why}); see that all nodes have this "
                    "release of embedstore, the packages of its teacher and memory enough, then run the command again, which "
                    "goes on from here."
                ) from failure

    def drop(self) -> None:
        """Remove the shards that were yielded, and are in the store by now."""
        keys, self._to_drop = self._to_drop, []
        for key in keys:
            self.shards.take(key)

    def _take(self, key: str, left: dict[str, Request]) -> Iterator[list[Embedded]]:
        """Yield what a shard says of requests that are left; they are no longer."""
        if key in self._seen:
            return
        begun = self.shards.times_begun(key)
        pictures = self.shards.read(key)
        if pictures is None:
            return
        answers = [picture for picture in pictures if self._answers(picture, left.get(picture.id))]
        for picture in answers:
            del left[picture.id]
        self.taken += any(picture.views for picture in answers)
        self.repeated += max(0, begun - 1)
        self._to_drop.append(key)
        self._seen.add(key)
        if answers:
            yield answers

    def _answers(self, picture: Embedded, request: Request | None) -> bool:
        """Return whether a picture of a shard is what was asked for.

        Raises:
            EngineError: a node could not read a file that is here.
        """
        if request is None:
            return False
        if picture.content is None:
            if _can_read(self._job.root / request.uri):
                raise EngineError(
                    f"A node of the Ray cluster can't read '{request.uri}' in '{self._job.root}' ({picture.problem}), but this "
                    "one finds it; put the pictures on a disk that all nodes see under the same path."
                )
            return True
        return picture.problem is not None or picture.views == request.missing(picture.content, self._job.views)

    def _finished(self, requests: Sequence[Request], patient: bool) -> Generator[str]:
        """Yield the keys of shards as nodes finish them, in one round.

        Args:
            requests: of the round.
            patient: go on with the others where a worker is lost.

        Raises:
            EmbedstoreError: something fails that no other node could do better.
        """
        import embedstore

        ray = require_ray()
        from embedstore.engines.ray_tasks import Cutter, Embedder, error_of, portion_row

        nodes = alive_nodes()
        gpus = sum(node.gpus for node in nodes)
        cores = _cores(nodes, self._cores)
        teachers = gpus or sum(node.cores // cores for node in nodes)
        portions = [portion_row(part, self._kept(part)) for part in _portions(requests, self._job.views, self._crops)]
        rows = ray.data.from_items(portions, override_num_blocks=len(portions))
        rows.context.max_errored_blocks = -1 if patient else 0
        rows.context.target_max_block_size = 1  # a row is a block: it travels and is embedded by itself
        rows.context.enable_progress_bars = False
        rows = rows.flat_map(
            Cutter(self._job, embedstore.__version__, self._crops).cut, num_cpus=1 if gpus else _CUTTING
        )
        rows = rows.map(
            Embedder,
            fn_constructor_args=(self._job, cores),
            compute=ray.data.ActorPoolStrategy(size=min(teachers, len(portions)), max_tasks_in_flight_per_actor=_AHEAD),
            **({"num_gpus": 1} if gpus else {"num_cpus": cores - _CUTTING}),
        )
        each = "a GPU" if gpus else f"{cores} of the {sum(node.cores for node in nodes)} cores"
        with _silent(), _remarking(self._begun, each):
            for row in rows.iter_rows():
                if (error := error_of(row)) is not None:
                    raise error
                self._await(row["key"], row["node"])
                yield row["key"]

    def _kept(self, requests: Iterable[Request]) -> list[bytes] | None:
        """Return the known contents of some requests whose pixels are not wanted; None where no pixels are."""
        if not self._wants(b""):
            return None
        return [content for request in requests for content in request.lacking if not self._wants(content)]

    def _begun(self) -> bool:
        """Return whether any teacher has begun, as far as the folder says."""
        return bool(self._seen or self.shards.unfinished() or self.shards.done())

    def _await(self, key: str, node: str) -> None:
        """Wait until a shard that a node wrote is to be seen here.

        Raises:
            EngineError: it never is.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        while key not in self._seen and not self.shards.is_done(key):
            if time.monotonic() > until:
                raise EngineError(
                    f"What the node {node} of the Ray cluster wrote into '{self.shards.folder}' is not to be seen there from "
                    "here; name a folder by --shards that is the same one for all nodes."
                )
            time.sleep(0.1)


def _can_read(file: Path) -> bool:
    """Return whether this process can read a file."""
    try:
        with file.open("rb"):
            return True
    except OSError:
        return False


def _cores(nodes: Sequence[Node], asked: int | None) -> int:
    """Return how many cores each teacher gets; of no use where there are GPUs.

    Raises:
        EngineError: no node has so many.
    """
    most = max(node.cores for node in nodes)
    if any(node.gpus for node in nodes):
        return asked or _CORES
    if most < (asked or 1):
        raise EngineError(
            f"A teacher is to get {asked or 1} of a node's cores, but no node of the Ray cluster has more than {most} for its "
            "tasks; ask for fewer by --teacher-cores, or add a node."
        )
    return asked or min(_CORES, most)


def _next(requests: Iterator[Request]) -> dict[str, Request]:
    """Return the requests of the next rounds by their ids."""
    return {request.id: request for request in islice(requests, _PICTURES_AT_ONCE)}


def _portions(requests: Iterable[Request], views: int, crops: int) -> Iterator[list[Request]]:
    """Cut requests into portions of about so many crops, as far as the store knows what they lack."""
    portion: list[Request] = []
    size = 0
    for request in requests:
        portion.append(request)
        size += max(1, *(len(lacking) for lacking in request.lacking.values())) if request.lacking else views + 1
        if size >= crops:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Ray Data's own log from the terminal: what fails for good is raised."""
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _remarking(begun: Callable[[], bool], each: str) -> Iterator[None]:
    """Warn, while inside, where no teacher has begun after a while.

    Args:
        begun: whether any has.
        each: what a teacher needs.
    """

    def look() -> None:
        if not begun():
            warnings.warn(
                f"No teacher has begun on the Ray cluster in {_REMARK_SECONDS:.0f} s; each needs {each}, which other work may "
                "hold. The build goes on waiting; it can be stopped and run again later.",
                ClusterWarning,
                stacklevel=2,
            )

    timer = threading.Timer(_REMARK_SECONDS, look)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
