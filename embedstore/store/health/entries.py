"""What each entry of a store must be like, so that a damaged or foreign one is told from a sound one; nothing is trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from embedstore.errors import CorruptStoreError, EmbedstoreError
from embedstore.store import layout
from embedstore.store.fields import ID
from embedstore.store.layout import ASIDE, BLOCK, FIELDS, LOG, LOST, META, ROWS, SUMMARIES, TAGS, VECTORS
from embedstore.teachers.protocol import EMBEDDING
from embedstore.views import Recipe

_KEY_BYTES = {ROWS: 8, FIELDS: 18, LOG: 8, LOST: 16, ASIDE: 16}
_NO_TEXT = 0xFFFF
_FLIPS = [1 << bit for bit in range(8)]


def problem(database: bytes, key: bytes, value: memoryview) -> str | None:
    """Return in a few words what is wrong with an entry by itself; None where it is sound."""
    try:
        payload = layout.unseal(database, key, value)
    except CorruptStoreError:
        return "fails its checksum"
    if not sound_key(database, key):
        return "has a key that can't be"
    try:
        return _CHECKS[database](key, payload)
    except (EmbedstoreError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        return f"can't be read ({type(error).__name__})"


def true_key(database: bytes, key: bytes, value: memoryview) -> bytes | None:
    """Return the key that an entry was written under, where one flipped bit of it is all that is wrong; else None.

    The checksum covers the key: of all keys that differ in one bit only the right one fits.
    """
    for at in range(len(key)):
        for flip in _FLIPS:
            tried = key[:at] + bytes([key[at] ^ flip]) + key[at + 1 :]
            if problem(database, tried, value) is None:
                return tried
    return None


def is_version(value: Any) -> bool:
    """Return whether a value can be a version's number."""
    return type(value) is int and 0 <= value < layout.NEVER


def is_head(values: Any) -> bool:
    """Return whether a value can be a head."""
    return (
        isinstance(values, dict)
        and is_version(values.get("version"))
        and _is_space(values.get("space"))
        and isinstance(values.get("columns"), list)
        and all(
            isinstance(column, list)
            and len(column) == 3
            and _is_space(column[0])
            and isinstance(column[1], str)
            and type(column[2]) is int
            and 0 <= column[2] <= 0xFFFF
            for column in values["columns"]
        )
    )


def _is_space(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 32 and not set(value) - set("0123456789abcdef")


def sound_key(database: bytes, key: bytes) -> bool:
    """Return whether a key has the form that the keys of a database have."""
    if database in _KEY_BYTES:
        return len(key) == _KEY_BYTES[database]
    try:
        if database == VECTORS:
            return (
                len(key) > 16 + 11 and layout.vector_key(layout.column_of(key), int.from_bytes(key[-8:], "big")) == key
            )
        return bool(key.decode())
    except UnicodeDecodeError:
        return False


def _is_texts(values: Any) -> bool:
    return isinstance(values, dict) and all(isinstance(text, str) for text in [*values, *values.values()])


def _is_space_description(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and isinstance(values.get("teacher"), str)
        and isinstance(values.get("outputs"), dict)
        and EMBEDDING in values["outputs"]
        and all(isinstance(name, str) and is_version(dim) and dim for name, dim in values["outputs"].items())
        and is_version(values.get("input_size"))
    )


def _is_settings(values: Any) -> bool:
    Recipe.from_dict(values["recipe"])
    return isinstance(values["image_root"], str)


def _is_names(values: Any) -> bool:
    return (
        isinstance(values, list) and all(isinstance(name, str) for name in values) and len(set(values)) == len(values)
    )


def _is_compacted(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and is_version(values.get("version"))
        and isinstance(values.get("kept"), list)
        and all(map(is_version, values["kept"]))
    )


_META: dict[bytes, Callable[[Any], bool]] = {
    b"head": is_head,
    b"store": _is_settings,
    b"rows": is_version,
    b"names": _is_names,
    b"publishing": lambda value: value is None or is_version(value),
    b"compacted": _is_compacted,
}


def _meta(key: bytes, payload: memoryview) -> str | None:
    values = layout.unpack(payload)
    if key.startswith(b"space:"):
        sound = _is_space(key[6:].decode()) and _is_space_description(values)
    else:
        sound = key in _META and _META[key](values)
    return None if sound else "is none that this program writes"


def _rows(key: bytes, payload: memoryview) -> str | None:
    return None if len(payload) == BLOCK * layout.ROW.itemsize else "has another length than a block of rows"


def _fields(key: bytes, payload: memoryview) -> str | None:
    texts, _ = layout.unpack_field(payload)
    codes = np.frombuffer(payload[: 2 * BLOCK], "<u2")
    sound = len(codes) == BLOCK and ((codes < len(texts)) | (codes == _NO_TEXT)).all()
    return None if sound else "names texts that it does not hold"


def _vectors(key: bytes, payload: memoryview) -> str | None:
    size = len(payload) - BLOCK // 8
    return None if size > 0 and size % (2 * BLOCK) == 0 else "has another length than a block of vectors"


def _log(key: bytes, payload: memoryview) -> str | None:
    entry = layout.unpack(payload)
    sound = (
        is_head(entry)
        and layout.version_key(entry["version"]) == key
        and isinstance(entry["time"], str)
        and isinstance(entry["action"], str)
        and isinstance(entry["details"], dict)
        and all(isinstance(name, str) and type(count) is int for name, count in entry["details"].items())
    )
    return None if sound else "is none that this program writes"


def _tags(key: bytes, payload: memoryview) -> str | None:
    return None if is_version(layout.unpack(payload)) else "names no version"


def _lost(key: bytes, payload: memoryview) -> str | None:
    values = layout.unpack(payload)
    return None if _is_texts(values) and layout.id_key(values[ID]) == key else "is none that this program writes"


def _aside(key: bytes, payload: memoryview) -> str | None:
    values = layout.unpack(payload)
    sound = _is_texts(values) and "reason" in values and layout.id_key(values["path"]) == key
    return None if sound else "is none that this program writes"


def _summaries(key: bytes, payload: memoryview) -> str | None:
    from embedstore.summaries import Summary

    Summary.from_bytes(bytes(payload))
    return None


_CHECKS: dict[bytes, Callable[[bytes, memoryview], str | None]] = {
    META: _meta, ROWS: _rows, FIELDS: _fields, VECTORS: _vectors, LOG: _log,
    TAGS: _tags, LOST: _lost, ASIDE: _aside, SUMMARIES: _summaries,
}  # fmt: skip
