"""A plain `.npy` file read through a memory map, with ids and metadata in a JSON file: what there is without a database."""

import os
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from storage_parts.systems.columns import columns_of, mask_of, read_columns, sync_folder, write_columns
from storage_parts.systems.system import NotOfferedError, System, Where, size
from storage_parts.vectors import CHUNK, Vectors


class Memmap(System):
    """Vectors as float16; exact search by matrix products over chunks, as everyone writes it."""

    name = "npy memmap"
    notes = (
        "memmap: the harness writes checksums of chunks of vectors and of the JSON file, and syncs both; ids and labels "
        "are read whole when it is opened",
    )

    def prepare(self) -> None:
        """Make the columns."""
        self.columns = columns_of(self.rows)

    def write(self) -> None:
        """Write the vectors chunk by chunk, then the columns."""
        self.folder.mkdir(parents=True)
        vectors = self.rows.vectors
        checksums = []
        with (self.folder / "vectors.npy").open("wb") as file:
            header = np.lib.format.header_data_from_array_1_0(vectors)
            np.lib.format.write_array_header_1_0(file, header)
            for start, stop in self.rows.chunks():
                chunk = vectors[start:stop]
                checksums.append(zlib.crc32(chunk.data))
                file.write(chunk.data)
            file.flush()
            os.fsync(file.fileno())
        write_columns(self.folder / "columns.json", self.columns, checksums)

    def disk(self) -> dict[str, int]:
        """Return the sizes of the files."""
        vectors = size(self.folder / "vectors.npy")
        return {"vectors": vectors, "metadata": size(self.folder) - vectors, "index": 0}

    def open(self) -> int:
        """Map the vectors and read the columns."""
        self.vectors: Vectors = np.load(self.folder / "vectors.npy", mmap_mode="r")
        self.columns, _ = read_columns(self.folder / "columns.json")
        alive = self.folder / "alive.npy"
        return int(np.load(alive).sum()) if alive.exists() else len(self.vectors)

    def scan(self) -> Iterator[Vectors]:
        """Yield copies of chunks."""
        for start in range(0, len(self.vectors), CHUNK):
            yield np.array(self.vectors[start : start + CHUNK])

    def read(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Pick rows from the map."""
        return self.vectors[positions].astype(np.float32)

    def exact(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> npt.NDArray[np.int64]:
        """Return row numbers (queries, top)."""
        chosen = np.flatnonzero(mask_of(self.columns, dict(where))) if where else None
        count = len(self.vectors) if chosen is None else len(chosen)
        best = np.zeros((len(queries), 0), np.float32)
        found = np.zeros((len(queries), 0), np.int64)
        for start in range(0, count, CHUNK):
            at = np.arange(start, min(start + CHUNK, count)) if chosen is None else chosen[start : start + CHUNK]
            block = self.vectors[start : start + CHUNK] if chosen is None else self.vectors[at]
            scores = queries @ block.astype(np.float32).T
            best = np.concatenate([best, scores], axis=1)
            found = np.concatenate([found, np.broadcast_to(at, scores.shape)], axis=1)
            if best.shape[1] > top:
                kept = np.argpartition(-best, top - 1, axis=1)[:, :top]
                best, found = np.take_along_axis(best, kept, 1), np.take_along_axis(found, kept, 1)
        return np.take_along_axis(found, np.argsort(-best, axis=1), 1)

    def build_index(self) -> None:
        """Have none."""
        raise NotOfferedError("a memmap has no index")

    def filtered(self, queries: npt.NDArray[np.float32], top: int, where: Where) -> Any:
        """Search the rows that pass, exactly."""
        return self.exact(queries, top, where)

    def row_numbers(self, answers: Any, top: int) -> npt.NDArray[np.int64]:
        """Return them as they are."""
        return np.pad(answers, ((0, 0), (0, top - answers.shape[1])), constant_values=-1)

    def delete(self, where: Where) -> None:
        """Write a mask of the rows that are left."""
        alive = ~mask_of(self.columns, dict(where))
        np.save(self.folder / "alive.tmp.npy", alive)
        with (self.folder / "alive.tmp.npy").open("rb") as file:
            os.fsync(file.fileno())
        (self.folder / "alive.tmp.npy").replace(self.folder / "alive.npy")
        sync_folder(self.folder)

    def compact(self) -> None:
        """Write vectors and columns again without the deleted rows."""
        kept = np.flatnonzero(np.load(self.folder / "alive.npy"))
        checksums = []
        shape = {"descr": "<f2", "fortran_order": False, "shape": (len(kept), self.vectors.shape[1])}
        with (self.folder / "vectors.tmp.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, shape)
            for start in range(0, len(kept), CHUNK):
                chunk = self.vectors[kept[start : start + CHUNK]]
                checksums.append(zlib.crc32(chunk.data))
                file.write(chunk.data)
            file.flush()
            os.fsync(file.fileno())
        columns = {name: [values[at] for at in kept] for name, values in self.columns.items()}
        write_columns(self.folder / "columns.json", columns, checksums)
        (self.folder / "vectors.tmp.npy").replace(self.folder / "vectors.npy")
        (self.folder / "alive.npy").unlink()
        sync_folder(self.folder)
        self.columns = columns
