"""Where training samples and their pictures come from: a store, or one exported summary, and the image folder."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgpack
import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore import EmbeddingStore, Sample, Summary
from embedstore import open as open_store
from embedstore.errors import PictureError, TrainingError
from embedstore.exports import SummaryFile
from embedstore.images import leaves
from embedstore.pictures import content_hash, read_picture
from embedstore.store.embedding_store import refuse_unbuilt
from embedstore.vectors import Vectors
from embedstore.views import Recipe

READERS = min(8, os.cpu_count() or 2)  # threads that read pictures: decoding lets the others run meanwhile


class Source(Protocol):
    """What training asks; both `EmbeddingStore` and `SummaryFile` answer.

    Positions are those in `samples`. `read` of a summary file knows the vectors of the samples that the summary keeps,
    and no others.
    """

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def teacher(self) -> str: ...  # noqa: D102
    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def views(self) -> int: ...  # noqa: D102
    @property
    def recipe(self) -> Recipe: ...  # noqa: D102
    @property
    def image_root(self) -> Path | None: ...  # noqa: D102
    @property
    def samples(self) -> Sequence[Sample]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def __contains__(self, sample_id: object) -> bool: ...
    def sample_at(self, position: int) -> Sample: ...  # noqa: D102
    def content_at(self, position: int) -> bytes: ...  # noqa: D102
    def positions(self, ids: Sequence[str]) -> npt.NDArray[np.int64]: ...  # noqa: D102
    def read(self, positions: npt.NDArray[np.int64], *, view: int = 0) -> Vectors: ...  # noqa: D102
    def summary(self, name: str) -> Summary: ...  # noqa: D102


@contextmanager
def opened_source(path: str | os.PathLike[str], version: int | None = None) -> Iterator[Source]:
    """Open a store, or a file that `embedstore export` wrote, for as long as the context lasts.

    Args:
        path: of the store or the file.
        version: of the store, the newest where not given; `training.store_version` says which. A file has only one.

    Raises:
        NotAStoreError: there is no store.
        StoreError: its first build is running, or was not finished.
        SummaryError: the file can't be used.
        TrainingError: the store has no such version any more, or the file is of another.
    """
    if Path(path).suffix == ".safetensors":
        file = SummaryFile(path)
        if version is not None and file.version != version:
            raise TrainingError(
                f"The file '{path}' is of version {file.version} of its store now, and version {version} is to be learned from; "
                "put that file back, or begin again in another directory."
            )
        yield file
    else:
        with opened_store(path, version) as store:
            yield store


@contextmanager
def opened_store(path: str | os.PathLike[str], version: int | None = None) -> Iterator[EmbeddingStore]:
    """Open a store for as long as the context lasts; see `opened_source`."""
    with open_store(path) as newest:
        if version is None:
            refuse_unbuilt(newest)
            yield newest
            return
        if not any(one.number == version and one.readable for one in newest.log()):
            raise TrainingError(
                f"The store '{path}' has no version {version} any more, which is to be learned from: a compaction removed it, "
                "the store was built anew, or what is to go on is another store's; begin again in another directory, and keep a "
                f"version for as long as that takes with: embedstore tag '{path}' NAME"
            )
    with open_store(path, version) as store:
        refuse_unbuilt(store)
        yield store


def contents_of(source: Source) -> str:
    """Return a digest of what a run hangs on beside the teacher: the samples, their files, and how views are cut.

    A version would not do: a store that is deleted and built anew counts from 1 again.
    """
    samples = sorted(
        (one.id, one.label, one.mode, one.group, one.split, source.content_at(at))
        for at, one in enumerate(source.samples)
    )
    return content_hash(msgpack.packb([source.recipe.to_dict(), samples])).hex()


def texts_of(source: Source, positions: npt.NDArray[np.int64]) -> tuple[list[str], list[str | None], list[str | None]]:
    """Return ids, labels and groups of the samples at some positions; of a store by column, for it may have millions."""
    if isinstance(source, EmbeddingStore):
        ids, labels, groups = (source.text_field(name)[positions].to_list() for name in ("id", "label", "group"))
        return [one or "" for one in ids], labels, groups
    samples = [source.sample_at(at) for at in positions.tolist()]
    return [one.id for one in samples], [one.label for one in samples], [one.group for one in samples]


def image_folder(source: Source, images: Path | None) -> Path:
    """Return where the pictures are: in `images`, or where the source remembers them.

    Raises:
        TrainingError: neither tells.
    """
    root = images or source.image_root
    if root is None:
        raise TrainingError(f"The file '{source.path}' does not hold the pictures; tell where they are: --images DIR")
    return root


def no_folder(root: Path) -> TrainingError:
    """Return the error that says that the image folder is gone."""
    return TrainingError(f"The image folder '{root}' is not there; tell where the pictures are now: --images DIR")


def picture_of(source: Source, root: Path, position: int) -> Image.Image:
    """Read the picture of the sample at a position from its file under `root`; see `pictures.decode`.

    Raises:
        TrainingError: it is not there, can't be read, or is another than the one that was embedded.
    """
    sample = source.sample_at(position)
    if leaves(sample.uri):
        raise TrainingError(
            f"'{source.path}' names the picture '{sample.uri}', which is outside of the image folder; do not use it."
        )
    if not root.is_dir():
        raise no_folder(root)
    try:
        picture, content = read_picture(root / sample.uri)
    except PictureError as error:
        raise TrainingError(
            f"The picture '{sample.uri}' under '{root}' {error}; put it back, or delete the file "
            f"and take it out of the store: embedstore build STORE IMAGES --prune{_and_begin_again(source)}"
        ) from error
    embedded = source.content_at(position)
    if any(embedded) and content != embedded:  # zeros: vectors that were given without a picture
        raise TrainingError(
            f"The picture '{sample.uri}' is another than the one that was embedded; run: embedstore build STORE IMAGES"
            f"{_and_begin_again(source)}"
        )
    return picture


def _and_begin_again(source: Source) -> str:
    """Say what else it takes where a version is read: a new one alone would not be looked at."""
    if not isinstance(source, EmbeddingStore) or source.pinned is None:
        return ""
    return f", and begin again with the new version in another directory, for here version {source.version} is read"
