"""Little pictures, teachers and stores that tests make for themselves."""

import io
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore import EmbeddingStore, Recipe
from embedstore.pictures import decode
from embedstore.store.creating import create_store
from embedstore.store.environment import Environment
from embedstore.store.fields import Record
from embedstore.store.layout import BLOCK, Column, Head, empty_rows, id_key
from embedstore.store.tables import Tables
from embedstore.store.writing import writer
from embedstore.summaries import TrainingVectors
from embedstore.teachers.protocol import EMBEDDING, fingerprint
from embedstore.vectors import unit_length
from embedstore.views import draw_view, render


def noise_picture(seed: int = 0, size: tuple[int, int] = (48, 32), mode: str = "RGB") -> Image.Image:
    """Return a picture of independent random pixels; mode `L` or `RGB`."""
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def smooth_picture(seed: int = 0, size: tuple[int, int] = (640, 480), mode: str = "RGB") -> Image.Image:
    """Return a picture of soft random blobs, whose content survives a change of size."""
    coarse = noise_picture(seed, (12, 9), mode)
    return coarse.resize(size, Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return the picture as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def write_picture(path: Path, picture: Image.Image | None = None) -> Path:
    """Write a picture (a small grey one where none is given), with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    path.write_bytes(encoded(picture or Image.new("L", (4, 4), 90), form))
    return path


# Below: stores that tests make for themselves.


class CountingTeacher:
    """A small NumPy teacher (16 pixels a side, 12 numbers) that counts what it is shown.

    Args:
        name: for people; two names of one `kind` are the same teacher.
        kind: decides the fingerprint.
        stop_after: pictures it takes before it raises `stop_with`, as Ctrl-C or a fault would.
        early: give a second output, `early`, of 4 numbers.
    """

    input_size = 16

    def __init__(
        self,
        name: str = "counting",
        kind: str = "counting",
        stop_after: int | None = None,
        stop_with: type[BaseException] = KeyboardInterrupt,
        early: bool = False,
    ):
        self.name = name
        self.fingerprint = fingerprint({"teacher": kind})
        self.outputs = {EMBEDDING: 12} | ({"early": 4} if early else {})
        self.definitions = {"early": "the first four"} if early else {}
        self.stop_after, self.stop_with = stop_after, stop_with
        self.calls = self.seen = 0

    def embed(self, pictures: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        if self.stop_after is not None and self.seen + len(pictures) > self.stop_after:
            raise self.stop_with
        self.calls += 1
        self.seen += len(pictures)
        cells = pictures.reshape(len(pictures), 2, 8, 2, 8, 3).mean((2, 4), dtype=np.float64).reshape(len(pictures), 12)
        return {name: unit_length(cells[:, :dim] - 100) for name, dim in self.outputs.items()}


def write_pictures(root: Path, names: Iterable[str], seed: int = 0) -> None:
    """Write one tiny noise picture per name, each of its own content; names are paths below `root`."""
    for number, name in enumerate(names):
        write_picture(root / name, noise_picture(seed * 100_000 + number, (5, 4)))


def by_hand(teacher: Any, root: Path, uri: str, sample_id: str, view: int, recipe: Recipe) -> npt.NDArray[np.float32]:
    """Return the embedding of one view as the definition says: teacher(render(decode(file), view))."""
    pixels = render(
        decode((root / uri).read_bytes()), draw_view(recipe, sample_id, view), teacher.input_size, recipe.fit
    )
    return np.asarray(teacher.embed(pixels[None])[EMBEDDING][0])


def assert_same_to_a_float16_step(actual: npt.ArrayLike, expected: npt.ArrayLike) -> None:
    """Assert that stored vectors are the expected ones but for rounding to float16."""
    step = np.spacing(np.abs(np.asarray(expected)).astype(np.float16)).astype(np.float64)
    distance = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64))
    assert (distance <= step).all(), f"off by up to {(distance / step).max():.1f} steps"


def snapshot(store: EmbeddingStore) -> dict[str, Any]:
    """Return all that a reader can see of a store, by id: records, vectors of every view, what was set aside."""
    samples = {sample.id: sample for sample in store.samples}
    vectors = {
        view: dict(zip(store.ids, [row.tobytes() for row in store.vectors(view=view)], strict=True))
        for view in range(store.views + 1 if store.head.columns else 0)
    }
    aside = {entry["path"]: entry["reason"] for entry in store.set_aside}
    return {"version": store.version, "samples": samples, "vectors": vectors, "aside": aside}


def forget(store: EmbeddingStore) -> None:
    """Let a handle read all anew, at the version that it stands at."""
    now = store._now
    for name, value in vars(type(now)).items():
        if isinstance(value, cached_property):
            now.__dict__.pop(name, None)
    for kept in (now._fields, now._blocks, now._checked):
        kept.clear()


def store_of(path: Path, vectors: npt.ArrayLike, **fields: Sequence[Any]) -> EmbeddingStore:
    """Make a store of given vectors, (n, d) or (views + 1, n, d), past `build`: the raw back door.

    `fields` are sequences over the samples: `ids`, `labels`, `modes`, `groups`, `splits`, `attributes`.
    """
    stacked = np.asarray(vectors, np.float16)
    stacked = stacked[None] if stacked.ndim == 2 else stacked
    views, count, dim = stacked.shape
    space = fingerprint({"teacher": "by hand", "dim": dim})
    ids = list(fields.pop("ids", [f"sample {number:05d}" for number in range(count)]))
    columns = tuple(Column(space, EMBEDDING, view) for view in range(views))
    create_store(
        path,
        {"recipe": Recipe().to_dict(), "image_root": str(path.parent)},
        space,
        {"teacher": "by hand", "outputs": {EMBEDDING: dim}, "input_size": 16},
    )
    store = EmbeddingStore(path)
    records = [Record(name, name, row, b"c" * 16) for row, name in enumerate(ids)]
    for name, values in fields.items():
        for record, value in zip(records, values, strict=True):
            setattr(record, name.removesuffix("s") if name != "attributes" else name, value)

    def fill(tables: Tables) -> None:
        for block in range(-(-count // BLOCK)):
            rows = empty_rows()
            for record in records[block * BLOCK : (block + 1) * BLOCK]:
                rows["key"][record.row % BLOCK] = np.frombuffer(id_key(record.id), np.uint8)
                rows["content"][record.row % BLOCK] = np.frombuffer(record.content, np.uint8)
            tables.put_row_block(block, rows)
        for column in columns:
            tables.put_vectors(column, np.arange(count), stacked[column.view])
        tables.put_row_count(count)

    with writer(path) as session:
        session.write(fill)
        session.publish(Head(1, space, columns, None), "build", records=records, born=range(count))
    store.refresh()
    return store


class Killed(BaseException):
    """What a kill looks like from inside."""


@contextmanager
def killed_after(writes: int) -> Iterator[None]:
    """Let so many transactions through and die at each one after."""
    done = 0
    original = Environment.write

    def write(self: Environment, work: Callable[..., Any]) -> Any:
        nonlocal done
        if done >= writes:
            raise Killed
        done += 1
        return original(self, work)

    with patch.object(Environment, "write", write):
        yield


def unit_vectors(seed: int, count: int, dim: int = 12) -> npt.NDArray[np.float16]:
    """Return random vectors of unit length as the store keeps them."""
    return unit_length(np.random.default_rng(seed).normal(size=(count, dim)) + 0.4).astype(np.float16)


def text_vectors(texts: Sequence[str], dim: int = 12) -> npt.NDArray[np.float32]:
    """Return made-up vectors of texts, each fixed by its text, in a narrow cone of their own as CLIP's are."""
    seeds = [zlib.crc32(text.encode()) for text in texts]
    return unit_length([np.random.default_rng(seed).normal(size=dim) * 0.2 - 0.6 for seed in seeds])


def training_of(
    vectors: npt.NDArray[np.float16],
    labels: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    order: Sequence[int] | None = None,
    block: int = 100,
) -> TrainingVectors:
    """Return what a strategy gets, with the rows in an order of choice and cut into blocks of a size of choice.

    `vectors` are (n, d) or (views + 1, n, d). Texts are embedded by `text_vectors`.
    """
    stacked = np.asarray(vectors, np.float16)
    stacked = stacked[None] if stacked.ndim == 2 else stacked
    views, count, dim = stacked.shape
    at = np.arange(count) if order is None else np.asarray(order)
    names = [f"id {number}" for number in range(count)] if ids is None else list(ids)
    parts = [f"sample {name}" for name in names] if groups is None else list(groups)
    ordered = stacked[:, at]

    def blocks(view: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]:
        for start in range(0, len(at), block):
            yield np.arange(start, min(start + block, len(at))), ordered[view, start : start + block]

    return TrainingVectors(
        ids=[names[i] for i in at],
        labels=[labels[i] for i in at],
        groups=[parts[i] for i in at],
        blocks=blocks,
        read=lambda positions: ordered[0, positions].astype(np.float32),
        embed_text=lambda texts: text_vectors(texts, dim),
        dim=dim,
        views=views - 1,
    )


def python_environment(**extra: str) -> dict[str, str]:
    """Return the environment in which a child process finds the packages and these helpers."""
    here = Path(__file__).parent
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]), **extra}


def run_python(code: str, *arguments: object, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh interpreter, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
