"""The `.safetensors` file of vectors that `embedstore export` writes; see `exports.vectors_file` for what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SourceError
from embedstore.exports import light_file
from embedstore.exports.sealed import END, TEXT, checksum, is_sound_column, unpacked
from embedstore.exports.vectors_file import FORMAT, METADATA, VECTORS
from embedstore.imports.source import BATCH, Batch, Options, Origin, Texts, as_float16, batch_of, origin_of


class VectorsFileSource:
    """An exported `.safetensors` file; see `source.Source`.

    Args:
        path: of the file.
        options: only `images` has a meaning here.

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
        try:
            self._read_header()
        except OSError as error:
            raise SourceError(f"'{path}' can't be read: {error.strerror or error}; check the path.") from error
        except SourceError:
            raise
        except Exception as error:  # whatever a damaged or hostile file raises
            raise SourceError(
                f"'{path}' is no whole file of vectors ({type(error).__name__}); write it with: embedstore export STORE FILE"
            ) from error

    def _read_header(self) -> None:
        with self._open() as file:
            metadata = file.metadata() or {}
            if light_file.METADATA in metadata:
                raise SourceError(
                    f"'{self.path}' is a light file, whose centred and rounded directions are no longer the teacher's vectors; "
                    "export without --int8, --dims and --views, and import that."
                )
            about = json.loads(metadata.get(METADATA, "{}"))
            if about.get("format") != FORMAT:
                raise SourceError(
                    f"'{self.path}' is no file of vectors of format {FORMAT}; write one with: embedstore export STORE FILE "
                    "(without --summary)"
                )
            if about["crc32"] != checksum(self.path, about["crc32"]):
                raise SourceError(f"'{self.path}' fails its checksum; export it again, or take it from a copy.")
            self.origin: Origin | None = origin_of(about, self.path)
            vectors = file.get_slice(VECTORS)
            if vectors.get_dtype() != "F16":
                raise ValueError("its vectors are of another type")
            self.count, self.dim = map(int, vectors.get_shape())
            names = [name.removeprefix(END) for name in file.keys() if name.startswith(END)]  # noqa: SIM118 (no mapping)
            self._ends: dict[str, npt.NDArray[np.int64]] = {name: file.get_tensor(END + name) for name in sorted(names)}
            for name, ends in self._ends.items():
                if not is_sound_column(ends, self.count, *file.get_slice(TEXT + name).get_shape()):
                    raise ValueError("its parts do not fit together")
        if not self.count or not self.dim or "id" not in self._ends:
            raise ValueError("it holds nothing")

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in their order."""
        with self._open() as file:
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

    def _open(self) -> Any:
        from safetensors import safe_open

        return safe_open(self.path, framework="numpy")
