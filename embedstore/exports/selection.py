"""What leaves a store beside summaries: the samples that meet some conditions, in one view, with their fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError
from embedstore.images import COLUMNS, FIELDS
from embedstore.store.fields import ATTRIBUTE, ID, URI, Texts
from embedstore.teachers.reduction import KIND, Reduction

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore


class Selection:
    """Some samples of a store, in its order.

    Args:
        store: to read.
        where: conditions, as of `StoreReader.where`; all samples where there are none.
        view: 0 is the plain picture.

    Attributes:
        positions: (n,) in the store.
        dim: of the vectors.
        about: what a file says of where it is from, as plain values; of a thinned store `reduced`, see `Reduction.to_texts`.

    Raises:
        SettingsError: no sample meets the conditions.
        StoreError: the store has no such field.
    """

    def __init__(self, store: EmbeddingStore, *, where: Mapping[str, str | None] | None = None, view: int = 0):
        self._store, self._view = store, view
        self._chosen: npt.NDArray[np.bool_] = store.where(where or {})
        self.positions = np.flatnonzero(self._chosen)
        self.dim = store.dim
        self.about: dict[str, Any] = {
            "teacher": store.teacher,
            "fingerprint": store.fingerprint,
            "declared": store.declared,
            "outputs": sorted(store.space["outputs"]),
            "input_size": int(store.space["input_size"]),
            "recipe": store.recipe.to_dict(),
            "version": store.version,
            "view": view,
        }
        if KIND in store.space:  # no name loads the teacher of a thinned store: its axes are known here alone
            self.about[KIND] = Reduction.from_dict(store.space[KIND]).to_texts()
        taken = sorted(set(store.attribute_names) & set(COLUMNS))
        if taken:
            raise SettingsError(
                f"The store has an attribute '{taken[0]}', which in a file is the name of another column; give the attribute "
                "another name."
            )
        if not len(self):
            raise SettingsError("No sample of the store meets the conditions, so there is nothing to export.")

    def __len__(self) -> int:
        return int(self._chosen.sum())

    def texts(self) -> dict[str, Texts]:
        """Return column name -> texts (n,), None where there is none: those of `COLUMNS`, then the attributes by name."""
        ids, own = self._field(ID), self._field(URI)
        paths = [uri or name for uri, name in zip(own, ids, strict=True)]
        texts = {"id": ids, "path": paths} | {name: self._field(name) for name in FIELDS}
        return texts | {name: self._field(ATTRIBUTE + name) for name in self._store.attribute_names}

    def _field(self, name: str) -> Texts:
        return self._store.text_field(name)[self._chosen].to_list()

    def blocks(self, view: int | None = None) -> Iterator[npt.NDArray[np.float16]]:
        """Yield the vectors (m, d), some thousands at a time; of the selection's own view where none is named."""
        for positions, block in self._store.scan(view=self._view if view is None else view):
            kept = self._chosen[positions]
            if kept.any():
                yield block[kept]
