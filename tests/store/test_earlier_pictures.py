"""Where pictures of an earlier version are now: by their bytes, with copies, names that went round, and pictures taken again."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers import store_of, unit_vectors

from embedstore.images import Sample
from embedstore.store.earlier_pictures import PicturesSince, is_kept, kept_version, pictures_since


class Told(NamedTuple):
    """What a version had: name -> a letter for the bytes; '0' stands for vectors that were given without a picture."""

    had: Mapping[str, str]
    path: Path = Path("told")
    version: int = 1

    @property
    def samples(self) -> list[Sample]:
        return [Sample(one, one) for one in self.had]

    def content_at(self, position: int) -> bytes:
        letter = list(self.had.values())[position]
        return b"\0" if letter == "0" else letter.encode()


def since(then: Mapping[str, str] | None, now: Mapping[str, str], *ids: str) -> PicturesSince:
    return pictures_since(None if then is None else Told(then), Told(now), ids)


def test_a_picture_is_where_its_bytes_are() -> None:
    found = since({"a": "A", "b": "B", "c": "C"}, {"c": "C", "b": "A", "z": "B"}, "a", "b", "c")
    assert found == PicturesSince({"a": [1], "b": [2], "c": [0]}, {"a": 1, "b": 2, "c": 0}, replaced=["b"])


def test_of_copies_all_places_are_told_and_none_is_the_same() -> None:
    assert since({"a": "A"}, {"x": "A", "y": "A"}, "a") == PicturesSince({"a": [0, 1]}, {})
    assert since({"a": "A", "b": "A"}, {"x": "A", "y": "A"}, "a", "b") == PicturesSince({"a": [0, 1], "b": [0, 1]}, {})


def test_a_copy_that_was_there_already_stays_another_picture() -> None:
    then = {"a": "A", "copy": "A", "b": "B"}
    assert since(then, then, "a", "b") == PicturesSince({"a": [0], "b": [2]}, {"a": 0, "b": 2}, copies={1: "a"})
    found = since(then, {"x": "A", "copy": "A", "b": "A"}, "a", "b")
    assert found.places == {"a": [0, 2]}
    assert (found.same, found.replaced, found.copies) == ({}, ["b"], {1: "a"})
    assert since(then, {"copy": "A"}, "a") == PicturesSince({}, {}, copies={0: "a"})  # it has left
    taken_again = PicturesSince({"a": [0]}, {}, replaced=["a"], retaken=["a"], copies={1: "a"})
    assert since(then, {"a": "N", "copy": "A"}, "a") == taken_again
    assert since(then, {"x": "A", "copy": "A"}, "a") == PicturesSince(
        {"a": [0]}, {"a": 0}, copies={1: "a"}
    )  # it alone left
    assert since(None, {"a": "A", "new": "A"}, "a") == PicturesSince({"a": [0]}, {"a": 0}, copies={1: "a"})
    assert since({"a": "0", "b": "0"}, {"a": "0", "b": "0"}, "a").copies == {}


@pytest.mark.parametrize(
    "now", [{"b": "A"}, {"a": "N", "b": "A"}, {"x": "A", "b": "A"}, {"a": "C", "c": "A", "b": "A"}]
)
def test_what_is_said_of_a_picture_does_not_hang_on_what_else_is_asked_for(now: Mapping[str, str]) -> None:
    then = {"a": "A", "b": "A", "c": "C"}
    alone, together = since(then, now, "a"), since(then, now, *then)
    for name in ("places", "same"):
        assert getattr(together, name).get("a") == getattr(alone, name).get("a")
    for name in ("replaced", "retaken", "untraced"):
        assert ("a" in getattr(together, name)) == ("a" in getattr(alone, name))


def test_the_first_picture_under_the_name_of_given_vectors_is_theirs() -> None:
    found = since({"a": "0", "b": "0", "c": "C"}, {"a": "A", "b": "C"}, "a", "b")
    assert (found.same, found.replaced) == ({"a": 0}, ["b"])


def test_one_that_was_taken_again_is_under_its_name_and_one_that_another_took_the_name_of_has_left() -> None:
    found = since({"a": "A", "b": "B", "c": "C"}, {"a": "N", "b": "C"}, "a", "b")
    assert found == PicturesSince({"a": [0]}, {}, replaced=["a", "b"], retaken=["a"])


def test_where_one_copy_is_renamed_and_the_other_taken_again_the_name_that_is_gone_moved() -> None:
    found = since({"a": "A", "b": "A"}, {"a": "N", "away": "A"}, "a", "b")
    assert found == PicturesSince({"a": [0], "b": [1]}, {"b": 1}, replaced=["a"], retaken=["a"])
    two = since({"a": "A", "b": "A"}, {"a": "N", "x": "A", "y": "A"}, "a", "b")  # nothing tells which is which
    assert two == PicturesSince({"a": [1, 2], "b": [1, 2]}, {}, replaced=["a"])


def test_of_vectors_without_a_picture_names_tell() -> None:
    found = since({"a": "0", "b": "0", "c": "0"}, {"a": "0", "b": "B", "x": "0"}, "a", "b", "c")
    assert found == PicturesSince({"a": [0], "b": [1]}, {"a": 0, "b": 1}, untraced=["c"])


def test_without_the_earlier_version_names_tell() -> None:
    found = since(None, {"b": "A", "z": "B"}, "a", "b")
    assert found == PicturesSince({"b": [0]}, {"b": 0}, untraced=["a"])


def test_a_version_is_opened_as_long_as_it_is_kept(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", unit_vectors(1, 3), ids=["a", "b", "c"]) as store:
        with store.write() as changes:
            changes.delete(["b", "c"])
        with kept_version(store, 1) as then, kept_version(store, 2) as now:
            assert then is not None
            assert [sample.id for sample in then.samples] == ["a", "b", "c"]
            assert now is store
        store.compact()
        assert [is_kept(store, version) for version in (1, 2, None)] == [False, True, False]
        with kept_version(store, 1) as gone:
            assert gone is None
