"""Entries as they lie on the disk, key and value, so that a damaged or foreign one is told from a sound one."""

from __future__ import annotations

from embedstore.errors import CorruptStoreError
from embedstore.store import decoding, layout
from embedstore.store.decoding import sound_key

__all__ = ["problem", "sound_key", "true_key"]

_FLIPS = [1 << bit for bit in range(8)]


def problem(database: bytes, key: bytes, value: memoryview) -> str | None:
    """Return in a few words what is wrong with an entry by itself; None where it is sound."""
    try:
        payload = layout.unseal(database, key, value)
    except CorruptStoreError:
        return "fails its checksum"
    return decoding.problem(database, key, payload)


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
