"""Where training samples come from: a store, or one exported summary."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from embedstore import Sample, Summary
from embedstore import open as open_store
from embedstore.exports import SummaryFile
from embedstore.vectors import Vectors
from embedstore.views import Recipe


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
def opened_source(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Open a store, or a file that `embedstore export` wrote, for as long as the context lasts.

    Raises:
        NotAStoreError: there is no store.
        SummaryError: the file can't be used.
    """
    if Path(path).suffix == ".safetensors":
        yield SummaryFile(path)
    else:
        with open_store(path) as store:
            yield store
