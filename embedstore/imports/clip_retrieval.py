"""The folder that `clip-retrieval inference` writes: `img_emb/`, `text_emb/` and `metadata/`, in numbered parts.

Source: the README of https://github.com/rom1504/clip-retrieval and its `clip_inference/writer.py` (release 2.45). Part N is
`img_emb/img_emb_N.npy` (n, d), unit length, float16, and `metadata/metadata_N.parquet` with a row for each vector and the
columns `image_path`, `caption` where there were texts, and whatever the pictures' own metadata say. N begins with zeros or not,
as the release has it; a part without pictures is not written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from embedstore.errors import SourceError
from embedstore.imports.npy import NpyVectors
from embedstore.imports.parquet import ParquetTable
from embedstore.imports.source import Batch, Options, Origin, batch_of
from embedstore.imports.tables import check_counts

IMAGES, METADATA = "img_emb", "metadata"


class ClipRetrievalSource:
    """A folder of clip-retrieval; see `source.Source`.

    A row's `image_path` becomes its path and, where there is no column `id`, its id; the caption and all else become attributes.

    Args:
        path: of the folder.
        options: `column` is `img_emb`, the default, or `text_emb` for the captions' embeddings; `images` is the folder that was
            embedded.

    Raises:
        SourceError: a part is missing or can't be used.
        MissingPackageError: pyarrow is not installed.
    """

    origin: Origin | None = None

    def __init__(self, path: Path, options: Options):
        if options.fields is not None:
            raise SourceError(f"'{path}' has its fields in its folder '{METADATA}'; leave --fields out.")
        self.path = self.texts = path
        self._options = options
        kind = options.column or IMAGES
        self.kind = "" if kind == IMAGES else kind  # captions and pictures lie apart, though one model gives both
        vectors, texts = _parts(path, kind, ".npy"), _parts(path, METADATA, ".parquet")
        if not vectors:
            raise SourceError(
                f"'{path}' has no '{kind}/{kind}_0.npy'; give a folder that clip-retrieval wrote, or a .npy, .parquet or "
                ".safetensors file."
            )
        for number in sorted(vectors.keys() ^ texts.keys()):
            there = vectors.get(number, texts.get(number))
            raise SourceError(
                f"'{there}' has no counterpart in '{path / (METADATA if number in vectors else kind)}'; copy the folder again."
            )
        self._parts = [(NpyVectors(vectors[number]), ParquetTable(texts[number])) for number in sorted(vectors)]
        for one, table in self._parts:
            check_counts(one, table)
        first = self._parts[0][0]
        for one, _ in self._parts:
            if one.dim != first.dim:
                raise SourceError(
                    f"'{one.path}' has vectors of {one.dim} numbers, but '{first.path}' of {first.dim}; all must be of one "
                    "teacher."
                )
        self.count, self.dim = sum(one.count for one, _ in self._parts), first.dim
        left_out = {name for _, table in self._parts for name in (*table.vectors, *table.others)}
        self.left_out = tuple(sorted(left_out))

    def batches(self) -> Iterator[Batch]:
        """Yield all rows, part after part."""
        for vectors, table in self._parts:
            first = 0
            for batch in table.chunks(table.texts):
                columns = table.texts_of(batch)
                if "path" not in columns and "image_path" in columns:
                    columns["path"] = columns.pop("image_path")
                rows = vectors.read(first, first + batch.num_rows)
                yield batch_of(columns, rows, first, vectors.path, texts=table.path, options=self._options)
                first += batch.num_rows


def _parts(path: Path, name: str, ending: str) -> dict[int, Path]:
    """Return the parts of one kind by their numbers."""
    pattern = re.compile(rf"{re.escape(name)}_([0-9]+){re.escape(ending)}")
    found = ((pattern.fullmatch(file.name), file) for file in sorted((path / name).glob(f"*{ending}")))
    return {int(match[1]): file for match, file in found if match}
