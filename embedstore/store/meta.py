"""What the database `meta` says: the head, the settings, the teachers, how many rows there are, and the names of fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedstore.errors import CorruptStoreError
from embedstore.store import layout
from embedstore.store.databases import Databases
from embedstore.store.fields import as_stored
from embedstore.store.layout import BLOCK, Column, Head


@dataclass(frozen=True)
class Compacted:
    """What the last compaction left: of the versions before `version` only those in `kept` can be read."""

    version: int
    kept: tuple[int, ...]

    def left(self, version: int) -> bool:
        """Return whether a version can be read."""
        return version >= self.version or version in self.kept


class MetaTable(Databases):
    """The entries of the database `meta`, each checked when it is read."""

    def head(self) -> Head:
        """Return what readers see."""
        return head_of(self._meta(b"head"))

    def put_head(self, head: Head) -> None:
        """Move what readers see."""
        self._put_meta(b"head", head_entry(head))

    def settings(self) -> dict[str, Any]:
        """Return the view recipe, which never changes, and the image root of the last build."""
        settings: dict[str, Any] = self._meta(b"store")
        return settings

    def put_settings(self, settings: dict[str, Any]) -> None:
        """Write the store's settings."""
        self._put_meta(b"store", settings)

    def space(self, space: str) -> dict[str, Any]:
        """Return what is known of a teacher: the name it was loaded by, its outputs, its input size."""
        description: dict[str, Any] = self._meta(f"space:{space}".encode())
        return description

    def put_space(self, space: str, description: dict[str, Any]) -> None:
        """Describe a teacher."""
        self._put_meta(f"space:{space}".encode(), description)

    def spaces(self) -> dict[str, dict[str, Any]]:
        """Return what is known of every teacher that ever filled a column, by fingerprint."""
        found = {key: self._meta(key) for key in self.keys(layout.META, b"space:")}
        return {key.decode().removeprefix("space:"): description for key, description in found.items()}

    def dimension(self, column: Column) -> int:
        """Return how many numbers a vector of a column has, as its teacher says.

        Raises:
            CorruptStoreError: its teacher knows no such output.
        """
        outputs = self.space(column.space)["outputs"]
        if column.output not in outputs:
            raise CorruptStoreError(
                f"The teacher {column.space[:12]} gives no '{column.output}'; see what else is damaged with: embedstore verify "
                "STORE"
            )
        return int(outputs[column.output])

    def row_count(self) -> int:
        """Return how many rows were ever allocated, published or not.

        Raises:
            CorruptStoreError: some of them are not there.
        """
        count: int = self._meta(b"rows")
        if -(-count // BLOCK) > self.entries(layout.ROWS):  # before anybody makes room for that many
            raise CorruptStoreError(
                f"The store says that it has {count} rows, but holds only {self.entries(layout.ROWS)} blocks of {BLOCK}; see "
                "what else is damaged with: embedstore verify STORE"
            )
        return count

    def put_row_count(self, count: int) -> None:
        """Allocate rows up to `count`."""
        self._put_meta(b"rows", count)

    def publishing(self) -> int | None:
        """Return the version whose publication began and did not end, if any."""
        version: int | None = self._meta(b"publishing", None)
        return version

    def put_publishing(self, version: int | None) -> None:
        """Mark a publication as begun, or as ended."""
        self._put_meta(b"publishing", version)

    def names(self) -> list[str]:
        """Return the names of all fields that were ever used; a field's number is its place among them."""
        names: list[str] = self._meta(b"names")
        # A store may be older than the rule that names have one Unicode form; of two spellings that it has each stays what it is.
        return [name if as_stored(name) in names else as_stored(name) for name in names]

    def put_names(self, names: list[str]) -> None:
        """Write the names of all fields, in the order of their numbers."""
        self._put_meta(b"names", names)

    def compacted(self) -> Compacted:
        """Return which versions the last compaction left."""
        values = self._meta(b"compacted", None)
        return Compacted(0, ()) if values is None else Compacted(values["version"], tuple(values["kept"]))

    def put_compacted(self, compacted: Compacted) -> None:
        """Say which versions are left."""
        self._put_meta(b"compacted", {"version": compacted.version, "kept": list(compacted.kept)})

    # Below

    def _meta(self, name: bytes, *default: Any) -> Any:
        values = self._value(layout.META, name)
        if values is not None:
            return values
        if default:
            return default[0]
        raise CorruptStoreError(
            f"The store has no '{name.decode()}' entry; see what is damaged, and what mends it, with: embedstore verify STORE"
        )

    def _put_meta(self, name: bytes, values: Any) -> None:
        self._put(layout.META, name, layout.pack(values))


def head_entry(head: Head) -> dict[str, Any]:
    """Return a head as plain values."""
    columns = [[column.space, column.output, column.view] for column in head.columns]
    return {"version": head.version, "space": head.space, "columns": columns, "samples": head.samples}


def head_of(entry: Mapping[str, Any]) -> Head:
    """Return the head that `head_entry` gave, or that a version of the log made."""
    columns = tuple(Column(*column) for column in entry["columns"])
    return Head(entry["version"], entry["space"], columns, entry.get("samples"))
