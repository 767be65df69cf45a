"""The `.safetensors` file of vectors that `embedstore export` writes; see `exports.vectors_file` for what is in it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import SourceError
from embedstore.exports.vectors_file import END, FORMAT, METADATA, NO_CRC, TEXT, VECTORS
from embedstore.imports.source import BATCH, Batch, Options, Origin, Texts, as_float16, batch_of, origin_of

_CHUNK = 1 << 22  # bytes that are read at once for the checksum


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
            about = json.loads((file.metadata() or {}).get(METADATA, "{}"))
            if about.get("format") != FORMAT:
                raise SourceError(
                    f"'{self.path}' is no file of vectors of format {FORMAT}; write one with: embedstore export STORE FILE "
                    "(without --summary)"
                )
            if about["crc32"] != self._checksum(about["crc32"]):
                raise SourceError(f"'{self.path}' fails its checksum; export it again, or take it from a copy.")
            self.origin: Origin | None = origin_of(about, self.path)
            vectors = file.get_slice(VECTORS)
            if vectors.get_dtype() != "F16":
                raise ValueError("its vectors are of another type")
            self.count, self.dim = map(int, vectors.get_shape())
            names = [name.removeprefix(END) for name in file.keys() if name.startswith(END)]  # noqa: SIM118 (no mapping)
            self._ends: dict[str, npt.NDArray[np.int64]] = {name: file.get_tensor(END + name) for name in sorted(names)}
            for name, ends in self._ends.items():
                whole = file.get_slice(TEXT + name).get_shape()
                starts = np.concatenate([[0], ends])
                if (
                    ends.dtype != np.int64
                    or ends.shape != (self.count,)
                    or whole != [int(starts[-1])]
                    or (np.diff(starts) < 0).any()
                ):
                    raise ValueError("its parts do not fit together")
        if not self.count or not self.dim or "id" not in self._ends:
            raise ValueError("it holds nothing")

    def _checksum(self, told: str) -> str:
        with self.path.open("rb") as file:
            size = int.from_bytes(
                file.read(8), "little"
            )  # of the header, which was read by now and so is no longer than the file
            file.seek(0)
            crc = zlib.crc32(file.read(8 + size).replace(told.encode(), NO_CRC.encode(), 1))
            while chunk := file.read(_CHUNK):
                crc = zlib.crc32(chunk, crc)
        return f"{crc:08x}"

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
        ends = self._ends[name][first:stop].tolist()
        start = int(self._ends[name][first - 1]) if first else 0
        data = file.get_slice(TEXT + name)[start : ends[-1]].tobytes() if start < ends[-1] else b""
        starts = [start, *ends[:-1]]
        return [data[one - start : end - start].decode() for one, end in zip(starts, ends, strict=True)]

    def _open(self) -> Any:
        from safetensors import safe_open

        return safe_open(self.path, framework="numpy")
