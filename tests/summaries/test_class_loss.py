"""What a summary hides of a label, in words."""

import dataclasses
from typing import Any

import pytest

from embedstore.summaries import ClassLoss


def loss(**changes: Any) -> ClassLoss:
    base = ClassLoss(
        label="crack",
        count=40,
        mean=0.5123,
        p95=0.7,
        worst=0.8449,
        worst_id="crack/7.png",
        near=0.6181,
        far=3,
        far_modes={"thin": 2, "wide": 1},
        modes={"thin": 20, "wide": 20},
    )
    return dataclasses.replace(base, **changes)


CODED = [
    (
        loss(coded=True),
        "'crack': 3 of its 40 pictures (8%) are farther from their code than pictures of their kind usually are from the "
        "nearest other part; among them 2 of 20 thin, 1 of 20 wide. Typical distance 0.51, near means below 0.62; the farthest "
        "is 'crack/7.png' (0.84).",
    ),
    (
        loss(coded=True, far=0, far_modes={}),
        "'crack': every picture lies nearer to its code than pictures of its kind usually lie to the nearest other part, so "
        "little is hidden. Typical distance 0.51, near means below 0.62; the farthest is 'crack/7.png' (0.84).",
    ),
    (
        loss(coded=True, near=None, far=0, far_modes={}),
        "'crack': its 40 pictures all show one part, so how different parts of it are is unknown; the farthest from its code "
        "is 'crack/7.png' (0.84).",
    ),
]
SENTENCES = [
    (
        loss(),
        "'crack': 3 of its 40 pictures (8%) are farther from their prototype than pictures of their kind usually "
        "are from the nearest other part; among them 2 of 20 thin, 1 of 20 wide. "
        "Typical distance 0.51, near means below 0.62; the farthest is 'crack/7.png' "
        "(0.84).",
    ),
    (
        loss(far=1, far_modes={}),
        "'crack': 1 of its 40 pictures (2%) is farther from its prototype than pictures of its kind usually are from "
        "the nearest other part. Typical distance 0.51, near means below 0.62; the farthest is 'crack/7.png' (0.84).",
    ),
    (
        loss(far=0, far_modes={}),
        "'crack': every picture lies nearer to its prototype than pictures of its kind usually lie to the nearest other "
        "part, so little is hidden. "
        "Typical distance 0.51, near means below 0.62; the farthest is 'crack/7.png' (0.84).",
    ),
    (
        loss(near=None, far=0, far_modes={}),
        "'crack': its 40 pictures all show one part, so how different parts of it are is unknown; the farthest from "
        "its prototype is 'crack/7.png' (0.84).",
    ),
    (
        loss(count=1, near=None, far=0, far_modes={}),
        "'crack': it has one picture, 'crack/7.png', so there is nothing to average.",
    ),
]


@pytest.mark.parametrize(("told", "sentence"), SENTENCES, ids=["far", "one far", "none far", "one part", "one picture"])
def test_what_it_hides_in_words(told: ClassLoss, sentence: str) -> None:
    assert told.in_words() == sentence


@pytest.mark.parametrize(("told", "sentence"), CODED, ids=["far", "none far", "one part"])
def test_where_there_are_codes_it_is_they_that_speak_for_pictures(told: ClassLoss, sentence: str) -> None:
    assert told.in_words() == sentence
    assert loss(coded=True, far=21, far_modes={"thin": 11}).warnings() == [
        "Most of 'crack' (21 of 40 pictures) has no code near, so this summary alone says little of what the label looks like.",
        "Most of the kind 'thin' (11 of 20 pictures of 'crack') has no code near, so a student that learns from this summary "
        "alone may miss it.",
    ]


def test_a_mode_of_which_most_has_no_prototype_near_is_warned_of() -> None:
    assert loss(far_modes={"thin": 10, "wide": 10}).warnings() == []  # half is not most
    assert loss(far=11, far_modes={"thin": 11}).warnings() == [
        "Most of the kind 'thin' (11 of 20 pictures of 'crack') has no prototype near, so a student that learns from this "
        "summary alone may miss it."
    ]
