"""Bare FAISS: a flat index for exact search, IVF over float16 for approximate search, the rest in a JSON file."""

import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage_parts.systems.columns import columns_of, mask_of, read_columns, sync_folder, write_columns
from storage_parts.systems.system import NotOfferedError, Settings, System, Where, size
from storage_parts.vectors import CHUNK, Vectors


class Faiss(System):
    """`IndexFlatIP` (float32) and `IVF<lists>,SQfp16`, read whole into memory."""

    name = "FAISS"
    packages = ("faiss",)
    notes = (
        "FAISS: vectors as float32 in IndexFlatIP, no checksums; the harness syncs its files; filters by IDSelectorBitmap "
        "on the flat index, exactly; after a deletion the whole file is written again, so there is nothing to compact",
    )

    def load(self) -> None:
        """Give FAISS its threads."""
        import faiss

        faiss.omp_set_num_threads(self.threads)

    def prepare(self) -> None:
        """Make the columns."""
        self.columns = columns_of(self.rows)

    def write(self) -> None:
        """Add chunk by chunk and write the index."""
        import faiss

        self.folder.mkdir(parents=True)
        flat = faiss.IndexFlatIP(self.rows.vectors.shape[1])
        for start, stop in self.rows.chunks():
            flat.add(self.rows.vectors[start:stop].astype(np.float32))
        self._write(flat, "flat.faiss")
        write_columns(self.folder / "columns.json", self.columns, [])

    def _write(self, index: Any, name: str) -> None:
        import faiss

        faiss.write_index(index, str(self.folder / f"{name}.tmp"))
        opened = os.open(self.folder / f"{name}.tmp", os.O_RDONLY)
        os.fsync(opened)
        os.close(opened)
        Path(self.folder / f"{name}.tmp").replace(self.folder / name)
        sync_folder(self.folder)

    def disk(self) -> dict[str, int]:
        """Return the sizes of the files."""
        vectors, index = size(self.folder / "flat.faiss"), size(self.folder / "ivf.faiss")
        return {"vectors": vectors, "metadata": size(self.folder) - vectors - index, "index": index}

    def open(self) -> int:
        """Read the flat index and the columns, and the IVF where there is one."""
        import faiss

        self.flat: Any = faiss.read_index(str(self.folder / "flat.faiss"))
        self.columns, _ = read_columns(self.folder / "columns.json")
        ivf = self.folder / "ivf.faiss"
        self.ivf: Any = faiss.read_index(str(ivf)) if ivf.exists() else None
        return int(self.flat.ntotal)

    def scan(self) -> Iterator[Vectors]:
        """Yield copies of chunks, float32."""
        for start in range(0, self.flat.ntotal, CHUNK):
            yield self.flat.reconstruct_n(start, min(CHUNK, self.flat.ntotal - start))

    def read(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Reconstruct some rows."""
        return np.asarray(self.flat.reconstruct_batch(positions), np.float32)

    def exact(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> npt.NDArray[np.int64]:
        """Return row numbers (queries, top), -1 where there are fewer."""
        if not where:
            return np.asarray(self.flat.search(queries, top)[1])
        faiss: Any = importlib.import_module("faiss")  # its type stubs know neither of the two
        selector = faiss.IDSelectorBitmap(np.packbits(mask_of(self.columns, dict(where)), bitorder="little"))
        return np.asarray(self.flat.search(queries, top, params=faiss.SearchParameters(sel=selector))[1])

    def build_index(self) -> None:
        """Train and fill an IVF with about the square root of the row count as lists."""
        import faiss

        lists = 2 ** max(2, round(np.log2(self.rows.count**0.5)))
        vectors = self.rows.vectors
        self.ivf = faiss.index_factory(vectors.shape[1], f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        wanted = min(self.rows.count, 128 * lists)
        drawn = np.sort(np.random.default_rng(0).choice(self.rows.count, wanted, replace=False))
        self.ivf.train(vectors[drawn].astype(np.float32))
        for start, stop in self.rows.chunks():
            self.ivf.add(vectors[start:stop].astype(np.float32))
        self._write(self.ivf, "ivf.faiss")

    def ladders(self) -> Sequence[Sequence[Settings]]:
        """Return rising numbers of lists to look into."""
        return [
            [{"nprobe": n} for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256) if n <= self.ivf.nlist]
        ]

    def approximate(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Search the IVF."""
        self.ivf.nprobe = self.settings["nprobe"]
        return np.asarray(self.ivf.search(queries, top)[1])

    def filtered(self, queries: npt.NDArray[np.float32], top: int, where: Where) -> Any:
        """Search the flat index under a bitmap: the ranking of an IVF is not exact under a filter."""
        return self.exact(queries, top, where)

    def row_numbers(self, answers: Any, top: int) -> npt.NDArray[np.int64]:
        """Return them as they are."""
        return np.asarray(answers, np.int64)

    def delete(self, where: Where) -> None:
        """Remove the rows and write everything again."""
        gone = mask_of(self.columns, dict(where))
        self.flat.remove_ids(np.flatnonzero(gone))
        kept = np.flatnonzero(~gone)
        self.columns = {name: [values[at] for at in kept] for name, values in self.columns.items()}
        self._write(self.flat, "flat.faiss")
        write_columns(self.folder / "columns.json", self.columns, [])

    def compact(self) -> None:
        """Have nothing to compact."""
        raise NotOfferedError("nothing to compact: the deletion wrote all again")
