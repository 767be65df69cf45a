"""The systems, one module each."""

from storage_parts.systems.faiss_index import Faiss
from storage_parts.systems.lance import Lance, Lance32
from storage_parts.systems.memmap import Memmap
from storage_parts.systems.milvus import Milvus
from storage_parts.systems.ours import Ours
from storage_parts.systems.system import System

SYSTEMS: dict[str, type[System]] = {
    "embedstore": Ours,
    "lancedb": Lance,
    "lancedb-f32": Lance32,
    "memmap": Memmap,
    "faiss": Faiss,
    "milvus-lite": Milvus,
}
