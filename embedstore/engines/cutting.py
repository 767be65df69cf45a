"""What every engine does with pictures, wherever it works: read, hash, decode and cut each; then embed some at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedstore.engines.engine import Embedded, Job, Pixels, Request, WantsPixels
from embedstore.errors import PictureError
from embedstore.pictures import content_hash, decode
from embedstore.store.kept_pictures import to_keep
from embedstore.teachers.protocol import Teacher
from embedstore.views import Recipe, draw_view, render

Crops = npt.NDArray[np.uint8]


@dataclass(slots=True)
class Cut:
    """A picture on its way to the teacher; see `engine.Embedded`.

    Attributes:
        crops: (len(views), s, s, 3) uint8; None where it lacks no view, or can't be used.
    """

    id: str
    content: bytes | None = None
    views: tuple[int, ...] = ()
    crops: Crops | None = None
    pixels: Pixels | None = None
    problem: str | None = None


def cut(request: Request, job: Job, wants: WantsPixels) -> Cut:
    """Read a file and cut the views that it lacks. Changes nothing but what it returns, and so may run anywhere."""
    picture = Cut(request.id)
    try:
        data = (job.root / request.uri).read_bytes()
    except OSError as error:
        picture.problem = f"can't be read: {error.strerror}"
        return picture
    picture.content = content_hash(data)
    views = request.missing(picture.content, job.views)
    wanted = wants(picture.content)
    if not views and not wanted:
        return picture
    try:
        image = decode(data)
    except PictureError as error:
        if views:  # else its vectors are there, and only its pixels are lacking
            picture.problem = str(error)
        return picture
    if wanted:
        picture.pixels = to_keep(image, job.recipe)
    if views:
        picture.views = views
        picture.crops = cropped(image, request.id, views, job.recipe, job.input_size)
    return picture


def cropped(image: Image.Image, sample_id: str, views: Sequence[int], recipe: Recipe, size: int) -> Crops:
    """Return some views of a picture, (len(views), size, size, 3)."""
    return np.stack([render(image, draw_view(recipe, sample_id, view), size, recipe.fit) for view in views])


def embed_all(
    cuts: Iterable[Cut], teacher: Callable[[], Teacher], outputs: Iterable[str], at_once: int
) -> Generator[list[Embedded]]:
    """Yield an answer to each picture, some at a time.

    Args:
        cuts: taken as the work goes on.
        teacher: gives it; called where a picture lacks something, and for each call of the teacher.
        outputs: of the teacher, that are kept.
        at_once: crops in one call of the teacher, about.

    Raises:
        TeacherError: the crops are not what the teacher takes.
    """
    batch: list[Cut] = []
    crops = 0
    for one in cuts:
        if one.crops is None:
            yield [answer(one)]
            continue
        batch.append(one)
        crops += len(one.crops)
        if crops >= at_once:
            whole, batch, crops = batch, [], 0
            yield embed(whole, teacher(), outputs)
    if batch:
        yield embed(batch, teacher(), outputs)


def embed(pictures: Sequence[Cut], teacher: Teacher, outputs: Iterable[str]) -> list[Embedded]:
    """Embed the crops of some pictures, all in one call of the teacher; there is at least one.

    Raises:
        TeacherError: the crops are not what the teacher takes.
    """
    vectors = teacher.embed(np.concatenate([picture.crops for picture in pictures if picture.crops is not None]))
    start, answers = 0, []
    for picture in pictures:
        one = answer(picture)
        if picture.crops is not None:
            end = start + len(picture.crops)
            with np.errstate(over="ignore"):  # too large for float16 becomes infinite, which is told below
                own = {output: vectors[output][start:end].astype(np.float16) for output in outputs}
            start = end
            if all(np.isfinite(values).all() for values in own.values()):
                one.views, one.vectors = picture.views, own
            else:
                one.problem = "the teacher gave a vector that is not finite"
        answers.append(one)
    return answers


def answer(picture: Cut) -> Embedded:
    """Return what there is to say of a picture that needs no teacher."""
    return Embedded(picture.id, picture.content, pixels=picture.pixels, problem=picture.problem)
