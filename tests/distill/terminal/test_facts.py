"""What a model says of itself comes back as it was, and anything else is refused."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distill.terminal.facts import Facts, Map

FACTS = Facts(
    classes=("bent", "good", "cut"),
    good="good",
    threshold=0.4,
    overkill=0.05,
    student="small",
    policy="own",
    answer="head",
    size=96,
    student_side=256,
    flips=4,
    features=262,
    precision="float32",
    teacher="pixels",
    fingerprint="ab12",
    centre=np.array([0.25, -3], np.float32),
    no_vectors=None,
    release="0.1.0",
)


def test_facts_come_back() -> None:
    found = Facts.from_json(FACTS.to_json())
    assert found.centre is not None
    assert found.centre.tolist() == [0.25, -3]
    assert replace(found, centre=None) == replace(FACTS, centre=None)
    bare = replace(FACTS, good=None, threshold=None, overkill=None, centre=None, no_vectors="it was taught none")
    assert Facts.from_json(bare.to_json()) == bare
    mapped = replace(bare, where=Map(14, "letterbox"))
    assert Facts.from_json(mapped.to_json()) == mapped


def test_facts_without_a_map_are_those_of_earlier_releases() -> None:
    plain = json.loads(FACTS.to_json())
    assert "where" not in plain
    assert Facts.from_json(json.dumps(plain)).where is None


def test_a_picture_is_rejected_above_the_threshold_as_the_likeliest_defect() -> None:
    probabilities = np.array([[0.1, 0.6, 0.3], [0.25, 0.5, 0.25], [0.1, 0.59, 0.31]])
    assert FACTS.scores(probabilities).tolist() == pytest.approx([0.4, 0.5, 0.41])
    assert FACTS.decisions(probabilities) == ["good", "bent", "cut"]
    assert FACTS.at(0.45).decisions(probabilities) == ["good", "bent", "good"]


def test_without_a_good_label_the_likeliest_is_said() -> None:
    facts = replace(FACTS, good=None, threshold=None, overkill=None)
    assert facts.decisions(np.array([[0.1, 0.2, 0.7], [0.4, 0.35, 0.25]])) == ["cut", "bent"]
    assert facts.at(0.3) == facts


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "its format is 2"),
        ({"extra": 1}, "have an unknown 'extra'"),
        ({"classes": ["good"]}, "its 'classes'"),
        ({"classes": ["good", "good", "bad"]}, "its 'classes'"),
        ({"classes": ["good", 7]}, "its 'classes'"),
        ({"good": "fine"}, "its 'good'"),
        ({"threshold": None}, "its 'threshold'"),
        ({"threshold": 7}, "its 'threshold'"),
        ({"threshold": True}, "its 'threshold'"),
        ({"overkill": "much"}, "its 'overkill'"),
        ({"student": ""}, "its 'student'"),
        ({"size": 96.0}, "its 'size'"),
        ({"size": 1 << 20}, "its 'size'"),
        ({"flips": 0}, "its 'flips'"),
        ({"answer": "hearsay"}, "its 'answer'"),
        ({"precision": "int2"}, "its 'precision'"),
        ({"centre": 4}, "its 'centre'"),
        ({"centre": "AAAA?"}, "base64"),
        ({"centre": "AACAfw=="}, "its centre is no vector"),  # infinite
        ({"centre": ""}, "its centre is no vector"),
        ({"centre": None}, "whether it has vectors"),
        ({"no_vectors": "none"}, "whether it has vectors"),
        ({"where": None}, "its 'where'"),
        ({"where": {"side": 14}}, "its 'where'"),
        ({"where": {"side": 0, "fit": "squash"}}, "its 'where'"),
        ({"where": {"side": True, "fit": "squash"}}, "its 'where'"),
        ({"where": {"side": 1 << 20, "fit": "squash"}}, "its 'where'"),
        ({"where": {"side": 14, "fit": "crop"}}, "its 'where'"),
        ({"where": {"side": 14, "fit": ["squash"]}}, "its 'where'"),
        ({"where": {"side": 14, "fit": "squash", "more": 1}}, "its 'where'"),
    ],
)
def test_other_facts_are_refused(change: dict[str, Any], reason: str) -> None:
    plain = json.loads(FACTS.to_json()) | change
    with pytest.raises(ValueError, match="(?i)" + reason):
        Facts.from_json(json.dumps(plain))


@pytest.mark.parametrize("text", ["", "7", "[]", "{}", "[" * 100_000, '{"format": NaN}'])
def test_what_is_no_facts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Facts.from_json(text)


def test_each_fact_must_be_there() -> None:
    for name in json.loads(FACTS.to_json()):
        plain = json.loads(FACTS.to_json())
        del plain[name]
        with pytest.raises(ValueError, match=name):
            Facts.from_json(json.dumps(plain))
