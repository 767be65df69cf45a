"""What runs on the machines of a Ray cluster: tasks that cut pictures, and teachers that embed them into shards.

Rows go from one to the next: `portion`, msgpack; `key` of its shard; the `node` that made it; `error`, its kind and sentence. An
error is a row, too: Ray would try again what fails, and then drop it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack
import numpy as np

import embedstore
from embedstore.engines.cutting import Cut, cut, embed_all
from embedstore.engines.engine import Job, Request
from embedstore.engines.ray_cluster import first_line
from embedstore.engines.shards import Shards
from embedstore.errors import EmbedstoreError, EngineError, TeacherMismatchError
from embedstore.store.own_teacher import check_against
from embedstore.teachers import Teacher, load_described, load_teacher

Row = dict[str, Any]
_CROPS_AT_ONCE = 256  # views in one call of the teacher, about


def portion_row(requests: Sequence[Request], kept: Sequence[bytes] | None) -> Row:
    """Return the row that a cutting task gets.

    Args:
        requests: its pictures.
        kept: contents whose pixels are not wanted; None: no pixels are.
    """
    pictures = [
        [one.id, one.uri, [[content, list(views)] for content, views in one.lacking.items()]] for one in requests
    ]
    return _row(portion=msgpack.packb([pictures, kept]))


def error_of(row: Row) -> EmbedstoreError | None:
    """Return the error that a row tells of."""
    kind, _, sentence = str(row["error"]).partition("\n")
    if not kind:
        return None
    error: EmbedstoreError = getattr(embedstore.errors, kind, EngineError)(sentence)
    return error


def _row(*, portion: bytes = b"", key: str = "", error: str = "") -> Row:
    return {"portion": portion, "key": key, "node": _node(), "error": error}


def _failed(doing: str, error: Exception) -> Row:
    """Return the row that tells of an error."""
    if isinstance(error, EmbedstoreError):
        return _row(error=f"{type(error).__name__}\n{error}")
    what = f"{type(error).__name__}: {first_line(error)}"
    return _row(
        error=f"{EngineError.__name__}\n{doing} failed on the node {_node()} of the Ray cluster ({what}); mend that, then run "
        "the command again: it goes on from here."
    )


class Cutter:
    """Reads and cuts the pictures of a portion.

    Args:
        job: what they have in common.
        release: of embedstore, where the build runs.
        crops: in a shard, about.
    """

    def __init__(self, job: Job, release: str, crops: int):
        self._job, self._release, self._crops = job, release, crops

    def cut(self, row: Row) -> Iterator[Row]:
        """Yield the pictures of a portion, cut, in rows of about so many crops: more where files have changed."""
        try:
            yield from self._cut(*msgpack.unpackb(row["portion"]))
        except Exception as error:  # noqa: BLE001  the driver ends with it
            yield _failed("Reading pictures", error)

    def _cut(self, pictures: Sequence[Any], kept: Sequence[bytes] | None) -> Iterator[Row]:
        self._refuse_another_place()
        known = frozenset(kept or ())

        def wants(content: bytes) -> bool:
            return kept is not None and content not in known

        cuts: list[Cut] = []
        size = 0
        for one, uri, lacking in pictures:
            request = Request(one, uri, {content: tuple(views) for content, views in lacking})
            cuts.append(cut(request, self._job, wants))
            size += len(cuts[-1].views)
            if size >= self._crops:
                yield _row(portion=_packed(cuts))
                cuts, size = [], 0
        if cuts:
            yield _row(portion=_packed(cuts))

    def _refuse_another_place(self) -> None:
        """Raise where this node is not what the build needs."""
        if embedstore.__version__ != self._release:
            raise EngineError(
                f"The node {_node()} of the Ray cluster has embedstore {embedstore.__version__}, the build runs {self._release}; "
                "install the same release on all nodes."
            )
        for what, folder, option in (
            ("image folder", self._job.root, "IMAGES"),
            ("folder of shards", self._job.shards, "--shards"),
        ):
            if not folder.is_dir():
                raise EngineError(
                    f"The {what} '{folder}' is not there on the node {_node()} of the Ray cluster; put it on a disk that "
                    f"all nodes see under this path, and name that by {option}."
                )


class Embedder:
    """A teacher on a node: embeds portions, and writes each as a shard.

    Args:
        job: what the pictures have in common.
        threads: of PyTorch, on a node without a GPU.
    """

    def __init__(self, job: Job, threads: int):
        self._job, self._threads = job, threads
        self._shards = Shards(job)
        self._teacher: Teacher | None = None  # loaded by the first portion, where an error can be told

    def __call__(self, row: Row) -> Row:
        """Embed a portion; return a row with the key of its shard."""
        if row["error"]:
            return row
        try:
            return self._shard(row)
        except Exception as error:  # noqa: BLE001  the driver ends with it
            return _failed("Embedding", error)

    def _shard(self, row: Row) -> Row:
        cuts = _unpacked(row["portion"])
        key = self._shards.key(cuts)
        if not self._shards.is_done(key):  # else Ray asks again for what was lost with a node
            self._shards.begin(key)
            answers = embed_all(cuts, self._given, self._job.outputs, _CROPS_AT_ONCE)
            self._shards.write(key, [one for some in answers for one in some])
        return _row(key=key)

    def _given(self) -> Teacher:
        if self._teacher is None:
            self._teacher = self._load()
        return self._teacher

    def _load(self) -> Teacher:
        job = self._job
        teacher = (
            load_described(job.space, job.outputs) if job.teacher is None else load_teacher(job.teacher, job.outputs)
        )
        if teacher.fingerprint != job.fingerprint:
            raise TeacherMismatchError(
                f"The teacher '{teacher.name}' of the node {_node()} has the fingerprint {teacher.fingerprint}, the store's "
                f"{job.fingerprint}; give all nodes the same weights and releases."
            )
        check_against(job.space, f"of the store, as the node {_node()} finds it,", teacher)
        if "torch" in sys.modules:
            import torch

            if not torch.cuda.is_available():
                torch.set_num_threads(self._threads)
        return teacher


def _packed(pictures: Sequence[Cut]) -> bytes:
    """Return cut pictures as bytes: the way from one process to the next."""

    def array(values: np.ndarray[Any, Any] | None) -> list[Any] | None:
        return None if values is None else [values.shape, np.ascontiguousarray(values).tobytes()]

    packed: bytes = msgpack.packb(
        [[p.id, p.content, list(p.views), array(p.crops), array(p.pixels), p.problem] for p in pictures]
    )
    return packed


def _unpacked(data: bytes) -> list[Cut]:
    def array(packed: Any) -> Any:
        return None if packed is None else np.frombuffer(packed[1], np.uint8).reshape(packed[0])

    return [
        Cut(one, content, tuple(views), array(crops), array(pixels), problem)
        for one, content, views, crops, pixels, problem in msgpack.unpackb(data)
    ]


def _node() -> str:
    """Return how people know this node: its address."""
    from ray.util import get_node_ip_address

    return f"'{get_node_ip_address()}'"  # type: ignore[no-untyped-call]
