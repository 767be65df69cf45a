"""Asking a terminal model about pictures: by its own answer, by the nearest prototypes, or by retrieval. Needs no PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

import embedstore
from distill.evaluation.metrics import threshold_at_overkill
from distill.terminal import gathering, remarks
from distill.terminal.gallery import Gallery, Progress, refuse_unmade
from distill.terminal.model import Seen, Space, TerminalModel
from distill.terminal.predictions import By, Prediction, Predictions
from distill.terminal.where import peak
from embedstore import EmbeddingStore, Summary
from embedstore.errors import ImagesError, ModelError, PictureError
from embedstore.exports import SummaryFile, is_light_file, read_prototypes
from embedstore.images import NOT_UTF8, in_utf8, list_images
from embedstore.pages.words import Text
from embedstore.pictures import read_picture
from embedstore.store.earlier_pictures import PicturesSince, pictures_since, seen_since


@dataclass(frozen=True)
class Comparing:
    """What pictures are compared with, where they are not asked by the head.

    Attributes:
        vectors: whose are compared; None: those of the gallery's file, else the student's, which tell more of a single picture
            (docs/new-defect.json). Prototypes and light files are the teacher's.
        store: a store: its samples, or whose good pictures set the threshold.
        summary: of the store, by name, or a file that `embedstore export` wrote.
        gallery: a file: read where it is there and of the same store or folder as it is now, if one is named; else written; or
            a light file of `embedstore export`.
        labelled: a folder of labelled pictures instead of a store, for the student's vectors.
        manifest: of that folder.
        images: the store's image folder, where it has moved.
        k: of how many parts of each kind the mean is taken.
        overkill: the share of good parts that may be rejected; None: the one that the model was made for.
    """

    vectors: Space | None = None
    store: Path | None = None
    summary: str | None = None
    gallery: Path | None = None
    labelled: Path | None = None
    manifest: Path | None = None
    images: Path | None = None
    k: int = 1
    overkill: float | None = None


_OPTIONS = {one.name: f"--{one.name}" for one in fields(Comparing)} | {"images": "--store-images"}


class _Compared(NamedTuple):
    """What pictures are compared with, what is to be said of it, and what is doubtful of good pictures that set a threshold.

    `set_aside` are labelled pictures that were to be compared with and can't be read: path -> why.
    """

    gallery: Gallery
    said: list[Text]
    doubts: list[Text]
    set_aside: Mapping[str, str] = MappingProxyType({})


def predict(
    model: str | os.PathLike[str] | TerminalModel,
    images: Sequence[str | os.PathLike[str]],
    *,
    by: By | str = By.head,
    comparing: Comparing | None = None,
    threshold: float | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Say of each picture whether it is good, by onnxruntime alone.

    Args:
        model: a file that `distill export` wrote, or one that is open.
        images: files, and folders of which all pictures are taken.
        by: `head`, the answer that was exported, `prototypes` or `retrieval`.
        comparing: with what, where it is not by the head.
        threshold: of scores, by the head 0 to 1, otherwise -2 to 2; None: the model's own, or for prototypes and retrieval one
            that is set on good pictures.
        progress: called with the step, and how far it is.

    Raises:
        ModelError: the model can't be used, or not for what was asked of it.
        ImagesError: a file or a folder is not there.
        StoreError, SummaryError: the store or the summary can't be used.
        MissingPackageError: onnxruntime is not installed.
    """
    opened = model if isinstance(model, TerminalModel) else TerminalModel(model)
    tell, way, against = progress or (lambda *_: None), By(by), comparing or Comparing()
    _refuse_threshold(opened, way, threshold)
    _refuse_combination(way, against, threshold)
    found, set_aside = _listed(images)
    gallery, said, labelled_aside = None, list[Text](), dict[str, str]()
    if way is By.head:
        limit = opened.facts.threshold if threshold is None else threshold
    else:
        compared = _gallery(opened, way, against, tell)
        gallery, said = compared.gallery, compared.said
        labelled_aside = dict(compared.set_aside)
        limit, told = _limit(opened, way, compared, against, threshold)
        said[1:1] = told
    seen: dict[str, Seen] = {}
    sizes: dict[str, tuple[int, int]] = {}
    contents: list[str] = []
    for number, (shown, path) in enumerate(found, start=1):
        try:
            picture, content = read_picture(path)
            seen[shown] = opened.look(opened.prepared(picture))
            sizes[shown] = picture.size
            contents.append(content.hex())
        except PictureError as error:
            set_aside[shown] = str(error)
        tell("Asking", number, len(found))
    if gallery is None:
        pictures = _by_head(opened, seen, limit)
    else:
        own_parts = gallery.own_parts(contents)
        if known := sum(map(bool, own_parts)):
            said.append(remarks.members(known, len(seen)))
        pictures = _by_gallery(gallery, seen, own_parts, limit, against.k)
    maps = {shown: one.where for shown, one in seen.items() if one.where is not None}
    form = opened.facts.where
    if form is not None:
        pictures = [replace(one, where=peak(maps[one.path], form.fit, sizes[one.path])) for one in pictures]
    return Predictions(way, pictures, set_aside, said, maps, form, opened.facts.answer, labelled_aside)


def _refuse_threshold(model: TerminalModel, by: By, threshold: float | None) -> None:
    if threshold is None:
        return
    low, high = (0, 1) if by is By.head else (-2, 2)
    if not low <= threshold <= high:
        raise ModelError(f"The threshold is {threshold}; scores by {by} are {low} to {high}, so give one in between.")
    if model.facts.good is None:
        raise ModelError(
            f"The model '{model.path}' knows no good label, so nothing is rejected above a threshold; leave it out."
        )


def _refuse_combination(by: By, against: Comparing, threshold: float | None) -> None:
    """Refuse what would be ignored beside something else, so that nobody takes it for heeded."""
    if by is By.head and against != Comparing():
        given = [name for field, name in _OPTIONS.items() if getattr(against, field) != getattr(Comparing(), field)]
        raise ModelError(
            f"By the head nothing is compared, so leave {' and '.join(given)} out, or ask by retrieval or prototypes (--by)."
        )
    if by is By.prototypes and (against.vectors is Space.student or against.gallery or against.labelled):
        raise ModelError("Prototypes are the teacher's vectors; leave --vectors, --gallery and --labelled out.")
    if by is By.retrieval and against.summary is not None:
        raise ModelError("A summary was given, which retrieval does not use; ask by prototypes, or leave it out.")
    if against.store is not None and against.labelled is not None:
        raise ModelError(
            "A store and a folder of labelled pictures were given; leave one out, --store or --labelled, for pictures are "
            "compared with one of them."
        )
    if against.manifest is not None and against.labelled is None:
        raise ModelError(
            f"The manifest '{against.manifest}' is of no folder; name the folder of labelled pictures (--labelled DIR), or leave "
            "the manifest out."
        )
    if against.images is not None and against.store is None:
        raise ModelError(
            f"The image folder '{against.images}' is of no store; name the store (--store STORE), or leave --store-images out."
        )
    if against.overkill is None:
        return
    if threshold is not None:
        raise ModelError(
            "An overkill and a threshold were given; leave one out, --overkill or --threshold, for each sets the limit alone."
        )
    if not 0 <= against.overkill <= 0.5:
        raise ModelError(f"The overkill is {against.overkill}; expected 0 to 0.5.")


def _by_head(model: TerminalModel, seen: dict[str, Seen], threshold: float | None) -> list[Prediction]:
    if not seen:
        return []
    probabilities = np.stack([one.probabilities for one in seen.values()])
    facts = model.facts.at(threshold)
    scores: Sequence[float | None] = [None] * len(seen)
    if facts.good is not None:
        scores = facts.scores(probabilities).tolist()
    decided = zip(seen, facts.decisions(probabilities), scores, strict=True)
    return [Prediction(path, label, score, facts.threshold) for path, label, score in decided]


def _by_gallery(
    gallery: Gallery, seen: dict[str, Seen], own_parts: list[set[str]], threshold: float | None, k: int
) -> list[Prediction]:
    assert threshold is not None  # noqa: S101  as `_limit` gives it
    if not seen:
        return []
    placed = gallery.placed(np.stack([one.of(gallery.space) for one in seen.values()]))
    scores = gallery.scores(placed, k, own_parts).tolist()
    decided = zip(seen, scores, gallery.nearest_defects(placed, own_parts), strict=True)
    return [
        Prediction(path, gallery.labels[at] if score > threshold else gallery.good, score, threshold, gallery.ids[at])
        for path, score, at in decided
    ]


def _limit(
    model: TerminalModel, by: By, compared: _Compared, against: Comparing, threshold: float | None
) -> tuple[float, list[Text]]:
    """Return the threshold of a gallery's scores, and where it comes from, with what is doubtful of that."""
    gallery = compared.gallery
    if threshold is not None:
        return threshold, [remarks.given(threshold)]
    overkill = model.facts.overkill if against.overkill is None else against.overkill
    assert overkill is not None  # noqa: S101  the model has a good label, or there would be no gallery
    if not len(gallery.goods) and by is By.prototypes and against.store is not None:
        raise ModelError(
            f"{gallery.made_of} has no good picture of a part that the summary '{against.summary}' has not seen, so none can set "
            "a threshold; give one (--threshold), or a summary of the training side alone: embedstore twins STORE --apply where "
            "pictures have copies, embedstore split STORE, then embedstore summarize STORE STRATEGY"
        )
    if not len(gallery.goods):
        raise ModelError(
            f"{gallery.made_of} has no good pictures to set a threshold on; give one (--threshold), or the store that it was "
            "made of (--store STORE)."
        )
    limit = threshold_at_overkill(gallery.scores_of_goods(against.k), overkill)
    told = remarks.set_on(gallery, limit, overkill, without_own=by is By.retrieval)
    return limit, [*told, *compared.doubts]


def _gallery(model: TerminalModel, by: By, against: Comparing, progress: Progress) -> _Compared:
    """Return what pictures are compared with."""
    if by is By.prototypes:
        return _prototypes(model, against, progress)
    file = against.gallery
    if file is not None and is_light_file(file):
        return _light(model, against, file, progress)
    made, left_out, doubts, broken = None, list[Text](), list[Text](), dict[str, str]()
    if file is not None and file.exists():
        made = Gallery.load(file)
        _refuse_other(model, made, against.vectors, file)
    elif file is not None:
        refuse_unmade(file, makes=against.store is not None or against.labelled is not None)
    known = made
    space = made.space if made is not None else against.vectors or Space.student
    if against.store is not None:
        with embedstore.open(against.store) as store:
            if made is None or made.state != gathering.state_of(store):
                made = gathering.of_store(model, store, space, None, against.images, progress)
            doubts = _on_split(store)
    elif against.labelled is not None:
        _refuse_teachers(space, known, file)
        listed = list_images(against.labelled, against.manifest)
        made, broken = gathering.of_images(model, listed, known, progress)
        left_out = remarks.left_out(listed, list(broken))
    if made is None:
        raise ModelError(
            "By retrieval pictures are compared with others; name a store (--store STORE), a folder of labelled pictures "
            "(--labelled DIR), or a gallery that was made of one (--gallery FILE)."
        )
    if made is not known:
        _keep(made, file)
    said = [remarks.pictures(made), *left_out]
    if file is None and space is Space.student:
        said.append(remarks.NOT_KEPT)
    return _Compared(made, said, doubts, broken)


def _light(model: TerminalModel, against: Comparing, file: Path, progress: Progress) -> _Compared:
    """Return the samples of a light file; the good pictures are those of the store."""
    if against.vectors is Space.student or against.labelled is not None:
        raise ModelError(
            f"The light file '{file}' holds vectors of the teacher; leave --vectors and --labelled out, or the light file."
        )
    found = gathering.of_light_file(model, file)
    said, doubts = [remarks.pictures(found)], list[Text]()
    if against.store is not None:
        with embedstore.open(against.store) as store:
            found = gathering.of_store(model, store, Space.teacher, found, against.images, progress)
            doubts = _on_split(store)
    return _Compared(found, said, doubts)


def _prototypes(model: TerminalModel, against: Comparing, progress: Progress) -> _Compared:
    """Return the prototypes of a summary."""
    if against.summary is None:
        raise ModelError(
            "By prototypes a summary is needed; name a file that embedstore export wrote (--summary FILE.safetensors), or a "
            "store and a summary of it (--store STORE --summary NAME)."
        )
    if against.store is None:
        if not against.summary.endswith(".safetensors") and not os.path.isfile(against.summary):
            raise ModelError(
                f"There is no file '{against.summary}'; for a saved summary of that name, name its store, too (--store STORE), "
                "or give a file that ends in .safetensors, which embedstore export writes."
            )
        summary = read_prototypes(against.summary)
        return _Compared(gathering.of_summary(model, summary), remarks.prototypes(summary, against.summary), [])
    with embedstore.open(against.store) as store:
        is_file = against.summary.endswith(".safetensors")
        summary = read_prototypes(against.summary) if is_file else store.summary(against.summary)
        found = gathering.of_summary(model, summary)
        seen = _seen(Path(against.summary), summary, store) if is_file else seen_since(summary, store)
        positions = seen.positions | seen.copies.keys()
        found = gathering.of_store(model, store, Space.teacher, found, against.images, progress, positions)
        doubts = [*remarks.unseen(summary), *remarks.untraced(summary, seen.untraced), *_on_split(store)]
        return _Compared(found, remarks.prototypes(summary, against.summary), doubts)


def _seen(file: Path, summary: Summary, store: EmbeddingStore) -> PicturesSince:
    """Return what became of the pictures that the summary in a file saw; a whole file tells their contents."""
    # Its version would not do: the file may be of another store, or of one that was built anew and counts from 1 again.
    return pictures_since(SummaryFile(file) if summary.seen else None, store, summary.seen)


def _on_split(store: EmbeddingStore) -> list[Text]:
    return [] if gathering.is_dealt(store.samples) else [remarks.NO_SPLIT]


def _refuse_other(model: TerminalModel, gallery: Gallery, space: Space | None, file: Path) -> None:
    if space is not None and gallery.space is not space:
        raise ModelError(
            f"The gallery '{file}' holds vectors of the {gallery.space}; ask with --vectors {gallery.space}."
        )
    if gallery.good != gathering.needed_good(model):
        raise ModelError(
            f"In the gallery '{file}' good parts are '{gallery.good}', and the model's are not; make it again."
        )
    dim = model.facts.features if gallery.space is Space.student else len(gathering.needed_centre(model))
    if gallery.owner != model.digest or gallery.centre.shape != (dim,):
        raise ModelError(
            f"The gallery '{file}' was made with another model; delete it and make it again with this one."
        )


def _refuse_teachers(space: Space, known: Gallery | None, file: Path | None) -> None:
    """Refuse a folder of pictures where the teacher's vectors are asked for, or `known` in `file` has them."""
    if space is Space.teacher:
        remedy = "compare the student's: --vectors student" if known is None else f"name another file than '{file}'."
        raise ModelError(f"A folder of pictures holds no vectors of the teacher; {remedy}")


def _keep(gallery: Gallery, file: Path | None) -> None:
    if file is not None:
        gallery.save(file)


def _listed(images: Sequence[str | os.PathLike[str]]) -> tuple[list[tuple[str, Path]], dict[str, str]]:
    """Return the pictures by the path that is shown, each once, and why others can't become one.

    A decision on a path that is not UTF-8 could not be written, and all others would be lost with it.
    """
    found: dict[str, Path] = {}
    set_aside: dict[str, str] = {}
    for given in map(Path, images):
        if not os.path.isdir(given):
            if not os.path.exists(given):
                raise ImagesError(f"There is no picture '{given}'; give files, or folders of pictures.")
            if in_utf8(str(given)) == str(given):
                found[str(given)] = given
            else:
                set_aside[in_utf8(str(given))] = NOT_UTF8
            continue
        listing = list_images(given)
        found |= {str(given / sample.uri): given / sample.uri for sample in listing.samples}
        set_aside |= {str(given / uri): reason for uri, reason in listing.unreadable.items()}
    return sorted(found.items()), set_aside
