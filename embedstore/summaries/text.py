"""text: the labels' names, read by the teacher's text tower, as prototypes. Knowledge without any picture."""

import numpy as np

from embedstore.errors import SummaryError
from embedstore.summaries.strategy import Prototypes, TrainingVectors
from embedstore.vectors import unit_length

PROMPT = "a photo of a {} part"


def fit(training: TrainingVectors, seed: int, *, prompt: str = PROMPT) -> Prototypes:
    """Embed each label's name within a prompt.

    Vectors of texts and of images lie in two separate cones (Liang et al., arXiv 2203.02053), so texts as they are would
    all point the same way from the images' centre. The mean of the texts is therefore moved onto that centre. A label
    that is alone then lies on the centre: one name says nothing.

    Args:
        training: n samples of d dimensions.
        seed: decides nothing here.
        prompt: the sentence; each `{}` in it is replaced by the label.

    Raises:
        SummaryError: the prompt has no `{}`.
        TeacherError: the teacher reads no text, or can't be loaded.
    """
    if "{}" not in prompt:
        raise SummaryError(f"The prompt '{prompt}' has no place for the label; write {{}} where the label belongs.")
    labels = list(training.members)
    texts = unit_length(training.embed_text([prompt.replace("{}", label) for label in labels])).astype(np.float64)
    vectors = (texts - texts.mean(axis=0) + training.centre).astype(np.float32)
    return Prototypes(vectors, labels, np.full(len(labels), -1, np.int64), np.zeros(len(training.ids), bool))
