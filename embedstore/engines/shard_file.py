"""The file of a shard: embedded pictures as safetensors, checked when they are read, whoever wrote them.

Pictures stand one after another: `about`, JSON with what is no number; `vectors:OUTPUT` (views in all, d) float16; `pixels:N`
(width, height, channels) uint8 of picture N, where they are to be kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embedstore.engines.engine import Embedded, Pixels
from embedstore.errors import CorruptStoreError
from embedstore.pictures import content_hash

_ABOUT, _VECTORS, _PIXELS = "about", "vectors:", "pixels:"
_MOST_VIEW = 65_535


def packed(pictures: Sequence[Embedded], outputs: Mapping[str, int]) -> bytes:
    """Return a file.

    Args:
        pictures: in their order.
        outputs: of the teacher, that are kept: name -> dimension.
    """
    from safetensors.numpy import save

    about = [
        {"id": p.id, "content": (p.content or b"").hex(), "views": list(p.views), "problem": p.problem}
        for p in pictures
    ]
    tensors = {_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for output, dim in outputs.items():
        parts = [p.vectors[output] for p in pictures if p.views]
        tensors[_VECTORS + output] = np.concatenate([np.empty((0, dim), np.float16), *parts])
    tensors |= {f"{_PIXELS}{number}": p.pixels for number, p in enumerate(pictures) if p.pixels is not None}
    data: bytes = save(tensors)
    return data


def unpacked(data: bytes, outputs: Mapping[str, int]) -> list[Embedded]:
    """Return the pictures of a file.

    Args:
        data: of the file.
        outputs: that it must hold: name -> dimension.

    Raises:
        CorruptStoreError: it holds something else: it was not written by this program.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        pictures = [_picture(one) for one in json.loads(tensors[_ABOUT].tobytes())]
        vectors = {output: tensors[_VECTORS + output] for output in outputs}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptStoreError(f"it is no shard ({type(error).__name__})") from error
    count = sum(len(picture.views) for picture in pictures)
    for output, dim in outputs.items():
        own = vectors[output]
        if own.shape != (count, dim) or own.dtype != np.float16:
            raise CorruptStoreError(f"its vectors of '{output}' are {own.shape} {own.dtype}")
        if not np.isfinite(own).all():
            raise CorruptStoreError(f"its vectors of '{output}' are not finite")
    start = 0
    for number, picture in enumerate(pictures):
        end = start + len(picture.views)
        picture.vectors = {output: own[start:end] for output, own in vectors.items()} if picture.views else {}
        picture.pixels = _checked_pixels(tensors.get(f"{_PIXELS}{number}"))
        start = end
    return pictures


def _picture(said: Any) -> Embedded:
    """Return what the JSON of a shard says of a picture.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it says something else.
    """
    name, content, views, problem = said["id"], bytes.fromhex(said["content"]), tuple(said["views"]), said["problem"]
    name.encode()
    fits = (
        len(content) in {0, len(content_hash(b""))}
        and all(type(view) is int and 0 <= view <= _MOST_VIEW for view in views)
        and list(views) == sorted(set(views))
        and (problem is None or isinstance(problem, str))
        and not (views and (problem is not None or not content))
    )
    if not fits:
        raise ValueError("it can't be what a teacher gave")
    return Embedded(name, content or None, views, problem=problem)


def _checked_pixels(pixels: np.ndarray[Any, Any] | None) -> Pixels | None:
    """Return pixels as they are.

    Raises:
        CorruptStoreError: they are none.
    """
    if pixels is not None and (
        pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in {1, 3} or pixels.size == 0
    ):
        raise CorruptStoreError(f"pixels are {pixels.shape} {pixels.dtype}")
    return pixels
