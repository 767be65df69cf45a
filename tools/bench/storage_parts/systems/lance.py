"""LanceDB, fed Arrow record batches, with the indexes that its documentation recommends."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from storage_parts.systems.columns import columns_of
from storage_parts.systems.system import Settings, System, Where, number_of, padded, size, sync_all
from storage_parts.vectors import Vectors

BATCH = 8_192  # rows in an Arrow record batch
PATIENCE = timedelta(hours=3)


class Lance(System):
    """All steps, on vectors as float16, so that the bytes are those of the other systems."""

    name = "LanceDB"
    packages = ("lancedb", "lance", "pyarrow")
    notes = (
        "LanceDB: fed Arrow record batches of a fixed-size list of float16, which its search is slow on, therefore a second "
        "one on float32; no checksums; the harness syncs its files, since it syncs none; distance L2, which orders unit "
        "vectors as the inner product does; a bitmap index on label and machine; filters by prefilter; index IVF_HNSW_SQ",
    )
    element: Any = np.float16

    def load(self) -> None:
        """Import LanceDB."""
        import lance  # noqa: F401
        import lancedb  # noqa: F401

    def prepare(self) -> None:
        """Make the Arrow columns; vectors are cut from the mapped file without a copy, unless they are widened."""
        import pyarrow as pa

        self.arrays = [pa.array(values) for values in columns_of(self.rows).values()]
        self.source = self.rows.vectors if self.element == np.float16 else self.rows.vectors.astype(self.element)

    def _batches(self, schema: Any) -> Iterator[Any]:
        import pyarrow as pa

        for start in range(0, self.rows.count, BATCH):
            vectors = self.source[start : start + BATCH]
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
            yield pa.record_batch([*(one.slice(start, len(vectors)) for one in self.arrays), column], schema=schema)

    def write(self) -> None:
        """Create a table from a stream of record batches, and sync its files."""
        import lancedb
        import pyarrow as pa

        names = columns_of(replace(self.rows, count=1))
        kind = pa.list_(pa.from_numpy_dtype(self.element), self.rows.vectors.shape[1])
        schema = pa.schema([*((name, pa.string()) for name in names), ("vector", kind)])
        reader = pa.RecordBatchReader.from_batches(schema, self._batches(schema))
        lancedb.connect(self.folder).create_table("rows", data=reader)
        sync_all(self.folder)

    def disk(self) -> dict[str, int]:
        """Return LanceDB's own figure for the vectors, the folder of its indexes, and the rest."""
        self.open()
        field = self.table.to_lance().lance_schema.field("vector").id()
        stats = self.table.to_lance().stats.data_stats().fields
        vectors = next(one.bytes_on_disk for one in stats if one.id == field)
        index = size(self.folder / "rows.lance" / "_indices")
        return {"vectors": vectors, "metadata": size(self.folder) - vectors - index, "index": index}

    def open(self) -> int:
        """Open the table and count its rows."""
        import lancedb

        self.table = lancedb.connect(self.folder).open_table("rows")
        return int(self.table.count_rows())

    def scan(self) -> Iterator[Vectors]:
        """Read batches as Arrow, seen as NumPy."""
        for batch in self.table.to_lance().to_batches(columns=["vector"], batch_size=BATCH):
            yield batch.column(0).flatten().to_numpy().reshape(batch.num_rows, -1)

    def read(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Take rows by offset."""
        if not hasattr(self, "dataset"):
            self.dataset = self.table.to_lance()
        taken = self.dataset.take(positions, columns=["vector"]).column(0).combine_chunks()
        return np.asarray(taken.flatten().to_numpy().reshape(len(positions), -1), np.float32)

    def _search(self, queries: npt.NDArray[np.float32], top: int, where: Where | None) -> Any:
        asked = queries[0] if len(queries) == 1 else list(queries)
        found = self.table.search(asked).distance_type("l2").select(["id", "_distance"]).limit(top)
        if where:
            found = found.where(" AND ".join(f"{field} = '{value}'" for field, value in where.items()), prefilter=True)
        return found

    def exact(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Search past the index."""
        return self._search(queries, top, where).bypass_vector_index().to_arrow()

    def records(self, queries: npt.NDArray[np.float32], top: int) -> Any:
        """Search past the index and return the labels too."""
        found = self._search(queries, top, None).bypass_vector_index().select(["id", "label", "_distance"])
        return found.to_arrow().to_pylist()

    def build_index(self) -> None:
        """Build the vector index and bitmaps on label and machine."""
        from lancedb.index import Bitmap

        self.table.create_index("vector", config=self._index(), wait_timeout=PATIENCE)
        self.table.create_index("label", config=Bitmap(), wait_timeout=PATIENCE)
        self.table.create_index("machine", config=Bitmap(), wait_timeout=PATIENCE)
        sync_all(self.folder)

    def _index(self) -> Any:
        from lancedb.index import IvfHnswSq

        return IvfHnswSq(distance_type="l2", num_partitions=max(1, self.rows.count // 1_048_576))

    def ladders(self) -> Sequence[Sequence[Settings]]:
        """Return rising widths of the graph search, without and with ranking again by the stored vectors."""
        return [[{"ef": ef, "refine": again} for ef in (20, 40, 80, 160, 320, 640)] for again in (None, 2, 4)]

    def approximate(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Search by the index."""
        found, settings = self._search(queries, top, where), self.settings
        if "ef" in settings:
            found = found.ef(max(settings["ef"], top * (settings.get("refine") or 1)))
        if "nprobes" in settings:
            found = found.nprobes(settings["nprobes"])
        if settings.get("refine") is not None:
            found = found.refine_factor(settings["refine"])
        return found.to_arrow()

    def row_numbers(self, answers: Any, top: int) -> npt.NDArray[np.int64]:
        """Read the numbers off the ids."""
        columns = answers.to_pydict()
        asked = columns.get("query_index") or [0] * len(columns["id"])
        lists: list[list[int]] = [[] for _ in range(max(asked, default=0) + 1)]
        for query, sample_id in zip(asked, columns["id"], strict=True):
            lists[query].append(number_of(sample_id))
        return padded(lists, top)

    def delete(self, where: Where) -> None:
        """Delete by a condition, which writes a file of deleted rows."""
        self.table.delete(" AND ".join(f"{field} = '{value}'" for field, value in where.items()))
        sync_all(self.folder)

    def compact(self) -> None:
        """Compact, bring the indexes along, and drop older versions."""
        self.table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        sync_all(self.folder)


class Lance32(Lance):
    """The steps in which float32 matters, with LanceDB's default kind of index."""

    name = "LanceDB f32"
    notes = ("LanceDB f32: the same on float32, which doubles its bytes; index IVF_PQ, LanceDB's default",)
    steps = frozenset({"write", "exact", "index", "approximate", "filtered"})
    element = np.float32

    def _index(self) -> Any:
        from lancedb.index import IvfPq

        return IvfPq(
            distance_type="l2",
            num_partitions=max(1, self.rows.count // 4096),
            num_sub_vectors=self.rows.vectors.shape[1] // 8,
        )

    def ladders(self) -> Sequence[Sequence[Settings]]:
        """Return rising numbers of partitions to look into, with more and more ranked again."""
        most = max(1, self.rows.count // 4096)
        probes = sorted({min(n, most) for n in (1, 2, 4, 8, 16, 32, 64, 128)})
        return [[{"nprobes": n, "refine": again} for n in probes] for again in (4, 10, 30)]
