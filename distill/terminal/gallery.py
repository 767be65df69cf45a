"""A gallery: labelled vectors that pictures are compared with, of the teacher or of the student itself; also as one file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from distill.terminal.model import Space
from distill.terminal.retrieval import Flags, Scores, defect_scores, most_alike
from embedstore.errors import ModelError
from embedstore.files import try_to_write, write_whole
from embedstore.vectors import Vectors, unit_length

_KEY, _FORMAT = "embedstore.gallery", 2
_NAMES_OF_GOODS = ("parts_of_good", "contents_of_good")
_NAMES = ("labels", "parts", "ids", "contents", *_NAMES_OF_GOODS)
_TEXTS = ("space", "owner", "good", "state", "made_of")
_OTHERS = {  # by the key of their metadata: files that `embedstore export` writes
    "embedstore.light": "a light file",
    "embedstore.vectors": "vectors",
    "embedstore.summary": "a summary",
}
_DEAD = 1e-6  # of the widest spread, as in `answers.standard`

Progress = Callable[[str, int, int], None]  # step, done, in all


@dataclass(frozen=True)
class Gallery:
    """What is compared with, and what thresholds are set on.

    Attributes:
        space: whose vectors these are.
        owner: the digest of the model that it is for: centre and good pictures are as that model sees them.
        good: the label of good parts.
        vectors: (n, d) of unit length, where `centre` is taken off and `scale` multiplied.
        centre, scale: (d,) for the vectors of pictures that are asked for.
        labels, parts, ids: (n).
        contents: (n) hashes of the picture files, as hexadecimal digits; empty where they are not known.
        goods: (v, d) what the student makes of good pictures that no model learned, or that are members; as `vectors` are.
        parts_of_good: (v) which parts those show: each is scored without its own, and without parts that have the same file.
        contents_of_good: (v) as `contents`.
        state: digest of the samples of the store or the folder that it was made of, see `gathering.state_of`; empty for other
            sources.
        made_of: that, in words; in a file never empty.
        axes: (d, k) that vectors are brought to after centre and scale, as a light file has them; such a gallery is not saved.
    """

    space: Space
    owner: str
    good: str
    vectors: Vectors
    centre: Vectors
    scale: Vectors
    labels: list[str]
    parts: list[str]
    ids: list[str]
    contents: list[str]
    goods: Vectors
    parts_of_good: list[str]
    contents_of_good: list[str]
    state: str
    made_of: str
    axes: Vectors | None = None

    @property
    def is_defect(self) -> Flags:
        """Which members are defects."""
        return np.array([label != self.good for label in self.labels])

    def placed(self, vectors: npt.ArrayLike) -> Vectors:
        """Return vectors (m, d) that a model gave, as they are compared."""
        scaled = (np.asarray(vectors, np.float32) - self.centre) * self.scale
        return unit_length(scaled if self.axes is None else scaled @ self.axes)

    def own_parts(self, contents: Sequence[str]) -> list[set[str]]:
        """Return the parts of the members with the same file as each picture (m), by its content; of most there is none."""
        of_content = self._parts_of_contents()
        return [of_content.get(content, set()) for content in contents]

    def scores(self, placed: Vectors, k: int, own_parts: Sequence[Collection[str]]) -> Scores:
        """Return how much more each of (m, d) is like a defect than like a good part, (m,); its own parts are left out."""
        return defect_scores(
            placed, self.vectors, self.is_defect, k=k, groups=self.parts, query_groups=_rectangle(own_parts)
        )

    def scores_of_goods(self, k: int) -> Scores:
        """Return the same of the good pictures (v,) that thresholds are set on, each without its own part and copies of it.

        Copies are known by their contents, which a light file does not hold.
        """
        of_content = self._parts_of_contents()
        own = {part: {part} for part in self.parts_of_good}
        contents, parts = [*self.contents, *self.contents_of_good], [*self.parts, *self.parts_of_good]
        for content, part in zip(contents, parts, strict=True):
            if part in own:
                own[part] |= of_content.get(content, set())
        return self.scores(self.goods, k, [own[part] for part in self.parts_of_good])

    def nearest_defects(self, placed: Vectors, own_parts: Sequence[Collection[str]]) -> list[int]:
        """Return which member is the most alike defect of each of (m, d), its own parts left out."""
        defects = np.flatnonzero(self.is_defect)
        parts = [self.parts[at] for at in defects]
        found = most_alike(placed, self.vectors[defects], groups=parts, query_groups=_rectangle(own_parts))
        return [int(at) for at in defects[found]]

    def _parts_of_contents(self) -> dict[str, set[str]]:
        """Return the parts that each file is a picture of: more than one where copies of it were stored."""
        found: dict[str, set[str]] = {}
        for content, part in zip(self.contents, self.parts, strict=True):
            if content:
                found.setdefault(content, set()).add(part)
        return found

    def refuse_incomplete(self) -> None:
        """Refuse a gallery that nothing can be told by.

        Raises:
            ModelError: it lacks good parts or defects.
        """
        if self.is_defect.all() or not self.is_defect.any():
            lacking = "defect" if not self.is_defect.any() else f"'{self.good}' picture"
            raise ModelError(f"{self.made_of} has no {lacking} to compare with; add some, with their labels.")

    def save(self, path: Path) -> None:
        """Write the file in one step."""
        from safetensors.numpy import save

        names = msgpack.packb({name: getattr(self, name) for name in _NAMES})
        tensors = {name: getattr(self, name) for name in ("vectors", "centre", "scale", "goods")}
        header = {name: getattr(self, name) for name in _TEXTS}
        data = save(
            {**tensors, "names": np.frombuffer(names, np.uint8)},
            metadata={_KEY: json.dumps({"format": _FORMAT, **header})},
        )
        write_whole(path, data)

    @classmethod
    def load(cls, path: Path) -> Gallery:
        """Read what `save` wrote; the file may be hostile.

        Raises:
            ModelError: there is no such file, or it is no gallery.
        """
        from safetensors.numpy import load

        if not os.path.isfile(path):
            raise ModelError(f"There is no file '{path}'; name a store to make it of: --store STORE")
        whole, metadata = dict[str, Any](), dict[str, str]()
        try:
            data = path.read_bytes()
            whole = dict(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]))
            metadata = dict(whole["__metadata__"])
            header = json.loads(metadata[_KEY])
            tensors: dict[str, Any] = load(data)
            names = msgpack.unpackb(tensors.pop("names").tobytes())
            form = header.pop("format")
            if (
                form == 1
            ):  # without the contents of good pictures; no store or folder has its state, so it is made again of one
                header["state"], names["contents_of_good"] = "", [""] * len(names["parts_of_good"])
            elif form != _FORMAT:
                raise ValueError("of another format")
            found = cls(space=Space(header.pop("space")), **header, **tensors, **names)
            _check(found)
            found.refuse_incomplete()
        except Exception as error:  # a hostile file raises whatever its decoders meet
            raise ModelError(f"'{path}' is {_instead(metadata, whole)}") from error
        return found


def _rectangle(own_parts: Sequence[Collection[str]]) -> npt.NDArray[np.str_]:
    """Return the parts of each (m, c), filled up with an empty text, which is the name of none."""
    width = max(map(len, own_parts), default=0)
    rows = [[*parts, *[""] * (width - len(parts))] for parts in own_parts]
    return np.array(rows, str).reshape(len(rows), width)


def _instead(metadata: Mapping[str, str], header: Mapping[str, Any]) -> str:
    """Return what a file is that can't be taken, and what to do: only a gallery is told to be deleted."""
    if _KEY in metadata:
        return "a gallery that is damaged or of another release; delete it and make it again."
    other = next((what for key, what in _OTHERS.items() if key in metadata), None)
    if other is None:
        return "no gallery that distill predict wrote; name another file."
    if other == "a summary" and "training" not in header:
        other = "the prototypes of a summary"
    return f"no gallery but {other} of embedstore export; name another file."


def standard(vectors: Vectors) -> tuple[Vectors, Vectors]:
    """Return the centre (f,) of features (n, f), and one over their spread; 0 for those that do not vary.

    As `answers.standard` has it: what a student computes spreads over orders of magnitude.
    """
    wide = vectors.astype(np.float64)
    centre, spread = wide.mean(axis=0), wide.std(axis=0)
    varies = (spread > _DEAD * spread.max()) & (spread > _DEAD * np.abs(centre))
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=varies)
    return centre.astype(np.float32), scale.astype(np.float32)


def _check(gallery: Gallery) -> None:
    """Raise a ValueError where parts of a gallery do not fit together, or are of another kind."""
    n, d = gallery.vectors.shape
    v = len(gallery.parts_of_good)
    shapes: Mapping[str, tuple[int, ...]] = {"vectors": (n, d), "centre": (d,), "scale": (d,), "goods": (v, d)}
    for name, shape in shapes.items():
        tensor: npt.NDArray[Any] = getattr(gallery, name)
        if tensor.shape != shape or tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise ValueError(name)
    for name in _NAMES:
        texts = getattr(gallery, name)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError(name)
    if any(len(getattr(gallery, name)) != (v if name in _NAMES_OF_GOODS else n) for name in _NAMES):
        raise ValueError("lengths")
    if not all(isinstance(getattr(gallery, name), str) for name in _TEXTS) or not gallery.made_of:
        raise ValueError("texts")
    if gallery.axes is not None:
        raise ValueError("axes")


def refuse_unmade(file: Path, *, makes: bool) -> None:
    """Refuse a gallery's file that is not there before any picture is looked at, where it can't be made.

    Raises:
        ModelError: nothing is named that it is to be made of.
        OSError: the system does not let it be written.
    """
    if not makes:
        raise ModelError(
            f"There is no gallery '{file}'; check its name, or give what it is to be made of: a store (--store STORE) or a "
            "folder of labelled pictures (--labelled DIR)."
        )
    try_to_write(file)
