"""The `.safetensors` file of vectors that `embedstore export` writes; see `exports.vectors_file` for what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedstore.errors import SourceError
from embedstore.exports import light_file
from embedstore.exports.sealed import TEXT, column_ends, opened, unpacked
from embedstore.exports.vectors_file import FORMAT, METADATA, VECTORS
from embedstore.imports.source import BATCH, Batch, Options, Origin, as_float16, batch_of, origin_of
from embedstore.store.fields import Texts


class VectorsFileSource:
    """An exported `.safetensors` file; see `source.Source`.

    Args:
        path: of the file.
        options: only `images` and `strip` have a meaning here.

    Raises:
        SourceError: it is no such file, or not the one that was written.
    """

    left_out: tuple[str, ...] = ()
    kind = ""

    def __init__(self, path: Path, options: Options):
        if options.fields is not None or options.column is not None:
            raise SourceError(f"'{path}' says where its vectors and fields are; leave --fields and --column out.")
        self.path = self.texts = path
        self._options = options
        if light_file.is_light_file(path):
            raise SourceError(
                f"'{path}' is a light file, whose centred and rounded directions are no longer the teacher's vectors; "
                "export without --light, and import that."
            )
        command = "embedstore export STORE FILE (without --summary)"
        with opened(path, METADATA, FORMAT, "file of vectors", command) as (file, about):
            self.origin: Origin | None = origin_of(about, path)
            vectors = file.get_slice(VECTORS)
            if vectors.get_dtype() != "F16":
                raise ValueError("its vectors are of another type")
            self.count, self.dim = map(int, vectors.get_shape())
            self._ends = column_ends(file, self.count)
            if not self.count or not self.dim or "id" not in self._ends:
                raise ValueError("it holds nothing")

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in their order."""
        from safetensors import safe_open

        with safe_open(self.path, framework="numpy") as file:
            for first in range(0, self.count, BATCH):
                stop = min(first + BATCH, self.count)
                try:
                    columns = {name: self._texts(file, name, first, stop) for name in self._ends}
                except UnicodeDecodeError as error:
                    raise SourceError(f"'{self.path}' holds texts that are not UTF-8; export it again.") from error
                vectors = as_float16(file.get_slice(VECTORS)[first:stop], first, self.path)
                yield batch_of(columns, vectors, first, self.path, texts=self.path, options=self._options)

    def _texts(self, file: Any, name: str, first: int, stop: int) -> Texts:
        ends = self._ends[name][first:stop]
        start, end = int(self._ends[name][first - 1]) if first else 0, int(ends[-1])
        data = file.get_slice(TEXT + name)[start:end].tobytes() if start < end else b""
        return unpacked(data, ends, start)
