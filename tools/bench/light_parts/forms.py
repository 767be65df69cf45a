"""The forms that are compared: each is written to the disk by the product, and fitted on folds by the study's arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from prototype_parts.figures import Fit
from prototype_parts.making import as_it_is
from prototype_parts.scorers import nearest

import embedstore
from embedstore.analysis.neighbour_loss import Sight, light_loss, neighbour_loss, sight_of
from embedstore.exports import LightForm, read_light_file
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.reducing import fit, training_side
from embedstore.thinning import bytes_of
from light_parts.sights import Views, coded, coded_points, own

CODES = (8, 16, 32, 64)  # bytes
DIMS = (32, 64, 128, 256)
VIEWS = (0, 1, 8, 32)
STUDIED = 8  # views of the study's students


@dataclass(frozen=True)
class Written:
    """A form on the disk.

    Attributes:
        bytes: of the file, or of all files without kept pictures.
        numbers: bytes of its vectors or codes alone.
        overlap: of the 10 nearest neighbours of held-out samples; None where it keeps no samples.
        pictures: whether kept pictures can lie beside it.
        lacks: bytes of the axes that asking takes and the file does not have, for it is for training.
    """

    bytes: int
    numbers: int
    overlap: float | None
    pictures: bool = False
    lacks: int = 0


@dataclass(frozen=True)
class Form:
    """One row of the table.

    Attributes:
        name: what it is.
        write: (store with a split, folder) -> what it takes on the disk.
        fit: the same on the training side of a fold.
        students: the study's conditions that train in this form, the best fitting first.
        parity: the way of `docs/parity.json` that does.
    """

    name: str
    write: Callable[[EmbeddingStore, Path], Written]
    fit: Fit
    students: tuple[str, ...] = ()
    parity: str | None = None


def forms(seen: Views) -> Iterator[Form]:
    """Yield all forms, the summaries first."""
    most = len(seen.vectors) - 1
    for name, strategy, parameters, students in (
        ("class-mean", "class-mean", {}, ("class-mean",)),
        ("sub-prototypes, 8 a label", "sub-prototypes", {"k": 8}, ("k-means-8",)),
        ("sub-prototypes, 32 a label", "sub-prototypes", {"k": 32}, ("k-means-32",)),
        ("rare-samples", "rare-samples", {}, ("rare-samples",)),
    ):
        made = partial(nearest, make=partial(as_it_is, strategy=strategy, **parameters))
        write = partial(_summary, strategy=strategy, **parameters)
        yield Form(f"{name}, prototypes only", partial(write, prototypes_only=True), made)
        yield Form(name, write, made, students)
    for code in CODES:
        kept = min(STUDIED, most)
        parameters = {"bytes": code, "rare_bytes": code, "kept_views": kept}
        name = f"compressed-own, {code} bytes, {kept} views"
        students = (f"compressed-{code}-even", f"compressed-{code}")
        yield Form(name, partial(_codes, **parameters), partial(coded, code_bytes=code), students)
    for dims in (*DIMS, None):
        for int8 in (True, False):
            told = f"light file, {'int8' if int8 else 'float16'}" + (f", {dims} axes" if dims else "")
            if int8 or dims:
                form = LightForm(int8, dims)
                yield Form(told, partial(_light, form=form), partial(own, seen=seen, dims=dims, int8=int8))
    for dims in (*DIMS, None):
        for views in [views for views in VIEWS if views <= most and (dims in {None, 128} or not views)]:
            name = f"store, {views} views" + (f", {dims} axes" if dims else "")
            students = ("own",) if dims is None and views == STUDIED else ()
            parity = f"own, {views} views" if dims is None else None
            made = partial(own, seen=seen, dims=dims, views=views)
            yield Form(name, partial(_store, views=views, dims=dims), made, students, parity)


def _summary(
    store: EmbeddingStore, folder: Path, *, strategy: str, prototypes_only: bool = False, **parameters: object
) -> Written:
    name = "light"
    if name in store.summary_names:
        store.delete_summary(name)
    made = store.summarize(strategy, name=name, split="train", **parameters)
    file = folder / "summary.safetensors"
    embedstore.export(store, file, summary=name, prototypes_only=prototypes_only, overwrite=True)
    return Written(file.stat().st_size, 2 * made.vectors.size if prototypes_only else made.nbytes, None)


def _codes(store: EmbeddingStore, folder: Path, *, bytes: int, **parameters: object) -> Written:
    written = _summary(store, folder, strategy="compressed-own", bytes=bytes, **parameters)
    reduction, training = fit(store, 4 * bytes), np.flatnonzero(training_side(store))
    points, _ = coded_points(reduction(store.read(training)), bytes, 0)
    loss = neighbour_loss(store, sight_of(store), Sight(reduction, lambda: [(training, points)]))
    lacks = reduction.centre.nbytes + reduction.axes.nbytes
    return Written(written.bytes, written.numbers, loss.overlap, lacks=lacks)


def _light(store: EmbeddingStore, folder: Path, *, form: LightForm) -> Written:
    file = folder / "light.safetensors"
    embedstore.export(store, file, light=form, overwrite=True)
    light = read_light_file(file)
    return Written(file.stat().st_size, light.codes.nbytes, light_loss(store, light).overlap)


def _store(store: EmbeddingStore, folder: Path, *, views: int, dims: int | None) -> Written:
    small = folder / f"store-{views}-{dims}"
    report = embedstore.thin(store.path, small, views=views, dims=dims, drop_pictures=True)
    numbers = report.samples * (report.views + 1) * report.dim * 2
    return Written(bytes_of(small), numbers, report.loss.overlap, True)
