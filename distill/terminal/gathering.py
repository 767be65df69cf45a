"""Where galleries come from: a store, prototypes or a light file of it, or labelled pictures that the model itself looks at."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgpack
import numpy as np

from distill.terminal.gallery import Gallery, Progress, standard
from distill.terminal.model import Picture, Seen, Space, TerminalModel, as_input
from distill.training.pictures import StudentPictures
from embedstore import EmbeddingStore, Sample, Summary
from embedstore.analysis.odd_samples import check_no_codes
from embedstore.errors import ModelError, PictureError
from embedstore.exports import read_light_file
from embedstore.images import Listing
from embedstore.pictures import content_hash, read_picture
from embedstore.summaries.strategy import directions
from embedstore.vectors import Vectors

_MOST_GOODS = 2000  # that the model looks at for a threshold; of more, so many are drawn
_READ_AT_ONCE = 64
_MOST_OFF_CENTRE = 0.2  # of the centre's length: other folds of one store are a few hundredths off


@dataclass(frozen=True)
class _Sides:
    """Which samples are members, and which good ones a threshold is set on: positions among all samples."""

    members: list[int]
    goods: list[int]


def of_store(  # noqa: PLR0917
    model: TerminalModel,
    store: EmbeddingStore,
    space: Space,
    members: Gallery | None,
    images: Path | None,
    progress: Progress,
    seen: Iterable[int] = (),
) -> Gallery:
    """Make a gallery of a store: of its samples, or of members that were gathered already and lack good pictures.

    Members are the labelled samples of the training side, and those that have no side yet, such as added ones. Where no sample
    has a side, all labelled ones are members. The threshold is set on good ones of the validation side; where there are none, on
    good members.

    Args:
        model: whose vectors are compared with them.
        store: at any version.
        space: `teacher`: its vectors; `student`: the model looks at the pictures.
        members: prototypes or a light file, in the teacher's space; the store gives the good pictures alone.
        images: the image folder, where it is not where the store remembers it.
        progress: called with the step, and how far it is.
        seen: positions of the samples that the members were made of; good pictures of their parts set no threshold.

    Raises:
        ModelError: the model has no good label, or no vectors of the store's teacher; or the store lacks defects or good parts.
        TrainingError: a picture can't be read.
    """
    good = needed_good(model)
    sides = _sides(store.samples, good, {store.sample_at(at).part for at in seen})
    if space is Space.teacher and members is None:
        refuse_other_teacher(model, store.fingerprint, f"the store '{store.path}'")
    recipe = store.recipe
    if recipe.student_side != model.facts.student_side:
        raise ModelError(
            f"The store '{store.path}' resizes pictures to {recipe.student_side} pixels and the model '{model.path}' wants "
            f"{model.facts.student_side}; name the store that it was trained from."
        )
    pictures = StudentPictures(store, model.facts.size, images)
    try:
        found = members or _of_samples(model, store, space, pictures, sides.members, progress)
        goods = _seen(model, pictures, sides.goods, "Looking at good pictures", progress)
    finally:
        pictures.close()
    found = replace(
        found,
        goods=found.placed(np.stack([one.of(space) for one in goods])) if goods else found.goods,
        parts_of_good=[store.sample_at(at).part for at in sides.goods],
        contents_of_good=_contents(store, sides.goods),
        state=state_of(store),
        made_of=f"The store '{store.path}' (version {store.version})",
    )
    found.refuse_incomplete()
    return found


def state_of(store: EmbeddingStore) -> str:
    """Return a digest of all of a store that galleries hang on; its version would be that of another store, too."""
    samples = [(one.id, one.label, one.part, one.split, store.content_at(at)) for at, one in enumerate(store.samples)]
    return content_hash(msgpack.packb([store.fingerprint, samples])).hex()


def is_dealt(samples: Sequence[Sample]) -> bool:
    """Return whether samples have sides, so that members and good pictures are others than what a run is tested on."""
    return any(sample.split in ("train", "val", "test") for sample in samples)


def of_summary(model: TerminalModel, summary: Summary) -> Gallery:
    """Make a gallery of a summary's prototypes; nothing in it tells a threshold.

    Raises:
        ModelError: the model has no good label or no vectors of the summary's teacher, or defects or good parts are lacking.
        SummaryError: the summary keeps own codes.
    """
    check_no_codes(summary)
    refuse_other_teacher(model, summary.fingerprint, f"the summary '{summary.name}'")
    vectors = directions(summary.vectors, needed_centre(model))
    samples = [Sample(f"prototype {at}", "", label) for at, label in enumerate(summary.labels)]
    found = replace(_gallery(model, Space.teacher, vectors, samples), made_of=f"The summary '{summary.name}'")
    found.refuse_incomplete()
    return found


def of_light_file(model: TerminalModel, path: Path) -> Gallery:
    """Make a gallery of a light file that `embedstore export` wrote; nothing in it tells a threshold.

    Raises:
        SourceError: it is damaged.
        ModelError: see `of_summary`; or it was centred on other pictures than those that the model learned from.
    """
    light = read_light_file(path)
    refuse_other_teacher(model, light.fingerprint, f"the light file '{path}'")
    ours, theirs = needed_centre(model), light.centre.astype(np.float32)
    if ours.shape != theirs.shape or np.linalg.norm(ours - theirs) > _MOST_OFF_CENTRE * np.linalg.norm(ours):
        raise ModelError(
            f"The light file '{path}' and the model '{model.path}' were centred on other pictures; write it again from the store "
            "that the model was trained from: embedstore export STORE FILE.safetensors --light"
        )
    texts = (light.ids, light.labels, light.texts["group"], light.texts["split"])
    samples = [Sample(name, "", label, None, group, split) for name, label, group, split in zip(*texts, strict=True)]
    at = _sides(samples, needed_good(model)).members
    found = replace(
        _gallery(model, Space.teacher, light.directions()[at], [samples[one] for one in at]),
        # What the student gives is centred already, and its length says nothing.
        centre=np.zeros_like(ours),
        scale=np.ones_like(ours),
        axes=None if light.axes is None else light.axes.astype(np.float32),
        made_of=f"The light file '{path}'",
    )
    found.refuse_incomplete()
    return found


def of_images(
    model: TerminalModel, listed: Listing, known: Gallery | None, progress: Progress
) -> tuple[Gallery, dict[str, str]]:
    """Make a gallery of labelled pictures as the model sees them: the folder's name is the label, or a manifest tells.

    With it come those that were to be in it and can't be read: path -> why.

    Args:
        model: that looks at them.
        listed: the folder and its pictures, those without a label too, which are no part of it.
        known: an earlier gallery of this model, which is returned where it is of the same pictures.
        progress: called with the step, and how far it is.

    Raises:
        ModelError: the model knows no good label, no picture can be read, or defects or good parts are lacking.
    """
    good, folder, samples = needed_good(model), listed.root, listed.samples
    state, contents = _read_images(folder, [one for one in samples if one.label is not None], progress)
    sides = _sides(samples, good)
    if known is not None and known.state == state:
        there = {*known.contents, *known.contents_of_good}
        broken = [samples[at] for at in (*sides.members, *sides.goods) if contents[samples[at].id] not in there]
        return known, _unreadable(folder, broken)
    set_aside: dict[str, str] = {}

    def looked(positions: Sequence[int], step: str) -> tuple[list[int], list[Vectors]]:
        """Return which pictures could be read, and what the model sees on them."""
        usable, found = list[int](), list[Vectors]()
        for done, at in enumerate(positions, start=1):
            try:
                picture, content = read_picture(folder / samples[at].uri)
                found.append(model.look(model.prepared(picture)).features)
                usable.append(at)
                contents[samples[at].id] = content.hex()
            except PictureError as error:
                set_aside[str(folder / samples[at].uri)] = str(error)
            progress(step, done, len(positions))
        return usable, found

    at_members, members = looked(sides.members, "Looking at the gallery")
    if set_aside and not members:
        path, reason = next(iter(set_aside.items()))
        raise ModelError(
            f"None of the {len(set_aside)} labelled pictures under '{folder}' can be used (the first, '{path}': {reason}); put "
            "pictures there that can be read."
        )
    if not members:
        raise ModelError(f"No picture under '{folder}' has a label; put them in folders with the labels' names.")
    known_contents = [contents[samples[at].id] for at in at_members]
    found = _of_student(model, np.stack(members), [samples[at] for at in at_members], known_contents)
    at_goods, goods = looked(sides.goods, "Looking at good pictures")
    found = replace(
        found,
        goods=found.placed(np.stack(goods)) if goods else found.goods,
        parts_of_good=[samples[at].part for at in at_goods],
        contents_of_good=[contents[samples[at].id] for at in at_goods],
        state=state,
        made_of=f"The folder '{folder}'",
    )
    found.refuse_incomplete()
    return found, set_aside


def _read_images(folder: Path, samples: Sequence[Sample], progress: Progress) -> tuple[str, dict[str, str]]:
    """Return a digest of all of labelled pictures that galleries hang on, what is said of each and its bytes; and id -> content.

    A content is the hash of a file as a gallery has it, empty where it can't be read.
    """
    states, contents = [], dict[str, str]()
    for done, one in enumerate(samples, start=1):
        try:
            content = content_hash((folder / one.uri).read_bytes())
        except OSError:  # told where the model is to look at it
            content = b""
        states.append((one.id, one.label, one.part, one.split, content))
        contents[one.id] = content.hex()
        progress("Reading the labelled pictures", done, len(samples))
    return content_hash(msgpack.packb(states)).hex(), contents


def _unreadable(folder: Path, samples: Iterable[Sample]) -> dict[str, str]:
    """Return which of some pictures can't be read: path -> why."""
    found = {}
    for one in samples:
        try:
            read_picture(folder / one.uri)
        except PictureError as error:
            found[str(folder / one.uri)] = str(error)
    return found


def needed_good(model: TerminalModel) -> str:
    """Return the label of good parts, or say that without one nothing is a defect."""
    if model.facts.good is None:
        raise ModelError(
            f"The model '{model.path}' knows no good label, so nothing tells a defect from a good part; ask it by its head, or "
            "train with --good LABEL."
        )
    return model.facts.good


def needed_centre(model: TerminalModel) -> Vectors:
    """Return the centre of the teacher's space, or say why the model has no vectors there."""
    if model.facts.centre is None:
        raise ModelError(
            f"The model '{model.path}' has no vectors in its teacher's space, since {model.facts.no_vectors}; ask it by "
            "retrieval among its own features: --by retrieval --vectors student"
        )
    return model.facts.centre


def refuse_other_teacher(model: TerminalModel, fingerprint: str, what: str) -> None:
    """Refuse prototypes or samples that another teacher embedded."""
    facts = model.facts
    if fingerprint != facts.fingerprint:
        raise ModelError(
            f"The model '{model.path}' learned from the teacher '{facts.teacher}' (fingerprint {facts.fingerprint[:12]}) and "
            f"{what} is of another ({fingerprint[:12]}), so their vectors can't be compared; use one of the model's teacher."
        )


def _sides(samples: Sequence[Sample], good: str, seen: Collection[str] = ()) -> _Sides:
    """Return the sides of samples; `seen` are parts that the members were made of, where these are no samples."""
    labelled = [at for at, sample in enumerate(samples) if sample.label is not None]
    members = [at for at in labelled if samples[at].split in ("train", None)]
    usable = [at for at in labelled if samples[at].label == good and samples[at].part not in seen]
    goods = [at for at in usable if samples[at].split == "val"]
    goods = goods or [at for at in usable if samples[at].split in ("train", None)]
    if len(goods) > _MOST_GOODS:
        drawn = np.random.default_rng(0).permutation(len(goods))[:_MOST_GOODS]
        goods = [goods[at] for at in np.sort(drawn)]
    return _Sides(members, goods)


def _seen(
    model: TerminalModel, pictures: StudentPictures, positions: Sequence[int], step: str, progress: Progress
) -> list[Seen]:
    """Return what the model says of the pictures at some positions in their store."""
    found: list[Seen] = []
    for start in range(0, len(positions), _READ_AT_ONCE):
        read = pictures.read(positions[start : start + _READ_AT_ONCE])
        for pixels in read.pixels:
            turned: Picture = as_input(pixels.transpose(1, 0, 2))
            found.append(model.look(turned))
            progress(step, len(found), len(positions))
    return found


def _of_samples(  # noqa: PLR0917
    model: TerminalModel,
    store: EmbeddingStore,
    space: Space,
    pictures: StudentPictures,
    positions: list[int],
    progress: Progress,
) -> Gallery:
    """Return a gallery of the samples at some positions, as the teacher or as the model sees them."""
    samples = [store.sample_at(at) for at in positions]
    known = _contents(store, positions)
    if space is Space.teacher:
        vectors = directions(store.read(np.array(positions, np.int64)), needed_centre(model))
        return _gallery(model, space, vectors, samples, known)
    seen = _seen(model, pictures, positions, "Looking at the gallery", progress)
    if not seen:
        raise ModelError(f"No sample of '{store.path}' has a label to compare with; add some, with their labels.")
    return _of_student(model, np.stack([one.features for one in seen]), samples, known)


def _contents(store: EmbeddingStore, positions: Sequence[int]) -> list[str]:
    """Return the contents of the samples at some positions, as a gallery has them."""
    contents = [store.content_at(at) for at in positions]
    return [content.hex() if any(content) else "" for content in contents]


def _of_student(model: TerminalModel, features: Vectors, samples: Sequence[Sample], contents: list[str]) -> Gallery:
    centre, scale = standard(features)
    plain = _gallery(model, Space.student, features, samples, contents)
    placing = replace(plain, centre=centre, scale=scale)
    return replace(placing, vectors=placing.placed(features))


def _gallery(
    model: TerminalModel, space: Space, vectors: Vectors, samples: Sequence[Sample], contents: list[str] | None = None
) -> Gallery:
    """Return a gallery of vectors that are compared as they are, with nothing to set a threshold on."""
    dim = vectors.shape[1]
    return Gallery(
        space=space,
        owner=model.digest,
        good=needed_good(model),
        vectors=vectors,
        centre=np.zeros(dim, np.float32),
        scale=np.ones(dim, np.float32),
        labels=[sample.label or "" for sample in samples],
        parts=[sample.part for sample in samples],
        ids=[sample.id for sample in samples],
        contents=contents or [""] * len(samples),
        goods=np.zeros((0, dim), np.float32),
        parts_of_good=[],
        contents_of_good=[],
        state="",
        made_of="",
    )
