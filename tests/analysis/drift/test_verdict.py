"""Which kind it is, from figures by hand."""

from dataclasses import replace

import pytest

from embedstore.analysis.drift.report import Kind, Light
from embedstore.analysis.drift.verdict import Measures, kind_of

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
