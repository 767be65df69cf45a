"""What every engine does with one picture, and with some of them: read, hash, decode and cut; then embed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.engines.engine import Embedded, Job, Pixels, Request, WantsPixels
from embedstore.errors import PictureError
from embedstore.pictures import content_hash, decode
from embedstore.store.kept_pictures import to_keep
from embedstore.teachers.protocol import Teacher
from embedstore.views import draw_view, render


@dataclass(slots=True)
class Cut:
    """A picture on its way to the teacher; see `engine.Embedded`.

    Attributes:
        crops: (len(views), s, s, 3) uint8; None where it lacks no view, or can't be used.
    """

    id: str
    content: bytes | None = None
    views: tuple[int, ...] = ()
    crops: npt.NDArray[np.uint8] | None = None
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
        drawn = (draw_view(job.recipe, request.id, view) for view in views)
        picture.views = views
        picture.crops = np.stack([render(image, view, job.input_size, job.recipe.fit) for view in drawn])
    return picture


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
