"""Maps: a place in the plane for each sample. Principal axes are found at once; other maps are shown where they are kept.

    STORE/maps/METHOD-VERSION.safetensors   `places` (n, 2) float32, in the order of the store's rows; `rows`: see `rows_of`;
                                            `teacher`: the fingerprint of the one whose vectors were placed

A map is nothing but a cache of the page: who computes one, as `embedstore map` does, keeps it by `keep_map`, and the page offers
it as long as the store has the same samples with the same pictures and teacher, whatever else is said of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from embedstore.errors import SettingsError
from embedstore.files import write_whole
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.vectors import unit_length, widened

Places = npt.NDArray[np.float32]  # (n, 2)

FOLDER = "maps"
PCA = "pca"
_ENDING = ".safetensors"
_AXES_FROM, _SEED = 4_096, 0
_FAR = 0.02  # share of the samples that is taken for far from the others
_BLOCK, _TURNS = 16, 24  # of the iteration for the axes


def principal_map(store: EmbeddingStore) -> Places:
    """Return where each sample lies along the two principal axes of the directions of all, in the order of rows.

    The axes are those of up to 4,096 samples, drawn with a fixed seed, but for the few that are farthest from their mean: else
    a handful of spoilt pictures would decide what is seen of all others. One pass over the vectors, blockwise. What lies far
    outside is drawn in; see `drawn_in`.
    """
    count = len(store)
    places = np.zeros((count, 2), np.float32)
    if not count:
        return places
    rng = np.random.default_rng(_SEED)
    some = np.sort(rng.choice(count, min(count, _AXES_FROM), replace=False))
    directions = unit_length(store.read(some))
    away = np.linalg.norm(directions - directions.mean(axis=0), axis=1)
    usual = directions[away <= np.quantile(away, 1 - _FAR)]
    centre = usual.mean(axis=0)
    axes = principal_axes(usual - centre)
    for at, block in store.scan():
        vectors = widened(block)
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        places[at] = (vectors @ axes.T) / np.where(lengths, lengths, 1)[:, None] - axes @ centre
    return drawn_in(places)


def drawn_in(places: Places) -> Places:
    """Return places of which the farthest are drawn in, so that they are seen and leave the others their room.

    Up to the radius that holds 98 % of the places, all stay; beyond, the order along each direction is kept, within 1.6 times
    that radius.
    """
    middle = np.median(places, axis=0)
    away = np.linalg.norm(places - middle, axis=1)
    radius = max(float(np.quantile(away, 1 - _FAR)), 1e-12)
    beyond = np.maximum(away / radius - 1, 0)
    grown = np.where(beyond > 0, (1 - 0.6 * np.expm1(-beyond)) / (1 + beyond), 1)
    return (middle + (places - middle) * grown[:, None]).astype(np.float32)


def principal_axes(centred: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the two principal axes (2, d) of centred vectors (n, d), each with its largest number positive.

    By subspace iteration, which for two axes of a thousand is far quicker than all of them.
    """
    dim = centred.shape[1]
    basis = np.random.default_rng(_SEED).normal(size=(dim, min(_BLOCK, dim)))
    for _ in range(_TURNS):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    _, _, turned = np.linalg.svd(centred @ basis, full_matrices=False)
    axes = np.zeros((2, dim))
    axes[: len(turned[:2])] = turned[:2] @ basis.T
    largest = np.abs(axes).argmax(axis=1)
    return (axes * np.where(axes[np.arange(2), largest] < 0, -1, 1)[:, None]).astype(np.float32)


def rows_of(store: EmbeddingStore) -> str:
    """Return what is the same for two versions of a store whose samples have the same positions and pictures."""
    return hashlib.blake2b(store.alive[["key", "content"]].tobytes(), digest_size=8).hexdigest()


def keep_map(store: EmbeddingStore, method: str, places: npt.ArrayLike) -> Path:
    """Keep a map of the store's version; whole or not at all. Those of the method whose versions are gone are deleted.

    Args:
        store: whose samples are placed.
        method: letters and digits, such as `umap`.
        places: (n, 2), in the order of rows.

    Raises:
        SettingsError: the name or the shape can't be.
    """
    given = np.asarray(places, np.float32)
    if not method.isalnum() or given.shape != (len(store), 2) or not np.isfinite(given).all():
        raise SettingsError(
            f"The map '{method}' has the shape {given.shape}; give a name of letters and digits, and finite places of the shape "
            f"{(len(store), 2)}."
        )
    path = store.path / FOLDER / f"{method}-{store.version}{_ENDING}"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, save({"places": given}, {"rows": rows_of(store), "teacher": store.fingerprint}))
    there = {entry.number for entry in store.log() if entry.readable} | {store.version}
    for other, of, version in _files(store):
        if of == method and version not in there:
            other.unlink(missing_ok=True)
    return path


def kept_maps(store: EmbeddingStore) -> list[str]:
    """Return the methods of the maps that are kept of the samples that the store has."""
    return sorted(_kept(store))


def kept_map(store: EmbeddingStore, method: str) -> Places:
    """Return a kept map.

    Raises:
        SettingsError: none of that name is kept, or it can't be read, or is of other samples.
    """
    path = _kept(store).get(method)
    if path is None:
        raise SettingsError(f"No map '{method}' is kept of version {store.version} of the store '{store.path}'.")
    try:
        places = load_file(path)["places"]
    except (OSError, KeyError, SafetensorError) as error:
        raise SettingsError(f"The map '{path}' can't be read ({error}); delete it.") from error
    if places.shape != (len(store), 2) or places.dtype != np.float32 or not np.isfinite(places).all():
        raise SettingsError(f"The map '{path}' is of other samples; delete it.")
    return places


def packed(places: Places) -> bytes:
    """Return places as pairs of little-endian uint16 in a square that holds them all, so that shapes are kept."""
    if not len(places):
        return b""
    low, high = places.min(axis=0), places.max(axis=0)
    middle, side = (low + high) / 2, max(float((high - low).max()), 1e-12)
    scaled = ((places - middle) / side + 0.5) * 65535
    whole: npt.NDArray[np.uint16] = np.round(np.clip(scaled, 0, 65535)).astype("<u2")
    return whole.tobytes()


def _files(store: EmbeddingStore) -> list[tuple[Path, str, int]]:
    """Return the files of maps with their methods and versions, the earliest version first."""
    found = []
    for path in (store.path / FOLDER).glob(f"*-*{_ENDING}"):
        method, _, version = path.name.removesuffix(_ENDING).rpartition("-")
        if method.isalnum() and version.isascii() and version.isdigit():
            found.append((path, method, int(version)))
    return sorted(found, key=lambda one: (one[2], one[1]))


def _kept(store: EmbeddingStore) -> dict[str, Path]:
    """Return the newest file of each method that is of the store's samples; one of its own version is told even if damaged."""
    same = (rows_of(store), store.fingerprint)
    teachers = list(store.teachers)
    # Before stores could change their teacher, maps did not say whose vectors they were of.
    sole = teachers[0] if len(teachers) == 1 else None
    return {
        method: path for path, method, version in _files(store) if version == store.version or _of(path, sole) == same
    }


def _of(path: Path, sole: str | None) -> tuple[str | None, str | None]:
    """Return the rows and the teacher that a map is of; of one that does not say, the store's sole teacher."""
    try:
        with safe_open(path, "numpy") as file:
            said = file.metadata() or {}
    except (OSError, SafetensorError):
        return None, None
    return said.get("rows"), said.get("teacher", sole)
