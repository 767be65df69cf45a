"""Which kind it is, from figures by hand."""

from dataclasses import replace

import pytest

from embedstore.analysis.drift.report import Kind, Light
from embedstore.analysis.drift.verdict import Measures, kind_of, sentences_of

QUIET = Measures(
    p=0.4,
    p_whole=0.4,
    p_few=0.4,
    p_rest=0.4,
    p_mix=0.4,
    false_alarms=0.01,
    light=Light(0.4, 1.0, 1.0, 1.0, 1.0),
    pictures=100,
    parts=20,
    parts_known=True,
    outside=1,
    clustered=None,
    explained=0.5,
    alike=0.5,
)
DARK, PARTLY = Light(0.001, 0.7, 1.0, 1.0, 0.99), Light(0.001, 0.7, 1.0, 1.0, 0.7)
ALL = {"p": 0.002, "p_whole": 0.001, "p_rest": 0.001}  # many pictures moved
FEW = {"p": 0.002, "p_few": 0.001, "outside": 5}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("quiet", {}),
        ("too-few", {"parts": 4}),
        ("unclear", {**ALL, "parts": 4}),
        ("camera", {**ALL, "explained": 0.95, "alike": 0.9}),
        ("line", {**ALL, "explained": 0.95}),
        ("line", {**ALL, "alike": 0.9}),
        ("camera", {**ALL, "explained": 0.95, "light": DARK}),  # the pictures themselves moved alike
        ("line", {**ALL, "explained": 0.95, "light": PARTLY}),
        ("line", {**ALL, "light": DARK}),  # of what the teacher sees, light is not most
        ("camera", {"p": 0.002, "light": DARK}),
        ("line", {"p": 0.002, "light": PARTLY}),
        ("new-defect", FEW),
        ("new-defect", {**FEW, "light": None}),
        ("line", {**FEW, "p_rest": 0.005}),
        ("line", {**FEW, "outside": 26}),
        ("camera", {**FEW, "light": DARK}),  # a few stand apart, since all are darker
    ],
)
def test_a_few_first_then_what_all_share(kind: Kind, changes: dict[str, float]) -> None:
    assert kind_of(replace(QUIET, **changes)) == kind


@pytest.mark.parametrize(
    ("changes", "english", "japanese"),
    [
        (
            {"pictures": 300, "parts": 3},
            "300 pictures of 3 parts show no change, but could hardly show one; give pictures of 10 parts or more.",
            "300 枚（部品 3 個）に変化は見られませんが、少なすぎます。10 個以上の部品の画像で調べてください。",
        ),
        (
            {"pictures": 8, "parts": 8},
            "8 pictures of 8 parts show no change, but could hardly show one; give 50 pictures or more.",
            "8 枚（部品 8 個）に変化は見られませんが、少なすぎます。50 枚以上で調べてください。",
        ),
        (
            {"pictures": 1, "parts": 1, "parts_known": False},
            "1 picture of perhaps 1 part shows no change, but could hardly show one; give 50 pictures or more, of 10 parts or "
            "more.",
            "1 枚（部品 約 1 個）に変化は見られませんが、少なすぎます。10 個以上の部品を 50 枚以上で調べてください。",
        ),
    ],
)
def test_what_there_is_too_little_of_is_asked_for(changes: dict[str, int], english: str, japanese: str) -> None:
    said = sentences_of(replace(QUIET, **changes), "too-few", [])[0]
    assert (said.en, said.ja) == (f"Too few to tell: {english}", f"判断できません：{japanese}")


@pytest.mark.parametrize(
    ("changes", "english"),
    [
        ({"pictures": 300, "parts": 3}, "of a kind that pictures of so few parts can't tell: these 300 are not"),
        ({"pictures": 1, "parts": 1}, "of a kind that so few pictures can't tell: this picture is not"),
    ],
)
def test_drift_of_an_unknown_kind_says_what_there_is_too_little_of(changes: dict[str, int], english: str) -> None:
    said = sentences_of(replace(QUIET, **ALL, **changes), "unclear", [])[0]
    assert said.en == f"Drift, {english} what the store describes."
