"""Galleries: what is compared, thresholds without the own part, and files that may be hostile."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from distill.answers import standard as trained
from distill.terminal.gallery import Gallery, standard
from distill.terminal.model import Space
from distill.terminal.retrieval import defect_scores
from embedstore.errors import ModelError

RANDOM = np.random.default_rng(0)


def vectors(count: int) -> np.ndarray:
    found = RANDOM.normal(size=(count, 4)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


GALLERY = Gallery(
    space=Space.student,
    owner="ab",
    good="good",
    vectors=vectors(6),
    centre=np.array([1, 0, 0, 0], np.float32),
    scale=np.array([2, 1, 0, 1], np.float32),
    labels=["good", "cut", "good", "bent", "good", "cut"],
    parts=["a", "b", "c", "d", "d", "b"],
    ids=["1", "2", "3", "4", "5", "6"],
    contents=["c1", "c2", "", "c4", "c5", "c6"],
    goods=vectors(3),
    parts_of_good=["a", "c", "z"],
    contents_of_good=["c1", "c3", ""],
    state="cd",
    made_of="The store 'parts'",
)


def test_queries_are_placed_as_members_were() -> None:
    placed = GALLERY.placed([[2.5, 4, 9, 0]])
    np.testing.assert_allclose(placed, [[3 / 5, 4 / 5, 0, 0]], atol=1e-6)


def test_good_pictures_are_scored_without_their_own_part() -> None:
    defect = [False, True, False, True, False, True]
    scores = GALLERY.scores_of_goods(k=1)
    for at, part in enumerate(GALLERY.parts_of_good):
        others = [n for n, own in enumerate(GALLERY.parts) if own != part]
        alone = defect_scores(GALLERY.goods[at : at + 1], GALLERY.vectors[others], np.array(defect)[others])
        assert scores[at] == pytest.approx(alone[0], abs=1e-6)


def test_the_nearest_defect_is_no_good_part() -> None:
    members = GALLERY.vectors
    nobodys = [set[str]()] * 3
    assert GALLERY.nearest_defects(members[[1, 3, 5]], nobodys) == [1, 3, 5]
    asked = members[[0]]
    expected = max((1, 3, 5), key=lambda at: float(members[at] @ asked[0]))
    assert GALLERY.nearest_defects(asked, [set()]) == [expected]
    assert GALLERY.nearest_defects(members[[1, 3, 5]], [{"b"}, {"d"}, set()])[:2] == [
        3,
        max((1, 5), key=lambda at: float(members[at] @ members[3])),
    ]


def test_a_picture_that_is_a_member_is_scored_without_its_own_part() -> None:
    own = GALLERY.own_parts(["c2", "other", "c5", ""])
    assert own == [{"b"}, set(), {"d"}, set()]
    scores = GALLERY.scores(GALLERY.vectors[[1, 1]], 1, own[:2])
    defect = np.array(GALLERY.labels) != "good"
    for score, others in zip(scores, ([0, 2, 3, 4], range(6)), strict=True):
        rest = list(others)
        alone = defect_scores(GALLERY.vectors[[1]], GALLERY.vectors[rest], defect[rest])
        assert score == pytest.approx(alone[0], abs=1e-6)
    assert scores[0] < scores[1]


def test_all_parts_with_a_copy_of_a_picture_are_left_out() -> None:
    copied = replace(GALLERY, contents=["c1", "c2", "c1", "c2", "c5", ""])  # of 'a' in 'c', of 'b' in 'd'
    own = copied.own_parts(["c2", "c1", "c5"])
    assert own == [{"b", "d"}, {"a", "c"}, {"d"}]
    defect = np.array(GALLERY.labels) != "good"
    scores, asked = copied.scores(GALLERY.vectors[[4, 0, 2]], 1, own), GALLERY.vectors[[4, 0, 2]]
    for score, one, parts in zip(scores, asked, own, strict=True):
        there = [at for at, part in enumerate(GALLERY.parts) if part not in parts]
        members, kinds = GALLERY.vectors[there], defect[there]
        alike = members[kinds] @ one if kinds.any() else np.array([-1.0])
        assert score == pytest.approx(alike.max() - (members[~kinds] @ one).max(), abs=1e-6)
    assert copied.nearest_defects(GALLERY.vectors[[1, 1]], [{"d"}, {"b"}]) == [1, 3]
    goods = {"goods": GALLERY.vectors[[0, 1, 4]], "parts_of_good": ["a", "z", "y"]}
    asked = replace(copied, **goods, contents_of_good=["", "", "c5"])  # of 'd', and no member is of 'y'
    np.testing.assert_allclose(asked.scores_of_goods(1), asked.scores(asked.goods, 1, [{"a", "c"}, set(), {"d"}]))


def test_axes_come_after_centre_and_scale() -> None:
    axes = np.array([[1, 0], [0, 0], [0, 0], [0, 1]], np.float32)
    placed = replace(GALLERY, axes=axes).placed([[2.5, 4, 9, 4]])
    np.testing.assert_allclose(placed, [[3 / 5, 4 / 5]], atol=1e-6)


def test_features_are_scaled_as_by_a_run() -> None:
    features = (RANDOM.normal(size=(50, 5)) * 10.0 ** np.arange(5)).astype(np.float32)
    features[:, 2] = 7
    for own, other in zip(standard(features), trained.standard(torch.from_numpy(features)), strict=True):
        np.testing.assert_allclose(own, other.numpy(), rtol=1e-6)


def test_a_gallery_comes_back(tmp_path: Path) -> None:
    GALLERY.save(tmp_path / "g.safetensors")
    found = Gallery.load(tmp_path / "g.safetensors")
    for name, value in vars(GALLERY).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(found, name), value)
        else:
            assert getattr(found, name) == value
    assert [one.name for one in tmp_path.iterdir()] == ["g.safetensors"]


def test_a_gallery_of_an_earlier_release_can_be_read_and_is_of_no_state(tmp_path: Path) -> None:
    found = Gallery.load(hostile(tmp_path, {"format": 1}, {}, {"contents_of_good": None}))
    assert (found.state, found.contents_of_good) == ("", ["", "", ""])
    np.testing.assert_array_equal(found.scores_of_goods(1), GALLERY.scores_of_goods(1))


@pytest.mark.parametrize("lacking", ["good", "cut"])
def test_one_kind_alone_tells_nothing(lacking: str) -> None:
    other = "cut" if lacking == "good" else "good"
    gallery = replace(GALLERY, labels=[other] * 6)
    with pytest.raises(ModelError, match=r"The store 'parts' has no (defect|'good' picture) to compare with"):
        gallery.refuse_incomplete()


def rewritten(
    gallery: Gallery, path: Path, header: dict[str, Any], tensors: dict[str, np.ndarray], names: dict[str, Any]
) -> Path:
    """Write a gallery in which some things are others; names that are None are left out."""
    gallery.save(path)
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    plain = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["embedstore.gallery"]) | header
    own = load(data) | tensors
    texts = msgpack.unpackb(own.pop("names").tobytes()) | names
    kept = {name: value for name, value in texts.items() if value is not None}
    own["names"] = np.frombuffer(msgpack.packb(kept), np.uint8)
    path.write_bytes(save(own, metadata={"embedstore.gallery": json.dumps(plain)}))
    return path


def hostile(tmp_path: Path, header: dict[str, Any], tensors: dict[str, np.ndarray], names: dict[str, Any]) -> Path:
    return rewritten(GALLERY, tmp_path / "hostile.safetensors", header, tensors, names)


@pytest.mark.parametrize(
    ("header", "tensors", "names"),
    [
        ({"format": 9}, {}, {}),
        ({"more": 1}, {}, {}),
        ({"space": "both"}, {}, {}),
        ({"good": 5}, {}, {}),
        ({"state": 3}, {}, {}),
        ({"made_of": ""}, {}, {}),  # which is told in words
        ({"good": "other"}, {}, {}),  # then nothing is good
        ({}, {"vectors": np.zeros((6, 4))}, {}),
        ({}, {"vectors": np.zeros((5, 4), np.float32)}, {}),
        ({}, {"vectors": np.full((6, 4), np.nan, np.float32)}, {}),
        ({}, {"centre": np.zeros(3, np.float32)}, {}),
        ({}, {"goods": np.zeros((2, 4), np.float32)}, {}),
        ({}, {"more": np.zeros(2, np.float32)}, {}),
        ({}, {"axes": np.zeros((4, 2), np.float32)}, {}),
        ({}, {}, {"contents": ["c"] * 5}),
        ({}, {}, {"labels": ["good"] * 5}),
        ({}, {}, {"contents_of_good": ["c"] * 2}),
        ({}, {}, {"contents_of_good": None}),
        ({"format": 1}, {}, {"parts_of_good": None}),
        ({}, {}, {"ids": [1, 2, 3, 4, 5, 6]}),
        ({}, {}, {"parts": "abcdef"}),
    ],
)
def test_a_hostile_gallery_is_refused(
    header: dict[str, Any], tensors: dict[str, np.ndarray], names: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="is a gallery that is damaged or of another release; delete it and"):
        Gallery.load(hostile(tmp_path, header, tensors, names))


def test_nonsense_and_nothing_are_refused(tmp_path: Path) -> None:
    Gallery.load(hostile(tmp_path, {}, {}, {}))  # the control: with nothing changed it is one
    (tmp_path / "n.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="is no gallery"):
        Gallery.load(tmp_path / "n.safetensors")
    with pytest.raises(ModelError, match="There is no file"):
        Gallery.load(tmp_path / "none.safetensors")
