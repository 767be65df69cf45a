"""live-teacher: a sample's target is what the teacher says of the very view, asked at each step. What the store saves.

The baseline CLIP-Teacher-KD (arXiv 2404.06170): the teacher runs beside the student, and reads each picture's file again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from distill.source import READERS, image_folder, no_folder, picture_of
from distill.targets.policy import Policy, Positions, Targets, TrainingSet
from embedstore import Summary
from embedstore.errors import TrainingError
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.teachers import Teacher, load_described, load_teacher
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors, unit_length
from embedstore.views import draw_view, render

Crops = npt.NDArray[np.uint8]


class LiveTeacher:
    """Asks the teacher; the next batch's pictures are read and cut while the student learns from this one.

    Args:
        training: the samples.
        teacher: the one that filled the store.
        centre: (d,) to be taken off; None: nothing is.
    """

    prototypes: Vectors | None = None

    def __init__(self, training: TrainingSet, teacher: Teacher, centre: Vectors | None):
        self._training, self._teacher, self._centre = training, teacher, centre
        self._root = image_folder(training.source, training.images)
        if not self._root.is_dir():
            raise no_folder(self._root)
        self.dim = teacher.outputs[EMBEDDING]
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="distill-teacher")
        self._coming: dict[int, Sequence[Future[Crops]]] = {}

    def begin(self, samples: Positions, views: Positions, step: int) -> None:
        """Begin to read and cut what `targets` will be asked for."""
        self._coming[step] = self._reading(samples, views)

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return the teacher's vectors of the views, the centre taken off."""
        reading = self._coming.pop(step, None) or self._reading(samples, views)
        crops = np.stack([future.result() for future in reading])
        vectors = self._teacher.embed(crops)[EMBEDDING]
        if self._centre is not None:
            vectors = vectors - self._centre
        return Targets(unit_length(vectors), np.ones(len(samples), bool))

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _reading(self, samples: Positions, views: Positions) -> list[Future[Crops]]:
        pairs = zip(samples.tolist(), views.tolist(), strict=True)
        return [self._pool.submit(self._crop, sample, view) for sample, view in pairs]

    def _crop(self, sample: int, view: int) -> Crops:
        training, recipe = self._training, self._training.source.recipe
        picture = picture_of(training.source, self._root, int(training.positions[sample]))
        return render(picture, draw_view(recipe, training.ids[sample], view), self._teacher.input_size, recipe.fit)


def fit(
    training: TrainingSet, summary: Summary | None, seed: int, *, teacher: str | None = None, centred: bool = True
) -> Policy:
    """Load the teacher that filled the store.

    Args:
        training: the samples.
        summary: none is needed.
        seed: nothing is drawn.
        teacher: its spec, where its checkpoint is not where the store remembers it.
        centred: take off the training samples' mean, as for stored vectors; CLIP-Teacher-KD does not.

    Raises:
        TrainingError: it is another teacher, or the pictures are not there.
        TeacherError: there is no such teacher, or its weights are not here.
    """
    source = training.source
    assert isinstance(source, EmbeddingStore)  # noqa: S101  `making.make_policy` refuses others
    loaded = load_teacher(teacher) if teacher else load_described(source.space)
    if loaded.fingerprint != source.fingerprint:
        raise TrainingError(
            f"The teacher '{loaded.name}' (fingerprint {loaded.fingerprint[:12]}) is another than the one that filled "
            f"'{source.path}' ({source.fingerprint[:12]}); name that one in the option 'teacher' of live-teacher."
        )
    return LiveTeacher(training, loaded, training.centre if centred else None)
