"""text: the labels' names as prototypes, moved from the texts' cone to the images' centre."""

import re

import numpy as np
import pytest
from helpers import text_vectors, training_of, unit_vectors

from embedstore.errors import SummaryError, TeacherError
from embedstore.summaries import text
from embedstore.summaries.strategy import TrainingVectors, directions
from embedstore.vectors import Vectors, unit_length

VECTORS = unit_vectors(0, 60)
LABELS = ["good", "crack", "欠け"] * 20


class Reader:
    """A text tower that notes what it read."""

    def __init__(self, scale: float = 1.0) -> None:
        self.read: list[list[str]] = []
        self.scale = scale

    def __call__(self, texts: list[str]) -> Vectors:
        self.read.append(texts)
        return text_vectors(texts) * np.float32(self.scale)


def training_with(reader: Reader, labels: list[str] = LABELS) -> TrainingVectors:
    training = training_of(VECTORS[: len(labels)], labels)
    return TrainingVectors(
        training.ids, training.labels, training.groups, training.blocks, training.read, reader, training.dim
    )


def test_each_label_is_read_once_within_the_prompt() -> None:
    reader = Reader()
    found = text.fit(training_with(reader), 0)
    assert reader.read == [["a photo of a crack part", "a photo of a good part", "a photo of a 欠け part"]]
    assert found.labels == ["crack", "good", "欠け"]
    assert found.source.tolist() == [-1] * 3
    assert not found.fitted.any()


@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_prototypes_are_the_texts_moved_onto_the_centre_of_the_images(scale: float) -> None:
    found = text.fit(training_with(Reader(scale)), 0, prompt="{}")
    texts = text_vectors(["crack", "good", "欠け"]).astype(np.float64)
    centre = VECTORS.astype(np.float64).mean(axis=0)
    assert found.vectors == pytest.approx(texts - texts.mean(axis=0) + centre, abs=1e-6)
    assert found.vectors.mean(axis=0) == pytest.approx(centre, abs=1e-6)


def test_moved_texts_point_in_different_directions_where_raw_ones_do_not() -> None:
    """What Liang et al. saw: seen from the images, all texts lie on one side."""
    training = training_with(Reader())
    raw = text_vectors([f"a photo of a {label} part" for label in ("crack", "good", "欠け")])
    assert np.min(directions(raw, training.centre) @ directions(raw, training.centre).T) > 0.8
    moved = directions(text.fit(training, 0).vectors, training.centre)
    assert np.max((moved @ moved.T)[np.triu_indices(3, 1)]) < 0.5
    assert moved == pytest.approx(unit_length(raw.astype(np.float64) - raw.astype(np.float64).mean(axis=0)), abs=1e-5)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("{}", "{0}%s"),
        ("{} or {}", "{0}%s or {0}%s"),
        ("{x} {} {", "{x} {0}%s {"),
        ("{{}}", "{{0}%s}"),
        ("%s %d {}\n}", "%s %d {0}%s\n}"),
        ("{0.__class__} {}", "{0.__class__} {0}%s"),
    ],
)
def test_only_the_place_for_the_label_is_filled_whatever_else_stands_there(prompt: str, expected: str) -> None:
    reader = Reader()
    text.fit(training_with(reader, ["{0}%s"] * 3), 0, prompt=prompt)
    assert reader.read == [[expected]]


def test_a_label_that_looks_like_a_place_is_not_filled_again() -> None:
    reader = Reader()
    text.fit(training_with(reader, ["x{}", "{}"]), 0, prompt="a {} part")
    assert reader.read == [["a x{} part", "a {} part"]]  # in the order of labels


@pytest.mark.parametrize("prompt", ["", "a photo", "{label}", "{ }", "{0}"])
def test_a_prompt_without_a_place_for_the_label_is_refused_before_anything_is_read(prompt: str) -> None:
    reader = Reader()
    sentence = f"The prompt '{prompt}' has no place for the label; write {{}} where the label belongs."
    with pytest.raises(SummaryError, match=f"^{re.escape(sentence)}$"):
        text.fit(training_with(reader), 0, prompt=prompt)
    assert reader.read == []


def test_a_label_that_is_alone_lies_on_the_centre() -> None:
    training = training_with(Reader(), ["only"] * 60)
    assert text.fit(training, 0).vectors.tolist() == [training.centre.tolist()]


def test_what_the_teacher_says_is_passed_on() -> None:
    def refuse(texts: list[str]) -> Vectors:
        raise TeacherError("The teacher 'pixels' reads no text.")

    training = training_of(VECTORS, LABELS)
    mute = TrainingVectors(training.ids, LABELS, training.groups, training.blocks, training.read, refuse, training.dim)
    with pytest.raises(TeacherError, match=r"^The teacher 'pixels' reads no text\.$"):
        text.fit(mute, 0)
