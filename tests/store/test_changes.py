"""Changes by hand: what NumPy and plain texts give is what the next version holds, all of it or nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import permutations, product
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import lmdb
import numpy as np
import numpy.typing as npt
import pytest
from helpers import CountingTeacher, python_environment, snapshot, unit_vectors, write_pictures
from hypothesis import given, settings
from hypothesis import strategies as st

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import StoreError, StoreLockedError
from embedstore.exports.selection import COLUMNS
from embedstore.store import changes, row_stream
from embedstore.store.changes import StoreWriter
from embedstore.store.environment import Environment
from embedstore.store.layout import BLOCK, UNKNOWN_CONTENT
from embedstore.store.row_stream import NewRows, RowStream
from embedstore.store.rows import staged
from embedstore.store.tables import Tables
from embedstore.store.texts import RESERVED
from embedstore.store.writing import writer as writer_of

DIM = 12
HOSTILE = ["<b>", "\x1b[31m", "部品 1", "é", "a\nb", "x" * 600, "'; drop", "\u202e"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddingStore]:
    with embedstore.create(tmp_path / "store", teacher="model", dim=DIM) as made:
        yield made


@pytest.fixture
def filled(store: EmbeddingStore) -> EmbeddingStore:
    """Three samples with two views and all kinds of fields, at version 1."""
    with store.write() as writer:
        writer.add(
            ["a", "b", "c"],
            views_of(3),
            labels=["good", "crack", None],
            modes=[None, "deep", None],
            groups=["part 1", None, "part 1"],
            splits=["train", "aside", None],
            uris=["a.png", "b", "c"],
            attributes={"line": ["1", None, "2"]},
        )
    return store


def views_of(count: int, seed: int = 0) -> npt.NDArray[np.float16]:
    """Return (2, count, DIM): the plain view and one more."""
    return np.stack([unit_vectors(2 * seed, count, DIM), unit_vectors(2 * seed + 1, count, DIM)])


def reopened(store: EmbeddingStore) -> dict[str, Any]:
    """Return what another reader sees."""
    with embedstore.open(store.path) as other:
        return snapshot(other)


# Adding


def test_what_was_added_is_what_is_read(filled: EmbeddingStore) -> None:
    assert (filled.version, filled.views, filled.teacher, filled.declared) == (1, 1, "model", True)
    assert filled.ids == ["a", "b", "c"]
    assert [(s.uri, s.label, s.mode, s.group, s.split, dict(s.attributes)) for s in filled.samples] == [
        ("a.png", "good", None, "part 1", "train", {"line": "1"}),
        ("b", "crack", "deep", None, "aside", {}),
        ("c", None, None, "part 1", None, {"line": "2"}),
    ]
    for view in range(2):
        np.testing.assert_array_equal(filled.vectors(view=view), views_of(3)[view].astype(np.float32))
    assert filled.content_at(0) == UNKNOWN_CONTENT
    assert reopened(filled) == snapshot(filled)


@given(sizes=st.lists(st.integers(0, 600), min_size=1, max_size=4), most=st.integers(1, 700))
@settings(max_examples=12)
def test_any_cut_into_calls_and_transactions_gives_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], most: int
) -> None:
    count = sum(sizes)
    vectors, ids = views_of(count), [f"sample {number}" for number in range(count)]
    labels = [None if number % 7 == 0 else f"label {number % 300}" for number in range(count)]
    with (
        pytest.MonkeyPatch.context() as patch,
        embedstore.create(tmp_path_factory.mktemp("cut") / "s", teacher="model", dim=DIM) as store,
    ):
        patch.setattr(row_stream, "_MOST_BYTES", most * DIM * 2)
        patch.setattr(changes, "_AT_ONCE", max(1, most // 3))
        start = 0
        with store.write() as writer:
            for size in sizes:
                part = slice(start, start + size)
                writer.add(ids[part], vectors[:, part], labels=labels[part], attributes={"数": ids[part]})
                start += size
        assert store.ids == ids
        assert store.version == (1 if count else 0)
        if count:
            assert store.labels == labels
            assert store.field("数") == ids
            for view in range(2):
                np.testing.assert_array_equal(store.vectors(view=view), vectors[view].astype(np.float32))
            scanned = list(store.scan(view=1))
            np.testing.assert_array_equal(np.concatenate([values for _, values in scanned]), vectors[1])
            np.testing.assert_array_equal(np.concatenate([at for at, _ in scanned]), np.arange(count))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_vectors_of_any_float_are_rounded_to_float16_and_keep_their_length(store: EmbeddingStore, dtype: str) -> None:
    given = (np.arange(2 * DIM).reshape(2, DIM) / 7 - 3).astype(dtype)
    with store.write() as writer:
        writer.add(["a", "b"], given)
    np.testing.assert_array_equal(store.vectors(), given.astype(np.float16).astype(np.float32))


def test_vectors_as_lists_or_as_a_view_of_another_array_are_taken(store: EmbeddingStore) -> None:
    wide = np.random.default_rng(0).normal(size=(DIM, 6)).astype(np.float32)
    with store.write() as writer:
        writer.add(["a"], [[0.5] * DIM])
        writer.add(["b", "c", "d"], wide.T[::2])
    np.testing.assert_array_equal(store.vectors(["a"]), np.full((1, DIM), 0.5))
    np.testing.assert_array_equal(store.vectors(["b", "c", "d"]), wide.T[::2].astype(np.float16).astype(np.float32))


def test_names_and_texts_may_be_anything_visible_or_not(store: EmbeddingStore) -> None:
    with store.write() as writer:
        writer.add(HOSTILE, unit_vectors(0, len(HOSTILE)), labels=HOSTILE[::-1], attributes={HOSTILE[0]: HOSTILE})
    assert store.ids == HOSTILE
    assert store.labels == HOSTILE[::-1]
    assert store.field(HOSTILE[0]) == HOSTILE


def test_one_name_spelt_in_two_ways_is_one_sample(filled: EmbeddingStore) -> None:
    with filled.write() as writer:
        writer.add(["e\u0301"], views_of(1), labels=["u\u0308"], attributes={"o\u0302": ["a\u030a"]})
    assert filled.sample("\u00e9") == filled.sample("e\u0301")
    assert filled.ids[-1] == "\u00e9"
    assert filled.where({"label": "\u00fc", "\u00f4": "\u00e5"}).tolist() == [False] * 3 + [True]
    with pytest.raises(StoreError, match="are in the store already"), filled.write() as writer:
        writer.add(["\u00e9"], views_of(1))


def test_an_empty_call_and_an_empty_change_make_no_version(filled: EmbeddingStore) -> None:
    before = reopened(filled)
    with filled.write() as writer:
        writer.add([], np.zeros((0, DIM)))
        assert writer.delete([]) == writer.set("label", {}) == writer.set("label", {"a": "good"}) == 0
    assert reopened(filled) == before
    assert [version.number for version in filled.log()] == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.add(["d"], views_of(1)[0]), r"shape \(1, 12\); expected \(2, 1, 12\): 1 ids"),
        (lambda w: w.add(["d"], views_of(2)), r"shape \(2, 2, 12\); expected \(2, 1, 12\)"),
        (lambda w: w.add(["d"], views_of(1)[:, :, :5]), r"shape \(2, 1, 5\); expected \(2, 1, 12\).* gives 12 numbers"),
        (lambda w: w.add(["d"], np.concatenate([views_of(1)] * 2)), r"\(4, 1, 12\); expected \(2, 1, 12\)"),
        (lambda w: w.add(["d"], views_of(1)[0, 0]), r"shape \(12,\); expected"),
        (lambda w: w.add(["d"], np.ones((2, 1, DIM), np.int8)), "of the type int8; expected floating-point"),
        (lambda w: w.add(["d"], np.ones((2, 1, DIM), complex)), "of the type complex128; expected floating-point"),
        (lambda w: w.add(["d", "e"], bad(views_of(2), np.nan)), r"vector of 'e' holds values that are not finite"),
        (lambda w: w.add(["d", "e"], bad(views_of(2), -np.inf)), "of 'e' holds values that are not finite"),
        (lambda w: w.add(["d", "e"], bad(views_of(2).astype(np.float32), 70_000)), "of 'e' .*or above 65504"),
        (lambda w: w.add(["d", ""], views_of(2)), "An id is empty or no text"),
        (lambda w: w.add([7], views_of(1)), "An id is empty or no text"),
        (lambda w: w.add(["d"], views_of(1)[:0]), r"shape \(0, 1, 12\); expected \(2, 1, 12\)"),
        (
            lambda w: w.add(["d"], views_of(1), labels=["x", "y"]),
            "2 texts .* field 'label'; expected .* of the 1 samples",
        ),
        (lambda w: w.add(["d"], views_of(1), labels=[""]), "field 'label' is empty or no text"),
        (lambda w: w.add(["d"], views_of(1), groups=[7]), "field 'group' is empty or no text"),
        (
            lambda w: w.add(["d"], views_of(1), splits=["Train"]),
            "no split 'Train'.* use one of train, val, test, aside",
        ),
        (lambda w: w.add(["d"], views_of(1), attributes={"": ["x"]}), "attribute has an empty name"),
        (lambda w: w.add(["d"], views_of(1), attributes={"line": [None, "x"]}), "2 texts .* field 'line'"),
        *(
            (
                lambda w, name=name: w.add(["d"], views_of(1), attributes={name: ["x"]}),
                f"attribute can't be named '{name}', for that is the name of another column in every export",
            )
            for name in RESERVED
        ),
        (lambda w: w.set("id", {"a": "x"}), "attribute can't be named 'id'"),
        (lambda w: w.set("path", {"a": "x"}), "attribute can't be named 'path'"),
        (lambda w: w.set("uri", {"a": "x"}), "path of a sample can't be set; give it to add"),
        (lambda w: w.add(["\ud83d"], views_of(1)), r"An id is no text that can be stored \('.ud83d': surrogates not"),
        (lambda w: w.delete(["\ud83d"]), "An id is no text that can be stored"),
        (lambda w: w.set("label", {"\ud83d": "x"}), "An id is no text that can be stored"),
        (lambda w: w.set("label", {"a": "\udc80"}), "A value of the field 'label' is no text that can be stored"),
        (lambda w: w.add(["d"], views_of(1), uris=["\udc80"]), "A value of the field 'uri' is no text"),
        (lambda w: w.add(["d"], views_of(1), attributes={"\udc80": ["x"]}), "A name of an attribute is no text"),
        (lambda w: w.add(["d", "a"], views_of(2)), "1 of the 2 samples are in the store already, such as 'a'; leave"),
        (lambda w: w.add(["d", "d"], views_of(2)), "1 ids were added more than once; nothing was stored"),
        (lambda w: [w.add(["d"], views_of(1)), w.add(["e", "d"], views_of(2))], "1 ids were added more than once"),
        (lambda w: [w.add([i], views_of(1), replace=True) for i in "aa"], "1 ids were added more than once"),
        (lambda w: w.delete(["a", "x", "y"]), "2 of the 3 ids are not in the store .* first 'x'"),
        (lambda w: w.set("label", {"a": "x", "nobody": "y"}), "no sample 'nobody'"),
        (lambda w: w.set("label", {"a": ""}), "field 'label' is empty or no text"),
        (lambda w: w.set("split", {"a": "later"}), "split 'later'"),
        (lambda w: w.set("", {"a": "x"}), "attribute has an empty name"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(
    filled: EmbeddingStore, change: Callable[[StoreWriter], object], message: str
) -> None:
    before = reopened(filled)
    with pytest.raises(StoreError, match=message), filled.write() as writer:  # noqa: PT012
        writer.set("label", {"b": "lost with the rest"})
        writer.delete(["c"])
        writer.add(["fine"], views_of(1, seed=9))
        change(writer)
    assert reopened(filled) == before == snapshot(filled)
    assert_nothing_is_left(filled)
    with filled.write() as writer:  # and the store takes the next change
        writer.add(["d"], views_of(1))
    assert filled.ids == ["a", "b", "c", "d"]


def test_the_first_vectors_say_how_many_views_there_are(store: EmbeddingStore) -> None:
    with (
        pytest.raises(StoreError, match=r"shape \(0, 2, 12\); expected \(views \+ 1, 2, 12\)"),
        store.write() as writer,
    ):
        writer.add(["a", "b"], views_of(2)[:0])
    with pytest.raises(StoreError, match=r"expected \(3, 1, 12\)"), store.write() as writer:  # noqa: PT012
        writer.add(["a"], np.ones((3, 1, DIM)))
        writer.add(["b"], np.ones((2, 1, DIM)))
    assert (store.version, store.views, len(store)) == (0, 0, 0)
    with store.write() as writer:
        writer.add(["a"], np.ones((4, 1, DIM)))
    assert (store.views, len(store.vectors(view=3))) == (3, 1)


def bad(vectors: npt.NDArray[Any], value: float) -> npt.NDArray[Any]:
    """Return vectors in which the last number of the last view is another."""
    spoilt = vectors.copy()
    spoilt[-1, -1, -1] = value
    return spoilt


def assert_nothing_is_left(store: EmbeddingStore) -> None:
    """Assert that no row waits and no field bears a version that is not there."""
    assert store._read(lambda tables: tables.publishing()) is None
    assert not store._read(lambda tables: staged(tables.rows())).any()
    assert store.unfinished() == 0


# Replacing


def test_replacing_gives_new_vectors_and_keeps_the_fields_that_are_not_given(filled: EmbeddingStore) -> None:
    fresh = views_of(3, seed=4)
    with filled.write() as writer:
        writer.add(["b", "d", "a"], fresh, labels=[None, "good", "pore"], replace=True)
    assert filled.ids == ["c", "b", "d", "a"]  # in the order of the rows
    assert [(s.uri, s.label, s.mode, s.group, s.split, dict(s.attributes)) for s in filled.samples[1:]] == [
        ("b", None, "deep", None, "aside", {}),
        ("d", "good", None, None, None, {}),
        ("a.png", "pore", None, "part 1", "train", {"line": "1"}),
    ]
    for view in range(2):
        np.testing.assert_array_equal(filled.vectors(["b", "d", "a"], view=view), fresh[view].astype(np.float32))
        np.testing.assert_array_equal(filled.vectors(["c"], view=view), views_of(3)[view, 2:].astype(np.float32))
    assert dict(filled.log()[-1].details) == {"new": 1, "changed": 2}


# Deleting and setting


def test_deleting_takes_out_exactly_these(filled: EmbeddingStore) -> None:
    with filled.write("clean up") as writer:
        assert writer.delete(["c", "a", "a"]) == 2
        assert writer.delete(["c"]) == 0
    assert filled.ids == ["b"]
    assert filled.sample("b").label == "crack"
    np.testing.assert_array_equal(filled.vectors(view=1), views_of(3)[1, 1:2].astype(np.float32))
    last = filled.log()[-1]
    assert (last.number, last.action, dict(last.details)) == (2, "clean up", {"removed": 2})


def test_deleting_an_id_spelt_in_two_ways_counts_once(store: EmbeddingStore) -> None:
    with store.write() as writer:
        writer.add(["\u00e9", "x"], unit_vectors(0, 2))
    with store.write() as writer:
        assert writer.delete(["\u00e9", "e\u0301"]) == 1
    assert dict(store.log()[-1].details) == {"removed": 1}


def test_a_store_may_be_emptied_and_filled_again(filled: EmbeddingStore) -> None:
    with filled.write() as writer:
        writer.delete(filled.ids)
    assert (len(filled), filled.ids, filled.vectors().shape) == (0, [], (0, DIM))
    assert filled.search(np.ones(DIM)) == [[]]
    with filled.write() as writer:
        writer.add(["a"], views_of(1, seed=3))
    assert (filled.version, filled.labels) == (3, [None])


@pytest.mark.parametrize("field", ["label", "mode", "group", "line", "new attribute"])
def test_setting_a_field_changes_it_and_nothing_else(filled: EmbeddingStore, field: str) -> None:
    before = snapshot(filled)
    with filled.write() as writer:
        assert writer.set(field, {"c": "changed", "a": None}) == (1 if field in ("mode", "new attribute") else 2)
    after = snapshot(filled)
    assert after["vectors"] == before["vectors"]
    assert after["samples"]["b"] == before["samples"]["b"]
    values = dict(zip(filled.ids, filled.field(field), strict=True))
    assert (values["a"], values["c"]) == (None, "changed")
    with filled.write() as writer:
        writer.set(field, {"c": text_of(before, "c", field), "a": text_of(before, "a", field)})
    assert snapshot(filled)["samples"] == before["samples"]


def text_of(seen: dict[str, Any], sample_id: str, field: str) -> str | None:
    sample = seen["samples"][sample_id]
    text: str | None = getattr(sample, field, None) if hasattr(sample, field) else sample.attributes.get(field)
    return text


def test_texts_and_vectors_in_any_order_and_more_than_once_go_to_their_samples(store: EmbeddingStore) -> None:
    count = BLOCK + 20
    ids = [f"sample {number}" for number in range(count)]
    with store.write() as writer:
        writer.add(ids, views_of(count), modes=ids)
    # All orders of a few rows side by side: what looks like a run from both its ends may be none.
    for first in (0, BLOCK - 2):
        for order in permutations(range(first, first + 4)):
            with store.write() as writer:
                writer.set("label", {ids[at]: f"{order} {at}" for at in order})
            assert store.field("label")[first : first + 4] == [f"{order} {at}" for at in range(first, first + 4)]
            np.testing.assert_array_equal(store.vectors([ids[at] for at in order]), views_of(count)[0][list(order)])
        for more in product(range(first, first + 4), repeat=3):
            np.testing.assert_array_equal(store.read(np.array(more), view=1), views_of(count)[1][list(more)])
    assert store.field("mode") == ids


# Several changes in one version


def test_deleting_setting_and_adding_make_one_version(filled: EmbeddingStore) -> None:
    with filled.write("mixed") as writer:
        writer.delete(["a"])
        writer.set("label", {"b": "pore", "c": "good"})
        writer.add(["d"], views_of(1, seed=5), labels=["new"])
        assert filled.ids == ["a", "b", "c"]  # until the end this store reads what the change began from
        assert reopened(filled)["version"] == 1
    assert filled.version == 2
    assert dict(zip(filled.ids, filled.labels, strict=True)) == {"b": "pore", "c": "good", "d": "new"}
    assert dict(filled.log()[-1].details) == {"removed": 1, "updated": 2, "new": 1}


def test_the_last_text_that_is_set_counts(filled: EmbeddingStore) -> None:
    with filled.write() as writer:
        writer.set("label", {"a": "slip", "b": "slip"})
        writer.set("label", {"a": "good"})  # what it had before
        writer.set("label", {"b": "pore"})
    assert filled.labels == ["good", "pore", None]


def test_a_text_that_is_set_stays_where_vectors_are_replaced_after(filled: EmbeddingStore) -> None:
    with filled.write() as writer:
        writer.set("label", {"a": "pore"})
        writer.set("fresh", {"a": "yes"})
        writer.add(["a"], views_of(1, seed=6), replace=True)
    assert (filled.sample("a").label, dict(filled.sample("a").attributes)) == ("pore", {"line": "1", "fresh": "yes"})


@pytest.mark.parametrize("replace", [False, True])
def test_what_was_deleted_may_be_added_anew_and_keeps_nothing(filled: EmbeddingStore, replace: bool) -> None:
    with filled.write() as writer:
        writer.delete(["a"])
        writer.add(["a"], views_of(1, seed=7), modes=["odd"], replace=replace)
    sample = filled.sample("a")
    assert (sample.label, sample.mode, sample.group, dict(sample.attributes)) == (None, "odd", None, {})
    np.testing.assert_array_equal(filled.vectors(["a"]), views_of(1, seed=7)[0].astype(np.float32))
    assert dict(filled.log()[-1].details) == {"new": 1, "removed": 1}


@pytest.mark.parametrize("end", [lambda w: w.delete(["a"]), lambda w: w.add(["a"], views_of(1), replace=True)])
def test_what_was_deleted_or_replaced_takes_no_text_in_the_same_change(
    filled: EmbeddingStore, end: Callable[[StoreWriter], object]
) -> None:
    before = reopened(filled)
    with pytest.raises(StoreError, match="'a' was deleted or replaced in this change"), filled.write() as writer:  # noqa: PT012
        end(writer)
        writer.set("label", {"a": "lost"})
    assert reopened(filled) == before


def test_every_column_of_an_export_but_the_vectors_is_reserved() -> None:
    assert RESERVED == COLUMNS


@pytest.mark.parametrize("given", [{}, {"labels": ["new", None]}])
@pytest.mark.parametrize("back", [False, True])
def test_a_lost_sample_takes_back_what_is_not_given_anew(
    filled: EmbeddingStore, given: dict[str, Any], back: bool
) -> None:
    lost = {"id": "gone", "uri": "gone.png", "label": "by hand", "said:label": "good", "attribute:line": "3"}
    with writer_of(filled.path) as session:
        session.write(lambda tables: [tables.put_lost(own) for own in (lost, {"id": "other", "label": "stays"})])
    with filled.write() as writer:
        writer.add(["gone", "d"], views_of(2), **given)
    gone, other = filled.sample("gone"), filled.sample("d")
    label = None if given == {} else "new"
    assert (gone.uri, gone.label, dict(gone.attributes)) == ("gone.png", label or "by hand", {"line": "3"})
    assert filled.given("label")[3:] == ["good", None]
    assert (other.uri, other.label, dict(other.attributes)) == ("d", None, {})
    assert filled.lost == ["other"]
    if back:  # what it has now counts, not what an earlier release left among the lost
        with writer_of(filled.path) as session:
            session.write(lambda tables: tables.put_lost(lost | {"label": "old", "group": "old"}))
        with filled.write() as writer:
            writer.add(["gone"], views_of(1, seed=3), replace=True)
        assert filled.sample("gone") == gone
        assert filled.lost == ["other"]


# What fails


@pytest.mark.parametrize(
    "refused",
    [
        lambda w: w.add(["a", "b"], np.full((2, 2, DIM), np.nan), replace=True),  # their rows have ended by then
        lambda w: w.add(["d", "b"], views_of(2)),
        lambda w: w.delete(["nobody"]),
        lambda w: w.set("label", {"a": ""}),
    ],
)
def test_a_change_that_failed_once_stores_nothing_even_where_that_was_caught(
    filled: EmbeddingStore, refused: Callable[[StoreWriter], object]
) -> None:
    before = reopened(filled)
    with (  # noqa: PT012
        pytest.raises(StoreError, match=r"^This change failed before, so nothing of it is stored \("),
        filled.write() as w,
    ):
        w.delete(["c"])
        with pytest.raises(StoreError):
            refused(w)
        for later in (lambda: w.add(["e"], views_of(1)), lambda: w.set("label", {"b": "x"}), lambda: w.delete(["b"])):
            with pytest.raises(StoreError, match="This change failed before"):
                later()
    assert reopened(filled) == before == snapshot(filled)
    assert_nothing_is_left(filled)


def test_a_writer_that_was_kept_takes_nothing_any_more(filled: EmbeddingStore) -> None:
    with filled.write() as kept:
        kept.set("label", {"b": "x"})
    with writer_of(filled.path) as session:
        pass
    before = reopened(filled)
    with filled.write("honest") as writer:
        for late in (
            lambda: kept.delete(["a"]),
            lambda: kept.set("label", {"a": "x"}),
            lambda: kept.add(["d"], views_of(1)),
            lambda: kept.publish("late"),
            lambda: session.write(lambda tables: tables.put_row_count(0)),
            session.begin,
        ):
            with pytest.raises(StoreError, match=r"change is over.*; begin another with store.write\(\)"):
                late()
        writer.set("mode", {"c": "deep"})
    assert reopened(filled)["samples"] == before["samples"] | {"c": filled.sample("c")}
    assert dict(filled.log()[-1].details) == {"updated": 1}


def test_rows_that_could_not_be_written_are_told_again_and_again(
    filled: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Environment, work: Callable[[Any], Any]) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(row_stream, "_MOST_BYTES", 1)
    rows = NewRows(np.zeros((1, 16), np.uint8), views_of(1), {}, np.zeros((1, 16), np.uint8))
    with writer_of(filled.path) as session:
        session.begin()
        stream = RowStream(session, filled.fingerprint)
        with monkeypatch.context() as patch:
            patch.setattr(Environment, "write", write)
            stream.append(rows)
            with pytest.raises(StoreError, match="disk is full"):
                stream.settle()
        for again in (lambda: stream.append(rows), stream.settle, lambda: stream.append(rows)):  # it has room by now
            with pytest.raises(StoreError, match="disk is full"):
                again()
        stream.close()


# What interrupts


@pytest.mark.parametrize("where", ["inside", "at the end"])
def test_a_second_interruption_waits_for_the_rows_that_are_being_written(
    filled: EmbeddingStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before, go, waits = reopened(filled), Event(), []
    write, wait = Environment.write, row_stream.wait

    def slow(self: Environment, work: Callable[[Any], Any]) -> Any:
        if current_thread() is not main_thread():
            go.wait(20)
        return write(self, work)

    def interrupted(*given: Any) -> Any:
        waits.append(given)
        if len(waits) < 3:
            raise KeyboardInterrupt
        go.set()
        return wait(*given)

    with monkeypatch.context() as patch:
        patch.setattr(Environment, "write", slow)
        patch.setattr(row_stream, "_MOST_BYTES", 1)
        patch.setattr(row_stream, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt), filled.write() as writer:  # noqa: PT012
            writer.add(["d"], views_of(1))
            if where == "inside":
                raise KeyboardInterrupt
            patch.setattr(Future, "result", lambda future: interrupted())
    assert len(waits) == 3
    assert reopened(filled) == before
    assert_nothing_is_left(filled)
    with filled.write() as writer:
        writer.set("label", {"c": "after"})
    assert filled.ids == ["a", "b", "c"]


def test_what_is_written_while_a_change_is_taken_back_goes_too_and_later_writes_are_refused(
    filled: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_fields = Tables.drop_fields
    late = ["once"]

    def drop(self: Tables, version: int, most: int) -> int:
        if late and late.pop():
            rows = self.row_block(0)
            rows["died"][0] = version
            self.put_row_block(0, rows)
        return drop_fields(self, version, most)

    monkeypatch.setattr(Tables, "drop_fields", drop)
    before = reopened(filled)
    with writer_of(filled.path) as session:
        version = session.begin()
        session.undo()
        assert not late
        assert_nothing_is_left(filled)
        with pytest.raises(StoreError, match="change is over"):
            session.change_rows([0], died=version, under=version)
    assert reopened(filled) == before
    with filled.write() as writer:
        writer.set("label", {"c": "after"})
    assert filled.ids == ["a", "b", "c"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError, SystemExit, GeneratorExit])
def test_an_exception_inside_leaves_all_as_it_was(filled: EmbeddingStore, error: type[BaseException]) -> None:
    before = reopened(filled)
    with pytest.raises(error), filled.write() as writer:  # noqa: PT012
        writer.add([f"new {n}" for n in range(BLOCK + 7)], views_of(BLOCK + 7), labels=["new"] * (BLOCK + 7))
        writer.delete(["a"])
        writer.set("label", {"b": "x"})
        writer.set("never seen", {"b": "x"})
        raise error
    assert reopened(filled) == before == snapshot(filled)
    assert [version.number for version in filled.log()] == [0, 1]
    assert_nothing_is_left(filled)
    with filled.write() as writer:
        writer.add(["new 0"], views_of(1, seed=8))
    assert filled.sample("new 0").label is None


def test_a_disk_that_fills_up_while_rows_are_written_leaves_all_as_it_was(
    filled: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reopened(filled)
    write = Environment.write

    def full(self: Environment, work: Callable[[Any], Any]) -> Any:
        def fail(transaction: lmdb.Transaction) -> None:
            work(transaction)
            if current_thread() is not main_thread():
                raise lmdb.DiskError("No space left on device")

        return write(self, fail)

    monkeypatch.setattr(row_stream, "_MOST_BYTES", 1)
    for more in (0, 2):
        with (  # noqa: PT012
            monkeypatch.context() as patch,
            pytest.raises(
                StoreError, match=r"Writing .* failed \(No space left on device\); what was committed before is safe"
            ),
            filled.write() as writer,
        ):
            patch.setattr(Environment, "write", full)
            for number in range(1 + more):
                writer.add([f"new {number}"], views_of(1))
            writer.delete(["a"])
        assert reopened(filled) == before
        assert_nothing_is_left(filled)


WRITE = """
import sys, numpy as np, embedstore
from embedstore.store.environment import Environment
write = Environment.write

def told(self, work):
    result = write(self, work)
    print("wrote", flush=True)
    sys.stdin.readline()
    return result

Environment.write = told
with embedstore.open(sys.argv[1]) as store, store.write() as writer:
    writer.delete(["a"])
    writer.set("label", {"b": "x"})
    writer.add(["d", "e"], np.ones((2, 2, 12), np.float16))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_kill_after_any_transaction_leaves_the_old_version_or_the_new(filled: EmbeddingStore) -> None:
    before = reopened(filled)
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(filled.path)],
        env=python_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(4):  # begun, deleted, set, added: all written, not published
            assert process.stdout.readline() == "wrote\n"
            assert reopened(filled) == before
            process.stdin.write("go\n")
            process.stdin.flush()
        with pytest.raises(StoreLockedError, match=f"id {process.pid}"), filled.write():
            pass
        assert process.stdout.readline() == "wrote\n"
        os.kill(process.pid, signal.SIGKILL)
    found = reopened(filled)
    assert found["version"] in (1, 2)
    assert found == before or sorted(found["samples"]) == ["b", "c", "d", "e"]
    with filled.write() as writer:  # cleans up
        writer.set("label", {"c": "after"})
    assert_nothing_is_left(filled)
    assert filled.version == found["version"] + 1


# Stores that can't be written so


def test_a_store_opened_at_a_version_is_only_read(filled: EmbeddingStore) -> None:
    with (
        embedstore.open(filled.path, version=1) as pinned,
        pytest.raises(StoreError, match="was opened at version 1, which never changes; open it without a version"),
        pinned.write() as writer,
    ):
        writer.delete(["a"])
    assert filled.version == 1


def test_vectors_may_be_added_to_a_built_store_and_the_next_build_knows_them_as_gone(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["good/1.png", "good/2.png"])
    embedstore.build(tmp_path / "s", tmp_path / "images", teacher=CountingTeacher(), views=1)
    with embedstore.open(tmp_path / "s") as store:
        with store.write() as writer:
            writer.add(["by hand"], views_of(1))
        before = snapshot(store)
        report = embedstore.build(tmp_path / "s", tmp_path / "images", teacher=CountingTeacher())
        assert (report.new, report.embedded, report.gone) == (0, 0, 1)
        store.refresh()
        assert snapshot(store) == before


def test_a_teacher_with_several_outputs_needs_a_build(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["good/1.png"])
    embedstore.build(tmp_path / "s", tmp_path / "images", teacher=CountingTeacher(early=True), views=1)
    with (
        embedstore.open(tmp_path / "s") as store,
        pytest.raises(StoreError, match="keeps the outputs embedding, early of its teacher; only a build"),
        store.write() as writer,
    ):
        writer.add(["x"], views_of(1))
