"""A summary as one `.safetensors` file that alone, with the pictures, is enough to train a student from.

Beside the summary itself it holds what training would ask the store for: the samples of every side of the split with
their labels and content hashes, the recipe of the views, and for each prototype that is a sample (as `rare-samples` keeps
them) that sample's own vectors in every view.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import numpy.typing as npt

from embedstore.errors import StoreError, SummaryError
from embedstore.images import SPLITS, Sample, leaves
from embedstore.summaries import Summary
from embedstore.vectors import Vectors
from embedstore.views import Recipe

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

_OWN, _TRAINING = "own", "training"  # names of the tensors beside the summary's


def write(store: EmbeddingStore, path: Path, *, summary: str) -> None:
    """Write a saved summary with all that training needs; see `embedstore.exports.export`."""
    kept = store.summary(summary)
    ahead = _is_ahead(kept, store)
    if kept.fingerprint != store.fingerprint and not ahead:
        earlier = f", or export it from a version that has its teacher (--version {kept.store_version})"
        raise SummaryError(
            f"The summary '{summary}' is of another teacher (fingerprint {kept.fingerprint[:12]}) than the store '{store.path}' "
            f"at version {store.version} ({store.fingerprint[:12]}); make it again{'' if kept.estimate else earlier}."
        )
    if kept.views != store.views:
        raise SummaryError(
            f"The summary '{summary}' knows {kept.views} views, but the store has {store.views} now; make it again under "
            "another name and export that."
        )
    gone = [kept.seen[at] for at in np.flatnonzero(store.find(kept.seen) < 0).tolist()]
    if gone:
        raise SummaryError(
            f"{len(gone)} pictures of the summary '{summary}' (such as '{gone[0]}') have left the store; make it again."
        )
    changed = sorted(_changed_since(store, kept) & set(kept.seen))
    if changed:
        raise SummaryError(
            f"{len(changed)} pictures of the summary '{summary}' (such as '{changed[0]}') have another picture or label since "
            "it was made; make it again under another name and export that."
        )
    sources = store.positions([kept.seen[at] for at in kept.source[kept.source >= 0]])
    if ahead and len(sources):
        raise SummaryError(
            f"The prototypes of the summary '{summary}' are pictures, whose own vectors in every view training takes, and by "
            f"'{store.teachers[kept.fingerprint]}' not all are embedded; finish the migration first, or take a summary of means."
        )
    if len(sources):
        own = np.stack([store.read(sources, view=view) for view in range(store.views + 1)], axis=1).astype(np.float16)
    else:
        own = np.zeros((0, kept.views + 1, kept.vectors.shape[1]), np.float16)
    training = {
        "version": store.version,
        "teacher": store.teachers[kept.fingerprint],
        "recipe": store.recipe.to_dict(),
        "samples": [
            [s.id, s.uri, s.label, s.mode, s.group, s.split, store.content_at(at)] for at, s in enumerate(store.samples)
        ],
    }
    packed = np.frombuffer(msgpack.packb(training), np.uint8)
    path.write_bytes(kept.to_bytes({_OWN: own, _TRAINING: packed}))


def _is_ahead(kept: Summary, store: EmbeddingStore) -> bool:
    """Return whether a summary was mapped from the teacher in use to one that the store has yet to change over to."""
    if kept.estimate is None or kept.fingerprint == store.fingerprint:
        return False
    return kept.estimate.fingerprint == store.fingerprint and kept.fingerprint in store.teachers


def _changed_since(store: EmbeddingStore, kept: Summary) -> set[str]:
    try:
        return store.changed_since(kept.store_version)
    except StoreError as error:
        raise SummaryError(
            f"The summary '{kept.name}' was made of version {kept.store_version}, which was removed by a compaction, so nothing "
            "tells whether its pictures are still the same; make it again under another name and export that."
        ) from error


def opened(path: Path) -> tuple[Summary, dict[str, npt.NDArray[Any]]]:
    """Return the summary in a file, and the tensors beside it.

    Raises:
        SummaryError: there is no such file, or it is none.
    """
    if not os.path.isfile(path):
        raise SummaryError(
            f"There is no file '{path}'; write one with: embedstore export STORE '{path}' --summary NAME"
        )
    try:
        return Summary.with_extra(path.read_bytes())
    except (SummaryError, IndexError, AttributeError, RecursionError) as error:  # as a hostile header may raise
        reason = error if isinstance(error, SummaryError) else "it is no summary; take it from a copy."
        raise SummaryError(f"'{path}' can't be used: {reason}") from error


class SummaryFile:
    """An exported summary; it answers what training asks a store, as far as the summary knows.

    Attributes:
        path: of the file.
        kept: the summary.
        teacher, fingerprint, version, recipe, dim, views: as of the store that it left.
        samples: of every side of the split, in the store's order.
        image_root: None: the file does not know where the pictures are.
    """

    image_root: Path | None = None

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.kept, extra = opened(self.path)
        if not self.kept.seen:
            raise SummaryError(
                f"'{self.path}' holds prototypes alone, which pictures are compared with and no student is trained from; export "
                "the summary without --prototypes-only."
            )
        try:
            training: dict[str, Any] = msgpack.unpackb(extra[_TRAINING].tobytes())
            self._own: npt.NDArray[np.float16] = extra[_OWN]
            self.teacher = str(training["teacher"])
            self.recipe = Recipe.from_dict(training["recipe"])
            self.samples = [_sample(fields) for fields in training["samples"]]
            self._content: list[bytes] = [fields[6] for fields in training["samples"]]
            self.fingerprint, self.version = self.kept.fingerprint, int(training["version"])
            self.dim, self.views = int(self.kept.vectors.shape[1]), self.kept.views
            self._position = {sample.id: at for at, sample in enumerate(self.samples)}
            sources = self.kept.source[self.kept.source >= 0]
            self._kept_at = {self._position[self.kept.seen[at]]: row for row, at in enumerate(sources)}
            self._check(len(sources))
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            if isinstance(error, SummaryError):
                raise
            raise SummaryError(
                f"'{self.path}' holds a summary, but not what training needs; write it with: embedstore export"
            ) from error

    def _check(self, sources: int) -> None:
        """Raise a ValueError where the parts do not fit together, as in a file that was made by hand."""
        if (
            len(self._position) != len(self.samples)
            or not set(self.kept.seen) <= self._position.keys()
            or self._own.shape != (sources, self.views + 1, self.dim)
            or not np.isfinite(self._own).all()
        ):
            raise ValueError("the parts do not fit together")

    def __len__(self) -> int:
        return len(self.samples)

    def sample_at(self, position: int) -> Sample:
        """Return the sample at a position in `samples`."""
        return self.samples[position]

    def content_at(self, position: int) -> bytes:
        """Return the hash of the file that was embedded."""
        return self._content[position]

    def positions(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return where some ids stand in `samples`.

        Raises:
            SummaryError: one is not there.
        """
        unknown = [sample_id for sample_id in ids if sample_id not in self._position]
        if unknown:
            raise SummaryError(f"The file '{self.path}' knows no sample '{unknown[0]}'.")
        return np.array([self._position[sample_id] for sample_id in ids], np.int64)

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._position

    def read(self, positions: npt.NDArray[np.int64], *, view: int = 0) -> Vectors:
        """Return the own vectors (n, d) of samples that the summary keeps as prototypes, in one view.

        Raises:
            SummaryError: it does not keep one of them.
        """
        missing = [int(at) for at in positions if int(at) not in self._kept_at]
        if missing:
            raise SummaryError(
                f"The file '{self.path}' does not keep the vector of '{self.samples[missing[0]].id}'; a policy that needs "
                "every picture's own vector is trained from the store."
            )
        rows = [self._kept_at[int(at)] for at in positions]
        return self._own[rows, view].astype(np.float32)

    def summary(self, name: str) -> Summary:
        """Return the summary, if that is its name.

        Raises:
            SummaryError: it has another.
        """
        if name != self.kept.name:
            raise SummaryError(f"The file '{self.path}' holds the summary '{self.kept.name}', not '{name}'.")
        return self.kept


def _sample(fields: Sequence[Any]) -> Sample:
    sample_id, uri, label, mode, group, split, content = fields
    if not (isinstance(sample_id, str) and isinstance(uri, str) and isinstance(content, bytes)):
        raise TypeError("not an id, a path and a hash")
    if not all(text is None or isinstance(text, str) for text in (label, mode, group, split)):
        raise TypeError("not a text")
    if leaves(uri):
        raise SummaryError(f"The file names the picture '{uri}', which is outside of the image folder; do not use it.")
    if split is not None and split not in SPLITS:
        raise ValueError("not a side of a split")
    return Sample(sample_id, uri, label, mode, group, split, {}, frozenset())
