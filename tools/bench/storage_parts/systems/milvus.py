"""Milvus Lite through pymilvus, in this process."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from storage_parts.systems.columns import columns_of
from storage_parts.systems.system import Settings, System, Where, number_of, padded, size, sync_all
from storage_parts.vectors import Vectors

BATCH = 2_000  # rows in one insert; more would not fit one message of gRPC


class Milvus(System):
    """A collection with the index FLAT for exact and IVF_FLAT for approximate search."""

    name = "Milvus Lite"
    packages = ("pymilvus", "milvus_lite")
    notes = (
        "Milvus Lite: vectors as float32, it takes no float16; rows as dictionaries, which pymilvus wants; the harness syncs "
        "its files; a scan comes in the order of the ids; exact search with index FLAT, approximate with IVF_FLAT, each "
        "loaded in turn",
    )
    ordered = False

    def load(self) -> None:
        """Import both."""
        import milvus_lite  # noqa: F401
        import pymilvus  # noqa: F401

    def prepare(self) -> None:
        """Make the rows."""
        columns = columns_of(self.rows)
        self.made = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _connect(self) -> Any:
        from pymilvus import MilvusClient

        return MilvusClient(str(self.folder / "rows.db"))

    def write(self) -> None:
        """Insert batch by batch, flush, and sync the files."""
        from pymilvus import DataType, MilvusClient

        self.folder.mkdir(parents=True)
        self.client = self._connect()
        schema = MilvusClient.create_schema(auto_id=False)
        for name in self.made[0]:
            schema.add_field(name, DataType.VARCHAR, is_primary=name == "id", max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.rows.vectors.shape[1])
        self.client.create_collection("rows", schema=schema)
        for start in range(0, self.rows.count, BATCH):
            vectors = self.rows.vectors[start : start + BATCH].astype(np.float32)
            batch = self.made[start : start + BATCH]
            self.client.insert("rows", [row | {"vector": one} for row, one in zip(batch, vectors, strict=True)])
        self.client.flush("rows")
        sync_all(self.folder)

    def disk(self) -> dict[str, int]:
        """Return all but the indexes as vectors: a Parquet file holds both, and nearly all of it is vectors."""
        index = sum(path.stat().st_size for path in self.folder.rglob("*.idx"))
        vectors = sum(path.stat().st_size for path in self.folder.rglob("data/*.parquet"))
        return {"vectors": vectors, "metadata": size(self.folder) - vectors - index, "index": index}

    def open(self) -> int:
        """Start the engine, load the collection, and count its rows."""
        self.client = self._connect()
        if "vector" not in self.client.list_indexes("rows"):
            self._use("FLAT", {})
        self.client.load_collection("rows")
        return int(self.client.get_collection_stats("rows")["row_count"])

    def _use(self, kind: str, parameters: dict[str, int]) -> None:
        if "vector" in self.client.list_indexes("rows"):
            self.client.release_collection("rows")
            self.client.drop_index("rows", "vector")
        index = self.client.prepare_index_params()
        index.add_index(field_name="vector", index_type=kind, metric_type="IP", params=parameters)
        self.client.create_index("rows", index)
        self.client.load_collection("rows")

    def close(self) -> None:
        """Stop the engine."""
        from milvus_lite.server_manager import server_manager_instance

        self.client.close()
        server_manager_instance.release_all()

    def scan(self) -> Iterator[Vectors]:
        """Read by an iterator of queries."""
        pages = self.client.query_iterator("rows", batch_size=BATCH, output_fields=["vector"])
        while page := pages.next():
            yield np.array([row["vector"] for row in page], np.float32)
        pages.close()

    def read(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Get rows by id."""
        if not hasattr(self, "ids"):
            self.ids = self.rows.ids()
        wanted = [self.ids[at] for at in positions]
        found = self.client.get("rows", ids=wanted, output_fields=["id", "vector"])
        by_id = {row["id"]: row["vector"] for row in found}
        return np.array([by_id[one] for one in wanted], np.float32)

    def exact(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Search the collection as it is indexed; before `build_index` that is FLAT."""
        return self._search(queries, top, where, {})

    def records(self, queries: npt.NDArray[np.float32], top: int) -> Any:
        """Search and return the labels too."""
        return self.client.search("rows", data=list(queries), limit=top, output_fields=["id", "label"])

    def _search(self, queries: npt.NDArray[np.float32], top: int, where: Where | None, settings: Settings) -> Any:
        condition = " and ".join(f'{field} == "{value}"' for field, value in where.items()) if where else ""
        return self.client.search(
            "rows", data=list(queries), limit=top, filter=condition, search_params={"params": settings}
        )

    def build_index(self) -> None:
        """Put IVF_FLAT in the place of FLAT."""
        self._use("IVF_FLAT", {"nlist": 2 ** max(2, round(np.log2(self.rows.count**0.5)))})
        sync_all(self.folder)

    def ladders(self) -> Sequence[Sequence[Settings]]:
        """Return rising numbers of lists to look into."""
        return [[{"nprobe": n} for n in (1, 2, 4, 8, 12, 16, 24, 32, 64, 128)]]

    def approximate(self, queries: npt.NDArray[np.float32], top: int, where: Where | None = None) -> Any:
        """Search by the index."""
        return self._search(queries, top, where, self.settings)

    def row_numbers(self, answers: Any, top: int) -> npt.NDArray[np.int64]:
        """Read the numbers off the ids."""
        return padded([[number_of(hit["id"]) for hit in hits] for hits in answers], top)

    def delete(self, where: Where) -> None:
        """Delete by a condition, and flush."""
        self.client.delete("rows", filter=" and ".join(f'{field} == "{value}"' for field, value in where.items()))
        self.client.flush("rows")
        sync_all(self.folder)

    def compact(self) -> None:
        """Ask for a compaction and wait for it."""
        self.client.compact("rows")
        sync_all(self.folder)
